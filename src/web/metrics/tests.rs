#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at what it did not expect")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Read as _;
use std::sync::Arc;

use arc_swap::ArcSwap;
use flate2::read::GzDecoder;
use verdict::snapshot::Snapshot;
use verdict::time::WallTime;
use verdict::words::{Reason, State};

use super::table::{FAMILIES, Kind, Unit, WORKER_SERIES};
use super::{Live, Metrics, Process, write};
use crate::fleet::Clock;
use crate::web::negotiate::{Coding, Format};
use crate::web::sample;
use crate::web::site::ReloadStatus;

const RELOAD: ReloadStatus =
    ReloadStatus { successful: true, last_success: Some(WallTime::from_micros(1_700_000_000_000_000)) };

/// The whole exposition, with fixed figures of the process.
fn exposition(snapshot: Snapshot, format: Format) -> (String, u64) {
    let snapshot = Arc::new(snapshot);
    let mut text = String::new();
    let dropped = write::shared(&mut text, format, Arc::clone(&snapshot)).unwrap();
    let process = Process {
        cpu_seconds: 1.5,
        resident_bytes: 1 << 25,
        virtual_bytes: 1 << 30,
        start_time: 1_700_000_000,
        open_fds: Some(12),
        max_fds: Some(1024),
    };
    let live = Live { snapshot, reload: Arc::new(RELOAD), process: Some(process), series_dropped: dropped };
    write::own(&mut text, format, live).unwrap();
    (text, dropped)
}

fn series(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

fn only(worker: verdict::snapshot::WorkerView) -> Snapshot {
    Snapshot { workers: vec![worker], taken_wall: sample::NOW, ..Snapshot::default() }
}

#[test]
fn every_row_of_the_table_is_named_as_its_kind_and_unit_demand() {
    let mut names = HashSet::new();
    for family in FAMILIES {
        let name = family.name;
        assert!(names.insert(name), "{name} stands twice");
        assert_eq!(family.kind == Kind::Counter, name.ends_with("_total"), "{name}");
        assert_eq!(family.kind == Kind::Info, name.ends_with("_info"), "{name}");
        let stem = name.strip_suffix("_total").unwrap_or(name);
        let unit = [Unit::Seconds, Unit::Bytes, Unit::Ratio]
            .into_iter()
            .find(|unit| stem.strip_suffix(unit.suffix()).is_some_and(|rest| rest.ends_with('_')));
        assert_eq!(family.unit, unit, "{name}");
        assert!(
            ["worker_", "task_queue_", "temporal_", "process_"].iter().any(|stem| name.starts_with(stem)),
            "{name}"
        );
        // No help text needs escaping in either format, which differ in what they escape.
        assert!(!family.help.contains(['"', '\\', '\n']) && family.help.ends_with('.'), "{name}: {}", family.help);
        assert_eq!(family.labels.iter().collect::<HashSet<_>>().len(), family.labels.len(), "{name}");
    }
}

#[test]
fn every_family_is_filled_by_a_night_with_everything_in_it() {
    let (text, _) = exposition(sample::night(), Format::Text);
    for family in FAMILIES {
        assert!(text.contains(&format!("# TYPE {} ", family.name)), "nothing fills {}", family.name);
    }
}

#[test]
fn the_exposition_of_one_full_worker_is_as_written_down() {
    let (text, _) = exposition(only(sample::full("mail", "mail-1")), Format::OpenMetrics);
    insta::assert_snapshot!("openmetrics", text.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    let (text, _) = exposition(only(sample::full("mail", "mail-1")), Format::Text);
    insta::assert_snapshot!("text", text.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[test]
fn both_formats_have_the_same_series_and_end_as_they_must() {
    let (open, _) = exposition(sample::night(), Format::OpenMetrics);
    let (text, _) = exposition(sample::night(), Format::Text);
    assert_eq!(series(&open), series(&text));
    assert!(open.ends_with("\n# EOF\n") && open.matches("# EOF").count() == 1);
    assert!(!text.contains("# EOF") && !text.contains("# UNIT") && !text.contains(" info\n"));
    assert!(text.contains("# TYPE worker_info gauge\n") && text.contains("# TYPE worker_restarts_total counter\n"));
    assert!(open.contains("# TYPE worker info\n") && open.contains("# TYPE worker_restarts counter\n"));
}

#[test]
fn no_series_stands_twice_and_each_family_stands_together() {
    let (text, _) = exposition(sample::night(), Format::OpenMetrics);
    let mut seen = HashSet::new();
    for line in series(&text) {
        let (labels, value) = line.rsplit_once(' ').unwrap();
        assert!(seen.insert(labels), "{labels} stands twice");
        assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
    }
    let types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    assert_eq!(types.len(), types.iter().collect::<HashSet<_>>().len());
}

#[test]
fn a_name_that_an_attacker_chose_stays_inside_its_label() {
    let mut worker = sample::worker(sample::NAUGHTY, sample::NAUGHTY, State::Down, Reason::Stale);
    worker.info.host = Some(sample::NAUGHTY.into());
    let plain = series(&exposition(only(sample::worker("a", "b", State::Down, Reason::Stale)), Format::Text).0).len();
    for format in [Format::OpenMetrics, Format::Text] {
        let (text, _) = exposition(only(worker.clone()), format);
        assert_eq!(series(&text).len(), plain, "a line was injected");
        let escaped = sample::NAUGHTY.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        assert!(text.contains(&format!("worker_up{{fleet=\"{escaped}\",worker=\"{escaped}\"}} 0\n")), "{text}");
        assert!(text.contains(&format!("host=\"{escaped}\"")), "{text}");
    }
}

#[test]
fn up_is_one_zero_or_absent_and_exactly_one_state_is_one() {
    for (state, up) in [
        (State::Healthy, Some("1")),
        (State::Degraded, Some("1")),
        (State::Stuck, Some("1")),
        (State::Draining, Some("1")),
        (State::Down, Some("0")),
        (State::Unknown, None),
        (State::Starting, None),
    ] {
        let (text, _) = exposition(only(sample::worker("f", "w", state, Reason::Ok)), Format::Text);
        let of = |name: &str| -> BTreeMap<String, String> {
            let lines = series(&text).into_iter().filter(|line| line.starts_with(&format!("{name}{{")));
            lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        };
        assert_eq!(of("worker_up").values().next().map(String::as_str), up, "{state}");
        let states = of("worker_state");
        assert_eq!(states.len(), 7);
        let ones: Vec<&String> = states.iter().filter(|(_, value)| *value == "1").map(|(key, _)| key).collect();
        assert_eq!(ones, [&format!("worker_state{{fleet=\"f\",worker=\"w\",state=\"{state}\"}}")]);
    }
}

#[test]
fn what_is_not_known_has_no_series_and_what_is_no_number_neither() {
    let mut worker = sample::worker("f", "w", State::Unknown, Reason::NotLookedAt);
    worker.numbers.cpu_ratio = Some(f64::NAN);
    worker.clock_skew = Some(f64::INFINITY);
    let (text, _) = exposition(only(worker), Format::OpenMetrics);
    let names: BTreeSet<&str> = series(&text)
        .iter()
        .filter(|line| line.contains("worker=\"w\""))
        .map(|line| line.split('{').next().unwrap())
        .collect();
    let expected = [
        "worker_info",
        "worker_restarts_total",
        "worker_state",
        "worker_state_changes_total",
        "worker_state_reason",
        "worker_state_since_timestamp_seconds",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    assert!(!text.contains("worker_cpu_usage_ratio"), "a family without a series has no descriptor either");
}

#[test]
fn a_worker_has_at_most_its_share_of_series_and_what_is_left_out_is_counted() {
    let (text, dropped) = exposition(only(sample::full("mail", "mail-1")), Format::Text);
    let of = |name: &str| series(&text).iter().filter(|line| line.starts_with(&format!("{name}{{"))).count() as u64;
    let widest = FAMILIES.iter().filter(|family| family.subject() == "worker").map(|family| of(family.name)).max();
    assert_eq!(widest, Some(9), "the writer counts on this");
    let kept = series(&text).iter().filter(|line| line.contains("worker=\"mail-1\"")).count() as u64;
    assert!(kept <= WORKER_SERIES && kept + 9 > WORKER_SERIES, "{kept}");
    assert!(dropped > 0);
    assert!(text.contains(&format!("worker_exporter_series_dropped_total{{reason=\"worker_limit\"}} {dropped}\n")));
    // What is known of workers by one source at a time fits.
    let mut temporal = sample::full("mail", "mail-1");
    temporal.checks.truncate(5);
    temporal.types.truncate(2);
    temporal.numbers = verdict::snapshot::NumbersView {
        in_flight: Some(1),
        host_cpu_ratio: Some(0.1),
        host_memory_ratio: Some(0.1),
        ..Default::default()
    };
    assert_eq!(exposition(only(temporal), Format::Text).1, 0);
    let mut http = sample::full("mail", "mail-1");
    http.checks.retain(|check| !["queue_connection", "process"].contains(&check.check.word()));
    http.types.clear();
    http.info.start_time = None;
    (http.numbers.host_cpu_ratio, http.numbers.host_memory_ratio) = (None, None);
    assert_eq!(exposition(only(http), Format::Text).1, 0);
}

#[test]
fn states_and_outcomes_stand_at_zero_before_they_happen() {
    let snapshot = Snapshot {
        fleets: vec![sample::fleet("mail", [0; 7])],
        sources: vec![sample::source("s", verdict::words::SourceKind::Http)],
        ..Snapshot::default()
    };
    let (text, _) = exposition(snapshot, Format::Text);
    for state in State::ALL {
        assert!(text.contains(&format!("worker_fleet_workers{{fleet=\"mail\",state=\"{state}\"}} 0\n")));
    }
    assert!(text.contains("worker_fleet_tasks_total{fleet=\"mail\",task_type=\"activity\",outcome=\"failed\"} 0\n"));
    assert!(text.contains("worker_fleet_tasks_total{fleet=\"mail\",task_type=\"workflow\",outcome=\"completed\"} 0\n"));
    for reason in verdict::words::Failure::ALL {
        assert!(text.contains(&format!("worker_exporter_source_errors_total{{source=\"s\",reason=\"{reason}\"}} ")));
    }
}

fn unzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    // GzDecoder reads ONE member and stops, as some clients do.
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

/// What may differ between two scrapes of one snapshot is left out.
fn without_process(text: &str) -> Vec<&str> {
    let moves = |line: &str| line.contains("process_") || line.contains("series_dropped_total{");
    text.lines().filter(|line| !moves(line)).collect()
}

#[tokio::test]
async fn gzip_is_one_member_with_the_same_text_and_is_shared_until_the_snapshot_changes() {
    let present = Arc::new(ArcSwap::from_pointee(sample::night()));
    let metrics = Metrics::new(Clock::start());
    let reload = Arc::new(RELOAD);
    let body = |format, coding| metrics.body(&present, Arc::clone(&reload), format, coding);
    for format in [Format::OpenMetrics, Format::Text] {
        let plain = body(format, Coding::Identity).await.unwrap().chunks.concat();
        let zipped = body(format, Coding::Gzip).await.unwrap();
        let again = body(format, Coding::Gzip).await.unwrap();
        assert_eq!(zipped.chunks[1].as_ptr(), again.chunks[1].as_ptr(), "the shared part was rendered twice");
        let zipped = zipped.chunks.concat();
        assert!(zipped.len() * 4 < plain.len());
        assert_eq!(without_process(&unzip(&zipped)), without_process(std::str::from_utf8(&plain).unwrap()));
    }
}

#[tokio::test]
async fn a_frozen_snapshot_shows_and_a_new_one_is_rendered_anew() {
    let present = Arc::new(ArcSwap::from_pointee(sample::night()));
    let metrics = Metrics::new(Clock::start());
    let read = async || {
        let body = metrics.body(&present, Arc::new(RELOAD), Format::Text, Coding::Gzip).await.unwrap();
        unzip(&body.chunks.concat())
    };
    let first = read().await;
    let stamp = "worker_exporter_snapshot_timestamp_seconds 1800000000.0\n";
    assert!(first.contains(stamp) && read().await.contains(stamp));
    let mut next = sample::night();
    next.workers.clear();
    next.taken_wall = next.taken_wall + std::time::Duration::from_secs(60);
    present.store(Arc::new(next));
    // A rendering is shared for a while that depends on what it cost; at most five seconds.
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let text = read().await;
        // The stamp is always that of the snapshot that the rest shows.
        assert_eq!(text.contains(stamp), text.contains("worker=\"mail-3\""));
        if !text.contains(stamp) {
            break;
        }
        assert!(std::time::Instant::now() < patience, "the new snapshot is never shown");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_scrapers_at_once_cost_one_rendering() {
    let present = Arc::new(ArcSwap::from_pointee(sample::night()));
    let metrics = Arc::new(Metrics::new(Clock::start()));
    let scrapes = (0..20).map(|_| metrics.body(&present, Arc::new(RELOAD), Format::Text, Coding::Identity));
    let bodies = futures_util::future::join_all(scrapes).await;
    let parts: HashSet<*const u8> = bodies.into_iter().map(|body| body.unwrap().chunks[0].as_ptr()).collect();
    assert_eq!(parts.len(), 1);
}
