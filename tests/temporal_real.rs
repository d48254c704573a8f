//! The Temporal source against a REAL server (`temporal server start-dev`). The heartbeats and polls are sent by the
//! test over the server's own API, so that it can say exactly what was sent; real workers are in the end-to-end tests.
//!
//! Needs the `temporal` command: `WORKER_EXPORTER_TEMPORAL_CLI`, `.parts/venv/bin/temporal` (where `make test` puts it)
//! or the search path. Without it the tests say that they are skipped, and fail where `CI=true`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says when it is skipped"
)]

#[path = "support/temporal_source.rs"]
mod temporal_source;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prost_wkt_types::Timestamp;
use temporalio_protos::temporal::api::common::v1::WorkflowType;
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::worker::v1::{
    WorkerHeartbeat, WorkerHostInfo, WorkerPollerInfo, WorkerSlotsInfo,
};
use temporalio_protos::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use temporalio_protos::temporal::api::workflowservice::v1::{
    GetSystemInfoRequest, PollWorkflowTaskQueueRequest, RecordWorkerHeartbeatRequest, StartWorkflowExecutionRequest,
};
use tonic::transport::{Channel, Endpoint};
use verdict::evidence::{Listing, QueueKey, QueueReport, Report, Scope};
use verdict::words::{Failure, TaskType};
use worker_exporter::config;
use worker_exporter::observe::Observe;
use worker_exporter::observe::temporal::TemporalSource;

/// A real server; killed when dropped.
struct Server {
    process: Child,
    command: PathBuf,
    port: u16,
    dynamic_config: &'static [&'static str],
}

impl Server {
    /// One that takes heartbeats. `None`, said aloud, where the command is not installed.
    async fn start() -> Option<Self> {
        // Both are on by themselves from 1.30 on.
        Self::with(&["frontend.WorkerHeartbeatsEnabled=true", "frontend.ListWorkersEnabled=true"]).await
    }

    async fn with(dynamic_config: &'static [&'static str]) -> Option<Self> {
        let Some(command) = command() else {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "the `temporal` command is missing: run `make test`, or set WORKER_EXPORTER_TEMPORAL_CLI"
            );
            eprintln!("skipped: no `temporal` command (run `make test`, or set WORKER_EXPORTER_TEMPORAL_CLI)");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = spawn(&command, port, dynamic_config);
        let server = Self { process, command, port, dynamic_config };
        server.ready().await;
        Some(server)
    }

    async fn ready(&self) {
        eventually("the server to answer", || async { list(&self.source("default")).await.ok() }).await;
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    async fn restart(&mut self) {
        self.process = spawn(&self.command, self.port, self.dynamic_config);
        self.ready().await;
    }

    fn source(&self, namespace: &str) -> TemporalSource {
        let settings = config::TemporalSource {
            address: format!("127.0.0.1:{}", self.port),
            namespace: namespace.into(),
            api_key: None,
            tls: None,
            metadata: Vec::new(),
            task_queues: Vec::new(),
            requests_per_second: 50.0,
            timed_out_workflows: false,
        };
        temporal_source::source(&settings, Duration::from_secs(10))
    }

    fn client(&self) -> WorkflowServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", self.port)).unwrap();
        WorkflowServiceClient::new(endpoint.connect_lazy())
    }

    async fn beat(&self, beats: Vec<WorkerHeartbeat>) {
        self.try_beat(beats).await.unwrap();
    }

    async fn try_beat(&self, beats: Vec<WorkerHeartbeat>) -> Result<(), tonic::Status> {
        let request = RecordWorkerHeartbeatRequest {
            namespace: "default".into(),
            identity: "test".into(),
            worker_heartbeat: beats,
            ..<_>::default()
        };
        self.client().record_worker_heartbeat(request).await.map(|_| ())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(command: &PathBuf, port: u16, dynamic_config: &[&str]) -> Child {
    Command::new(command)
        .args(["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error", "--port"])
        .arg(port.to_string())
        .args(dynamic_config.iter().flat_map(|value| ["--dynamic-config-value", value]))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn command() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("WORKER_EXPORTER_TEMPORAL_CLI") {
        return Some(PathBuf::from(named));
    }
    let installed = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.parts/venv/bin/temporal"));
    std::iter::once(installed)
        .chain(std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join("temporal")))
        .find(|path| path.is_file())
}

/// Waits for a value, at most half a minute.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn list(source: &TemporalSource) -> Result<Listing, Failure> {
    match source.look(&Scope::Listing).await? {
        Report::Listing(listing) => Ok(listing),
        other => panic!("a listing look brought {other:?}"),
    }
}

async fn queue(source: &TemporalSource, name: &str, task_type: TaskType) -> Result<QueueReport, Failure> {
    let key = QueueKey { source: "temporal".into(), namespace: "default".into(), task_queue: name.into(), task_type };
    match source.look(&Scope::Queue(key)).await? {
        Report::Queue(report) => Ok(report),
        other => panic!("a queue look brought {other:?}"),
    }
}

fn now() -> Option<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Some(Timestamp { seconds: since.as_secs().try_into().unwrap(), nanos: since.subsec_nanos().try_into().unwrap() })
}

fn worker(key: &str, status: i32) -> WorkerHeartbeat {
    WorkerHeartbeat {
        worker_instance_key: key.into(),
        worker_identity: "4711@box".into(),
        host_info: Some(WorkerHostInfo {
            host_name: "box".into(),
            process_id: "4711".into(),
            current_host_cpu_usage: 0.5,
            current_host_mem_usage: 0.25,
            ..<_>::default()
        }),
        task_queue: "orders".into(),
        sdk_name: "temporal-python".into(),
        sdk_version: "1.35.0".into(),
        status,
        start_time: now(),
        heartbeat_time: now(),
        activity_task_slots_info: Some(WorkerSlotsInfo { current_available_slots: 4, ..<_>::default() }),
        activity_poller_info: Some(WorkerPollerInfo { current_pollers: 4, ..<_>::default() }),
        ..<_>::default()
    }
}

#[tokio::test]
async fn a_worker_is_seen_as_it_beats_says_goodbye_and_leaves() {
    let Some(server) = Server::start().await else { return };
    let source = server.source("default");
    assert!(list(&source).await.unwrap().records.is_empty(), "the server's own workers are not ours");

    server.beat(vec![worker("k1", 1)]).await;
    let first = eventually("the worker", || async { list(&source).await.unwrap().records.into_iter().next() }).await;
    assert_eq!((&*first.record, &*first.slot.key.worker), ("k1", "box/orders"));
    assert_eq!(first.types.len(), 1, "{:?}", first.types);
    assert!(!first.says.goodbye);

    server.beat(vec![worker("k1", 1)]).await;
    let mark = first.beat.unwrap().mark;
    eventually("the next beat", || async {
        list(&source).await.unwrap().records.into_iter().find(|seen| seen.beat.unwrap().mark != mark)
    })
    .await;

    server.beat(vec![worker("k1", 2)]).await;
    eventually("the goodbye", || async { list(&source).await.unwrap().records.into_iter().find(|s| s.says.goodbye) })
        .await;

    server.beat(vec![worker("k1", 3)]).await;
    eventually("the record to leave", || async { list(&source).await.unwrap().records.is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn with_heartbeats_off_the_list_means_nothing_and_the_pollers_remain() {
    let Some(server) = Server::with(&["frontend.WorkerHeartbeatsEnabled=false"]).await else { return };
    // Taken and thrown away from 1.30 on, refused before: no matter.
    let _ = server.try_beat(vec![worker("k1", 1)]).await;
    let source = server.source("default");
    let listing = list(&source).await.unwrap();
    assert!(!listing.heartbeats, "an empty list of a namespace that takes no heartbeats is not \"all gone\"");
    assert!(listing.records.is_empty());
    assert!(queue(&source, "orders", TaskType::Activity).await.is_ok());
}

#[tokio::test]
async fn two_thousand_five_hundred_workers_are_listed_page_by_page_each_once() {
    let Some(server) = Server::start().await else { return };
    for hundred in 0..25 {
        server.beat((0..100).map(|n| worker(&format!("k{:05}", hundred * 100 + n), 1)).collect()).await;
    }
    let source = server.source("default");
    let listing = eventually("all workers", || async {
        list(&source).await.ok().filter(|listing| listing.records.len() >= 2500)
    })
    .await;
    let mut keys: Vec<_> = listing.records.iter().map(|seen| Arc::clone(&seen.record)).collect();
    keys.sort();
    keys.dedup();
    assert_eq!((listing.records.len(), keys.len()), (2500, 2500));
    assert!(listing.records.iter().all(|seen| seen.beat.is_some()), "heartbeats come with the list");
}

#[tokio::test]
async fn a_queue_shows_what_waits_and_who_polls() {
    let Some(server) = Server::start().await else { return };
    let source = server.source("default");
    list(&source).await.unwrap();
    let empty = queue(&source, "nobody", TaskType::Workflow).await.unwrap();
    assert_eq!((empty.backlog, empty.pollers.len()), (Some(0), 0), "a name that nobody uses is visible as such");
    let version = server.client().get_system_info(GetSystemInfoRequest {}).await.unwrap().into_inner().server_version;
    let reports = !["1.27.", "1.28.", "1.29.", "1.30.", "1.31."].iter().any(|old| version.starts_with(old));
    assert_eq!(empty.rate_limited, reports.then_some(false), "only servers from 1.32 on say so: this is {version}");
    assert!(empty.serving_builds.is_empty());

    let request = StartWorkflowExecutionRequest {
        namespace: "default".into(),
        workflow_id: "waits".into(),
        request_id: "waits".into(),
        workflow_type: Some(WorkflowType { name: "Waits".into() }),
        task_queue: Some(TaskQueue { name: "orders".into(), ..<_>::default() }),
        ..<_>::default()
    };
    server.client().start_workflow_execution(request).await.unwrap();
    let waiting = eventually("the backlog", || async {
        queue(&source, "orders", TaskType::Workflow).await.ok().filter(|report| report.backlog == Some(1))
    })
    .await;
    assert!(waiting.pollers.is_empty());
    eventually("the head to grow old", || async {
        let report = queue(&source, "orders", TaskType::Workflow).await.unwrap();
        report.backlog_age.filter(|age| *age > Duration::from_secs(1))
    })
    .await;

    let poll = PollWorkflowTaskQueueRequest {
        namespace: "default".into(),
        task_queue: Some(TaskQueue { name: "orders".into(), ..<_>::default() }),
        identity: "4711@box@orders".into(),
        ..<_>::default()
    };
    let mut poll = tonic::Request::new(poll);
    poll.set_timeout(Duration::from_secs(30));
    server.client().poll_workflow_task_queue(poll).await.unwrap();
    let poller = eventually("the poller", || async {
        queue(&source, "orders", TaskType::Workflow).await.unwrap().pollers.into_iter().next()
    })
    .await;
    assert_eq!((&*poller.identity, &*poller.slot.key.worker), ("4711@box@orders", "box/orders"));
    assert!(poller.last_access.is_some());
    assert_eq!(poller.version, None);
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_not_found() {
    let Some(server) = Server::start().await else { return };
    assert_eq!(list(&server.source("mistyped")).await.unwrap_err(), Failure::NotFound);
    assert_eq!(queue(&server.source("mistyped"), "orders", TaskType::Activity).await.unwrap_err(), Failure::NotFound);
}

#[tokio::test]
async fn a_killed_server_is_refused_and_comes_back_with_an_empty_list() {
    let Some(mut server) = Server::start().await else { return };
    let source = server.source("default");
    server.beat(vec![worker("k1", 1)]).await;
    eventually("the worker", || async { list(&source).await.unwrap().records.into_iter().next() }).await;
    server.kill();
    eventually("the refusal", || async { list(&source).await.err().filter(|failure| *failure == Failure::Refused) })
        .await;
    server.restart().await;
    let listing = eventually("the same source to see it again", || async { list(&source).await.ok() }).await;
    assert!(listing.heartbeats);
    assert!(listing.records.is_empty(), "the registry lives in the memory of the server");
    server.beat(vec![worker("k1", 1)]).await;
    eventually("the worker again", || async { list(&source).await.unwrap().records.into_iter().next() }).await;
}
