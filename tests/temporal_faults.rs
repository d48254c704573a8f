//! What goes wrong between us and a Temporal server. The server here is a FAKE, because a real one will not refuse,
//! throttle, hang, page without end or be old on request; see `support/temporal_fake.rs`. The rest is in
//! `temporal_real.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, deprecated, reason = "a test fails by panicking")]

#[path = "support/log.rs"]
mod log;
#[path = "support/temporal_fake.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod temporal_fake;
#[path = "support/temporal_source.rs"]
mod temporal_source;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use log::Log;
use prost_wkt_types::Timestamp;
use temporal_fake::{FakeTemporal, Reply, Script, namespace};
use temporal_source::source;
use temporalio_protos::temporal::api::worker::v1::{WorkerHeartbeat, WorkerInfo, WorkerListInfo, WorkerSlotsInfo};
use temporalio_protos::temporal::api::workflowservice::v1::{
    CountWorkflowExecutionsResponse, DescribeTaskQueueResponse, DescribeWorkerResponse, ListWorkersResponse,
};
use tonic::{Code, Status};
use verdict::evidence::{Listing, QueueKey, QueueReport, Report, Scope};
use verdict::words::{Failure, TaskType};
use worker_exporter::config::{self, Secret};
use worker_exporter::observe::Observe;
use worker_exporter::observe::temporal::TemporalSource;

fn settings(address: impl ToString) -> config::TemporalSource {
    config::TemporalSource {
        address: address.to_string(),
        namespace: "orders-prod".into(),
        api_key: None,
        tls: None,
        metadata: Vec::new(),
        task_queues: Vec::new(),
        requests_per_second: 100.0,
        timed_out_workflows: false,
    }
}

fn patient(settings: &config::TemporalSource) -> TemporalSource {
    source(settings, Duration::from_secs(10))
}

async fn list(source: &TemporalSource) -> Result<Listing, Failure> {
    match source.look(&Scope::Listing).await? {
        Report::Listing(listing) => Ok(listing),
        other => panic!("a listing look brought {other:?}"),
    }
}

async fn queue(source: &TemporalSource) -> Result<QueueReport, Failure> {
    let key = QueueKey {
        source: "temporal".into(),
        namespace: "orders-prod".into(),
        task_queue: "orders".into(),
        task_type: TaskType::Activity,
    };
    match source.look(&Scope::Queue(key)).await? {
        Report::Queue(report) => Ok(report),
        other => panic!("a queue look brought {other:?}"),
    }
}

fn beat(key: &str, second: i64) -> WorkerHeartbeat {
    WorkerHeartbeat {
        worker_instance_key: key.into(),
        worker_identity: format!("w-{key}"),
        task_queue: "orders".into(),
        status: 1,
        heartbeat_time: Some(Timestamp { seconds: 1_700_000_000 + second, nanos: 0 }),
        activity_task_slots_info: Some(WorkerSlotsInfo { current_available_slots: 4, ..<_>::default() }),
        ..<_>::default()
    }
}

fn page(beats: impl IntoIterator<Item = WorkerHeartbeat>, next: &str) -> ListWorkersResponse {
    ListWorkersResponse {
        workers_info: beats.into_iter().map(|beat| WorkerInfo { worker_heartbeat: Some(beat) }).collect(),
        next_page_token: next.as_bytes().to_vec(),
        ..<_>::default()
    }
}

fn records(listing: &Listing) -> Vec<&str> {
    listing.records.iter().map(|record| &*record.record).collect()
}

#[tokio::test]
async fn a_server_too_old_to_list_workers_is_no_error_and_says_that_heartbeats_are_off() {
    let script =
        Script::with_heartbeats().list(|_| Reply::Fail(Status::unimplemented("method ListWorkers not supported")));
    let fake = FakeTemporal::start(script).await;
    let listing = list(&patient(&settings(fake.address))).await.unwrap();
    assert!(!listing.heartbeats);
    assert!(listing.records.is_empty());
}

#[tokio::test]
async fn a_namespace_with_heartbeats_off_is_not_asked_for_its_workers() {
    let script = Script::with_heartbeats().namespace(|_| Reply::Say(namespace(<_>::default())));
    let fake = FakeTemporal::start(script).await;
    let source = patient(&settings(fake.address));
    for _ in 0..3 {
        assert!(!list(&source).await.unwrap().heartbeats);
    }
    assert_eq!(fake.count("DescribeNamespace"), 1, "the answer is believed for some minutes");
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_not_found() {
    let script = Script::default().namespace(|_| Reply::Fail(Status::not_found("Namespace orders-prod is not found.")));
    let fake = FakeTemporal::start(script).await;
    assert_eq!(list(&patient(&settings(fake.address))).await.unwrap_err(), Failure::NotFound);
}

#[tokio::test]
async fn a_missing_right_is_ours_and_the_capability_is_read_anew_after_a_failure() {
    let refused = Arc::new(AtomicUsize::new(0));
    let calls = Arc::clone(&refused);
    let script = Script::with_heartbeats().list(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Fail(Status::permission_denied("Request unauthorized.")),
        _ => Reply::Say(page([beat("a", 1)], "")),
    });
    let fake = FakeTemporal::start(script).await;
    let source = patient(&settings(fake.address));
    assert_eq!(list(&source).await.unwrap_err(), Failure::PermissionDenied);
    assert_eq!(records(&list(&source).await.unwrap()), ["a"]);
    list(&source).await.unwrap();
    assert_eq!(fake.count("DescribeNamespace"), 2, "after the failure once more, then no more");
}

#[tokio::test]
async fn a_rotated_key_is_taken_up_and_the_namespace_and_metadata_headers_are_sent() {
    let script = Script::with_heartbeats().list(|_| Reply::Say(page([beat("a", 1)], "")));
    let fake = FakeTemporal::guarded(script, |headers| match headers.get("authorization") {
        Some(key) if key == "Bearer second" => Ok(()),
        _ => Err(Status::unauthenticated("Request unauthorized.")),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let settings = config::TemporalSource {
        api_key: Some(Secret::File(key.clone())),
        metadata: vec![("x-team".to_owned(), Secret::held("orders"))],
        ..settings(fake.address)
    };
    let source = patient(&settings);
    let log = Log::default();
    let _guard = log.listen();
    for _ in 0..2 {
        assert_eq!(list(&source).await.unwrap_err(), Failure::Unauthenticated, "no file yet");
    }
    assert!(fake.calls().is_empty(), "nothing is sent without the key");
    std::fs::write(&key, "first\n").unwrap();
    for _ in 0..2 {
        assert_eq!(list(&source).await.unwrap_err(), Failure::Unauthenticated);
    }
    let ours = |line: &&str| line.contains("source=\"temporal\"") && !line.contains("DEBUG");
    let said: Vec<_> = log.text().lines().filter(ours).map(str::to_owned).collect();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].contains("ERROR") && said[0].contains("the API key cannot be read"), "{said:#?}");
    assert!(said[1].contains("WARN") && said[1].contains("unauthenticated"), "{said:#?}");
    std::fs::write(&key, "second\n").unwrap();
    assert_eq!(records(&list(&source).await.unwrap()), ["a"]);
    for call in fake.calls() {
        assert_eq!(call.headers.get("temporal-namespace").unwrap(), "orders-prod", "{}", call.method);
        assert_eq!(call.headers.get("x-team").unwrap(), "orders");
    }
}

#[tokio::test]
async fn a_throttled_namespace_is_left_alone_and_comes_back() {
    let listed = Arc::new(AtomicUsize::new(0));
    let calls = Arc::clone(&listed);
    let script = Script::with_heartbeats()
        .list(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::Fail(Status::resource_exhausted("namespace rate limit exceeded")),
            _ => Reply::Say(page([beat("a", 1)], "")),
        })
        .queue(|_| Reply::Say(DescribeTaskQueueResponse::default()));
    let fake = FakeTemporal::start(script).await;
    let source = patient(&settings(fake.address));
    let log = Log::default();
    let _guard = log.listen();
    assert_eq!(list(&source).await.unwrap_err(), Failure::Throttled);
    let sent = fake.calls().len();
    for _ in 0..20 {
        assert_eq!(list(&source).await.unwrap_err(), Failure::Throttled);
        assert_eq!(queue(&source).await.unwrap_err(), Failure::Throttled, "all looks at the namespace are held back");
    }
    assert_eq!(fake.calls().len(), sent, "and none of them reached the server");
    let began = Instant::now();
    loop {
        match list(&source).await {
            Ok(listing) => break assert_eq!(records(&listing), ["a"]),
            Err(failure) => assert_eq!(failure, Failure::Throttled),
        }
        assert!(began.elapsed() < Duration::from_secs(10), "the pause does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() > Duration::from_secs(1), "the pause was no pause");
    let lines = lines(&log, "orders-prod");
    let said = |line: &String, words: &str| line.contains(words);
    assert_eq!(lines.iter().filter(|line| said(line, "is asked too much")).count(), 1, "{lines:#?}");
    assert!(lines.iter().all(|line| !said(line, "could not be asked")), "it has a line of its own: {lines:#?}");
}

#[tokio::test]
async fn our_own_budget_holds_looks_back_before_the_server_has_to() {
    let script = Script::with_heartbeats().queue(|_| Reply::Say(DescribeTaskQueueResponse::default()));
    let fake = FakeTemporal::start(script).await;
    let settings = config::TemporalSource { requests_per_second: 1.0, ..settings(fake.address) };
    let source = source(&settings, Duration::from_secs(2));
    let looks = futures_util::future::join_all((0..20).map(|_| queue(&source))).await;
    let served = looks.iter().filter(|look| look.is_ok()).count();
    assert!((3..=5).contains(&served), "a burst of three and one a second for the one second of patience: {served}");
    assert!(looks.iter().flatten().count() == served);
    assert!(looks.iter().filter_map(|look| look.as_ref().err()).all(|failure| *failure == Failure::Throttled));
    assert_eq!(fake.count("DescribeTaskQueue"), served);
}

#[tokio::test]
async fn workflows_that_ran_out_of_time_are_counted_once_a_minute_and_a_refusal_is_no_zero() {
    let counting = || Script::with_heartbeats().list(|_| Reply::Say(page([beat("a", 1)], "")));
    let wanted = |fake: &FakeTemporal| config::TemporalSource { timed_out_workflows: true, ..settings(fake.address) };
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let fake = FakeTemporal::start(counting().count(move |request| {
        seen.lock().unwrap().push(request);
        Reply::Say(CountWorkflowExecutionsResponse { count: 3, ..<_>::default() })
    }))
    .await;
    let source = patient(&wanted(&fake));
    for _ in 0..3 {
        assert_eq!(list(&source).await.unwrap().timed_out, Some(3));
    }
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].namespace, "orders-prod");
    assert!(asked[0].query.starts_with("ExecutionStatus = 'TimedOut' AND CloseTime > '20"), "{asked:?}");

    let refusals = [Status::permission_denied("no"), Status::unimplemented("no"), Status::unavailable("later")];
    for refusal in refusals {
        let said = refusal.clone();
        let fake = FakeTemporal::start(counting().count(move |_| Reply::Fail(said.clone()))).await;
        let source = patient(&wanted(&fake));
        for _ in 0..3 {
            let listing = list(&source).await.unwrap();
            assert_eq!((records(&listing), listing.timed_out), (vec!["a"], None), "{refusal:?}: the list stands");
        }
        assert_eq!(fake.count("CountWorkflowExecutions"), 1, "{refusal:?}");
    }

    let fake = FakeTemporal::start(counting()).await;
    assert_eq!(list(&patient(&settings(fake.address))).await.unwrap().timed_out, None);
    assert_eq!(fake.count("CountWorkflowExecutions"), 0, "only where it is wanted");
}

#[tokio::test]
async fn pages_are_followed_and_never_asked_for_all_at_once() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let script = Script::with_heartbeats().list(move |request| {
        seen.lock().unwrap().push((request.page_size, request.include_system_workers, request.query.clone()));
        assert_eq!(request.namespace, "orders-prod");
        Reply::Say(match request.next_page_token.as_slice() {
            b"" => page([beat("a", 1), beat("b", 1)], "b"),
            b"b" => page([beat("b", 7), beat("c", 1)], "c"),
            _ => page([], ""),
        })
    });
    let fake = FakeTemporal::start(script).await;
    let listing = list(&patient(&settings(fake.address))).await.unwrap();
    assert_eq!(records(&listing), ["a", "b", "c"]);
    assert_eq!(listing.records[1].beat.unwrap().stamp.unwrap().micros(), 1_700_000_007_000_000, "the newest beat");
    assert!(listing.heartbeats);
    assert_eq!(listing.retention, Some(Duration::from_secs(300)));
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|(size, system, query)| *size > 0 && !system && query.is_empty()), "{asked:?}");
}

#[tokio::test]
async fn pages_without_end_are_a_failure_of_paging() {
    let counter = Arc::new(AtomicU64::new(0));
    type Next = Box<dyn Fn(u64) -> ListWorkersResponse + Send + Sync>;
    let endless: [Next; 3] = [
        Box::new(|n| page([beat(&n.to_string(), 1)], "the same")),
        Box::new(|n| page([beat("a", 1)], &n.to_string())),
        Box::new(|n| page([beat(&n.to_string(), 1)], &n.to_string())),
    ];
    for next in endless {
        let counter = Arc::clone(&counter);
        let script = Script::with_heartbeats().list(move |_| Reply::Say(next(counter.fetch_add(1, Ordering::SeqCst))));
        let fake = FakeTemporal::start(script).await;
        let settings = config::TemporalSource { requests_per_second: 100_000.0, ..settings(fake.address) };
        assert_eq!(list(&source(&settings, Duration::from_secs(60))).await.unwrap_err(), Failure::Paging);
    }
}

fn short(key: usize) -> WorkerListInfo {
    WorkerListInfo {
        worker_instance_key: key.to_string(),
        worker_identity: format!("w-{key}"),
        task_queue: "orders".into(),
        status: 1,
        ..<_>::default()
    }
}

#[tokio::test]
async fn a_list_without_heartbeats_is_completed_one_by_one_within_the_budget() {
    let script = Script::with_heartbeats()
        .list(|_| {
            // As the API announces it: the deprecated field stays empty.
            Reply::Say(ListWorkersResponse { workers: (0..20).map(short).collect(), ..<_>::default() })
        })
        .worker(|request| match request.worker_instance_key.as_str() {
            "13" => Reply::Fail(Status::not_found("worker not found")),
            key => Reply::Say(DescribeWorkerResponse {
                worker_info: Some(WorkerInfo { worker_heartbeat: Some(beat(key, 1)) }),
            }),
        });
    let fake = FakeTemporal::start(script).await;
    // Half of what ten a second give in two seconds: ten at each look.
    let settings = config::TemporalSource { requests_per_second: 10.0, ..settings(fake.address) };
    let source = source(&settings, Duration::from_secs(2));
    let first = list(&source).await.unwrap();
    assert_eq!(fake.count("DescribeWorker"), 10);
    assert!(first.records.len() >= 19);
    let beats = |listing: &Listing| {
        listing.records.iter().filter(|r| r.beat.is_some()).map(|r| r.record.to_string()).collect::<HashSet<_>>()
    };
    let described = beats(&first);
    assert!((9..=10).contains(&described.len()), "who was not asked about shows no beat, not an old one");
    let second = list(&source).await.unwrap();
    assert!(beats(&second).is_disjoint(&described), "the second look asks about the others");
}

#[tokio::test]
async fn a_list_without_heartbeats_and_without_descriptions_is_still_a_list() {
    let script = Script::with_heartbeats()
        .list(|_| Reply::Say(ListWorkersResponse { workers: vec![short(1), short(2)], ..<_>::default() }))
        .worker(|_| Reply::Fail(Status::unimplemented("method DescribeWorker not supported")));
    let fake = FakeTemporal::start(script).await;
    let listing = list(&patient(&settings(fake.address))).await.unwrap();
    assert_eq!(records(&listing), ["1", "2"]);
    assert!(listing.records.iter().all(|record| record.beat.is_none()));
    assert_eq!(fake.count("DescribeWorker"), 1);
}

#[tokio::test]
async fn an_answer_over_four_mebibytes_is_read_and_one_over_sixty_four_is_not() {
    let large = |bytes: usize| {
        let mut beat = beat("a", 1);
        beat.sdk_version = "x".repeat(bytes);
        beat
    };
    for (bytes, ok) in [(6 << 20, true), (65 << 20, false)] {
        let script = Script::with_heartbeats().list(move |_| Reply::Say(page([large(bytes)], "")));
        let fake = FakeTemporal::start(script).await;
        let look = list(&source(&settings(fake.address), Duration::from_secs(60))).await;
        match ok {
            true => assert_eq!(records(&look.unwrap()), ["a"]),
            false => assert_eq!(look.unwrap_err(), Failure::BodyTooLarge),
        }
    }
}

#[tokio::test]
async fn values_of_a_future_server_are_tolerated_and_one_bad_record_spoils_no_other() {
    let script = Script::with_heartbeats().list(|_| {
        let mut future = beat("future", 1);
        future.status = 99;
        let mut placeless = beat("placeless", 1);
        placeless.task_queue = String::new();
        Reply::Say(page([future, placeless, beat("a", 1)], ""))
    });
    let fake = FakeTemporal::start(script).await;
    let listing = list(&patient(&settings(fake.address))).await.unwrap();
    assert_eq!(records(&listing), ["a", "future"]);
    assert!(listing.records.iter().all(|record| !record.says.goodbye));
    assert_eq!(listing.unreadable, [(Arc::from("placeless"), Failure::FieldInvalid)]);
}

#[tokio::test]
async fn a_server_that_hangs_fails_the_look_at_its_deadline() {
    let script = Script::default().namespace(|_| Reply::Hang).queue(|_| Reply::Hang);
    let fake = FakeTemporal::start(script).await;
    let source = source(&settings(fake.address), Duration::from_millis(300));
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(list(&source).await.unwrap_err(), Failure::Timeout);
        assert_eq!(queue(&source).await.unwrap_err(), Failure::Timeout);
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_refused_and_the_same_source_sees_it_come_back() {
    let script = || Script::with_heartbeats().list(|_| Reply::Say(page([beat("a", 1)], "")));
    let first = FakeTemporal::start(script()).await;
    let address = first.address;
    let source = patient(&settings(address));
    assert_eq!(records(&list(&source).await.unwrap()), ["a"]);
    drop(first);
    let began = Instant::now();
    // The connection that was open may be reset first; from then on nobody listens.
    while list(&source).await.err() != Some(Failure::Refused) {
        assert!(began.elapsed() < Duration::from_secs(10), "never refused");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _second = FakeTemporal::listen(script(), None, address).await;
    let began = Instant::now();
    while list(&source).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "never back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_and_an_address_that_is_none_are_dns() {
    for address in ["nowhere.invalid:7233", "not an address"] {
        assert_eq!(list(&patient(&settings(address))).await.unwrap_err(), Failure::Dns, "{address}");
    }
}

#[tokio::test]
async fn what_does_not_speak_the_protocol_is_protocol_and_plaintext_behind_tls_is_tls() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let said = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, said).await;
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1024]).await;
        }
    });
    assert_eq!(list(&patient(&settings(address))).await.unwrap_err(), Failure::Protocol);
    let tls = config::Tls { insecure_skip_verify: true, ..config::Tls::default() };
    let settings = config::TemporalSource { tls: Some(tls), ..settings(address) };
    assert_eq!(list(&patient(&settings)).await.unwrap_err(), Failure::Tls);
    server.abort();
}

#[tokio::test]
async fn a_ca_file_that_is_missing_fails_the_look_and_not_the_start() {
    let tls = config::Tls { ca_file: Some("/nonexistent/ca.pem".into()), ..config::Tls::default() };
    let settings = config::TemporalSource { tls: Some(tls), ..settings("127.0.0.1:1") };
    assert_eq!(list(&patient(&settings)).await.unwrap_err(), Failure::Tls);
}

#[tokio::test]
async fn a_queue_of_an_old_server_has_pollers_and_no_figures() {
    let script = Script::default().queue(|request| {
        assert!(request.report_stats);
        assert_eq!(request.api_mode, 0);
        assert_eq!(request.task_queue_type, 2);
        Reply::Say(DescribeTaskQueueResponse::default())
    });
    let fake = FakeTemporal::start(script).await;
    assert_eq!(queue(&patient(&settings(fake.address))).await.unwrap(), QueueReport::default());
}

fn lines(log: &Log, of: &str) -> Vec<String> {
    let about = format!("namespace=\"{of}\"");
    let lines = log.text();
    lines.lines().filter(|line| !line.contains("DEBUG") && line.contains(&about)).map(str::to_owned).collect()
}

#[tokio::test]
async fn however_a_namespace_fails_it_is_one_line_with_method_and_reason_and_another_is_seen_as_ever() {
    let well = FakeTemporal::start(Script::with_heartbeats().list(|_| Reply::Say(page([beat("a", 1)], "")))).await;
    let well = patient(&config::TemporalSource { namespace: "well".into(), ..settings(well.address) });
    for (code, failure) in [
        (Code::Unavailable, Failure::Unavailable),
        (Code::DeadlineExceeded, Failure::Timeout),
        (Code::PermissionDenied, Failure::PermissionDenied),
        (Code::Unauthenticated, Failure::Unauthenticated),
        (Code::NotFound, Failure::NotFound),
        (Code::InvalidArgument, Failure::InvalidArgument),
        (Code::Cancelled, Failure::Reset),
        (Code::Internal, Failure::Internal),
        (Code::DataLoss, Failure::Internal),
    ] {
        let log = Log::default();
        let _guard = log.listen();
        // A server that repeats what it was sent.
        let fail = move || Status::new(code, "no, not with t0ken");
        let script = Script::with_heartbeats().list(move |_| Reply::Fail(fail())).queue(move |_| Reply::Fail(fail()));
        let fake = FakeTemporal::start(script).await;
        let key = Some(Secret::held("t0ken"));
        let bad = patient(&config::TemporalSource { api_key: key, ..settings(fake.address) });
        for _ in 0..3 {
            assert_eq!(list(&bad).await.unwrap_err(), failure, "{code:?}");
            assert_eq!(queue(&bad).await.unwrap_err(), failure, "{code:?}");
            assert_eq!(records(&list(&well).await.unwrap()), ["a"], "{code:?}");
        }
        let lines = lines(&log, "orders-prod");
        assert_eq!(lines.len(), 2, "{code:?}: {lines:#?}");
        for (line, method) in lines.iter().zip(["ListWorkers", "DescribeTaskQueue"]) {
            let (method, reason) = (format!("method=\"{method}\""), format!("reason=\"{}\"", failure.word()));
            for part in ["WARN", "source=\"temporal\"", &method, &reason] {
                assert!(line.contains(part), "{code:?}: {part} in {line}");
            }
            assert!(!line.contains("t0ken"), "{line}");
        }
    }
}

#[tokio::test]
async fn a_page_token_that_is_refused_or_a_namespace_that_ends_is_said_and_so_is_its_return() {
    let log = Log::default();
    let _guard = log.listen();
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let script = Script::with_heartbeats().list(move |request| match request.next_page_token.as_slice() {
        b"" => Reply::Say(page([beat("a", 1)], "next")),
        _ if is_broken.load(Ordering::SeqCst) => Reply::Fail(Status::invalid_argument("Invalid NextPageToken.")),
        _ => Reply::Say(page([beat("b", 1)], "")),
    });
    let fake = FakeTemporal::start(script).await;
    let source = patient(&settings(fake.address));
    for _ in 0..2 {
        assert_eq!(list(&source).await.unwrap_err(), Failure::InvalidArgument, "half a list is no list");
    }
    broken.store(false, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(records(&list(&source).await.unwrap()), ["a", "b"]);
    }
    let lines = lines(&log, "orders-prod");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("invalid_argument"), "{lines:#?}");
    assert!(lines[1].contains("INFO") && lines[1].contains("lists its workers again"), "{lines:#?}");
}

#[tokio::test]
async fn a_server_that_is_exchanged_for_an_older_one_and_back_is_asked_for_what_it_knows() {
    let new = || Script::with_heartbeats().list(|_| Reply::Say(page([beat("a", 1)], "")));
    let old =
        Script::with_heartbeats().list(|_| Reply::Fail(Status::unimplemented("method ListWorkers not supported")));
    let first = FakeTemporal::start(new()).await;
    let address = first.address;
    let log = Log::default();
    let _guard = log.listen();
    let source = patient(&settings(address));
    let until = async |heartbeats: bool| {
        let began = Instant::now();
        loop {
            // While one goes and the other comes nobody answers, and that is a failed look.
            if let Ok(listing) = list(&source).await
                && listing.heartbeats == heartbeats
            {
                return listing;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "heartbeats are never {heartbeats}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // Its port is free once nobody listens there.
    let gone = async || {
        let began = Instant::now();
        while list(&source).await.err() != Some(Failure::Refused) {
            assert!(began.elapsed() < Duration::from_secs(20), "never refused");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(records(&until(true).await), ["a"]);
    drop(first);
    gone().await;
    let second = FakeTemporal::listen(old, None, address).await;
    assert!(until(false).await.records.is_empty(), "an old server lists nobody, and that is not an empty list");
    drop(second);
    gone().await;
    let _third = FakeTemporal::listen(new(), None, address).await;
    assert_eq!(records(&until(true).await), ["a"]);
    let said = log.text();
    assert_eq!(said.matches("the server does not list workers").count(), 1, "{said}");
    assert_eq!(said.matches("lists workers with their heartbeats again").count(), 1, "{said}");
}
