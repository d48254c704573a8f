//! Source: celery. What workers say of themselves on a Redis broker, and the queues that lie there.
//!
//! Celery keeps nothing of its workers: each sends an event every two seconds, and whoever listens hears it. So this
//! source listens between looks, and a look asks whether it heard everything. If the connection broke, the look has
//! failed and what was missed is held against nobody. Nothing is sent to a worker, and none has to answer.

mod events;
mod queues;
mod store;

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use verdict::evidence::{Beat, Listing, Mark, Observation, QueueKey, QueueReport, Report, Scope, Slot, WorkerKey};
use verdict::read::celery::Kind;
use verdict::time::Moment;
use verdict::words::Failure;

use self::events::Subscription;
use self::queues::Ages;
use self::store::{Node, Store};
use super::connect::Refusal;
use super::links::{LISTING, Link, Links, QUEUE};
use super::memory::Server;
use super::pattern::Pattern;
use crate::config;
use crate::observe::{Clock, Observe};

/// The first look listens for this long, at most half of its deadline: workers speak every two seconds.
const FIRST: Duration = Duration::from_millis(2500);
/// After a broken connection: at once, then these pauses, each twice as long as the one before.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// New queues are looked for this often.
const BINDINGS: Duration = Duration::from_secs(60);
/// A head that is too large to be read is not tried again before.
const LARGE_HEAD: Duration = Duration::from_secs(300);

/// Celery on a Redis broker. Nothing happens before the first look, so it never fails to be made.
#[derive(Debug)]
pub struct CelerySource {
    name: Arc<str>,
    fleet: Arc<str>,
    timeout: Duration,
    aliases: Aliases,
    config: config::CelerySource,
    pattern: Pattern,
    clock: Clock,
    links: Links,
    hearing: Mutex<Hearing>,
    store: Arc<Mutex<Store>>,
    run: Mutex<Option<String>>,
    registered: Mutex<Registered>,
    ages: Mutex<Ages>,
    large: Mutex<HashMap<Arc<str>, Moment>>,
    shared: Mutex<BTreeSet<Arc<str>>>,
}

/// Whether records are joined with those of other sources by host and process id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aliases {
    None,
    HostPid,
}

/// Whether we listen.
#[derive(Debug)]
enum Hearing {
    /// Not yet.
    Never,
    /// We do.
    Listening(Subscription, Since),
    /// Not any more.
    Lost(Loss),
}

/// What is still to be told of how the subscription began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Since {
    /// Nothing: a look has told it.
    Confirmed,
    /// Another had broken, and this one was made at once.
    Resumed,
    /// For a while there was none.
    Returned,
}

/// What is known of a connection that is lost.
#[derive(Debug, Clone)]
struct Loss {
    /// It stays the same through the pause, so that the log says it once.
    why: Refusal,
    /// Attempts that failed.
    tries: u32,
    /// Not before.
    next: Moment,
}

/// The queues that were found, and when they were looked for.
#[derive(Debug, Default)]
struct Registered {
    queues: BTreeSet<Arc<str>>,
    asked: Option<Moment>,
    refused: bool,
}

impl CelerySource {
    /// The source `source`, whose particulars are `celery`.
    #[must_use]
    pub fn new(source: &config::Source, celery: &config::CelerySource) -> Self {
        Self {
            name: Arc::clone(&source.name),
            fleet: Arc::clone(source.fleet.as_ref().unwrap_or(&source.name)),
            timeout: source.timeout,
            aliases: if source.match_host_pid { Aliases::HostPid } else { Aliases::None },
            pattern: Pattern::new(&celery.pattern),
            clock: Clock::start(),
            links: Links::new(source, &celery.server),
            config: celery.clone(),
            hearing: Mutex::new(Hearing::Never),
            store: Arc::default(),
            run: Mutex::default(),
            registered: Mutex::default(),
            ages: Mutex::default(),
            large: Mutex::default(),
            shared: Mutex::default(),
        }
    }

    async fn list(&self) -> Result<Listing, Failure> {
        self.links.bounded("", self.hear()).await
    }

    /// One look: do we still listen, did we miss anything, and what was heard.
    async fn hear(&self) -> Result<Listing, Refusal> {
        let since = match self.listen().await {
            Ok(since) => since,
            Err(refusal) => {
                // Those that are kept are of the same broker, and as dead.
                self.links.forget();
                return Err(refusal);
            }
        };
        let mut link = self.links.take(LISTING).await?;
        let asked = self.ask(&mut link).await;
        let (server, queues) = self.links.done(link, asked)?;
        let same_run = {
            let mut run = lock(&self.run);
            let same = matches!((&*run, &server.run_id), (Some(before), Some(now)) if before == now);
            *run = server.run_id.or(run.take());
            same
        };
        // Where the broker was away, or is another, workers get time to come back to it. Where only our own connection
        // broke, they never left.
        let reset = match since {
            Since::Confirmed => false,
            Since::Resumed => !same_run,
            Since::Returned => true,
        };
        if let Hearing::Listening(_, since) = &mut *lock(&self.hearing) {
            *since = Since::Confirmed;
        }
        Ok(self.conclude(&queues, reset))
    }

    /// Which broker this is, and the queues that are registered there.
    async fn ask(&self, link: &mut Link) -> Result<(Server, BTreeSet<Arc<str>>), Refusal> {
        Ok((self.links.identify(link).await?, self.registered(link).await?))
    }

    /// Sees to it that we listen. An error: we did not, at least for a part of the time since the last look.
    async fn listen(&self) -> Result<Since, Refusal> {
        // If this look is dropped half way, at its deadline, the connection is dropped with it.
        let why = Refusal { failure: Failure::Timeout, why: Failure::Timeout.meaning().to_owned() };
        let lost = Hearing::Lost(Loss { why, tries: 0, next: self.clock.now() });
        let before = std::mem::replace(&mut *lock(&self.hearing), lost);
        let (subscription, since) = match before {
            Hearing::Listening(mut standing, since) => match standing.confirm().await {
                Ok(()) => (standing, since),
                Err(refusal) => {
                    drop(standing);
                    // At once again, so that as little as possible is missed.
                    let again = match self.subscribe().await {
                        Ok(subscription) => Hearing::Listening(subscription, since.max(Since::Resumed)),
                        Err(again) => Hearing::Lost(self.loss(again, 0)),
                    };
                    *lock(&self.hearing) = again;
                    return Err(refusal);
                }
            },
            Hearing::Never => match self.subscribe().await {
                Ok(subscription) => {
                    tokio::time::sleep(FIRST.min(self.timeout / 2)).await;
                    (subscription, Since::Confirmed)
                }
                Err(refusal) => {
                    *lock(&self.hearing) = Hearing::Never;
                    return Err(refusal);
                }
            },
            Hearing::Lost(loss) if self.clock.now() < loss.next => {
                let why = loss.why.clone();
                *lock(&self.hearing) = Hearing::Lost(loss);
                return Err(why);
            }
            Hearing::Lost(loss) => match self.subscribe().await {
                Ok(subscription) => (subscription, Since::Returned),
                Err(refusal) => {
                    *lock(&self.hearing) = Hearing::Lost(self.loss(refusal.clone(), loss.tries));
                    return Err(refusal);
                }
            },
        };
        *lock(&self.hearing) = Hearing::Listening(subscription, since);
        Ok(since)
    }

    async fn subscribe(&self) -> Result<Subscription, Refusal> {
        Subscription::open(&self.config.server, &self.config.key_prefix, Arc::clone(&self.store), self.clock).await
    }

    fn loss(&self, why: Refusal, tries: u32) -> Loss {
        let pause = BACK_OFF.0.saturating_mul(2_u32.saturating_pow(tries)).min(BACK_OFF.1);
        Loss { why, tries: tries.saturating_add(1), next: self.clock.now() + pause }
    }

    /// Queues that are registered on the broker. Without the right to ask, those of the configuration are all.
    async fn registered(&self, link: &mut Link) -> Result<BTreeSet<Arc<str>>, Refusal> {
        let now = self.clock.now();
        {
            let known = lock(&self.registered);
            if known.refused || known.asked.is_some_and(|at| now.since(at) < BINDINGS) {
                return Ok(known.queues.clone());
            }
        }
        let found = match queues::registered(&mut link.redis, &self.config.key_prefix).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                tracing::info!(
                    source = &*self.name,
                    "the broker's database holds too many keys to look for queues in it; name them with `queues`",
                );
                lock(&self.registered).refused = true;
                return Ok(BTreeSet::new());
            }
            Err(refusal) if refusal.failure == Failure::PermissionDenied => {
                tracing::info!(
                    source = &*self.name,
                    "the user may not read which queues there are; name them with `queues`, or allow it with \
                     ACL SETUSER … +scan +smembers ~_kombu.binding.*",
                );
                lock(&self.registered).refused = true;
                return Ok(BTreeSet::new());
            }
            Err(refusal) => return Err(refusal),
        };
        let mut known = lock(&self.registered);
        known.asked = Some(now);
        known.queues.clone_from(&found);
        Ok(found)
    }

    /// From what was heard to evidence.
    fn conclude(&self, registered: &BTreeSet<Arc<str>>, reset: bool) -> Listing {
        let mut store = lock(&self.store);
        let misheard = store.misheard();
        let served = self.served(registered);
        let mut shared = BTreeSet::new();
        let records = store
            .nodes(self.clock.now())
            .filter_map(|node| {
                if node.is_shared() {
                    shared.insert(Arc::clone(&node.said.hostname));
                }
                self.observation(node, &served)
            })
            .collect();
        drop(store);
        self.complain_of_shared(shared);
        let unreadable = misheard
            .into_iter()
            // Each is one error; a flood of them need not be counted to the last.
            .flat_map(|(failure, times)| (0..times.min(100)).map(move |_| (Arc::from("an event"), failure)))
            .collect();
        let queues = registered.iter().cloned().collect();
        Listing { records, retention: None, reset, heartbeats: true, unreadable, queues, ..Listing::default() }
    }

    /// The queues that each worker serves. No event names them: the configuration does; and where a broker knows a single
    /// queue, whoever works there works on that.
    fn served(&self, registered: &BTreeSet<Arc<str>>) -> Vec<Arc<str>> {
        match (&*self.config.server.queues, registered.len()) {
            ([], 1) => registered.iter().cloned().collect(),
            (named, _) => named.to_vec(),
        }
    }

    /// Two workers under one name are one worker to Celery's own tools as well; it is said once.
    fn complain_of_shared(&self, now: BTreeSet<Arc<str>>) {
        let mut before = lock(&self.shared);
        for name in now.difference(&before) {
            tracing::warn!(
                source = &*self.name,
                worker = &**name,
                "several workers use this node name, so their figures and restarts cannot be told apart; \
                 give each a name of its own with `celery worker -n`",
            );
        }
        *before = now;
    }

    fn observation(&self, node: &Node, queues: &[Arc<str>]) -> Option<Observation> {
        let said = &node.said;
        let id = self.pattern.id(said.hostname.as_bytes())?;
        let slot = Slot { key: WorkerKey::new(Arc::clone(&self.fleet), id), exclusive: true };
        let mut observation = Observation::new(Arc::clone(&said.hostname), slot);
        observation.beat = Some(Beat {
            mark: Some(Mark::bytes(&node.beats.to_le_bytes())),
            stamp: said.stamp,
            declared: said.freq,
            // It was sent by the loop that it is the beat of.
            own_answer: false,
            on_trial: false,
        });
        observation.says.goodbye = said.kind == Kind::Offline;
        observation.info.host = said.host();
        observation.info.sdk_name.clone_from(&said.software);
        observation.info.sdk_version.clone_from(&said.version);
        observation.task_queues = queues.to_vec();
        if node.is_shared() {
            return Some(observation);
        }
        observation.numbers.tasks_total = said.finished();
        observation.numbers.in_flight = said.active;
        observation.info.pid = said.pid.map(|pid| Arc::from(pid.to_string()));
        if let (Aliases::HostPid, Some(host), Some(pid)) = (self.aliases, &observation.info.host, &observation.info.pid)
        {
            observation.alias = Some(Arc::from(format!("{host}/{pid}")));
        }
        Some(observation)
    }

    async fn queue(&self, queue: &QueueKey) -> Result<QueueReport, Failure> {
        self.links.bounded(&queue.task_queue, self.waiting(&queue.task_queue)).await
    }

    async fn waiting(&self, queue: &Arc<str>) -> Result<QueueReport, Refusal> {
        let mut link = self.links.take(QUEUE).await?;
        let depth = match queues::depths(&mut link.redis, &self.config.key_prefix, queue).await {
            Ok(depth) => depth,
            failed => return self.links.done(link, failed.map(|_| QueueReport::default())),
        };
        let now = self.clock.now();
        let large = lock(&self.large).get(queue).is_some_and(|at| now.since(*at) < LARGE_HEAD);
        let lists = if large { &[][..] } else { &depth.filled };
        let heads = queues::heads(&mut link.redis, lists).await;
        let heads = match self.links.done(link, heads) {
            Ok(heads) => heads,
            // The depth stands.
            Err(refusal) if refusal.failure == Failure::BodyTooLarge => {
                lock(&self.large).insert(Arc::clone(queue), now);
                tracing::warn!(
                    source = &*self.name,
                    queue = &**queue,
                    "the first message of this queue is too large to be read, so its age is not known",
                );
                Vec::new()
            }
            Err(refusal) => return Err(refusal),
        };
        Ok(queues::report(&depth, heads, &mut lock(&self.ages), now))
    }
}

impl Observe for CelerySource {
    fn look<'a>(&'a self, scope: &'a Scope) -> Pin<Box<dyn Future<Output = Result<Report, Failure>> + Send + 'a>> {
        Box::pin(async move {
            match scope {
                Scope::Listing => self.list().await.map(Report::Listing),
                Scope::Queue(key) => self.queue(key).await.map(Report::Queue),
                // Nobody asks a worker.
                Scope::Worker(_) => Err(Failure::Unimplemented),
            }
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
