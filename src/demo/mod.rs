//! A fleet in this process: thirty simulated workers, each a real HTTP server on loopback with a scripted life, watched
//! through the ordinary HTTP source. Nothing else in the program knows that they are not real.

mod lives;
mod serve;
mod shapes;

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;
use verdict::rules::{Page, Rulebook, Rules, SourceRules, Threshold};
use verdict::time::WallTime;
use verdict::words::SourceKind;

use self::lives::{BEAT, Life};
use self::shapes::Shape;
use crate::config::{Detail, HttpSource, HttpTarget, Settings, Source};

/// The deadline of a look: a slow worker answers at 60 % of it.
const DEADLINE: Duration = Duration::from_secs(1);
/// Looks are this frequent, so that a death shows within seconds.
const LOOK: Duration = Duration::from_secs(1);

/// A simulated worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Simulated {
    fleet: &'static str,
    id: &'static str,
    pub(crate) life: Life,
}

/// The fleets: name, team, the shape in which its workers write their health.
const FLEETS: [(&str, &str, Shape); 5] = [
    ("checkout", "payments", Shape::Spring),
    ("emails", "growth", Shape::FastApi),
    ("thumbnails", "media", Shape::HealthJson),
    ("gpu-render", "media", Shape::Gpu),
    ("nightly", "data", Shape::Alive),
];

const fn worker(fleet: &'static str, id: &'static str, life: Life) -> Simulated {
    Simulated { fleet, id, life }
}

/// All workers. Most of them live quietly, as in a real fleet.
pub(crate) const WORKERS: [Simulated; 30] = [
    worker("checkout", "checkout-1", Life::Steady),
    worker("checkout", "checkout-2", Life::Steady),
    worker("checkout", "checkout-3", Life::Dies),
    worker("checkout", "checkout-4", Life::Steady),
    worker("checkout", "checkout-5", Life::Steady),
    worker("checkout", "checkout-6", Life::Slow),
    worker("checkout", "checkout-7", Life::Steady),
    worker("checkout", "checkout-8", Life::Steady),
    worker("emails", "emails-1", Life::Steady),
    worker("emails", "emails-2", Life::Hangs),
    worker("emails", "emails-3", Life::Steady),
    worker("emails", "emails-4", Life::FailsTasks),
    worker("emails", "emails-5", Life::Steady),
    worker("emails", "emails-6", Life::Drains),
    worker("emails", "emails-7", Life::Steady),
    worker("emails", "emails-8", Life::Steady),
    worker("thumbnails", "thumbnails-1", Life::Steady),
    worker("thumbnails", "thumbnails-2", Life::Leaks),
    worker("thumbnails", "thumbnails-3", Life::Steady),
    worker("thumbnails", "thumbnails-4", Life::Steady),
    worker("thumbnails", "thumbnails-5", Life::Stuck),
    worker("thumbnails", "thumbnails-6", Life::Steady),
    worker("gpu-render", "gpu-render-1", Life::Steady),
    worker("gpu-render", "gpu-render-2", Life::LoadsModel),
    worker("gpu-render", "gpu-render-3", Life::Steady),
    worker("gpu-render", "gpu-render-4", Life::LoopDies),
    worker("nightly", "nightly-1", Life::Steady),
    worker("nightly", "nightly-2", Life::NeverBeats),
    worker("nightly", "nightly-3", Life::LiesUnhealthy),
    worker("nightly", "nightly-4", Life::Flaps),
];

/// Starts the simulated workers and says how to watch them. They end with `cancel`.
///
/// # Errors
/// When loopback has no port left to listen on.
pub async fn start(cancel: CancellationToken) -> std::io::Result<Settings> {
    let stage = Arc::new(serve::Stage { clock: Instant::now(), ahead: Duration::ZERO, started: wall() });
    let mut targets: HashMap<&str, Vec<HttpTarget>> = HashMap::new();
    for (number, simulated) in (0_u32..).zip(WORKERS) {
        let Some((_, _, shape)) = FLEETS.iter().find(|(fleet, _, _)| *fleet == simulated.fleet) else { continue };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let url = Url::parse(&format!("http://{address}/health")).map_err(std::io::Error::other)?;
        let target = HttpTarget { id: simulated.id.into(), fleet: simulated.fleet.into(), url, access: None };
        targets.entry(simulated.fleet).or_default().push(target);
        let actor = serve::Actor { simulated, number, shape: *shape, address, stage: Arc::clone(&stage) };
        tokio::spawn(cancel.clone().run_until_cancelled_owned(serve::live(actor, listener)));
    }
    Ok(settings(targets))
}

fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn settings(mut targets: HashMap<&str, Vec<HttpTarget>>) -> Settings {
    let mut sources = Vec::new();
    let mut rulebook = Rulebook { default: rules(""), ..Rulebook::default() };
    let (mut shown_fleets, mut shown_sources) = (String::new(), String::new());
    for (fleet, team, shape) in FLEETS {
        let targets = targets.remove(fleet).unwrap_or_default();
        let fleet: Arc<str> = fleet.into();
        let expected_workers = u64::try_from(targets.len()).ok();
        rulebook.fleets.insert(Arc::clone(&fleet), Rules { expected_workers, ..rules(team) });
        rulebook.sources.push(SourceRules {
            name: Arc::clone(&fleet),
            kind: SourceKind::Http,
            namespace: "".into(),
            minimum_interval: LOOK,
            maximum_interval: BEAT,
            watch: Vec::new(),
        });
        let count = targets.len();
        shown_fleets += &format!("  - {{name: {fleet}, team: {team}, expected_workers: {count}}}\n");
        shown_sources += &format!("  - name: {fleet}\n    kind: http\n    fleet: {fleet}\n    timeout: 1s\n");
        shown_sources += "    minimum_interval: 1s\n    maximum_interval: 2s\n    targets:\n";
        for target in &targets {
            shown_sources += &format!("      - {{id: {}, url: \"{}\"}}\n", target.id, target.url);
        }
        for (place, (name, pointer)) in fields(shape).iter().enumerate() {
            shown_sources += if place == 0 { "    fields:\n" } else { "" };
            shown_sources += &format!("      {name}: {pointer}\n");
        }
        sources.push(Source {
            name: Arc::clone(&fleet),
            fleet: Some(fleet),
            timeout: DEADLINE,
            minimum_interval: LOOK,
            maximum_interval: BEAT,
            match_host_pid: false,
            detail: Detail::Http(HttpSource { fields: fields(shape), ..HttpSource::of(targets) }),
        });
    }
    let shown = format!("{SHOWN_DEFAULTS}fleets:\n{shown_fleets}sources:\n{shown_sources}");
    Settings { rulebook: Arc::new(rulebook), sources, concurrency: WORKERS.len(), shown }
}

/// Spring hides a component's figures two levels down: JSON pointers find them.
fn fields(shape: Shape) -> BTreeMap<String, String> {
    let pointed = [
        "last_heartbeat",
        "host",
        "pid",
        "tasks_total",
        "tasks_failed",
        "in_flight",
        "waiting",
        "cpu_percent",
        "memory_percent",
        "memory_bytes",
        "memory_limit_bytes",
        "disk_percent",
        "started_at",
        "build_id",
    ];
    match shape {
        Shape::Spring => {
            pointed.iter().map(|name| ((*name).to_owned(), format!("/components/worker/details/{name}"))).collect()
        }
        Shape::FastApi | Shape::HealthJson | Shape::Gpu | Shape::Alive => BTreeMap::new(),
    }
}

/// What [`rules`] would be in a file.
const SHOWN_DEFAULTS: &str = "\
# The demo: workers simulated in this process.
global:
  concurrency: 30
defaults:
  heartbeat_interval: 2s
  start_grace: 15s
  drain_limit: 1m
  tombstone: 10m
  no_progress: {warning: 10s, critical: 20s}
  waiting_age: 5s
";

/// Shorter than the defaults, so that a minute shows what takes an hour elsewhere.
fn rules(team: &str) -> Rules {
    Rules {
        page: Page::Worker,
        team: team.into(),
        heartbeat_interval: Some(BEAT),
        start_grace: Duration::from_secs(15),
        drain_limit: Duration::from_secs(60),
        tombstone: Duration::from_secs(10 * 60),
        no_progress: Threshold { warning: 10.0, critical: 20.0 },
        waiting_age: Duration::from_secs(5),
        ..Rules::default()
    }
}

#[cfg(test)]
mod tests;
