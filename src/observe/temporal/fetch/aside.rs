//! Questions beside a look: they make its answer richer, and it stands without them.

use std::sync::Arc;
use std::time::Duration;

use temporalio_protos::temporal::api::deployment::v1::WorkerDeploymentVersion;
use temporalio_protos::temporal::api::enums::v1::TaskQueueType;
use temporalio_protos::temporal::api::taskqueue::v1::{PollerInfo, TaskQueue};
use temporalio_protos::temporal::api::workflowservice::v1::{
    DescribeTaskQueueRequest, DescribeWorkerDeploymentRequest, DescribeWorkerDeploymentVersionRequest,
    ListWorkerDeploymentsRequest,
};
use verdict::evidence::{QueueKey, Version};
use verdict::words::Failure;

use super::{Allowance, TemporalSource, hold};
use crate::observe::clock::wall;
use crate::observe::temporal::budget::Worth;
use crate::observe::temporal::deployments::Question;
use crate::observe::temporal::failure::is_for_good;
use crate::observe::temporal::partitions::{Partitions, Polling, count_of, counting, name_of};
use crate::observe::temporal::timeouts::question;

/// Deployments on a page of the list: all that a namespace may have.
const PAGE: i32 = 100;
/// The part of a look's time that a question beside it may take.
const PART: u32 = 4;

impl TemporalSource {
    /// A question beside a look is sent only where the budget has a place for it at once.
    pub(super) fn beside(&self, allowance: Allowance) -> Allowance {
        let until = (self.now() + self.timeout / PART).min(allowance.until);
        Allowance { until, patience: Duration::ZERO }
    }

    /// Who polls a queue, in every partition of it that there is room to ask about. `root` is the root's answer.
    pub(super) async fn polling(
        &self,
        key: &QueueKey,
        task_queue_type: TaskQueueType,
        root: &[PollerInfo],
        allowance: Allowance,
    ) -> Polling {
        let allowance = self.beside(allowance);
        let uncounted = self.partitions(key, |partitions| partitions.uncounted(self.now()));
        if uncounted && hold(&self.budget).has_room(self.now(), Worth::Idle) {
            match self.count_partitions(key, allowance).await {
                Ok(count) => self.partitions(key, |partitions| partitions.counted(Some(count), self.now())),
                Err(failure) if is_for_good(failure) => {
                    self.partitions(key, |partitions| partitions.counted(None, self.now()));
                }
                Err(_) => {}
            }
        }
        for partition in self.partitions(key, |partitions| partitions.root(root, self.now())) {
            let worth = self.partitions(key, |partitions| partitions.worth(partition, self.now()));
            if !hold(&self.budget).has_room(self.now(), worth) {
                break;
            }
            match self.describe_partition(key, partition, task_queue_type, allowance).await {
                Ok(pollers) => self.partitions(key, |partitions| partitions.child(partition, pollers, self.now())),
                Err(failure) => {
                    tracing::debug!(source = &*self.name, queue = &*key.task_queue, partition, %failure, "not described");
                    if is_for_good(failure) {
                        self.partitions(key, |partitions| partitions.refused(self.now()));
                    }
                    break;
                }
            }
        }
        let polling = self.partitions(key, |partitions| partitions.polling(root, self.now()));
        if polling.newly_cut {
            let (source, namespace, queue) = (&*self.name, &*self.namespace, &*key.task_queue);
            let task_type = key.task_type.word();
            tracing::warn!(
                source,
                namespace,
                queue,
                task_type,
                "more poll this queue than the server keeps a list of, which is 1,000 for each partition: task_queue_pollers \
                 is too low, and who is not on the list is not held to be silent. More partitions give longer lists"
            );
        }
        polling
    }

    fn partitions<T>(&self, key: &QueueKey, then: impl FnOnce(&mut Partitions) -> T) -> T {
        then(hold(&self.partitions).entry((Arc::clone(&key.task_queue), key.task_type)).or_default())
    }

    async fn describe_partition(
        &self,
        key: &QueueKey,
        partition: usize,
        task_queue_type: TaskQueueType,
        allowance: Allowance,
    ) -> Result<Vec<PollerInfo>, Failure> {
        let name = name_of(&key.task_queue, partition);
        let request = DescribeTaskQueueRequest {
            namespace: self.namespace.to_string(),
            // Without statistics: the root has them of all.
            task_queue: Some(TaskQueue { name, ..TaskQueue::default() }),
            task_queue_type: task_queue_type.into(),
            ..DescribeTaskQueueRequest::default()
        };
        let answer = self
            .send(request, allowance, |mut wire, request| async move { wire.describe_task_queue(request).await })
            .await?;
        Ok(answer.pollers)
    }

    async fn count_partitions(&self, key: &QueueKey, allowance: Allowance) -> Result<usize, Failure> {
        let request = counting(&self.namespace, &key.task_queue);
        let answer = self
            .send(request, allowance, |mut wire, request| async move { wire.list_task_queue_partitions(request).await })
            .await?;
        Ok(count_of(&answer, key.task_type))
    }

    /// Asks one question about deployments, where one is due.
    pub(super) async fn ask_of_deployments(&self, allowance: Allowance) {
        let Some(question) = hold(&self.deployments).next(self.now()) else { return };
        let allowance = self.beside(allowance);
        let answer = match &question {
            Question::List => self.list_deployments(allowance).await,
            Question::Deployment(name) => self.describe_deployment(name, allowance).await,
            Question::Version(version) => self.describe_version(version, allowance).await,
        };
        let Err(failure) = answer else { return };
        tracing::debug!(source = &*self.name, ?question, %failure, "a question about deployments was not answered");
        if hold(&self.deployments).failed(&question, failure, self.now()) {
            tracing::info!(
                source = &*self.name,
                namespace = &*self.namespace,
                %failure,
                "the server does not tell of worker deployments: versions of workers are known by their polls and by \
                 what each queue says of its routing"
            );
        }
    }

    /// Asks how many workflows ran out of time, where the configuration wants that and it is due.
    pub(super) async fn ask_of_timeouts(&self, allowance: Allowance) {
        if !hold(&self.timed_out).take_turn(self.now()) {
            return;
        }
        let request = question(&self.namespace, wall());
        let answer = self
            .send(request, self.beside(allowance), |mut wire, request| async move {
                wire.count_workflow_executions(request).await
            })
            .await;
        match self.said_of("CountWorkflowExecutions", answer) {
            Ok(answer) => hold(&self.timed_out).counted(answer.count, self.now()),
            Err(failure) if is_for_good(failure) => hold(&self.timed_out).refused(self.now()),
            Err(_) => {}
        }
    }

    async fn list_deployments(&self, allowance: Allowance) -> Result<(), Failure> {
        let request = ListWorkerDeploymentsRequest {
            namespace: self.namespace.to_string(),
            page_size: PAGE,
            ..ListWorkerDeploymentsRequest::default()
        };
        let answer = self
            .send(request, allowance, |mut wire, request| async move { wire.list_worker_deployments(request).await })
            .await?;
        hold(&self.deployments).list(&answer);
        Ok(())
    }

    async fn describe_deployment(&self, name: &Arc<str>, allowance: Allowance) -> Result<(), Failure> {
        let request = DescribeWorkerDeploymentRequest {
            namespace: self.namespace.to_string(),
            deployment_name: name.to_string(),
        };
        let answer = self
            .send(request, allowance, |mut wire, request| async move { wire.describe_worker_deployment(request).await })
            .await?;
        hold(&self.deployments).deployment(name, &answer.worker_deployment_info.unwrap_or_default());
        Ok(())
    }

    async fn describe_version(&self, version: &Version, allowance: Allowance) -> Result<(), Failure> {
        let Version { deployment, build_id } = version;
        #[expect(deprecated, reason = "all that a server before 1.28 reads")]
        let request = DescribeWorkerDeploymentVersionRequest {
            namespace: self.namespace.to_string(),
            version: format!("{deployment}.{build_id}"),
            deployment_version: Some(WorkerDeploymentVersion {
                build_id: build_id.to_string(),
                deployment_name: deployment.to_string(),
            }),
            report_task_queue_stats: true,
        };
        let answer = self
            .send(request, allowance, |mut wire, request| async move {
                wire.describe_worker_deployment_version(request).await
            })
            .await?;
        hold(&self.deployments).version(version, &answer, self.now());
        Ok(())
    }
}
