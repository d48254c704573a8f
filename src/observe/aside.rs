//! Work that may block, aside from the runtime: one piece at a time, waited for no longer than its deadline.
//!
//! A read from a network file system whose server died cannot be ended from outside. It may keep one thread for as long
//! as it likes; but the next look must not start another, or a dead mount would take all threads in the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use verdict::words::Failure;

/// One place to block in.
#[derive(Debug, Clone)]
pub(crate) struct Aside {
    place: Arc<Semaphore>,
}

impl Default for Aside {
    fn default() -> Self {
        Self { place: Arc::new(Semaphore::new(1)) }
    }
}

impl Aside {
    /// Does `work` on a thread of its own.
    ///
    /// # Errors
    /// [`Failure::Timeout`] when it takes longer than `timeout`, and at once while an earlier one still blocks.
    /// [`Failure::Internal`] when it panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let place = Arc::clone(&self.place).try_acquire_owned().map_err(|_| Failure::Timeout)?;
        let work = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        match tokio::time::timeout(timeout, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(Failure::Internal),
            Err(_) => Err(Failure::Timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(20);

    /// What blocks is a channel: a file system that hangs is not to be had in a test.
    #[tokio::test]
    async fn what_hangs_costs_one_thread_however_often_it_is_asked_and_serves_again_once_it_is_back() {
        let aside = Aside::default();
        let (release, hangs) = mpsc::channel::<()>();
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let stuck = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = hangs.recv();
        };
        assert_eq!(aside.run(SHORT, stuck).await, Err(Failure::Timeout));
        for _ in 0..100 {
            let count = Arc::clone(&begun);
            let more = move || {
                count.fetch_add(1, Ordering::SeqCst);
            };
            assert_eq!(aside.run(LONG, more).await, Err(Failure::Timeout));
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        drop(release);
        let back = async {
            while aside.run(LONG, || 7).await != Ok(7) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, back).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_in_it_is_a_failure_and_the_place_is_free_again() {
        let aside = Aside::default();
        assert_eq!(aside.run(LONG, || panic!("on purpose")).await, Err::<(), _>(Failure::Internal));
        assert_eq!(aside.run(LONG, || 1).await, Ok(1));
    }
}
