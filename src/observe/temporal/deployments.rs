//! What to ask about worker deployments, and when; and what the answers say. Pure.
//!
//! Who polls a queue, and which versions its new work goes to, comes with each look at the queue. The rest is news only
//! seldom: which versions drain, which queues a version serves that nobody polls any more, how many tasks wait for which
//! version. So at most one such question goes with a look, and all of them together take a tenth of the budget.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use temporalio_protos::temporal::api::deployment::v1::WorkerDeploymentInfo;
use temporalio_protos::temporal::api::deployment::v1::worker_deployment_info::WorkerDeploymentVersionSummary;
use temporalio_protos::temporal::api::enums::v1::{
    TaskQueueType, VersionDrainageStatus, WorkerDeploymentVersionStatus,
};
use temporalio_protos::temporal::api::workflowservice::v1::{
    DescribeTaskQueueResponse, DescribeWorkerDeploymentVersionResponse, ListWorkerDeploymentsResponse,
};
use verdict::evidence::{Version, VersionReport};
use verdict::time::Moment;
use verdict::words::{Failure, TaskType, VersionStatus};

use super::read::span;
use super::versions::{Known, matters, routed, version, version_of};

/// Deployments are made and forgotten by people: which there are is news every few minutes. The list costs the quota of
/// the visibility store.
const LIST_FRESH: Duration = Duration::from_secs(5 * 60);
/// A deployment and each of its versions that matters are asked about this often, or as often as the budget allows.
const FRESH: Duration = Duration::from_secs(60);
/// Counted tasks older than this are not shown: nobody knows what became of them.
const STALE: Duration = Duration::from_secs(5 * 60);
/// The part of the request budget that these questions may take.
const SHARE: f64 = 0.1;
/// Deployments that are remembered: the server's own limit for a namespace.
const MOST_DEPLOYMENTS: usize = 100;
/// Queues that are watched because a version serves them. Each costs looks, and the server keeps it in memory.
const MOST_QUEUES: usize = 200;

/// What to ask next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Which deployments there are.
    List,
    /// Which versions this deployment has.
    Deployment(Arc<str>),
    /// Which queues this version serves, and what waits there.
    Version(Version),
}

/// What is known of the deployments of a namespace.
#[derive(Debug)]
pub(super) struct Deployments {
    /// Between two questions.
    gap: Duration,
    asked: Option<Moment>,
    /// When the list is due.
    list_due: Moment,
    named: BTreeMap<Arc<str>, Deployment>,
    /// The server refused: it is too old, or we have no right. Asked again when the list would be.
    refused: Option<Moment>,
}

#[derive(Debug, Default)]
struct Deployment {
    asked: Option<Moment>,
    versions: BTreeMap<Arc<str>, Kept>,
}

#[derive(Debug)]
struct Kept {
    status: VersionStatus,
    asked: Option<Moment>,
    answered: Option<Moment>,
    queues: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    task_queue: Arc<str>,
    task_type: TaskType,
    backlog: Option<u64>,
    age: Option<Duration>,
}

impl Deployments {
    pub(super) fn new(requests_per_second: f64) -> Self {
        let gap = Duration::try_from_secs_f64(1.0 / (requests_per_second * SHARE)).unwrap_or(FRESH);
        Self { gap: gap.min(FRESH), asked: None, list_due: Moment::START, named: BTreeMap::new(), refused: None }
    }

    /// The question that is worth most now, if it is time for one. It counts as asked from here on, whatever comes of it.
    pub(super) fn next(&mut self, now: Moment) -> Option<Question> {
        let old = |at: Option<Moment>, fresh| at.is_none_or(|at| now.since(at) >= fresh);
        if !old(self.asked, self.gap) || !old(self.refused, LIST_FRESH) {
            return None;
        }
        if now >= self.list_due {
            (self.list_due, self.asked) = (now + LIST_FRESH, Some(now));
            return Some(Question::List);
        }
        let mut waits: Vec<(Option<Moment>, Question)> = Vec::new();
        for (name, deployment) in &self.named {
            waits.push((deployment.asked, Question::Deployment(Arc::clone(name))));
            for (build, kept) in deployment.versions.iter().filter(|(_, kept)| matters(kept.status)) {
                waits.push((kept.asked, Question::Version(Version::new(Arc::clone(name), Arc::clone(build)))));
            }
        }
        let (_, question) = waits.into_iter().filter(|(at, _)| old(*at, FRESH)).min_by_key(|(at, _)| *at)?;
        self.asked = Some(now);
        match &question {
            Question::List => {}
            Question::Deployment(name) => {
                if let Some(deployment) = self.named.get_mut(name) {
                    deployment.asked = Some(now);
                }
            }
            Question::Version(version) => {
                if let Some(kept) = self.kept(version) {
                    kept.asked = Some(now);
                }
            }
        }
        Some(question)
    }

    fn kept(&mut self, version: &Version) -> Option<&mut Kept> {
        self.named.get_mut(&version.deployment)?.versions.get_mut(&version.build_id)
    }

    /// Deployments that a queue names: no list is needed to know of them.
    pub(super) fn polled(&mut self, answer: &DescribeTaskQueueResponse) {
        let polling = answer.pollers.iter().filter_map(version_of);
        for version in polling.chain(answer.versioning_info.iter().flat_map(routed)) {
            self.name(&version.deployment);
        }
    }

    fn name(&mut self, deployment: &Arc<str>) {
        if !deployment.is_empty() && self.named.len() < MOST_DEPLOYMENTS {
            self.named.entry(Arc::clone(deployment)).or_default();
        }
    }

    /// The list. More than a page of it is no deployment that we could watch.
    pub(super) fn list(&mut self, answer: &ListWorkerDeploymentsResponse) {
        if answer.next_page_token.is_empty() {
            self.named.retain(|name, _| answer.worker_deployments.iter().any(|listed| *listed.name == **name));
        }
        for listed in &answer.worker_deployments {
            let name = Arc::from(listed.name.as_str());
            self.name(&name);
            let Some(deployment) = self.named.get_mut(&name) else { continue };
            let summaries = [&listed.current_version_summary, &listed.ramping_version_summary];
            for summary in summaries.into_iter().flatten() {
                deployment.learn(summary);
            }
        }
    }

    /// One deployment with all its versions.
    pub(super) fn deployment(&mut self, name: &Arc<str>, answer: &WorkerDeploymentInfo) {
        self.refused = None;
        let Some(deployment) = self.named.get_mut(name) else { return };
        let of = |summary: &WorkerDeploymentVersionSummary| which(summary).build_id;
        deployment.versions.retain(|build, _| answer.version_summaries.iter().any(|summary| of(summary) == *build));
        for summary in &answer.version_summaries {
            deployment.learn(summary);
        }
    }

    /// One version with its queues.
    pub(super) fn version(&mut self, version: &Version, answer: &DescribeWorkerDeploymentVersionResponse, now: Moment) {
        let Some(kept) = self.kept(version) else { return };
        kept.answered = Some(now);
        if let Some(info) = &answer.worker_deployment_version_info {
            let drainage = info.drainage_info.as_ref().map_or(0, |drainage| drainage.status);
            kept.status = status(info.status, drainage).unwrap_or(kept.status);
        }
        kept.queues = answer
            .version_task_queues
            .iter()
            .filter_map(|queue| {
                let stats = queue.stats.as_ref();
                Some(Waiting {
                    task_queue: Arc::from(queue.name.as_str()),
                    task_type: task_type(queue.r#type)?,
                    backlog: stats.map(|stats| u64::try_from(stats.approximate_backlog_count).unwrap_or(0)),
                    age: stats.map(|stats| stats.approximate_backlog_age.as_ref().and_then(span).unwrap_or_default()),
                })
            })
            .collect();
    }

    /// A question was not answered; true when that is news about the server.
    pub(super) fn failed(&mut self, question: &Question, failure: Failure, now: Moment) -> bool {
        match (failure, question) {
            // What was named is gone.
            (Failure::NotFound, Question::Deployment(name)) => {
                self.named.remove(name);
                false
            }
            (Failure::NotFound, Question::Version(version)) => {
                if let Some(deployment) = self.named.get_mut(&version.deployment) {
                    deployment.versions.remove(&version.build_id);
                }
                false
            }
            // The list may be forbidden alone; queues name deployments too.
            (Failure::Unimplemented | Failure::PermissionDenied | Failure::InvalidArgument, Question::List) => false,
            (failure, Question::List) => {
                self.list_due = now + if failure == Failure::Throttled { self.gap } else { FRESH };
                false
            }
            (Failure::Unimplemented | Failure::PermissionDenied | Failure::InvalidArgument, _) => {
                for deployment in self.named.values_mut() {
                    deployment.versions.clear();
                }
                self.refused.replace(now).is_none()
            }
            _ => false,
        }
    }

    /// What is known for one queue.
    pub(super) fn known(&self, task_queue: &str, task_type: TaskType, now: Moment) -> Known {
        let mut known = Known::default();
        for (name, deployment) in &self.named {
            for (build, kept) in &deployment.versions {
                let version = Version::new(Arc::clone(name), Arc::clone(build));
                known.standing.insert(version.clone(), kept.status);
                let counted = kept.answered.is_some_and(|at| now.since(at) < STALE);
                let here = kept.queues.iter().find(|q| *q.task_queue == *task_queue && q.task_type == task_type);
                known.here.extend(here.map(|queue| VersionReport {
                    version,
                    status: kept.status,
                    ramp: None,
                    backlog: queue.backlog.filter(|_| counted),
                    backlog_age: queue.age.filter(|_| counted),
                }));
            }
        }
        known
    }

    /// The queues of versions that need workers, whether any polls or not.
    pub(super) fn queues(&self) -> Vec<(Arc<str>, TaskType)> {
        let versions = self.named.values().flat_map(|deployment| deployment.versions.values());
        let of = versions.filter(|kept| matters(kept.status)).flat_map(|kept| &kept.queues);
        let mut queues: Vec<_> = of.map(|queue| (Arc::clone(&queue.task_queue), queue.task_type)).collect();
        queues.sort();
        queues.dedup();
        queues.truncate(MOST_QUEUES);
        queues
    }
}

impl Deployment {
    fn learn(&mut self, summary: &WorkerDeploymentVersionSummary) {
        let build = which(summary).build_id;
        if build.is_empty() {
            return;
        }
        // The status alone is all that a server before 1.28 fills.
        let drainage = summary.drainage_info.as_ref().map_or(summary.drainage_status, |drainage| drainage.status);
        let status = status(summary.status, drainage).unwrap_or(if summary.current_since_time.is_some() {
            VersionStatus::Current
        } else if summary.ramping_since_time.is_some() {
            VersionStatus::Ramping
        } else {
            VersionStatus::Unknown
        });
        self.versions.entry(build).and_modify(|kept| kept.status = status).or_insert(Kept {
            status,
            asked: None,
            answered: None,
            queues: Vec::new(),
        });
    }
}

fn which(summary: &WorkerDeploymentVersionSummary) -> Version {
    #[expect(deprecated, reason = "all that a server before 1.28 fills")]
    let text = &summary.version;
    version(summary.deployment_version.as_ref(), text)
}

/// A status; a server before 1.28 says only whether a version drains. `None`: neither, or a word of the future.
fn status(status: i32, drainage: i32) -> Option<VersionStatus> {
    use WorkerDeploymentVersionStatus as Says;
    match Says::try_from(status).ok()? {
        Says::Current => Some(VersionStatus::Current),
        Says::Ramping => Some(VersionStatus::Ramping),
        Says::Draining => Some(VersionStatus::Draining),
        Says::Drained => Some(VersionStatus::Drained),
        Says::Inactive => Some(VersionStatus::Inactive),
        Says::Created => Some(VersionStatus::Created),
        Says::Unspecified => match VersionDrainageStatus::try_from(drainage).ok()? {
            VersionDrainageStatus::Draining => Some(VersionStatus::Draining),
            VersionDrainageStatus::Drained => Some(VersionStatus::Drained),
            VersionDrainageStatus::Unspecified => None,
        },
    }
}

fn task_type(value: i32) -> Option<TaskType> {
    match TaskQueueType::try_from(value).ok()? {
        TaskQueueType::Workflow => Some(TaskType::Workflow),
        TaskQueueType::Activity => Some(TaskType::Activity),
        TaskQueueType::Nexus => Some(TaskType::Nexus),
        TaskQueueType::Unspecified => None,
    }
}

#[cfg(test)]
mod tests;
