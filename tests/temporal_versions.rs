//! Versions and partitions, where a server is old, forbids, or does not answer. The server here is a FAKE, because a real
//! one of today knows every one of these requests and answers them; see `support/temporal_fake.rs`. What a real one does
//! is in `tests/real/test_temporal_versions.py`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, deprecated, reason = "a test fails by panicking")]

#[path = "support/temporal_fake.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod temporal_fake;
#[path = "support/temporal_source.rs"]
mod temporal_source;

use std::time::{Duration, Instant};

use prost_wkt_types::Timestamp;
use temporal_fake::{FakeTemporal, Reply, Script, namespace};
use temporal_source::source;
use temporalio_protos::temporal::api::deployment::v1::worker_deployment_info::WorkerDeploymentVersionSummary;
use temporalio_protos::temporal::api::deployment::v1::{
    WorkerDeploymentInfo, WorkerDeploymentOptions, WorkerDeploymentVersion,
};
use temporalio_protos::temporal::api::enums::v1::{WorkerDeploymentVersionStatus, WorkerVersioningMode};
use temporalio_protos::temporal::api::taskqueue::v1::{
    PollerInfo, TaskQueuePartitionMetadata, TaskQueueStats, TaskQueueVersioningInfo,
};
use temporalio_protos::temporal::api::workflowservice::v1::describe_worker_deployment_version_response::VersionTaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1::list_worker_deployments_response::WorkerDeploymentSummary;
use temporalio_protos::temporal::api::workflowservice::v1::{
    DescribeTaskQueueResponse, DescribeWorkerDeploymentResponse, DescribeWorkerDeploymentVersionResponse,
    ListTaskQueuePartitionsResponse, ListWorkerDeploymentsResponse, ListWorkersResponse,
};
use tonic::Status;
use verdict::evidence::{Listing, QueueKey, QueueReport, Report, Scope};
use verdict::words::{Failure, TaskType};
use worker_exporter::config;
use worker_exporter::observe::Observe;
use worker_exporter::observe::temporal::TemporalSource;

/// A tenth of this is for questions beside the looks, so that each look has one.
fn settings(fake: &FakeTemporal) -> config::TemporalSource {
    config::TemporalSource {
        address: fake.address.to_string(),
        namespace: "shop-prod".into(),
        api_key: None,
        tls: None,
        metadata: Vec::new(),
        task_queues: Vec::new(),
        requests_per_second: 1_000_000.0,
        timed_out_workflows: false,
    }
}

fn patient(fake: &FakeTemporal) -> TemporalSource {
    source(&settings(fake), Duration::from_secs(10))
}

async fn list(source: &TemporalSource) -> Listing {
    match source.look(&Scope::Listing).await.unwrap() {
        Report::Listing(listing) => listing,
        other => panic!("a listing look brought {other:?}"),
    }
}

async fn queue(source: &TemporalSource) -> Result<QueueReport, Failure> {
    let key = QueueKey {
        source: "temporal".into(),
        namespace: "shop-prod".into(),
        task_queue: "orders".into(),
        task_type: TaskType::Workflow,
    };
    match source.look(&Scope::Queue(key)).await? {
        Report::Queue(report) => Ok(report),
        other => panic!("a queue look brought {other:?}"),
    }
}

fn version(build: &str) -> Option<WorkerDeploymentVersion> {
    Some(WorkerDeploymentVersion { build_id: build.into(), deployment_name: "shop".into() })
}

fn poller(identity: &str, build: &str) -> PollerInfo {
    PollerInfo {
        identity: identity.into(),
        last_access_time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        deployment_options: Some(WorkerDeploymentOptions {
            deployment_name: "shop".into(),
            build_id: build.into(),
            worker_versioning_mode: WorkerVersioningMode::Versioned.into(),
        }),
        ..<_>::default()
    }
}

/// v2 is current and nobody polls for it; v1 polls.
fn deployed() -> DescribeTaskQueueResponse {
    DescribeTaskQueueResponse {
        pollers: vec![poller("anna", "v1")],
        versioning_info: Some(TaskQueueVersioningInfo {
            current_version: "shop.v2".into(),
            current_deployment_version: version("v2"),
            ..<_>::default()
        }),
        ..<_>::default()
    }
}

fn summary(build: &str, status: WorkerDeploymentVersionStatus) -> WorkerDeploymentVersionSummary {
    WorkerDeploymentVersionSummary { status: status.into(), deployment_version: version(build), ..<_>::default() }
}

fn listed() -> ListWorkerDeploymentsResponse {
    let shop = WorkerDeploymentSummary { name: "shop".into(), ..<_>::default() };
    ListWorkerDeploymentsResponse { worker_deployments: vec![shop], ..<_>::default() }
}

fn described() -> DescribeWorkerDeploymentResponse {
    use WorkerDeploymentVersionStatus::{Current, Draining};
    let version_summaries = vec![summary("v2", Current), summary("v1", Draining)];
    let info = WorkerDeploymentInfo { name: "shop".into(), version_summaries, ..<_>::default() };
    DescribeWorkerDeploymentResponse { worker_deployment_info: Some(info), ..<_>::default() }
}

fn counted(tasks: i64) -> DescribeWorkerDeploymentVersionResponse {
    let stats = TaskQueueStats { approximate_backlog_count: tasks, ..<_>::default() };
    let orders = VersionTaskQueue { name: "orders".into(), r#type: 1, stats: Some(stats), ..<_>::default() };
    DescribeWorkerDeploymentVersionResponse { version_task_queues: vec![orders], ..<_>::default() }
}

fn shown(report: &QueueReport) -> Vec<String> {
    let backlog = |tasks: Option<u64>| tasks.map(|tasks| format!(" {tasks}")).unwrap_or_default();
    report.versions.iter().map(|v| format!("{} {}{}", v.version, v.status, backlog(v.backlog))).collect()
}

#[tokio::test]
async fn each_look_asks_one_question_about_versions_and_what_waits_for_each_becomes_known() {
    let script = Script::with_heartbeats()
        .queue(|_| Reply::Say(deployed()))
        .deployments(|request| {
            assert!(request.page_size > 0);
            Reply::Say(listed())
        })
        .deployment(|_| Reply::Say(described()))
        .version(|request| {
            assert!(request.report_task_queue_stats);
            let build = request.deployment_version.unwrap().build_id;
            Reply::Say(counted(if build == "v2" { 60 } else { 0 }))
        });
    let fake = FakeTemporal::start(script).await;
    let source = patient(&fake);
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(shown(&queue(&source).await.unwrap()));
    }
    assert_eq!(seen[0], ["shop:v2 current", "shop:v1 unknown"], "what the queue itself says is there at once");
    assert_eq!(seen[1], ["shop:v2 current", "shop:v1 draining"]);
    assert_eq!(seen[5], ["shop:v2 current 60", "shop:v1 draining 0"]);
    for (method, times) in [
        ("ListWorkerDeployments", 1),
        ("DescribeWorkerDeployment", 1),
        ("DescribeWorkerDeploymentVersion", 2),
        ("ListTaskQueuePartitions", 1),
        ("DescribeTaskQueue", 6),
    ] {
        assert_eq!(fake.count(method), times, "{method}");
    }
}

#[tokio::test]
async fn a_queue_whose_workers_are_all_gone_is_found_through_the_version_that_it_belongs_to() {
    let script = Script::with_heartbeats()
        .list(|_| Reply::Say(ListWorkersResponse::default()))
        .deployments(|_| Reply::Say(listed()))
        .deployment(|_| Reply::Say(described()))
        .version(|_| Reply::Say(counted(3)));
    let fake = FakeTemporal::start(script).await;
    let source = patient(&fake);
    let began = Instant::now();
    loop {
        let served = list(&source).await.served;
        if !served.is_empty() {
            break assert_eq!(served, [("orders".into(), TaskType::Workflow)]);
        }
        assert!(began.elapsed() < Duration::from_secs(10), "never found");
    }
}

#[tokio::test]
async fn a_server_that_knows_no_deployments_is_asked_once_and_shows_what_polls() {
    for refusal in [Status::unimplemented("unknown method"), Status::permission_denied("Request unauthorized.")] {
        let (first, second) = (refusal.clone(), refusal);
        let script = Script::with_heartbeats()
            .list(|_| Reply::Say(ListWorkersResponse::default()))
            .queue(|_| Reply::Say(deployed()))
            .deployments(move |_| Reply::Fail(first.clone()))
            .deployment(move |_| Reply::Fail(second.clone()));
        let fake = FakeTemporal::start(script).await;
        let source = patient(&fake);
        for _ in 0..5 {
            assert!(list(&source).await.heartbeats, "the looks stand");
            assert_eq!(shown(&queue(&source).await.unwrap()), ["shop:v2 current", "shop:v1 unknown"]);
        }
        assert_eq!(fake.count("ListWorkerDeployments"), 1);
        assert_eq!(fake.count("DescribeWorkerDeployment"), 1);
        assert_eq!(fake.count("DescribeNamespace"), 1, "nothing is learnt anew because of it");
    }
}

#[tokio::test]
async fn a_server_that_knows_nothing_but_queues_shows_its_pollers() {
    let unknown = || Status::unimplemented("unknown method");
    let script = Script::default()
        .namespace(|_| Reply::Say(namespace(<_>::default())))
        .system(move |_| Reply::Fail(unknown()))
        .queue(|request| match request.task_queue.unwrap().name.as_str() {
            "orders" => Reply::Say(DescribeTaskQueueResponse {
                pollers: vec![PollerInfo { identity: "anna".into(), ..<_>::default() }],
                ..<_>::default()
            }),
            name => Reply::Fail(Status::invalid_argument(format!("{name} has a reserved prefix"))),
        })
        .deployments(move |_| Reply::Fail(unknown()))
        .partitions(move |_| Reply::Fail(unknown()));
    let fake = FakeTemporal::start(script).await;
    let source = patient(&fake);
    for _ in 0..3 {
        assert!(!list(&source).await.heartbeats);
        let report = queue(&source).await.unwrap();
        assert_eq!(report.pollers.len(), 1);
        assert!(report.versions.is_empty());
        assert!(!report.partial && report.backlog.is_none());
    }
    assert_eq!(fake.count("DescribeTaskQueue"), 4, "one look at another partition, and no more");
}

#[tokio::test]
async fn a_server_that_does_not_describe_queues_fails_those_looks_alone() {
    let script = Script::with_heartbeats()
        .list(|_| Reply::Say(ListWorkersResponse::default()))
        .queue(|_| Reply::Fail(Status::unimplemented("unknown method")));
    let fake = FakeTemporal::start(script).await;
    let source = patient(&fake);
    assert_eq!(queue(&source).await.unwrap_err(), Failure::Unimplemented);
    assert!(list(&source).await.heartbeats);
}

#[tokio::test]
async fn a_worker_that_polls_another_partition_is_seen() {
    let script = Script::default()
        .queue(|request| {
            let name = request.task_queue.unwrap().name;
            assert_eq!(request.report_stats, name == "orders", "{name}: only the root has statistics");
            let polls = |who: &[&str]| who.iter().map(|who| poller(who, "v1")).collect();
            Reply::Say(DescribeTaskQueueResponse {
                pollers: match name.as_str() {
                    "orders" => polls(&["anna"]),
                    "/_sys/orders/1" => polls(&[]),
                    "/_sys/orders/2" => polls(&["anna", "boris"]),
                    other => panic!("{other} was asked about"),
                },
                ..<_>::default()
            })
        })
        .partitions(|_| {
            let keys = ["orders", "/_sys/orders/1", "/_sys/orders/2"]
                .map(|key| TaskQueuePartitionMetadata { key: key.into(), ..<_>::default() });
            Reply::Say(ListTaskQueuePartitionsResponse {
                workflow_task_queue_partitions: keys.to_vec(),
                ..<_>::default()
            })
        })
        .deployment(|_| Reply::Fail(Status::unimplemented("unknown method")));
    let fake = FakeTemporal::start(script).await;
    let source = patient(&fake);
    for look in 0..3 {
        let report = queue(&source).await.unwrap();
        let who: Vec<_> = report.pollers.iter().map(|poller| &*poller.identity).collect();
        assert_eq!(who, ["anna", "boris"], "look {look}: each once");
        assert!(!report.partial);
    }
    assert_eq!(fake.count("DescribeTaskQueue"), 5, "the others are asked again after a minute");
}

#[tokio::test]
async fn questions_beside_a_look_that_hang_cost_it_a_part_of_its_time_and_nothing_else() {
    let script = Script::default().queue(|_| Reply::Say(deployed())).deployments(|_| Reply::Hang);
    let fake = FakeTemporal::start(script).await;
    let source = source(&settings(&fake), Duration::from_secs(2));
    let began = Instant::now();
    assert_eq!(shown(&queue(&source).await.unwrap()), ["shop:v2 current", "shop:v1 unknown"]);
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}
