//! Processes of this machine: whether they are there, in which state, and what they use of what they may use.
//!
//! `inspect` finds a worker's process and reads it, with `census` (all processes), `group` (control groups) and `machine`
//! (where the kernel shows both); `gpu` asks the driver. All of that may block and is done in a `lane`.

mod census;
mod gpu;
mod group;
mod inspect;
mod lane;
mod machine;
mod nvml;

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use verdict::evidence::{Observation, Part, Report, Scope, Slot, WorkerKey};
use verdict::words::Failure;

pub use self::machine::Machine;

use self::gpu::Gpus;
use self::inspect::{Inspection, Inspector, Past};
use self::lane::{Lane, Road};
use super::Observe;
use crate::config::{self, Locate};

/// What is read beside the process itself gets this share of the deadline, so that a disk or a driver that hangs leaves
/// time to say all the rest.
const ASIDE: f64 = 0.8;

/// One configured source of processes.
pub struct ProcessSource {
    name: Arc<str>,
    timeout: Duration,
    /// The name of this machine, where workers are joined with those of other sources.
    joined: bool,
    host: Option<Arc<str>>,
    workers: HashMap<WorkerKey, Watched>,
    inspector: Arc<Inspector>,
    gpus: Option<Arc<Gpus>>,
    /// What the last look at each worker came to, so that the log has one line per change and not one per look.
    told: Mutex<HashMap<WorkerKey, Option<Failure>>>,
}

struct Watched {
    locate: Locate,
    process: Lane,
    disk: Lane,
    past: Arc<Mutex<Past>>,
    /// It used a GPU at the last look.
    has_gpu: AtomicBool,
}

impl ProcessSource {
    /// The source `source`, whose particulars are `process`.
    #[must_use]
    pub fn new(source: &config::Source, process: &config::ProcessSource) -> Self {
        let gpus = process.gpu.then(Gpus::of_this_machine);
        Self::with(source, process, gpus)
    }

    fn with(source: &config::Source, process: &config::ProcessSource, gpus: Option<Arc<Gpus>>) -> Self {
        let machine = Machine::at(process.proc.clone(), process.cgroups.clone());
        let road = Road::default();
        let watched = |worker: &config::ProcessWorker| Watched {
            locate: worker.locate.clone(),
            process: Lane::new(&road),
            disk: Lane::new(&road),
            past: Arc::default(),
            has_gpu: AtomicBool::new(false),
        };
        let workers = process
            .workers
            .iter()
            .map(|worker| (WorkerKey::new(Arc::clone(&worker.fleet), Arc::clone(&worker.id)), watched(worker)))
            .collect();
        Self {
            name: Arc::clone(&source.name),
            timeout: source.timeout,
            joined: source.match_host_pid,
            host: process.host.clone().or_else(|| machine.host_name()),
            workers,
            inspector: Arc::new(Inspector::new(machine)),
            gpus,
            told: Mutex::default(),
        }
    }

    async fn look_at(&self, key: &WorkerKey) -> Result<Report, Failure> {
        let watched = self.workers.get(key).ok_or(Failure::NotFound)?;
        let began = Instant::now();
        let inspected = self.inspect(watched).await;
        self.tell(key, inspected.as_ref().err().copied());
        let inspection = inspected?;
        let mut observation =
            Observation::new(format!("{}/{}", key.fleet, key.worker), Slot { key: key.clone(), exclusive: true });
        observation.host = Some(inspection.host);
        observation.numbers = inspection.numbers;
        observation.unread = inspection.unread;
        observation.notes = inspection.notes;
        if let Some(incarnation) = inspection.incarnation {
            let pid = incarnation.pid.to_string();
            if let (true, Some(host)) = (self.joined, &self.host) {
                observation.alias = Some(Arc::from(format!("{host}/{pid}")));
            }
            observation.info.pid = Some(Arc::from(pid));
            observation.info.start_time = incarnation.start_time;
            let left = self.timeout.mul_f64(ASIDE).saturating_sub(began.elapsed());
            let (disk, gpu) =
                tokio::join!(self.disk(watched, incarnation.pid, left), self.gpu(watched, &inspection.pids, left));
            self.put(key, &mut observation, Part::Disk, disk);
            self.put(key, &mut observation, Part::Gpu, gpu);
        }
        observation.info.host.clone_from(&self.host);
        Ok(Report::Worker(Box::new(observation)))
    }

    async fn inspect(&self, watched: &Watched) -> Result<Inspection, Failure> {
        let (inspector, locate) = (Arc::clone(&self.inspector), watched.locate.clone());
        let past = Arc::clone(&watched.past);
        let work = move || {
            // Held for the whole look: one lane, one look at a time.
            let mut past = past.lock().unwrap_or_else(PoisonError::into_inner);
            let inspection = inspector.inspect(&locate, past.clone())?;
            past.clone_from(&inspection.past);
            Ok(inspection)
        };
        watched.process.run(self.timeout, work).await?
    }

    /// How full the disk is that the process works on.
    async fn disk(&self, watched: &Watched, pid: u32, within: Duration) -> Result<Filled, Failure> {
        // Through the link itself: the path that it shows may be another file system's in our own view.
        let folder = self.inspector.machine().path(pid, "cwd");
        let disk = watched.disk.run(within, move || fill(&folder)).await??;
        Ok(Box::new(move |observation: &mut Observation| observation.numbers.disk_ratio = disk))
    }

    async fn gpu(&self, watched: &Watched, pids: &[u32], within: Duration) -> Result<Filled, Failure> {
        let devices = match &self.gpus {
            Some(gpus) => gpus.read(within).await?,
            None => None,
        };
        let used = devices.map(|devices| gpu::of_worker(&devices, pids)).unwrap_or_default();
        let uses = !used.notes.is_empty();
        let ended = watched.has_gpu.swap(uses, Ordering::Relaxed) && !uses;
        Ok(Box::new(move |observation: &mut Observation| {
            observation.unread.extend(ended.then_some((Part::Gpu, None)));
            observation.numbers.gpu_ratio = used.busy;
            observation.numbers.gpu_memory_ratio = used.memory;
            observation.notes.extend(used.notes);
        }))
    }

    /// Puts a part of the figures into the observation, or says why it is not there.
    fn put(&self, key: &WorkerKey, observation: &mut Observation, part: Part, read: Result<Filled, Failure>) {
        match read {
            Ok(put) => put(observation),
            // Whose working directory we may not see we were not meant to see: no failure at each look for ever.
            Err(Failure::PermissionDenied) if part == Part::Disk => {
                observation.notes.push("its working directory is not shown to us, nor how full its disk is".into());
            }
            Err(failure) => {
                let (source, fleet, worker) = (&*self.name, &*key.fleet, &*key.worker);
                let (word, reason) = (part.word(), failure.word());
                tracing::debug!(source, fleet, worker, part = word, reason, "a part of its figures could not be read");
                observation.notes.push(format!("{word} could not be read: {reason}, {}", failure.meaning()).into());
                observation.unread.push((part, Some(failure)));
            }
        }
    }

    /// One log line per worker and change of reason.
    fn tell(&self, key: &WorkerKey, now: Option<Failure>) {
        let before = self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), now).flatten();
        if before == now {
            return;
        }
        let (source, fleet, worker) = (&*self.name, &*key.fleet, &*key.worker);
        match now {
            Some(reason) => {
                tracing::warn!(source, fleet, worker, reason = reason.word(), "process: {}", reason.meaning());
            }
            None => tracing::info!(source, fleet, worker, reason = "ok", "process: can be looked at again"),
        }
    }
}

/// Puts what was read where it belongs.
type Filled = Box<dyn FnOnce(&mut Observation) + Send>;

/// Used space of what an ordinary user could use, as `df` says it; `None` for a file system without blocks.
fn fill(folder: &Path) -> Result<Option<f64>, Failure> {
    let disk = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk,
        // It ended since it was looked at: the next look says so.
        Err(Errno::NOENT | Errno::SRCH) => return Ok(None),
        Err(error) => return Err(machine::failure(&error.into())),
    };
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    let usable = used.saturating_add(disk.f_bavail);
    #[expect(clippy::cast_precision_loss, reason = "a ratio of block counts")]
    Ok((usable > 0).then(|| used as f64 / usable as f64))
}

impl Observe for ProcessSource {
    fn look<'a>(&'a self, scope: &'a Scope) -> Pin<Box<dyn Future<Output = Result<Report, Failure>> + Send + 'a>> {
        Box::pin(async move {
            match scope {
                Scope::Worker(key) => self.look_at(key).await,
                // Its workers are those that the configuration names.
                Scope::Listing | Scope::Queue(_) => Err(Failure::Unimplemented),
            }
        })
    }
}

#[cfg(test)]
mod tests;
