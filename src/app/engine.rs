//! Everything that observes and judges: discovery, schedule and ledger, on ONE current-thread runtime in a thread of
//! its own. A multi-thread runtime costs a look half as much again, and a scrape cannot delay a tick this way.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use verdict::ledger::Change;

use super::parts::{self, Part};
use crate::config::{Settings, Source};
use crate::fleet::{Clock, Event, Latch, Owner, Present};
use crate::observe::schedule::{self, Observed, Order, Schedule};

/// Looks wait here for the ledger. More than run at a time by default, so that a slow batch delays no look.
const MAILBOX: usize = 1024;

/// Changes that a slow listener may lag behind before it misses some, which it is told.
const CHANGES: usize = 1024;

/// Looks that run when we are stopped may finish for this long.
pub const GRACE: Duration = Duration::from_secs(5);

/// Runs until [`Engine::stop`].
pub struct Engine {
    present: Present,
    changes: broadcast::Sender<Arc<Change>>,
    settings: Arc<ArcSwap<Settings>>,
    running: HashMap<Arc<str>, Running>,
    looks: Handle,
    orders: mpsc::Sender<Order>,
    mailbox: mpsc::Sender<Event>,
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
}

/// A source at work.
struct Running {
    source: Source,
    observed: Observed,
    stop: CancellationToken,
    discovery: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts observing. Each source holds a copy of `latch` until it was tried once.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub async fn start(settings: Settings, latch: &Latch, clock: Clock) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (mailbox, events) = mpsc::channel(MAILBOX);
        let (orders, obeyed) = mpsc::channel(64);
        let (end, ended) = oneshot::channel();
        let settings = Arc::new(settings);
        let mut engine = Self {
            present: Present::default(),
            changes: broadcast::Sender::new(CHANGES),
            settings: Arc::new(ArcSwap::new(Arc::clone(&settings))),
            running: HashMap::new(),
            looks: runtime.handle().clone(),
            orders,
            mailbox,
            stop: CancellationToken::new(),
            ended,
        };
        let found = engine.replace_sources(&settings).await;
        let schedule = Schedule::new(engine.mailbox.clone(), clock);
        let owner = Owner::new(
            settings,
            Arc::clone(&engine.present),
            engine.changes.clone(),
            engine.orders.clone(),
            latch,
            clock,
        );
        let stop_ticks = engine.stop.child_token();
        std::thread::Builder::new().name("looks".into()).spawn(move || {
            runtime.block_on(async move {
                // First the ticks end, then the looks; only then nothing can come to the ledger any more.
                let stop_ledger = CancellationToken::new();
                let mut ledger = tokio::spawn(owner.run(events, stop_ledger.clone()));
                tokio::select! {
                    () = schedule.run(obeyed, stop_ticks, GRACE) => {
                        stop_ledger.cancel();
                        let _ = ledger.await;
                    }
                    // Only a panic ends it by itself. Nobody would judge any more: see `Engine::broke_down`.
                    _ = &mut ledger => {}
                }
            });
            let _ = end.send(());
        })?;
        engine.discover(found);
        Ok(engine)
    }

    /// The present.
    #[must_use]
    pub fn present(&self) -> Present {
        Arc::clone(&self.present)
    }

    /// Where each change of state is told.
    #[must_use]
    pub fn changes(&self) -> broadcast::Sender<Arc<Change>> {
        self.changes.clone()
    }

    /// The configuration in force.
    #[must_use]
    pub fn settings(&self) -> Arc<ArcSwap<Settings>> {
        Arc::clone(&self.settings)
    }

    /// Puts another configuration in force, whole. A source that did not change keeps its client and its entries.
    pub async fn apply(&mut self, settings: Settings) {
        let settings = Arc::new(settings);
        let found = self.replace_sources(&settings).await;
        // After the sources, so that no wish meets a schedule that does not know its source; before discovery, so
        // that no list meets a ledger that does not know it.
        let _ = self.mailbox.send(Event::Configure(Arc::clone(&settings))).await;
        self.settings.store(settings);
        self.discover(found);
    }

    /// Ends what changed or went, makes what is new, and tells the schedule. Returns what is still to be discovered.
    async fn replace_sources(&mut self, settings: &Settings) -> Vec<(Arc<str>, Part)> {
        let mut before = std::mem::take(&mut self.running);
        let mut found = Vec::new();
        for source in &settings.sources {
            let unchanged = before.remove(&source.name).filter(|running| running.source == *source);
            if let Some(running) = unchanged {
                self.running.insert(Arc::clone(&source.name), running);
                continue;
            }
            let part = {
                // Clients may bind themselves to the runtime that they are made in.
                let _inside = self.looks.enter();
                parts::part(source)
            };
            let observed = Observed { timeout: source.timeout, observer: Arc::clone(&part.observer) };
            let stop = self.stop.child_token();
            let running = Running { source: source.clone(), observed, stop, discovery: None };
            self.running.insert(Arc::clone(&source.name), running);
            found.push((Arc::clone(&source.name), part));
        }
        for (_, gone) in before {
            gone.end().await;
        }
        let sources = self.running.iter().map(|(name, running)| (Arc::clone(name), running.observed.clone())).collect();
        let limit = schedule::descriptor_limit();
        let concurrency = schedule::concurrency(settings.concurrency, limit);
        if concurrency < settings.concurrency {
            tracing::warn!(
                configured = settings.concurrency,
                concurrency,
                open_files = limit,
                "fewer looks at a time than configured: raise the limit on open files (ulimit -n)"
            );
        }
        let _ = self.orders.send(Order::Sources { sources, concurrency }).await;
        found
    }

    fn discover(&mut self, found: Vec<(Arc<str>, Part)>) {
        for (name, part) in found {
            let Some(running) = self.running.get_mut(&name) else { continue };
            let (mailbox, stop, learn, tasks) =
                (self.mailbox.clone(), running.stop.clone(), part.learn, TaskTracker::new());
            let founds = {
                let _inside = self.looks.enter();
                parts::watch(&running.source, &tasks, stop.clone())
            };
            let Some(mut founds) = founds else { continue };
            running.discovery = Some(self.looks.spawn(async move {
                let forward = async {
                    while let Some(found) = founds.recv().await {
                        // First the one who looks, or the first look would not know where to.
                        learn(&found);
                        let _ = mailbox.send(Event::Found(found)).await;
                    }
                };
                let _ = stop.run_until_cancelled(forward).await;
                drop(founds);
                tasks.close();
                tasks.wait().await;
            }));
        }
    }

    /// Waits until the engine ends by itself, which is a fault of this program. A page that goes on showing the last
    /// verdicts for ever would be worse than none.
    pub async fn broke_down(&mut self) {
        let _ = (&mut self.ended).await;
    }

    /// Stops ticks, lets looks finish, takes their evidence in. Bounded by [`GRACE`] and a little.
    pub async fn stop(self) {
        self.stop.cancel();
        drop((self.orders, self.mailbox));
        if tokio::time::timeout(GRACE + Duration::from_secs(1), self.ended).await.is_err() {
            tracing::warn!("the looks did not end in time; leaving them");
        }
    }
}

impl Running {
    /// Ends its discovery before anything else is told of its name. Its looks end in the schedule.
    async fn end(self) {
        self.stop.cancel();
        if let Some(discovery) = self.discovery {
            let _ = discovery.await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use super::super::fixture;
    use super::*;
    use crate::config::Detail;
    use crate::fleet::Readiness;
    use crate::observe::Observe;

    async fn started(sources: &[&str]) -> Engine {
        let (latch, _) = Readiness::latched();
        Engine::start(fixture::settings(sources), &latch, Clock::start()).await.unwrap()
    }

    fn client(engine: &Engine, source: &str) -> Arc<dyn Observe> {
        Arc::clone(&engine.running.get(source).unwrap().observed.observer)
    }

    #[tokio::test]
    async fn a_source_that_did_not_change_keeps_its_client_and_one_that_did_gets_another() {
        let mut engine = started(&["stays", "changes", "goes"]).await;
        let (stays, changes) = (client(&engine, "stays"), client(&engine, "changes"));
        let mut next = fixture::settings(&["stays", "changes", "comes"]);
        if let Detail::Http(http) = &mut next.sources.get_mut(1).unwrap().detail {
            http.max_body = 1;
        }
        engine.apply(next).await;
        assert!(Arc::ptr_eq(&stays, &client(&engine, "stays")));
        assert!(!Arc::ptr_eq(&changes, &client(&engine, "changes")));
        assert!(engine.running.contains_key("comes"));
        assert!(!engine.running.contains_key("goes"));
    }

    #[tokio::test]
    async fn the_discovery_of_a_source_that_goes_has_ended_when_the_next_configuration_is_in_force() {
        let mut engine = started(&["goes"]).await;
        let stop = engine.running.get("goes").unwrap().stop.clone();
        engine.apply(fixture::settings(&[])).await;
        assert!(stop.is_cancelled());
        assert!(engine.running.is_empty());
    }

    #[tokio::test]
    async fn it_stops_when_it_is_told_to() {
        let engine = started(&["a"]).await;
        tokio::time::timeout(GRACE + Duration::from_secs(2), engine.stop()).await.unwrap();
    }
}
