//! Owns the ticks: one task that reads the timetable and starts looks, each a tracked task in its envelope.
//!
//! It decides nothing: what is looked at, and how often, comes as wishes. One semaphore bounds the looks of all
//! sources together. It never waits for the receiver of the looks, so the two cannot wait for each other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use verdict::evidence::Look;
use verdict::ledger::Wish;

use super::envelope::Plan;
use super::timetable::{Due, Ticket, Timetable, Turn};
use super::{Clock, Observe};

/// File descriptors that looks never take: our own listeners, scrapers, event streams, files that are re-read.
const DESCRIPTORS_KEPT_BACK: usize = 64;

/// A source as the schedule needs it.
#[derive(Clone)]
pub struct Observed {
    /// Total deadline of a look.
    pub timeout: Duration,
    /// Who looks.
    pub observer: Arc<dyn Observe>,
}

/// What the schedule is told.
pub enum Order {
    /// What should be looked at, and how often.
    Wishes(Vec<Wish>),
    /// The sources from now on, by name. Entries of others are forgotten, those of the same name stay.
    Sources {
        /// All of them.
        sources: HashMap<Arc<str>, Observed>,
        /// At most this many looks at a time.
        concurrency: usize,
    },
}

/// The task that owns the ticks. `E` is whatever the receiver of the looks takes.
pub struct Schedule<E> {
    timetable: Timetable,
    sources: HashMap<Arc<str>, Observed>,
    permits: Arc<Semaphore>,
    running: HashMap<Ticket, AbortHandle>,
    looks: TaskTracker,
    ended: mpsc::Sender<Ticket>,
    ends: mpsc::Receiver<Ticket>,
    mailbox: mpsc::Sender<E>,
    clock: Clock,
}

impl<E: From<Look> + Send + 'static> Schedule<E> {
    /// A schedule with nothing to do, which puts its looks into `mailbox`.
    #[must_use]
    pub fn new(mailbox: mpsc::Sender<E>, clock: Clock) -> Self {
        let (ended, ends) = mpsc::channel(1024);
        Self {
            timetable: Timetable::default(),
            sources: HashMap::new(),
            permits: Arc::new(Semaphore::new(1)),
            running: HashMap::new(),
            looks: TaskTracker::new(),
            ended,
            ends,
            mailbox,
            clock,
        }
    }

    /// Starts looks until `stop`, then lets those that run finish, for `grace` at most.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>, stop: CancellationToken, grace: Duration) {
        loop {
            let next = self.timetable.next_tick().map(|tick| self.clock.instant_of(tick));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ticket) = self.ends.recv() => {
                    self.running.remove(&ticket);
                    self.timetable.finished(ticket, self.clock.now());
                }
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => break,
                },
                () = sleep_until(next) => {
                    for due in self.timetable.take_due(self.clock.now()) {
                        self.take_turn(due);
                    }
                }
            }
        }
        self.finish(grace).await;
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Wishes(wishes) => {
                let now = self.clock.now();
                for wish in wishes {
                    if let Some(ticket) = self.timetable.wish(wish, now) {
                        self.end(ticket);
                    }
                }
            }
            Order::Sources { sources, concurrency } => {
                for ticket in self.timetable.retain_sources(|name| sources.contains_key(name)) {
                    self.end(ticket);
                }
                self.sources = sources;
                // Looks that run keep their permit of the old semaphore until they end.
                self.permits = Arc::new(Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS)));
            }
        }
    }

    /// Nobody wants to know any more.
    fn end(&mut self, ticket: Ticket) {
        if let Some(look) = self.running.remove(&ticket) {
            look.abort();
        }
    }

    fn take_turn(&mut self, due: Due) {
        let Some(source) = self.sources.get(&due.source) else {
            // A wish that crossed a reload on its way.
            let gone = Wish::Never { source: due.source, scope: due.scope };
            self.timetable.wish(gone, self.clock.now());
            return;
        };
        let plan = Plan { source: due.source, scope: due.scope, interval: due.interval, timeout: source.timeout };
        match due.turn {
            Turn::Late => self.report_late(plan),
            Turn::Start => {
                let observer = Arc::clone(&source.observer);
                let permits = Arc::clone(&self.permits);
                let (mailbox, ended, clock) = (self.mailbox.clone(), self.ended.clone(), self.clock);
                let look = self.looks.spawn(async move {
                    // Closed by a stop: what did not begin yet does not begin.
                    let Ok(permit) = permits.acquire_owned().await else { return };
                    let look = plan.look(&*observer, clock).await;
                    drop(permit);
                    // Gone only when the program ends.
                    let _ = mailbox.send(look.into()).await;
                    let _ = ended.send(due.ticket).await;
                });
                self.running.insert(due.ticket, look.abort_handle());
            }
        }
    }

    fn report_late(&self, plan: Plan) {
        tracing::debug!(source = %plan.source, scope = ?plan.scope, "the look before still runs: skipped one");
        match self.mailbox.try_send(plan.late(self.clock).into()) {
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => {
                // The next late tick says the same again; waiting here could stop all ticks.
                tracing::warn!("the ledger is behind: a late look was not reported");
            }
        }
    }

    async fn finish(mut self, grace: Duration) {
        self.looks.close();
        self.permits.close();
        // Looks that wait to say that they ended must not wait for us.
        self.ends.close();
        if tokio::time::timeout(grace, self.looks.wait()).await.is_err() {
            tracing::warn!(looks = self.looks.len(), "ended looks that did not finish in time");
            for look in self.running.values() {
                look.abort();
            }
            self.looks.wait().await;
        }
    }
}

async fn sleep_until(instant: Option<tokio::time::Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// How many looks may run at a time: as configured, but never so many that our own server runs out of descriptors.
#[must_use]
pub fn concurrency(configured: usize, descriptors: Option<usize>) -> usize {
    let room =
        descriptors.map_or(usize::MAX, |limit| limit.saturating_sub(DESCRIPTORS_KEPT_BACK.max(limit / 4)).max(1));
    configured.clamp(1, room)
}

/// The soft limit on open files of this process, where the system tells (`/proc/self/limits`).
#[must_use]
pub fn descriptor_limit() -> Option<usize> {
    soft_limit(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn soft_limit(limits: &str) -> Option<usize> {
    let row = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    row.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use tokio::task::JoinHandle;
    use verdict::evidence::{Scope, WorkerKey};
    use verdict::words::Failure;

    use super::*;
    use crate::observe::scenario::{Act, Scenario};

    struct Running {
        orders: mpsc::Sender<Order>,
        looks: mpsc::Receiver<Look>,
        stop: CancellationToken,
        task: JoinHandle<()>,
    }

    impl Running {
        fn start(grace: Duration) -> Self {
            let (mailbox, looks) = mpsc::channel(64);
            let (orders, taken) = mpsc::channel(8);
            let stop = CancellationToken::new();
            let schedule = Schedule::<Look>::new(mailbox, Clock::start());
            let task = tokio::spawn(schedule.run(taken, stop.clone(), grace));
            Self { orders, looks, stop, task }
        }

        async fn watch(&self, sources: &[(&str, &Arc<Scenario>)], concurrency: usize) {
            let observed = |source: &&Arc<Scenario>| Observed {
                timeout: Duration::from_secs(60),
                observer: Arc::clone(source) as Arc<dyn Observe>,
            };
            let sources = sources.iter().map(|(name, source)| (Arc::from(*name), observed(source))).collect();
            self.orders.send(Order::Sources { sources, concurrency }).await.unwrap();
        }

        async fn wish(&self, source: &str, scope: Scope, interval: u64) {
            let interval = Duration::from_secs(interval);
            let wish = Wish::Every { source: source.into(), scope, interval, at_once: true };
            self.orders.send(Order::Wishes(vec![wish])).await.unwrap();
        }

        /// Bounded on the paused clock: a look that never comes fails the test at once.
        async fn next(&mut self) -> Look {
            tokio::time::timeout(Duration::from_secs(3600), self.looks.recv()).await.unwrap().unwrap()
        }
    }

    fn worker(name: &str) -> Scope {
        Scope::Worker(WorkerKey::new("fleet", name))
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_is_wished_is_looked_at_again_and_again() {
        let source = Scenario::always(Act::AnswersAfter(Duration::from_millis(5)));
        let mut running = Running::start(SECOND);
        running.watch(&[("a", &source)], 8).await;
        running.wish("a", Scope::Listing, 10).await;
        let looks = [running.next().await, running.next().await, running.next().await];
        assert_eq!(looks[2].started.since(looks[1].started), Duration::from_secs(10));
        assert_eq!(looks[0].interval, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_is_late_while_another_keeps_its_ticks() {
        let hangs = Scenario::new([Act::Hangs]);
        let steady = Scenario::always(Act::AnswersAfter(Duration::ZERO));
        let mut running = Running::start(SECOND);
        running.watch(&[("hangs", &hangs), ("steady", &steady)], 8).await;
        running.wish("hangs", worker("a"), 5).await;
        running.wish("steady", worker("b"), 5).await;
        let (mut late, mut good) = (0, 0);
        while late < 5 {
            let look = running.next().await;
            match (&*look.source, look.outcome) {
                ("hangs", Err(Failure::Late)) => late += 1,
                ("steady", Ok(_)) => good += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(good >= 4, "{good}");
        assert_eq!(hangs.looks().len(), 1, "late looks are not queued up");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_looks_run_at_a_time_than_allowed() {
        let source = Scenario::always(Act::AnswersAfter(SECOND));
        let mut running = Running::start(SECOND);
        running.watch(&[("a", &source)], 2).await;
        for name in ["a", "b", "c", "d"] {
            running.wish("a", worker(name), 30).await;
        }
        let mut ends = Vec::new();
        for _ in 0..4 {
            ends.push(running.next().await.finished);
        }
        assert_eq!(ends[0], ends[1]);
        assert_eq!(ends[2].since(ends[1]), SECOND);
        assert_eq!(ends[2], ends[3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_lets_running_looks_finish_and_starts_no_more() {
        let source = Scenario::new([Act::AnswersAfter(SECOND)]);
        let mut running = Running::start(5 * SECOND);
        running.watch(&[("a", &source)], 2).await;
        running.wish("a", Scope::Listing, 30).await;
        while source.looks().is_empty() {
            tokio::task::yield_now().await;
        }
        running.stop.cancel();
        assert!(running.next().await.outcome.is_ok());
        running.task.await.unwrap();
        assert!(running.looks.recv().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_waits_no_longer_than_its_grace() {
        let source = Scenario::new([Act::Hangs]);
        let running = Running::start(5 * SECOND);
        running.watch(&[("a", &source)], 2).await;
        running.wish("a", Scope::Listing, 30).await;
        while source.looks().is_empty() {
            tokio::task::yield_now().await;
        }
        let begun = tokio::time::Instant::now();
        running.stop.cancel();
        running.task.await.unwrap();
        assert_eq!(begun.elapsed(), 5 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_at_what_is_wished_away_ends_without_a_report() {
        let slow = Scenario::new([Act::AnswersAfter(SECOND)]);
        let other = Scenario::always(Act::AnswersAfter(Duration::ZERO));
        let mut running = Running::start(SECOND);
        running.watch(&[("slow", &slow), ("other", &other)], 8).await;
        running.wish("slow", Scope::Listing, 10).await;
        while slow.looks().is_empty() {
            tokio::task::yield_now().await;
        }
        let never = Wish::Never { source: "slow".into(), scope: Scope::Listing };
        running.orders.send(Order::Wishes(vec![never])).await.unwrap();
        running.wish("other", Scope::Listing, 10).await;
        for _ in 0..3 {
            assert_eq!(&*running.next().await.source, "other");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_stays_keeps_its_entries_over_a_reload() {
        let source = Scenario::always(Act::AnswersAfter(Duration::ZERO));
        let gone = Scenario::new([Act::AnswersAfter(Duration::ZERO)]);
        let mut running = Running::start(SECOND);
        running.watch(&[("stays", &source), ("goes", &gone)], 8).await;
        running.wish("stays", Scope::Listing, 10).await;
        running.next().await;
        running.wish("goes", Scope::Listing, 10).await;
        running.next().await;
        running.watch(&[("stays", &source)], 8).await;
        for _ in 0..3 {
            assert_eq!(&*running.next().await.source, "stays");
        }
    }

    #[test]
    fn descriptors_are_kept_back_for_our_own_server() {
        assert_eq!(concurrency(256, None), 256);
        assert_eq!(concurrency(256, Some(1024)), 256);
        assert_eq!(concurrency(5000, Some(1024)), 768);
        assert_eq!(concurrency(256, Some(128)), 64);
        assert_eq!(concurrency(256, Some(10)), 1);
        assert_eq!(concurrency(0, None), 1);
    }

    #[test]
    fn the_soft_limit_is_read_as_the_kernel_writes_it() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             95863                95863                processes \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(soft_limit("Max open files            unlimited            unlimited            files"), None);
        assert_eq!(soft_limit(""), None);
    }
}
