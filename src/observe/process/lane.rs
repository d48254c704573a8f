//! Work that may block for ever, each in a thread that nobody waits for longer than he may.
//!
//! A call into a dead network file system or a hung driver cannot be ended from outside. It may keep its thread for as
//! long as it likes; but one that is stuck is not joined by a second, and all lanes together are bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use verdict::words::Failure;

/// So many threads may be stuck at a time. What would be one more is not read.
const MOST_STUCK: usize = 16;

/// What all lanes share.
#[derive(Clone, Debug)]
pub(super) struct Road(Arc<Semaphore>);

impl Default for Road {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_STUCK)))
    }
}

/// One piece of work at a time.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    road: Road,
    turn: Arc<Semaphore>,
    /// What went in last was given up, and is still in there.
    stuck: Arc<AtomicBool>,
}

impl Lane {
    /// A lane of this road.
    pub(super) fn new(road: &Road) -> Self {
        Self { road: road.clone(), turn: Arc::new(Semaphore::new(1)), stuck: Arc::default() }
    }

    /// Does `work` in a thread of its own, after what is in the lane already.
    ///
    /// # Errors
    /// [`Failure::Timeout`] when it takes longer than `within`, and at once while earlier work that did so is still in
    /// there. [`Failure::Local`] when the system gives no thread, [`Failure::Internal`] when it panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        within: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        if self.stuck.load(Ordering::Acquire) {
            return Err(Failure::Timeout);
        }
        let mut began = false;
        let done = async {
            let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| Failure::Internal)?;
            let place = Arc::clone(&self.road.0).acquire_owned().await.map_err(|_| Failure::Internal)?;
            let (send, receive) = oneshot::channel();
            let place = Place { turn: Some(turn), place: Some(place), stuck: Arc::clone(&self.stuck) };
            let thread = std::thread::Builder::new().name("aside".into());
            thread
                .spawn(move || {
                    let done = work();
                    drop(place);
                    let _ = send.send(done);
                })
                .map_err(|_| Failure::Local)?;
            began = true;
            receive.await.map_err(|_| Failure::Internal)
        };
        match tokio::time::timeout(within, done).await {
            Ok(done) => done,
            Err(_) => {
                if began && self.turn.available_permits() == 0 {
                    self.stuck.store(true, Ordering::Release);
                    // It may have come out between the two.
                    if self.turn.available_permits() > 0 {
                        self.stuck.store(false, Ordering::Release);
                    }
                }
                Err(Failure::Timeout)
            }
        }
    }
}

/// A place in the lane, given back when the work ends, however it ends.
struct Place {
    turn: Option<OwnedSemaphorePermit>,
    place: Option<OwnedSemaphorePermit>,
    stuck: Arc<AtomicBool>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.place = None;
        self.turn = None;
        // Last: whoever calls the lane stuck looks again after he said so.
        self.stuck.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    const SHORT: Duration = Duration::from_millis(30);
    const LONG: Duration = Duration::from_secs(20);

    /// What blocks is a channel: neither a dead file system nor a hung driver is to be had in a test.
    #[tokio::test]
    async fn what_hangs_costs_one_thread_and_its_deadline_once_and_the_lane_serves_again_when_it_is_back() {
        let lane = Lane::new(&Road::default());
        let (release, hangs) = mpsc::channel::<()>();
        let begun = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&begun);
        let stuck = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = hangs.recv();
        };
        assert_eq!(lane.run(SHORT, stuck).await, Err(Failure::Timeout));
        let since = Instant::now();
        for _ in 0..100 {
            let counted = Arc::clone(&begun);
            let more = move || {
                counted.fetch_add(1, Ordering::SeqCst);
            };
            assert_eq!(lane.run(LONG, more).await, Err(Failure::Timeout));
        }
        assert!(since.elapsed() < LONG, "no look waits for a lane that is known to be stuck");
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        drop(release);
        let back = async {
            while lane.run(LONG, || 7).await != Ok(7) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, back).await.unwrap();
    }

    #[tokio::test]
    async fn two_that_come_together_are_done_one_after_the_other() {
        let lane = Lane::new(&Road::default());
        let (one, two) = tokio::join!(lane.run(LONG, || 1), lane.run(LONG, || 2));
        assert_eq!((one, two), (Ok(1), Ok(2)));
    }

    #[tokio::test]
    async fn one_stuck_lane_does_not_hold_up_another_and_all_together_are_bounded() {
        let road = Road::default();
        let (release, hangs) = mpsc::channel::<()>();
        let hangs = Arc::new(std::sync::Mutex::new(hangs));
        let stuck: Vec<Lane> = (0..MOST_STUCK - 1).map(|_| Lane::new(&road)).collect();
        for lane in &stuck {
            let hangs = Arc::clone(&hangs);
            let wait = move || {
                let _ = hangs.lock().unwrap().recv();
            };
            assert_eq!(lane.run(SHORT, wait).await, Err(Failure::Timeout));
        }
        let free = Lane::new(&road);
        assert_eq!(free.run(LONG, || 1).await, Ok(1));
        let (release_last, hangs_last) = mpsc::channel::<()>();
        let wait = move || {
            let _ = hangs_last.recv();
        };
        assert_eq!(free.run(SHORT, wait).await, Err(Failure::Timeout));
        assert_eq!(Lane::new(&road).run(SHORT, || 1).await, Err(Failure::Timeout), "no thread is left");
        drop((release, release_last));
    }

    #[tokio::test]
    async fn a_panic_in_it_is_a_failure_and_the_lane_is_free_again() {
        let lane = Lane::new(&Road::default());
        assert_eq!(lane.run(LONG, || panic!("on purpose")).await, Err::<(), _>(Failure::Internal));
        assert_eq!(lane.run(LONG, || 1).await, Ok(1));
    }
}
