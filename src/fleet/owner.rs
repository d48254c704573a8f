//! The task that owns the ledger. Everything that happens comes through its mailbox, so nothing needs a lock, and
//! everybody else reads what it publishes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use verdict::evidence::{Look, WorkerKey};
use verdict::ledger::{Change, Ledger};
use verdict::words::Failure;

use super::pace::{News, Pace};
use super::{Clock, Latch, Present};
use crate::config::Settings;
use crate::discovery::Found;
use crate::observe::schedule::Order;

/// The ledger decides by seconds; it lets time pass as often.
const TICK: Duration = Duration::from_secs(1);

/// Looks taken in before the next publication, so that a full mailbox cannot put it off for ever.
const BATCH: usize = 512;

/// A source that was not even tried by then does not hold up readiness: the page and the runbooks are worth having.
const TRIED_WITHIN: Duration = Duration::from_secs(30);

/// Whatever happens to the present.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all events are looks: a box would be one more allocation for each"
)]
pub enum Event {
    /// A look has ended.
    Look(Look),
    /// The full set of workers of a source.
    Found(Found),
    /// Another configuration is in force.
    Configure(Arc<Settings>),
}

impl From<Look> for Event {
    fn from(look: Look) -> Self {
        Self::Look(look)
    }
}

/// See the head of the file.
pub struct Owner {
    ledger: Ledger,
    settings: Arc<Settings>,
    present: Present,
    changes: broadcast::Sender<Arc<Change>>,
    orders: mpsc::Sender<Order>,
    pace: Pace,
    /// Sources that were not tried yet, each with its latch.
    untried: HashMap<Arc<str>, Latch>,
    /// Of sources that were tried: dropped with the next publication, so that who finds us ready finds it published.
    tried: Vec<Latch>,
    clock: Clock,
}

impl Owner {
    /// An owner of nothing yet. Each source holds a copy of `latch` until it was tried once.
    #[must_use]
    pub fn new(
        settings: Arc<Settings>,
        present: Present,
        changes: broadcast::Sender<Arc<Change>>,
        orders: mpsc::Sender<Order>,
        latch: &Latch,
        clock: Clock,
    ) -> Self {
        let untried = settings.sources.iter().map(|source| (Arc::clone(&source.name), latch.clone())).collect();
        let ledger = Ledger::new(Arc::clone(&settings.rulebook), clock.now());
        Self { ledger, settings, present, changes, orders, pace: Pace::default(), untried, tried: Vec::new(), clock }
    }

    /// Owns the present until `stop`, or until nobody is left who could send anything; then takes in what still lies
    /// in the mailbox and publishes once more.
    pub async fn run(mut self, mut mailbox: mpsc::Receiver<Event>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let give_up_waiting = tokio::time::sleep(TRIED_WITHIN);
        tokio::pin!(give_up_waiting);
        // The configured fleets and the sources are there from the first moment.
        self.configure().await;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let publish = self.pace.due().map(|due| self.clock.instant_of(due));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = tick.tick() => {
                    self.ledger.tick(self.clock.now(), self.clock.wall());
                    self.pace.note(News::Look);
                }
                () = &mut give_up_waiting, if !self.untried.is_empty() => self.give_up_waiting(),
                () = publication(publish) => {
                    self.publish();
                    continue;
                }
                taken = mailbox.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        break;
                    }
                    for event in batch.drain(..) {
                        self.take_in(event).await;
                    }
                }
            }
            self.follow_up().await;
        }
        mailbox.close();
        while let Some(event) = mailbox.recv().await {
            self.take_in(event).await;
        }
        self.report_changes();
        self.publish();
    }

    async fn take_in(&mut self, event: Event) {
        match event {
            Event::Look(look) => {
                if !matches!(look.outcome, Err(Failure::Late)) {
                    self.tried(&look.source);
                }
                self.pace.note(News::Look);
                self.ledger.observe(look);
            }
            Event::Found(found) => self.found(&found),
            Event::Configure(settings) => {
                self.settings = settings;
                self.configure().await;
            }
        }
    }

    fn found(&mut self, found: &Found) {
        let keys: Vec<WorkerKey> = found
            .targets
            .iter()
            .map(|target| WorkerKey::new(Arc::clone(&target.fleet), Arc::clone(&target.id)))
            .chain(found.workers.iter().cloned())
            .collect();
        if keys.is_empty() {
            // There is nothing to try.
            self.tried(&found.source);
        }
        self.ledger.discovered(&found.source, &keys, self.clock.now(), self.clock.wall());
        self.pace.note(News::Look);
    }

    async fn configure(&mut self) {
        self.ledger.configure(Arc::clone(&self.settings.rulebook), self.clock.now());
        let settings = &self.settings;
        self.untried.retain(|name, _| settings.sources.iter().any(|source| source.name == *name));
        self.pace.note(News::Change);
        self.send_wishes().await;
    }

    fn tried(&mut self, source: &str) {
        if let Some(latch) = self.untried.remove(source) {
            self.tried.push(latch);
            self.pace.note(News::Change);
        }
    }

    fn give_up_waiting(&mut self) {
        for (source, _latch) in self.untried.drain() {
            tracing::warn!(%source, "not tried within 30 s; ready without it");
        }
    }

    async fn follow_up(&mut self) {
        self.send_wishes().await;
        if self.report_changes() {
            self.pace.note(News::Change);
        }
    }

    async fn send_wishes(&mut self) {
        let wishes = self.ledger.take_wishes();
        if !wishes.is_empty() {
            // The schedule never waits for us, so this cannot last; it is gone only when the program ends.
            let _ = self.orders.send(Order::Wishes(wishes)).await;
        }
    }

    /// Logs each change once and tells whoever listens. True when there was one.
    fn report_changes(&mut self) -> bool {
        let changes = self.ledger.take_changes();
        let some = !changes.is_empty();
        for change in changes {
            tracing::info!(
                fleet = %change.key.fleet,
                worker = %change.key.worker,
                from = change.from.map_or("new", |state| state.word()),
                to = change.to.map_or("left", |state| state.word()),
                reason = change.reason.word(),
                detail = %change.detail,
                "state changed"
            );
            // Nobody listens: nothing is lost.
            let _ = self.changes.send(Arc::new(change));
        }
        some
    }

    fn publish(&mut self) {
        let begun = Instant::now();
        let snapshot = self.ledger.snapshot(self.clock.now(), self.clock.wall());
        self.present.store(Arc::new(snapshot));
        self.tried.clear();
        self.pace.published(self.clock.now(), begun.elapsed());
    }
}

async fn publication(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use arc_swap::ArcSwap;
    use tokio::task::JoinHandle;
    use verdict::evidence::{Listing, Report, Scope};
    use verdict::rules::Rulebook;
    use verdict::time::{Moment, WallTime};

    use super::*;
    use crate::config::{Detail, RedisSource, Source};
    use crate::fleet::Readiness;

    fn settings(names: &[&str]) -> Arc<Settings> {
        let source = |name: &&str| Source {
            name: Arc::from(*name),
            fleet: None,
            timeout: Duration::from_secs(2),
            minimum_interval: Duration::from_secs(2),
            maximum_interval: Duration::from_secs(30),
            match_host_pid: false,
            detail: Detail::Redis(RedisSource::at("redis://127.0.0.1/".parse().unwrap())),
        };
        Arc::new(Settings {
            rulebook: Arc::new(Rulebook::default()),
            sources: names.iter().map(source).collect(),
            concurrency: 8,
            shown: String::new(),
        })
    }

    fn look(source: &str, outcome: Result<Report, Failure>) -> Event {
        Event::Look(Look {
            source: source.into(),
            scope: Scope::Listing,
            started: Moment::START,
            finished: Moment::START,
            received: WallTime::default(),
            interval: Duration::from_secs(2),
            outcome,
        })
    }

    struct Running {
        mailbox: mpsc::Sender<Event>,
        present: Present,
        ready: Readiness,
        stop: CancellationToken,
        task: JoinHandle<()>,
        _orders: mpsc::Receiver<Order>,
    }

    impl Running {
        fn start(sources: &[&str]) -> Self {
            let (mailbox, events) = mpsc::channel(64);
            let (orders, taken) = mpsc::channel(8);
            let (latch, ready) = Readiness::latched();
            let present = Present::new(ArcSwap::default());
            let stop = CancellationToken::new();
            let changes = broadcast::Sender::new(16);
            let owner = Owner::new(settings(sources), Arc::clone(&present), changes, orders, &latch, Clock::start());
            let task = tokio::spawn(owner.run(events, stop.clone()));
            Self { mailbox, present, ready, stop, task, _orders: taken }
        }

        /// Waits for a value, on the paused clock, for an hour of it at most. Returns how long it took.
        async fn until(&self, reached: impl Fn(&Self) -> bool) -> Duration {
            let begun = Instant::now();
            while !reached(self) {
                assert!(begun.elapsed() < Duration::from_secs(3600), "never reached");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            begun.elapsed()
        }

        fn taken(&self) -> Moment {
            self.present.load().taken
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_once_every_source_was_tried_even_if_it_failed() {
        let running = Running::start(&["a", "b"]);
        running.mailbox.send(look("a", Ok(Report::Listing(Listing::default())))).await.unwrap();
        running.until(|running| running.taken() > Moment::START).await;
        assert!(!running.ready.is_ready());
        running.mailbox.send(look("b", Err(Failure::Refused))).await.unwrap();
        assert!(running.until(|running| running.ready.is_ready()).await < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_without_workers_counts_as_tried() {
        let running = Running::start(&["a"]);
        running
            .mailbox
            .send(Event::Found(Found { source: "a".into(), targets: Vec::new(), workers: Vec::new() }))
            .await
            .unwrap();
        assert!(running.until(|running| running.ready.is_ready()).await < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_look_is_no_try_and_after_thirty_seconds_it_is_ready_all_the_same() {
        let running = Running::start(&["a"]);
        running.mailbox.send(look("a", Err(Failure::Late))).await.unwrap();
        let took = running.until(|running| running.ready.is_ready()).await;
        assert!(took >= TRIED_WITHIN && took < TRIED_WITHIN + Duration::from_secs(1), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_is_configured_away_holds_up_nothing() {
        let running = Running::start(&["a"]);
        running.mailbox.send(Event::Configure(settings(&[]))).await.unwrap();
        assert!(running.until(|running| running.ready.is_ready()).await < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_is_published_each_second_though_nothing_happens() {
        let running = Running::start(&[]);
        running.until(|running| running.taken() > Moment::START + Duration::from_secs(1)).await;
        let before = running.taken();
        let took = running.until(|running| running.taken() > before).await;
        assert!(took <= Duration::from_millis(1300), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_it_takes_in_what_still_lies_in_the_mailbox() {
        let running = Running::start(&["a"]);
        running.stop.cancel();
        running.mailbox.send(look("a", Err(Failure::Refused))).await.unwrap();
        running.task.await.unwrap();
        assert!(running.ready.is_ready());
    }
}
