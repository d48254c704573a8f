//! One worker, as the server sees it: for a sidecar, which asks about its own worker and about no other.
//!
//! Thousands of sidecars share the quota of one namespace, so each asks little: one small page of the list, filtered by
//! the server, and the pollers of a queue only where the list leaves a doubt.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use temporalio_protos::temporal::api::enums::v1::TaskQueueType;
use temporalio_protos::temporal::api::taskqueue::v1::{PollerInfo, TaskQueue};
use temporalio_protos::temporal::api::workflowservice::v1::{
    DescribeNamespaceRequest, DescribeTaskQueueRequest, DescribeWorkerRequest, ListWorkersRequest,
};
use tokio::time::Instant;
use verdict::evidence::Observation;
use verdict::time::{Moment, WallTime};
use verdict::words::{Failure, TaskType};

use super::client::Client;
use super::failure::is_for_good;
use super::naming::Names;
use super::pages::{Pages, Record};
use super::partitions::{Partitions, count_of, counting, name_of};
use super::read::{Reader, access};
use crate::config;

/// Workers on a page. One process serves a handful of queues, and its dead predecessors stay listed for five minutes.
const PAGE: i32 = 50;
/// Pages that are read: an identity that hundreds of workers share names none of them.
const PAGES: usize = 4;
/// Heartbeats that are asked for one by one, where the list does not carry them.
const DETAILS: usize = 8;
/// Queues that are asked about in one look.
const QUEUES: usize = 8;
/// How long the server's features are believed.
const FEATURES_FRESH: Duration = Duration::from_secs(5 * 60);

/// By what the worker is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whose {
    /// Its identity.
    pub identity: Option<Arc<str>>,
    /// The host that it runs on, as it says itself.
    pub host: Option<Arc<str>>,
    /// Its process id, as it says itself.
    pub pid: Option<u32>,
}

impl Whose {
    /// The filter of the server's own query language. It knows no process id.
    fn query(&self) -> String {
        let equals = |name: &str, value: &Arc<str>| format!("{name} = '{}'", value.replace('\'', "''"));
        let identity = self.identity.as_ref().map(|value| equals("WorkerIdentity", value));
        let host = self.host.as_ref().map(|value| equals("HostName", value));
        identity.into_iter().chain(host).collect::<Vec<_>>().join(" AND ")
    }

    /// Whether a listed worker is the one. The server has filtered already; an old one may not know the filter.
    fn is(&self, identity: &str, host: &str, pid: &str) -> bool {
        self.identity.as_ref().is_none_or(|wanted| **wanted == *identity)
            && self.host.as_ref().is_none_or(|wanted| **wanted == *host)
            && self.pid.is_none_or(|wanted| pid.parse() == Ok(wanted))
    }

    /// Whether a poller is the one. Of a poller only the identity is known, which is `pid@host` or `pid@host@queue`
    /// unless somebody configured it.
    fn polls_as(&self, identity: &str) -> bool {
        if let Some(wanted) = &self.identity {
            return **wanted == *identity;
        }
        let mut parts = identity.split('@');
        let (pid, host) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        self.is(identity, host, pid)
    }
}

/// What one look brought.
#[derive(Clone, Debug, Default)]
pub struct OwnSeen {
    /// The server lists workers with their heartbeats.
    pub heartbeats: bool,
    /// Its records: one for each queue that it serves, and those of its predecessors.
    pub workers: Vec<Observation>,
    /// Its polls, of the queues that were asked about.
    pub polls: Vec<OwnPoll>,
}

/// The server's stamp of its last poll of one queue and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPoll {
    /// The queue.
    pub task_queue: Arc<str>,
    /// The type.
    pub task_type: TaskType,
    /// `None`: the server knows no such poller.
    pub last_access: Option<WallTime>,
}

/// The connection of a sidecar.
#[derive(Debug)]
pub struct OwnWorker {
    client: Client,
    namespace: Arc<str>,
    began: Instant,
    names: Mutex<Names>,
    heartbeats: Mutex<Option<(Instant, bool)>>,
    partitions: Mutex<HashMap<(Arc<str>, TaskType), Partitions>>,
}

impl OwnWorker {
    /// Opens nothing yet.
    #[must_use]
    pub fn connect(settings: &config::TemporalSource) -> Self {
        Self {
            client: Client::new("temporal", settings.clone()),
            namespace: Arc::clone(&settings.namespace),
            began: Instant::now(),
            names: Mutex::new(Names::new(None, Arc::clone(&settings.namespace))),
            heartbeats: Mutex::default(),
            partitions: Mutex::default(),
        }
    }

    /// One look at the worker, and at the pollers of the queues `wanted`, within `timeout`.
    ///
    /// # Errors
    /// When any of the questions failed: half an answer would read as a worker that is half gone.
    pub async fn look(
        &self,
        whose: &Whose,
        wanted: &[(Arc<str>, TaskType)],
        timeout: Duration,
    ) -> Result<OwnSeen, Failure> {
        let until = Instant::now() + timeout;
        let mut seen = OwnSeen::default();
        if self.heartbeats(until).await? {
            match self.workers(whose, until).await {
                Ok(workers) => {
                    seen.heartbeats = true;
                    seen.workers = workers;
                }
                Err(Failure::Unimplemented) => {}
                Err(failure) => return Err(self.failed(failure)),
            }
        }
        for (task_queue, task_type) in wanted.iter().take(QUEUES) {
            let last_access = self.poll(whose, task_queue, *task_type, until).await.map_err(|f| self.failed(f))?;
            seen.polls.push(OwnPoll { task_queue: Arc::clone(task_queue), task_type: *task_type, last_access });
        }
        Ok(seen)
    }

    /// What failed may come back as another server.
    fn failed(&self, failure: Failure) -> Failure {
        *self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner) = None;
        failure
    }

    /// With heartbeats off the list is empty, and that is no sign of anything.
    async fn heartbeats(&self, until: Instant) -> Result<bool, Failure> {
        let known = *self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, on)) = known.filter(|(read, _)| read.elapsed() < FEATURES_FRESH) {
            return Ok(on);
        }
        let request =
            DescribeNamespaceRequest { namespace: self.namespace.to_string(), ..DescribeNamespaceRequest::default() };
        let answer = self
            .client
            .call(request, left(until), |mut wire, request| async move { wire.describe_namespace(request).await })
            .await?;
        let on = answer.namespace_info.and_then(|info| info.capabilities).is_some_and(|can| can.worker_heartbeats);
        *self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), on));
        Ok(on)
    }

    async fn workers(&self, whose: &Whose, until: Instant) -> Result<Vec<Observation>, Failure> {
        let mut pages = Pages::default();
        let mut token = Vec::new();
        for _ in 0..PAGES {
            let request = ListWorkersRequest {
                namespace: self.namespace.to_string(),
                page_size: PAGE,
                next_page_token: token,
                query: whose.query(),
                ..ListWorkersRequest::default()
            };
            let page = self
                .client
                .call(request, left(until), |mut wire, request| async move { wire.list_workers(request).await })
                .await?;
            match pages.add(page)? {
                Some(next) => token = next,
                None => break,
            }
        }
        for key in pages.short().into_iter().take(DETAILS) {
            let request =
                DescribeWorkerRequest { namespace: self.namespace.to_string(), worker_instance_key: key.to_string() };
            let answer = self
                .client
                .call(request, left(until), |mut wire, request| async move { wire.describe_worker(request).await })
                .await;
            match answer {
                Ok(answer) => {
                    if let Some(beat) = answer.worker_info.and_then(|info| info.worker_heartbeat) {
                        pages.beat(beat);
                    }
                }
                Err(Failure::NotFound) => pages.gone(&key),
                // The short record says that it is there, and whether it leaves.
                Err(_) => break,
            }
        }
        Ok(self.read(whose, pages))
    }

    fn read(&self, whose: &Whose, pages: Pages) -> Vec<Observation> {
        let now = Moment::after_start(self.began.elapsed());
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.forget(now);
        let mut reader = Reader { names: &mut names, match_host_pid: false, now };
        let own = |seen: &Observation| {
            let text = |value: &Option<Arc<str>>| value.clone().unwrap_or_else(|| Arc::from(""));
            whose.is(&text(&seen.identity), &text(&seen.info.host), &text(&seen.info.pid))
        };
        let (records, _nameless) = pages.finish();
        let read = records.into_iter().filter_map(|record| match record {
            Record::Beat(beat) => reader.worker(&beat).ok().flatten(),
            Record::Short(short) => reader.listed(&short).ok().flatten(),
        });
        read.filter(own).collect()
    }

    async fn poll(
        &self,
        whose: &Whose,
        task_queue: &str,
        task_type: TaskType,
        until: Instant,
    ) -> Result<Option<WallTime>, Failure> {
        let task_queue_type = match task_type {
            TaskType::Workflow => TaskQueueType::Workflow,
            TaskType::Activity => TaskQueueType::Activity,
            TaskType::Nexus => TaskQueueType::Nexus,
            // They have no queue.
            TaskType::LocalActivity => return Ok(None),
        };
        let root = self.pollers(whose, task_queue.to_owned(), task_queue_type, until).await?;
        let key = (Arc::from(task_queue), task_type);
        let now = Moment::after_start(self.began.elapsed());
        let elsewhere = self.partitions(&key, |partitions| {
            let due = partitions.root(&root, now);
            (root.is_empty() || partitions.somebody_is_missing(now)).then_some(due)
        });
        // Whoever shows at the root costs one request: thousands of sidecars ask.
        let Some(mut due) = elsewhere else { return Ok(newest(&root)) };
        if self.partitions(&key, |partitions| partitions.uncounted(now)) {
            let count = match self.count(task_queue, task_type, until).await {
                Ok(count) => Some(count),
                Err(failure) if is_for_good(failure) => None,
                Err(failure) => return Err(failure),
            };
            due = self.partitions(&key, |partitions| {
                partitions.counted(count, now);
                partitions.root(&root, now)
            });
        }
        for partition in due {
            match self.pollers(whose, name_of(task_queue, partition), task_queue_type, until).await {
                Ok(pollers) => self.partitions(&key, |partitions| partitions.child(partition, pollers, now)),
                Err(failure) if is_for_good(failure) => {
                    self.partitions(&key, |partitions| partitions.refused(now));
                    break;
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(newest(&self.partitions(&key, |partitions| partitions.polling(&root, now)).pollers))
    }

    /// Its own polls in one partition, by the name of that.
    async fn pollers(
        &self,
        whose: &Whose,
        partition: String,
        task_queue_type: TaskQueueType,
        until: Instant,
    ) -> Result<Vec<PollerInfo>, Failure> {
        let request = DescribeTaskQueueRequest {
            namespace: self.namespace.to_string(),
            task_queue: Some(TaskQueue { name: partition, ..TaskQueue::default() }),
            task_queue_type: task_queue_type.into(),
            ..DescribeTaskQueueRequest::default()
        };
        let answer = self
            .client
            .call(request, left(until), |mut wire, request| async move { wire.describe_task_queue(request).await })
            .await?;
        Ok(answer.pollers.into_iter().filter(|poller| whose.polls_as(&poller.identity)).collect())
    }

    async fn count(&self, task_queue: &str, task_type: TaskType, until: Instant) -> Result<usize, Failure> {
        let request = counting(&self.namespace, task_queue);
        let answer =
            self.client
                .call(request, left(until), |mut wire, request| async move {
                    wire.list_task_queue_partitions(request).await
                })
                .await?;
        Ok(count_of(&answer, task_type))
    }

    fn partitions<T>(&self, key: &(Arc<str>, TaskType), then: impl FnOnce(&mut Partitions) -> T) -> T {
        then(self.partitions.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default())
    }
}

fn newest(pollers: &[PollerInfo]) -> Option<WallTime> {
    pollers.iter().filter_map(access).max()
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(identity: Option<&str>, host: Option<&str>, pid: Option<u32>) -> Whose {
        Whose { identity: identity.map(Arc::from), host: host.map(Arc::from), pid }
    }

    #[test]
    fn the_query_names_what_is_known_and_quotes_what_people_write() {
        assert_eq!(whose(Some("a"), None, None).query(), "WorkerIdentity = 'a'");
        assert_eq!(whose(None, Some("h-1"), Some(7)).query(), "HostName = 'h-1'");
        assert_eq!(
            whose(Some("it's' OR WorkerIdentity != '"), Some("h"), None).query(),
            "WorkerIdentity = 'it''s'' OR WorkerIdentity != ''' AND HostName = 'h'"
        );
    }

    #[test]
    fn a_poller_is_known_by_its_identity_or_by_the_host_and_the_pid_in_it() {
        for (whose, identity, own) in [
            (whose(Some("orders-1"), Some("h"), None), "orders-1", true),
            (whose(Some("orders-1"), None, None), "orders-2", false),
            (whose(None, Some("h"), None), "17@h", true),
            (whose(None, Some("h"), None), "17@h@orders", true),
            (whose(None, Some("h"), Some(17)), "17@h", true),
            (whose(None, Some("h"), Some(18)), "17@h", false),
            (whose(None, Some("h"), None), "17@other", false),
            (whose(None, Some("h"), None), "h", false),
        ] {
            assert_eq!(whose.polls_as(identity), own, "{identity}");
        }
    }
}
