//! Who the workers are: one file per way. Each sends its FULL set, so that the vanished vanish.

mod dns_sd;
pub mod file_sd;
pub mod fixed;
pub mod http_sd;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use verdict::evidence::WorkerKey;

use self::http_sd::Fetch;
use crate::config::{Detail, HttpTarget, Source, Targets};

/// A way that has found nothing by then, since its server does not answer, holds up the others no longer.
const FIRST: Duration = Duration::from_secs(15);

/// The full set of targets of one source, by whatever way they were found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Configured name of the source.
    pub source: Arc<str>,
    /// All of them.
    pub targets: Vec<HttpTarget>,
    /// Workers that are looked at by themselves and have no address.
    pub workers: Vec<WorkerKey>,
}

/// Finds the targets of a source for as long as `cancel` allows, on tasks of `tasks`: the full set at once, and
/// again after each change. `None` for a source that finds its workers itself.
pub fn watch(
    source: &Source,
    tasks: &TaskTracker,
    cancel: CancellationToken,
    fetch: Arc<dyn Fetch>,
) -> Option<mpsc::Receiver<Found>> {
    let (sender, receiver) = mpsc::channel(4);
    if let Detail::Process(process) = &source.detail {
        let workers = fixed::workers(process);
        let found = Found { source: Arc::clone(&source.name), targets: Vec::new(), workers };
        // The channel is empty, and what the file says does not change before the next file.
        let _ = sender.try_send(found);
        return Some(receiver);
    }
    let targets = source.detail.targets()?.clone();
    let (sets, found) = mpsc::channel(4);
    let fleet = source.fleet.clone().unwrap_or_else(|| Arc::clone(&source.name));
    let mut ways = 0;
    let mut report = || {
        ways += 1;
        Report { way: ways - 1, source: Arc::clone(&source.name), fleet: Arc::clone(&fleet), sets: sets.clone() }
    };
    if !targets.file_sd.is_empty() {
        tasks.spawn(file_sd::run(targets.clone(), report(), cancel.clone()));
    }
    if let Some(sd) = &targets.http_sd {
        tasks.spawn(http_sd::run(targets.clone(), sd.clone(), fetch, report(), cancel.clone()));
    }
    if let Some(sd) = &targets.dns_sd {
        tasks.spawn(dns_sd::run(targets.clone(), sd.clone(), report(), cancel.clone()));
    }
    let merged = merge(Arc::clone(&source.name), targets, ways, found, sender);
    tasks.spawn(async move {
        // Held until the end, so that a source with none but fixed targets goes on.
        let _sets = sets;
        let _ = cancel.run_until_cancelled(merged).await;
    });
    Some(receiver)
}

/// Where a way sends its full sets.
#[derive(Clone)]
struct Report {
    way: usize,
    source: Arc<str>,
    /// Of those who name no other.
    fleet: Arc<str>,
    sets: mpsc::Sender<(usize, Vec<HttpTarget>)>,
}

impl Report {
    /// `false` when nobody listens any more.
    async fn send(&self, targets: Vec<HttpTarget>) -> bool {
        self.sets.send((self.way, targets)).await.is_ok()
    }
}

/// The last full set of each way becomes one. The first is sent when each way has found something, or after a while.
async fn merge(
    source: Arc<str>,
    targets: Targets,
    ways: usize,
    mut sets: mpsc::Receiver<(usize, Vec<HttpTarget>)>,
    sender: mpsc::Sender<Found>,
) {
    let first = Instant::now() + FIRST;
    let mut found: Vec<Option<Vec<HttpTarget>>> = vec![None; ways];
    let mut last: Option<Vec<HttpTarget>> = None;
    loop {
        let late = Instant::now() >= first;
        if late || found.iter().all(Option::is_some) {
            let all = all(&targets, &found);
            if last.as_ref() != Some(&all) {
                last = Some(all.clone());
                if sender.send(Found { source: Arc::clone(&source), targets: all, workers: Vec::new() }).await.is_err()
                {
                    return;
                }
            }
        }
        tokio::select! {
            set = sets.recv() => {
                let Some((way, set)) = set else { return };
                if let Some(place) = found.get_mut(way) {
                    *place = Some(set);
                }
            }
            () = tokio::time::sleep_until(first), if !late => {}
        }
    }
}

/// All targets. Where two carry the same fleet and id the first one counts: the configuration before files, files before
/// the web, the web before DNS.
fn all(targets: &Targets, found: &[Option<Vec<HttpTarget>>]) -> Vec<HttpTarget> {
    let mut seen = BTreeSet::new();
    fixed::targets(targets)
        .into_iter()
        .chain(found.iter().flatten().flatten().cloned())
        .filter(|target| seen.insert((Arc::clone(&target.fleet), Arc::clone(&target.id))))
        .collect()
}

/// What was last said in the log of one way, so that it is said once.
#[derive(Default)]
struct Told(String);

impl Told {
    /// Says `what` when it is new. Empty is: all is well.
    fn say(&mut self, source: &str, way: &str, what: String) {
        if what == self.0 {
            return;
        }
        if what.is_empty() {
            tracing::info!(source, way, "discovery is good again");
        } else {
            tracing::warn!(source, way, "discovery: {what}");
        }
        self.0 = what;
    }
}
