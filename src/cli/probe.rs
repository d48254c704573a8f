//! `probe WORKER`: looks at one worker now, by the same sources and the same ledger as `serve`, and prints what
//! comes of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;
use verdict::rules::Rulebook;
use verdict::snapshot::{Snapshot, WorkerView};

use super::explain::{self, Depth};
use super::flags::ConfigFlags;
use super::{Failed, load, runtime, say, say_error};
use crate::app::engine::Engine;
use crate::config::{Detail, Settings, Source};
use crate::fleet::{Clock, Readiness};
use crate::logging;

/// A verdict that is still open by then is printed as it is.
const WITHIN: Duration = Duration::from_secs(10);

/// A worker that no source shows this long after all of them were tried is not there.
const MISSING_AFTER: Duration = Duration::from_secs(2);

/// Between two glances at the present, which the engine publishes five times a second.
const GLANCE: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, Args)]
pub(super) struct ProbeFlags {
    /// Its id.
    #[arg(value_name = "WORKER")]
    worker: String,
    /// Its fleet, where several have a worker of this id.
    #[arg(long, value_name = "FLEET")]
    fleet: Option<String>,
    /// Tell the limits too, and what would change the state.
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

pub(super) fn run(flags: &ProbeFlags) -> Result<(), Failed> {
    let (settings, _load) = load::first(&flags.config)?;
    let _log = logging::start(logging::Level::Error, logging::Format::Logfmt, logging::FEW_LINES);
    let wanted = Wanted { worker: &flags.worker, fleet: flags.fleet.as_deref() };
    let depth = if flags.explain { Depth::Limits } else { Depth::Finding };
    let configured = names(&settings);
    let runtime = runtime()?;
    let text = runtime.block_on(async {
        let (latch, readiness) = Readiness::latched();
        let clock = Clock::start();
        let engine = Engine::start(narrowed(settings, &wanted), &latch, clock)
            .await
            .map_err(|error| Failed::Run(format!("the system does not let this program start: {error}")))?;
        drop(latch);
        let outcome = watch(&engine, &readiness, &wanted, &configured).await;
        let text = outcome.map(|worker| explain::text(&worker, depth, clock.wall()));
        engine.stop().await;
        text
    })?;
    runtime.shutdown_background();
    say(text.trim_end());
    Ok(())
}

/// Which worker.
struct Wanted<'a> {
    worker: &'a str,
    fleet: Option<&'a str>,
}

impl Wanted<'_> {
    fn is(&self, fleet: &str, worker: &str) -> bool {
        worker == self.worker && self.fleet.is_none_or(|wanted| wanted == fleet)
    }

    fn among<'a>(&self, snapshot: &'a Snapshot) -> Vec<&'a WorkerView> {
        snapshot.workers.iter().filter(|worker| self.is(&worker.key.fleet, &worker.key.worker)).collect()
    }
}

/// Waits until the worker's verdict is closed, telling each step.
async fn watch(
    engine: &Engine,
    readiness: &Readiness,
    wanted: &Wanted<'_>,
    configured: &BTreeSet<String>,
) -> Result<WorkerView, Failed> {
    let begun = Instant::now();
    let present = engine.present();
    let mut told = None;
    let mut ready_since = None;
    loop {
        let snapshot = present.load_full();
        let late = begun.elapsed() >= WITHIN;
        match wanted.among(&snapshot).as_slice() {
            [] => {
                if ready_since.is_none() && readiness.is_ready() {
                    ready_since = Some(Instant::now());
                }
                if late || ready_since.is_some_and(|since| since.elapsed() >= MISSING_AFTER) {
                    return Err(Failed::Run(missing(wanted, &snapshot, configured)));
                }
            }
            [worker] => {
                if told != Some((worker.state, worker.reason)) {
                    told = Some((worker.state, worker.reason));
                    let after = begun.elapsed().as_secs_f64();
                    say_error(&format!("after {after:4.1} s: {}, {}", worker.state, worker.reason));
                }
                if late || !explain::is_open(worker.state) {
                    return Ok((*worker).clone());
                }
            }
            several => {
                let fleets: Vec<&str> = several.iter().map(|worker| &*worker.key.fleet).collect();
                return Err(Failed::Run(format!(
                    "several fleets have a worker {:?}: {}\n  hint: say which with --fleet",
                    wanted.worker,
                    fleets.join(", ")
                )));
            }
        }
        tokio::time::sleep(GLANCE).await;
    }
}

fn missing(wanted: &Wanted<'_>, snapshot: &Snapshot, configured: &BTreeSet<String>) -> String {
    let mut names = configured.clone();
    names.extend(snapshot.workers.iter().map(|worker| worker.key.worker.to_string()));
    let fleet = wanted.fleet.map(|fleet| format!(" in fleet {fleet:?}")).unwrap_or_default();
    let mut text = format!("no source shows a worker {:?}{fleet}", wanted.worker);
    for source in &snapshot.sources {
        if let Some(failure) = source.failure {
            text.push_str(&format!("\n  source {} fails, {failure}: {}", source.source, failure.meaning()));
        }
    }
    let close = explain::close_names(wanted.worker, names.iter().map(String::as_str));
    if close.is_empty() {
        text.push_str(&format!("\n  hint: {} workers are known; GET /health/workers lists them", names.len()));
    } else {
        text.push_str(&format!("\n  hint: did you mean {}?", close.join(", ")));
    }
    text
}

/// Workers that the file names.
fn names(settings: &Settings) -> BTreeSet<String> {
    let targets = settings.sources.iter().filter_map(|source| source.detail.targets());
    let targets = targets.flat_map(|targets| &targets.fixed).map(|target| target.id.to_string());
    let processes = settings.sources.iter().filter_map(|source| match &source.detail {
        Detail::Process(process) => Some(&process.workers),
        _ => None,
    });
    targets.chain(processes.flatten().map(|worker| worker.id.to_string())).collect()
}

/// Only what can show the worker: nobody else's endpoint is asked for the sake of one. Where the file names it, its
/// own target, and the sources that may show it too because they join records by host and process.
fn narrowed(mut settings: Settings, wanted: &Wanted<'_>) -> Settings {
    for source in &mut settings.sources {
        if let Some(targets) = source.detail.targets_mut() {
            targets.fixed.retain(|target| wanted.is(&target.fleet, &target.id));
        }
        if let Detail::Process(process) = &mut source.detail {
            // One process among several that join records may be the worker under another name.
            let may_be = source.match_host_pid;
            process.workers.retain(|worker| may_be || wanted.is(&worker.fleet, &worker.id));
        }
    }
    let is_named = |source: &Source| match &source.detail {
        Detail::Process(process) => process.workers.iter().any(|worker| wanted.is(&worker.fleet, &worker.id)),
        detail => detail.targets().is_some_and(|targets| !targets.fixed.is_empty()),
    };
    let named = settings.sources.iter().any(is_named);
    settings.sources.retain(|source| match &source.detail {
        Detail::Process(process) => !process.workers.is_empty(),
        _ => true,
    });
    settings.sources.retain_mut(|source| match source.detail.targets_mut() {
        Some(targets) if named => {
            targets.forget_lists();
            !targets.fixed.is_empty()
        }
        Some(targets) => targets.has_lists(),
        None => !named || source.match_host_pid || matches!(source.detail, Detail::Process(_)),
    });
    let kept = |name: &Arc<str>| settings.sources.iter().any(|source| source.name == *name);
    let mut rulebook = Rulebook::clone(&settings.rulebook);
    rulebook.sources.retain(|source| kept(&source.name));
    settings.rulebook = Arc::new(rulebook);
    settings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::{HttpSource, HttpTarget, RedisSource};

    fn source(name: &str, detail: Detail) -> Source {
        Source {
            name: name.into(),
            fleet: None,
            timeout: Duration::from_secs(1),
            minimum_interval: Duration::from_secs(1),
            maximum_interval: Duration::from_secs(30),
            match_host_pid: false,
            detail,
        }
    }

    fn http(targets: &[(&str, &str)]) -> Detail {
        let target = |(fleet, id): &(&str, &str)| HttpTarget {
            id: (*id).into(),
            fleet: (*fleet).into(),
            url: "http://127.0.0.1:1/health".parse().unwrap(),
            access: None,
        };
        Detail::Http(HttpSource::of(targets.iter().map(target).collect()))
    }

    fn redis() -> Detail {
        Detail::Redis(RedisSource::at("redis://127.0.0.1/".parse().unwrap()))
    }

    fn settings() -> Settings {
        Settings {
            rulebook: Arc::default(),
            sources: vec![source("web", http(&[("a", "w-1"), ("b", "w-1"), ("a", "w-2")])), source("beats", redis())],
            concurrency: 1,
            shown: String::new(),
        }
    }

    fn left(settings: &Settings) -> Vec<(&str, usize)> {
        let count = |source: &Source| source.detail.targets().map_or(0, |targets| targets.fixed.len());
        settings.sources.iter().map(|source| (&*source.name, count(source))).collect()
    }

    #[test]
    fn only_the_target_of_the_worker_is_asked() {
        let narrow = narrowed(settings(), &Wanted { worker: "w-2", fleet: None });
        assert_eq!(left(&narrow), [("web", 1)]);
    }

    #[test]
    fn the_fleet_tells_two_workers_of_one_id_apart() {
        assert_eq!(left(&narrowed(settings(), &Wanted { worker: "w-1", fleet: None })), [("web", 2)]);
        assert_eq!(left(&narrowed(settings(), &Wanted { worker: "w-1", fleet: Some("b") })), [("web", 1)]);
    }

    #[test]
    fn a_worker_that_the_file_does_not_name_is_sought_in_the_sources_that_list_their_own() {
        let narrow = narrowed(settings(), &Wanted { worker: "other", fleet: None });
        assert_eq!(left(&narrow), [("beats", 0)]);
    }

    #[test]
    fn a_worker_that_is_not_there_is_answered_with_close_names_and_with_what_fails() {
        let wanted = Wanted { worker: "w-3", fleet: None };
        let text = missing(&wanted, &Snapshot::default(), &names(&settings()));
        assert_eq!(text, "no source shows a worker \"w-3\"\n  hint: did you mean w-1, w-2?");
    }
}
