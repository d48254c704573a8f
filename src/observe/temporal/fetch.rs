//! Asks the server, within a deadline and a budget.
//!
//! The list of workers is worth more than the figures of the queues, so a look at a queue gives up its place in the
//! budget sooner. A look that the budget holds back fails as `throttled`: evidence of nothing.

mod aside;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use temporalio_protos::temporal::api::enums::v1::TaskQueueType;
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1::{
    DescribeNamespaceRequest, DescribeTaskQueueRequest, DescribeWorkerRequest, GetSystemInfoRequest, ListWorkersRequest,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use verdict::evidence::{Listing, Mark, QueueKey, QueueReport, Report, Scope};
use verdict::time::Moment;
use verdict::words::{Failure, TaskType};

use super::budget::Budget;
use super::client::{Client, Wire};
use super::complaints::Complaints;
use super::deployments::Deployments;
use super::details::Details;
use super::naming::Names;
use super::pages::{Pages, Record};
use super::partitions::Partitions;
use super::read::{RateLimits, Reader, wall};
use super::timeouts::TimedOut;
use crate::config;
use crate::observe::Observe;

/// Workers on the first page: what fits any message limit. Never 0, which means all of them in one message.
const FIRST_PAGE: i32 = 200;
/// Workers on the further pages: ten thousand workers must fit into one look and its budget.
const FURTHER_PAGE: i32 = 1000;
/// Workers on a page after one was too large for somebody's message limit.
const LEAST_PAGE: i32 = 25;
/// How long the server's features are believed. They change with an upgrade or a switch, and at once with a failure.
const FEATURES_FRESH: Duration = Duration::from_secs(5 * 60);
/// How long the registry keeps a worker that stopped beating (`matching.workerRegistryEntryTTL`; 1.29 kept it a day).
const RETENTION: Duration = Duration::from_secs(5 * 60);
/// The first version that says whether it holds tasks back for a rate limit.
const REPORTS_RATE_LIMITS: (u64, u64) = (1, 32);

/// The worker registry and the task queues of one Temporal namespace.
#[derive(Debug)]
pub struct TemporalSource {
    name: Arc<str>,
    namespace: Arc<str>,
    timeout: Duration,
    match_host_pid: bool,
    requests_per_second: f64,
    client: Client,
    began: Instant,
    budget: Mutex<Budget>,
    names: Mutex<Names>,
    details: Mutex<Details>,
    server: Mutex<Server>,
    deployments: Mutex<Deployments>,
    timed_out: Mutex<TimedOut>,
    partitions: Mutex<HashMap<(Arc<str>, TaskType), Partitions>>,
    complaints: Mutex<Complaints>,
}

/// What is known of the server, and how it must be asked.
#[derive(Debug)]
struct Server {
    features: Option<Features>,
    /// Survives a failure, unlike the features: an old figure is better than none.
    version: Option<(u64, u64)>,
    page: i32,
    said: Option<Blind>,
}

#[derive(Clone, Copy, Debug)]
struct Features {
    read: Moment,
    heartbeats: bool,
}

/// Why the list of workers says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blind {
    /// The namespace says that it takes no heartbeats.
    SwitchedOff,
    /// The server does not know `ListWorkers`.
    TooOld,
    /// The server lists workers without their heartbeats and does not know `DescribeWorker`.
    NoDetails,
}

/// One look's time.
#[derive(Clone, Copy)]
struct Allowance {
    until: Moment,
    /// How long the look waits for its turn in the budget.
    patience: Duration,
}

impl TemporalSource {
    /// A source for this namespace. Nothing is opened until the first look, so that a server that is away, a missing
    /// certificate or a wrong address fails the look and never the start.
    #[must_use]
    pub fn connect(source: &config::Source, settings: &config::TemporalSource) -> Self {
        if settings.tls.as_ref().is_some_and(|tls| tls.insecure_skip_verify) {
            tracing::warn!(
                source = &*source.name,
                "insecure_skip_verify: the Temporal server's certificate is not verified; anybody can answer in its place"
            );
        }
        let fleet = source.fleet.clone();
        // Distinct sources pause for distinct times; the same source always for the same.
        let seed = source.name.bytes().fold(7, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        Self {
            name: Arc::clone(&source.name),
            namespace: Arc::clone(&settings.namespace),
            timeout: source.timeout,
            match_host_pid: source.match_host_pid,
            requests_per_second: settings.requests_per_second,
            client: Client::new(&source.name, settings.clone()),
            began: Instant::now(),
            budget: Mutex::new(Budget::new(settings.requests_per_second, seed, Moment::START)),
            names: Mutex::new(Names::new(fleet, Arc::clone(&settings.namespace))),
            details: Mutex::default(),
            partitions: Mutex::default(),
            deployments: Mutex::new(Deployments::new(settings.requests_per_second)),
            timed_out: Mutex::new(TimedOut::new(settings.timed_out_workflows)),
            server: Mutex::new(Server { features: None, version: None, page: FURTHER_PAGE, said: None }),
            complaints: Mutex::default(),
        }
    }

    fn now(&self) -> Moment {
        Moment::after_start(self.began.elapsed())
    }

    async fn listing(&self) -> Result<Listing, Failure> {
        let allowance = Allowance { until: self.now() + self.timeout, patience: self.timeout };
        let mut listing = self.workers(allowance).await?;
        self.ask_of_deployments(allowance).await;
        self.ask_of_timeouts(allowance).await;
        hold(&self.partitions).retain(|_, partitions| !partitions.is_idle(self.now()));
        listing.served = hold(&self.deployments).queues();
        listing.timed_out = hold(&self.timed_out).known(self.now());
        Ok(listing)
    }

    async fn workers(&self, allowance: Allowance) -> Result<Listing, Failure> {
        if !self.heartbeats(allowance).await? {
            self.say(Some(Blind::SwitchedOff));
            return Ok(Listing::default());
        }
        let mut pages = match self.pages(allowance).await {
            Ok(pages) => pages,
            Err(Failure::Unimplemented) => {
                self.say(Some(Blind::TooOld));
                return Ok(Listing::default());
            }
            Err(failure) => {
                if failure == Failure::BodyTooLarge {
                    let mut server = hold(&self.server);
                    server.page = (server.page / 2).max(LEAST_PAGE);
                }
                return Err(failure);
            }
        };
        let blind = self.describe(&mut pages, allowance).await;
        self.say(blind);
        Ok(self.read(pages))
    }

    async fn pages(&self, allowance: Allowance) -> Result<Pages, Failure> {
        let mut pages = Pages::default();
        let mut token = Vec::new();
        let limit = hold(&self.server).page;
        loop {
            let page_size = if token.is_empty() { limit.min(FIRST_PAGE) } else { limit };
            let request = ListWorkersRequest {
                namespace: self.namespace.to_string(),
                page_size,
                next_page_token: token,
                ..ListWorkersRequest::default()
            };
            let page =
                self.ask(request, allowance, |mut wire, request| async move { wire.list_workers(request).await }).await;
            match self.said_of("ListWorkers", page.and_then(|page| pages.add(page)))? {
                Some(next) => token = next,
                None => return Ok(pages),
            }
        }
    }

    /// Fetches the heartbeats that the list did not carry, as many as the budget has room for. The list stands whatever
    /// happens here: who was not asked about shows no beat in this look, and that is no silence.
    async fn describe(&self, pages: &mut Pages, allowance: Allowance) -> Option<Blind> {
        let short = pages.short();
        if short.is_empty() {
            return None;
        }
        // Half of what the budget gives in the time of one look; the queues live on the other half.
        let room = self.requests_per_second * self.timeout.as_secs_f64() / 2.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what a usize holds")]
        let chosen = hold(&self.details).choose(&short, room.clamp(1.0, 10_000.0) as usize);
        for key in chosen {
            let request =
                DescribeWorkerRequest { namespace: self.namespace.to_string(), worker_instance_key: key.to_string() };
            let answer = self
                .ask(request, allowance, |mut wire, request| async move { wire.describe_worker(request).await })
                .await;
            match answer {
                Ok(answer) => {
                    if let Some(beat) = answer.worker_info.and_then(|info| info.worker_heartbeat) {
                        let stamp = beat.heartbeat_time.as_ref().and_then(wall);
                        hold(&self.details).learned(&key, stamp.map(Mark::stamp));
                        pages.beat(beat);
                    }
                }
                // It left between the list and the question.
                Err(Failure::NotFound) => pages.gone(&key),
                Err(Failure::Unimplemented) => return Some(Blind::NoDetails),
                Err(_) => return None,
            }
        }
        None
    }

    fn read(&self, pages: Pages) -> Listing {
        let now = self.now();
        let mut names = hold(&self.names);
        names.forget(now);
        let mut reader = Reader { names: &mut names, match_host_pid: self.match_host_pid, now };
        let (records, nameless) = pages.finish();
        let mut listing = Listing {
            retention: Some(RETENTION),
            heartbeats: true,
            unreadable: nameless.into_iter().map(|name| (name, Failure::FieldInvalid)).collect(),
            ..Listing::default()
        };
        for record in records {
            let read = match record {
                Record::Beat(beat) => reader.worker(&beat),
                Record::Short(short) => reader.listed(&short),
            };
            match read {
                Ok(Some(seen)) => listing.records.push(seen),
                Ok(None) => {}
                Err(unreadable) => listing.unreadable.push(unreadable),
            }
        }
        listing
    }

    async fn queue(&self, key: &QueueKey) -> Result<QueueReport, Failure> {
        let task_queue_type = match key.task_type {
            TaskType::Workflow => TaskQueueType::Workflow,
            TaskType::Activity => TaskQueueType::Activity,
            TaskType::Nexus => TaskQueueType::Nexus,
            // They run inside workflow tasks; there is no queue to ask about.
            TaskType::LocalActivity => return Err(Failure::InvalidArgument),
        };
        let allowance = Allowance { until: self.now() + self.timeout, patience: self.timeout / 2 };
        let request = DescribeTaskQueueRequest {
            namespace: self.namespace.to_string(),
            // Kind unset is the ordinary queue: sticky ones are a worker's own and are never asked about.
            task_queue: Some(TaskQueue { name: key.task_queue.to_string(), ..TaskQueue::default() }),
            task_queue_type: task_queue_type.into(),
            report_stats: true,
            ..DescribeTaskQueueRequest::default()
        };
        let answer = self
            .ask(request, allowance, |mut wire, request| async move { wire.describe_task_queue(request).await })
            .await;
        let answer = self.said_of("DescribeTaskQueue", answer)?;
        let polling = self.polling(key, task_queue_type, &answer.pollers, allowance).await;
        hold(&self.deployments).polled(&answer);
        self.ask_of_deployments(allowance).await;
        let known = hold(&self.deployments).known(&key.task_queue, key.task_type, self.now());
        let rate_limits = hold(&self.server)
            .version
            .is_some_and(|version| version >= REPORTS_RATE_LIMITS)
            .then_some(RateLimits::Reported);
        let mut names = hold(&self.names);
        let mut reader = Reader { names: &mut names, match_host_pid: self.match_host_pid, now: self.now() };
        Ok(reader.queue(&key.task_queue, &answer, &polling, rate_limits, &known))
    }

    /// Whether the namespace takes heartbeats. With heartbeats off the list is empty, and that is not "all dead".
    async fn heartbeats(&self, allowance: Allowance) -> Result<bool, Failure> {
        let known = hold(&self.server).features;
        if let Some(features) = known.filter(|features| self.now().since(features.read) < FEATURES_FRESH) {
            return Ok(features.heartbeats);
        }
        let request =
            DescribeNamespaceRequest { namespace: self.namespace.to_string(), ..DescribeNamespaceRequest::default() };
        let answer = self
            .ask(request, allowance, |mut wire, request| async move { wire.describe_namespace(request).await })
            .await;
        let answer = self.said_of("DescribeNamespace", answer)?;
        let heartbeats = answer
            .namespace_info
            .and_then(|info| info.capabilities)
            .is_some_and(|capabilities| capabilities.worker_heartbeats);
        // Only tells how to read the answers: who may not ask for it (a key for one namespace) does without.
        let version =
            self.ask(GetSystemInfoRequest {}, allowance, |mut wire, request| async move {
                wire.get_system_info(request).await
            })
            .await
            .ok()
            .and_then(|info| version(&info.server_version));
        let mut server = hold(&self.server);
        server.version = version.or(server.version);
        server.features = Some(Features { read: self.now(), heartbeats });
        Ok(heartbeats)
    }

    /// One request, in its turn. What failed may come back as another server.
    async fn ask<Q, A, F>(
        &self,
        message: Q,
        allowance: Allowance,
        send: impl FnOnce(Wire, Request<Q>) -> F,
    ) -> Result<A, Failure>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let answer = self.send(message, allowance, send).await;
        if answer.as_ref().is_err_and(|failure| *failure != Failure::Throttled) {
            hold(&self.server).features = None;
        }
        answer
    }

    /// The same for a question whose failure says nothing about the server.
    async fn send<Q, A, F>(
        &self,
        message: Q,
        allowance: Allowance,
        send: impl FnOnce(Wire, Request<Q>) -> F,
    ) -> Result<A, Failure>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let left = allowance.until.since(self.now());
        let turn = hold(&self.budget).ask(self.now(), allowance.patience.min(left));
        let wait = turn.map_err(|held| {
            tracing::debug!(source = &*self.name, again_in = ?held.for_another, "look held back by the request budget");
            Failure::Throttled
        })?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let answer = self.client.call(message, allowance.until.since(self.now()), send).await;
        let now = self.now();
        match &answer {
            Ok(_) => hold(&self.budget).served(now),
            Err(Failure::Throttled) => {
                let mut budget = hold(&self.budget);
                budget.throttled(now);
                let pause = budget.ask(now, Duration::ZERO).err().map(|held| held.for_another);
                tracing::warn!(
                    source = &*self.name,
                    namespace = &*self.namespace,
                    ?pause,
                    "the server says that this namespace is asked too much; all requests to it pause. Lower \
                     requests_per_second if this comes back"
                );
            }
            Err(_) => {}
        }
        answer
    }

    /// Says what a request without which the look is nothing came to: the method, the namespace and the reason's word, and
    /// nothing of what the server said, who may repeat our key.
    fn said_of<A>(&self, method: &'static str, answer: Result<A, Failure>) -> Result<A, Failure> {
        let Err(failure) = answer else { return answer };
        // These have lines of their own.
        let told = match failure {
            Failure::Throttled => true,
            Failure::Unimplemented => method == "ListWorkers",
            _ => self.client.has_complained(),
        };
        if !told && hold(&self.complaints).is_news(method, failure, self.now()) {
            let (source, namespace) = (&*self.name, &*self.namespace);
            let (reason, meaning) = (failure.word(), failure.meaning());
            tracing::warn!(source, namespace, method, reason, "the Temporal server could not be asked: {meaning}");
        }
        Err(failure)
    }

    /// Says once that the list of workers is there again.
    fn listed(&self, listing: Result<Listing, Failure>) -> Result<Listing, Failure> {
        let mut complaints = hold(&self.complaints);
        match &listing {
            Ok(_) => {
                if complaints.listed() {
                    let (source, namespace) = (&*self.name, &*self.namespace);
                    tracing::info!(source, namespace, reason = "ok", "the Temporal server lists its workers again");
                }
            }
            Err(Failure::Throttled) => {}
            Err(_) => complaints.listing_failed(),
        }
        listing
    }

    /// Says once, and again when it changes, why the list says nothing.
    fn say(&self, blind: Option<Blind>) {
        let mut server = hold(&self.server);
        if server.said == blind {
            return;
        }
        server.said = blind;
        drop(server);
        let (source, namespace) = (&*self.name, &*self.namespace);
        match blind {
            None => tracing::info!(source, namespace, "the server lists workers with their heartbeats again"),
            Some(Blind::SwitchedOff) => tracing::warn!(
                source,
                namespace,
                "the namespace takes no worker heartbeats (server before 1.30, or frontend.WorkerHeartbeatsEnabled is \
                 off): workers are judged by their polls alone. Switch it on and restart the workers"
            ),
            Some(Blind::TooOld) => tracing::warn!(
                source,
                namespace,
                "the server does not list workers (before 1.30, or frontend.ListWorkersEnabled is off): workers are \
                 judged by their polls alone"
            ),
            Some(Blind::NoDetails) => tracing::warn!(
                source,
                namespace,
                "the server lists workers without their heartbeats and does not describe them one by one: workers are \
                 judged by their polls alone"
            ),
        }
    }
}

impl Observe for TemporalSource {
    fn look<'a>(&'a self, scope: &'a Scope) -> Pin<Box<dyn Future<Output = Result<Report, Failure>> + Send + 'a>> {
        Box::pin(async move {
            match scope {
                Scope::Listing => self.listed(self.listing().await).map(Report::Listing),
                Scope::Queue(key) => self.queue(key).await.map(Report::Queue),
                // A Temporal worker has no address of its own.
                Scope::Worker(_) => Err(Failure::InvalidArgument),
            }
        })
    }
}

/// A poisoned lock holds values that are whole after every statement: better to go on than to go blind.
fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Major and minor of `1.32.0` and of `1.32.0-162.0`.
fn version(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_and_nonsense_is_none() {
        assert_eq!(version("1.32.0"), Some((1, 32)));
        assert_eq!(version("1.32.0-162.0"), Some((1, 32)));
        assert_eq!(version(""), None);
        assert_eq!(version("dev"), None);
    }
}
