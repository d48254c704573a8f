//! The simulated workers, asked over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// The smallest HTTP client there is: the code, the content type and the body, or the error of the connection.
async fn get(target: &HttpTarget) -> std::io::Result<(u16, String, Value)> {
    let port = target.url.port().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    let kind = head.lines().find_map(|line| line.strip_prefix("Content-Type: ")).unwrap();
    Ok((code, kind.to_owned(), serde_json::from_str(body).unwrap()))
}

fn targets(settings: &Settings) -> Vec<HttpTarget> {
    let of = |source: &Source| match &source.detail {
        Detail::Http(http) => http.targets.fixed.clone(),
        other => panic!("not HTTP: {other:?}"),
    };
    settings.sources.iter().flat_map(of).collect()
}

fn target(settings: &Settings, id: &str) -> HttpTarget {
    targets(settings).into_iter().find(|target| &*target.id == id).unwrap()
}

#[tokio::test]
async fn every_worker_answers_in_the_shape_of_its_fleet_as_soon_as_the_demo_has_started() {
    let cancel = CancellationToken::new();
    let settings = start(cancel.clone()).await.unwrap();
    let all = targets(&settings);
    assert_eq!(all.len(), WORKERS.len());
    for target in &all {
        let (code, kind, body) = get(target).await.unwrap_or_else(|error| panic!("{}: {error}", target.id));
        assert_eq!(code, 200, "{}", target.id);
        match &*target.fleet {
            "checkout" => {
                assert_eq!(kind, "application/vnd.spring-boot.actuator.v3+json");
                assert!(body["components"]["worker"]["details"]["tasks_total"].is_u64(), "{body}");
            }
            "emails" => assert_eq!((&body["worker"], &body["task_queue"]), (&"running".into(), &"emails".into())),
            "thumbnails" => assert_eq!((kind.as_str(), &body["status"]), ("application/health+json", &"pass".into())),
            "gpu-render" => assert!(body["gpu_utilization"].is_f64() && body["model_loaded"].is_boolean(), "{body}"),
            _ => assert!(body["alive"].is_boolean() && body["last_heartbeat"].is_f64(), "{body}"),
        }
    }
    let never = get(&target(&settings, "nightly-2")).await.unwrap().2;
    assert_eq!(never, serde_json::json!({"alive": false, "last_heartbeat": 0.0}));
    let loading = get(&target(&settings, "gpu-render-2")).await.unwrap().2;
    assert_eq!((&loading["status"], &loading["model_loaded"]), (&"starting".into(), &false.into()));
    cancel.cancel();
}

#[tokio::test]
async fn the_heartbeat_of_a_steady_worker_is_now_and_moves() {
    let cancel = CancellationToken::new();
    let settings = start(cancel.clone()).await.unwrap();
    let steady = target(&settings, "nightly-1");
    let beat = async || get(&steady).await.unwrap().2["last_heartbeat"].as_f64().unwrap();
    let first = beat().await;
    assert!((wall().seconds() - first).abs() < 5.0, "{first}");
    let give_up = Instant::now() + Duration::from_secs(10);
    while beat().await == first {
        assert!(Instant::now() < give_up, "it does not beat");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cancel.cancel();
}

/// A worker whose life is entered at a chosen second, on a real socket.
async fn staged(life: Life, second: u64) -> (HttpTarget, CancellationToken) {
    let cancel = CancellationToken::new();
    let ahead = Duration::from_secs(second);
    let stage = Arc::new(serve::Stage { clock: Instant::now(), ahead, started: wall() });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let simulated = Simulated { fleet: "f", id: "w", life };
    let actor = serve::Actor { simulated, number: 0, shape: Shape::FastApi, address, stage };
    tokio::spawn(cancel.clone().run_until_cancelled_owned(serve::live(actor, listener)));
    let url = Url::parse(&format!("http://{address}/health")).unwrap();
    (HttpTarget { id: "w".into(), fleet: "f".into(), url, access: None }, cancel)
}

#[tokio::test]
async fn a_dead_worker_refuses_connections_and_answers_again_on_the_same_port_when_it_is_back() {
    // Dies at 25 s, is back at 75 s.
    let (target, cancel) = staged(Life::Dies, 74).await;
    let give_up = Instant::now() + Duration::from_secs(10);
    let mut refused = 0;
    loop {
        match get(&target).await {
            Ok((_, _, body)) => {
                assert!(refused > 0, "it was dead before");
                assert_eq!(body["status"], "healthy");
                break;
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => refused += 1,
            // The listener was there for a moment before the life began.
            Err(_) => {}
        }
        assert!(Instant::now() < give_up, "it does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cancel.cancel();
}

#[tokio::test]
async fn a_hanging_worker_accepts_and_answers_nothing() {
    let (target, cancel) = staged(Life::Hangs, 60).await;
    let answer = tokio::time::timeout(Duration::from_millis(500), get(&target)).await;
    assert!(answer.is_err(), "{answer:?}");
    cancel.cancel();
}

#[tokio::test]
async fn a_slow_worker_takes_more_than_half_the_deadline_and_less_than_all() {
    let (target, cancel) = staged(Life::Slow, 60).await;
    let begun = Instant::now();
    get(&target).await.unwrap();
    assert!(begun.elapsed() > DEADLINE / 2, "{:?}", begun.elapsed());
    assert!(begun.elapsed() < DEADLINE * 2, "{:?}", begun.elapsed());
    cancel.cancel();
}

#[tokio::test]
async fn a_worker_that_goes_says_that_it_drains_and_the_liar_says_unhealthy_with_a_200() {
    let (target, cancel) = staged(Life::Drains, 90).await;
    assert_eq!(get(&target).await.unwrap().2["status"], "draining");
    cancel.cancel();
    let (target, cancel) = staged(Life::LiesUnhealthy, 50).await;
    let (code, _, body) = get(&target).await.unwrap();
    assert_eq!((code, &body["status"]), (200, &"UNHEALTHY".into()));
    cancel.cancel();
}

#[tokio::test]
async fn the_demo_ends_with_its_token() {
    let cancel = CancellationToken::new();
    let settings = start(cancel.clone()).await.unwrap();
    let steady = target(&settings, "checkout-1");
    get(&steady).await.unwrap();
    cancel.cancel();
    let give_up = Instant::now() + Duration::from_secs(10);
    while get(&steady).await.is_ok() {
        assert!(Instant::now() < give_up, "it still answers");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn every_fleet_is_named_in_the_rules_and_has_a_source() {
    let settings = settings(HashMap::new());
    for worker in WORKERS {
        assert!(settings.rulebook.fleets.contains_key(worker.fleet), "{}", worker.id);
        assert!(settings.sources.iter().any(|source| &*source.name == worker.fleet), "{}", worker.id);
    }
    assert_eq!(settings.rulebook.sources.len(), settings.sources.len());
}

/// What the ordinary HTTP reader makes of this life at this second, in this shape.
fn read(life: Life, shape: Shape, second: u64) -> verdict::read::health::HealthAnswer {
    let lives::Conduct::Answer(telling) = life.conduct(7, Duration::from_secs(second)) else { panic!("no answer") };
    let names = shapes::Names { fleet: "f", id: "w", number: 7, release: 1 };
    let (code, body) = shape.write(&names, &telling, WallTime::from_micros(1_764_000_000_000_000));
    let fields = verdict::read::health::Fields::new(fields(shape));
    verdict::read::health::read(code, Some(shape.content_type()), body.to_string().as_bytes(), &fields)
}

#[test]
fn the_ordinary_reader_understands_every_shape_of_a_healthy_worker_whole() {
    for (_, _, shape) in FLEETS {
        let answer = read(Life::Steady, shape, 61);
        assert_eq!(answer.says.overall, Some(verdict::evidence::Said::Up), "{shape:?}: {:?}", answer.says);
        assert!(!answer.says.contradiction && answer.says.unreadable.is_none(), "{shape:?}: {:?}", answer.says);
        let beat = answer.beat.expect("a heartbeat");
        assert_eq!(beat.stamp, Some(WallTime::from_micros(1_764_000_060_000_000)), "{shape:?}");
        assert!(beat.own_answer && !beat.on_trial, "{shape:?}");
        let n = answer.numbers;
        assert!(n.tasks_total > Some(1000) && n.tasks_failed.is_some() && n.in_flight > Some(0), "{shape:?}: {n:?}");
        assert!(n.waiting == Some(0) && n.cpu_ratio < Some(1.0) && n.memory_ratio > Some(0.3), "{shape:?}: {n:?}");
        assert!(n.memory_bytes < n.memory_limit_bytes && n.memory_bytes > Some(1 << 27), "{shape:?}: {n:?}");
        assert!(n.disk_ratio > Some(0.2) && n.disk_ratio < Some(0.8), "{shape:?}: {n:?}");
        assert!(answer.info.pid.is_some() && answer.info.host.is_some(), "{shape:?}: {:?}", answer.info);
        assert_eq!(answer.info.build_id.as_deref(), Some("2.1.0"), "{shape:?}");
        // A steady worker is entered two hours into its life, and was an hour old.
        assert_eq!(answer.info.start_time, Some(WallTime::from_micros(1_763_989_200_000_000)), "{shape:?}");
        if shape == Shape::Gpu {
            assert!(n.model == Some(verdict::evidence::Model::Loaded) && n.gpu_memory_ratio == Some(0.615), "{n:?}");
            assert!(n.gpu_ratio < Some(1.0), "{n:?}");
        }
    }
}

#[test]
fn the_ordinary_reader_hears_what_the_troubled_ones_say() {
    use verdict::evidence::Said;
    let liar = read(Life::LiesUnhealthy, Shape::Alive, 50).says;
    assert!(liar.overall == Some(Said::Down) && liar.contradiction, "{liar:?}");
    assert!(read(Life::Drains, Shape::FastApi, 90).says.goodbye);
    let never = read(Life::NeverBeats, Shape::Alive, 10);
    assert!(never.says.alive == Some(false) && never.beat.is_some_and(|beat| beat.mark.is_none()), "{never:?}");
    let loading = read(Life::LoadsModel, Shape::Gpu, 10);
    assert!(loading.says.starting && loading.numbers.model == Some(verdict::evidence::Model::Loading), "{loading:?}");
    let frozen = [110, 150].map(|second| read(Life::LoopDies, Shape::Gpu, second).beat.unwrap().stamp.unwrap());
    assert_eq!(frozen[0], frozen[1]);
    assert!(read(Life::Stuck, Shape::HealthJson, 100).numbers.waiting > Some(0));
}

#[tokio::test]
async fn what_is_shown_as_configuration_names_every_worker_at_its_address() {
    let cancel = CancellationToken::new();
    let settings = start(cancel.clone()).await.unwrap();
    for target in targets(&settings) {
        assert!(
            settings.shown.contains(&format!("{{id: {}, url: \"{}\"}}", target.id, target.url)),
            "{}",
            settings.shown
        );
    }
    assert!(settings.shown.contains("      waiting: /components/worker/details/waiting\n"), "{}", settings.shown);
    let no_variables = |_: &str| None::<String>;
    let loaded = crate::config::parse(settings.shown.as_bytes(), "demo", std::path::Path::new("/"), &no_variables);
    let loaded = loaded.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(loaded.sources, settings.sources);
    assert_eq!(loaded.rulebook, settings.rulebook);
    cancel.cancel();
}
