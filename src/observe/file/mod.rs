//! Source: file. Heartbeat files, the convention of workers without a port.
//!
//! One look lists the files of the patterns, and reads each. All of it blocks, so it runs aside from the runtime, at most
//! one thread for a source: a dead network mount holds that one and no other.

mod pattern;
pub(crate) mod sight;
mod walk;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use verdict::evidence::{Beat, Listing, Mark, Observation, Report, Scope, Slot, WorkerKey};
use verdict::words::Failure;

use self::pattern::Pattern;
use self::sight::{Links, Sight, Trouble, sight};
use self::walk::{Refusal, Walk, in_time};
use super::Observe;
use super::aside::Aside;
use crate::config::{self, HeartbeatFile};

/// Files that are named in the log after one look; more of the same tell nothing new.
const TOLD: usize = 5;

/// Heartbeat files.
#[derive(Debug)]
pub struct FileSource {
    name: Arc<str>,
    fleet: Arc<str>,
    timeout: Duration,
    aliases: Aliases,
    sought: Arc<Sought>,
    aside: Aside,
    memory: Mutex<Memory>,
}

/// Whether records are joined with those of other sources by host and process id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aliases {
    None,
    HostPid,
}

/// What one look reads.
#[derive(Debug)]
struct Sought {
    patterns: Vec<Pattern>,
    files: Vec<HeartbeatFile>,
}

/// What one look leaves behind for the next.
#[derive(Debug, Default)]
struct Memory {
    /// The first mark of each worker that the configuration names; `None` once it moved.
    first: HashMap<WorkerKey, Option<Option<Mark>>>,
    /// What was last complained of, so that the log says it once.
    refused: Option<String>,
    told: HashSet<String>,
}

/// Everything that one look brought.
#[derive(Default)]
struct Gathered {
    /// Of the files that the configuration names, by their place; `None` where there is no file.
    named: Vec<(usize, Option<Sight>)>,
    /// Of the files that patterns found, with the worker's id.
    found: Vec<(Arc<str>, PathBuf, Sight)>,
    unreadable: Vec<(PathBuf, Failure, String)>,
}

impl FileSource {
    /// The source `source`, whose particulars are `file`.
    #[must_use]
    pub fn new(source: &config::Source, file: &config::FileSource) -> Self {
        Self {
            name: Arc::clone(&source.name),
            fleet: Arc::clone(source.fleet.as_ref().unwrap_or(&source.name)),
            timeout: source.timeout,
            aliases: if source.match_host_pid { Aliases::HostPid } else { Aliases::None },
            sought: Arc::new(Sought {
                patterns: file.paths.iter().map(|path| Pattern::new(path)).collect(),
                files: file.files.clone(),
            }),
            aside: Aside::default(),
            memory: Mutex::default(),
        }
    }

    async fn list(&self) -> Result<Listing, Failure> {
        let sought = Arc::clone(&self.sought);
        let end = Instant::now() + self.timeout;
        let gathered = match self.aside.run(self.timeout, move || sought.gather(end)).await {
            Ok(gathered) => gathered,
            Err(Failure::Timeout) => {
                let why =
                    "no answer from the file system; while it hangs, one thread waits and no further one is started";
                Err(Refusal { failure: Failure::Timeout, why: why.to_owned() })
            }
            Err(failure) => return Err(failure),
        };
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match gathered {
            Ok(gathered) => {
                memory.refused = None;
                Ok(self.conclude(&mut memory, gathered))
            }
            Err(refusal) => {
                if memory.refused.as_ref() != Some(&refusal.why) {
                    let (source, reason) = (&*self.name, refusal.failure.word());
                    tracing::warn!(source, reason, error = refusal.why, "heartbeat files could not be read");
                    memory.refused = Some(refusal.why);
                }
                Err(refusal.failure)
            }
        }
    }

    fn conclude(&self, memory: &mut Memory, gathered: Gathered) -> Listing {
        self.tell(memory, &gathered.unreadable);
        let mut records = Vec::with_capacity(gathered.named.len() + gathered.found.len());
        for (place, sight) in gathered.named {
            let Some(file) = self.sought.files.get(place) else { continue };
            records.push(self.named(memory, file, sight));
        }
        let taken: HashSet<WorkerKey> = records.iter().map(|record| record.slot.key.clone()).collect();
        // Where several files carry one id (the folder of a pod that is gone) the one that was written last is the worker.
        let mut found = gathered.found;
        found.sort_by(|a, b| (&a.0, b.2.modified, &b.1).cmp(&(&b.0, a.2.modified, &a.1)));
        found.dedup_by(|later, first| later.0 == first.0);
        for (id, path, sight) in found {
            let key = WorkerKey::new(Arc::clone(&self.fleet), id);
            if !taken.contains(&key) {
                let beat = sight.reading.beat();
                records.push(self.observation(key, &path, beat, Some(sight)));
            }
        }
        let unreadable =
            gathered.unreadable.iter().map(|(path, failure, _)| (Arc::from(path.to_string_lossy()), *failure));
        Listing { records, heartbeats: true, unreadable: unreadable.collect(), ..Listing::default() }
    }

    /// A worker that the configuration names is there whether or not its file is, and is no leftover however old it is:
    /// its stamp counts once it has moved.
    fn named(&self, memory: &mut Memory, file: &HeartbeatFile, sight: Option<Sight>) -> Observation {
        let key = WorkerKey::new(Arc::clone(&file.fleet), Arc::clone(&file.id));
        let empty = Beat { mark: None, stamp: None, declared: None, own_answer: false, on_trial: false };
        let mut beat = sight.as_ref().map_or(empty, |sight| sight.reading.beat());
        let first = memory.first.entry(key.clone()).or_insert(Some(beat.mark));
        if beat.mark.is_some() && first.is_some_and(|first| first != beat.mark) {
            *first = None;
        }
        if first.is_some() {
            beat.stamp = None;
        }
        self.observation(key, &file.path, beat, sight)
    }

    fn observation(&self, key: WorkerKey, path: &Path, beat: Beat, sight: Option<Sight>) -> Observation {
        let mut observation = Observation::new(path.to_string_lossy(), Slot { key, exclusive: true });
        observation.beat = Some(beat);
        let Some(sight) = sight else { return observation };
        let content = sight.reading.content;
        if let (Aliases::HostPid, Some(host), Some(pid)) = (self.aliases, &content.info.host, &content.info.pid) {
            observation.alias = Some(Arc::from(format!("{host}/{pid}")));
        }
        observation.says = content.says;
        observation.numbers = content.numbers;
        observation.info = content.info;
        observation.task_queues = content.task_queues;
        observation
    }

    /// Says once of each file that it is no heartbeat.
    fn tell(&self, memory: &mut Memory, unreadable: &[(PathBuf, Failure, String)]) {
        let fresh = unreadable.iter().filter(|(_, _, why)| !memory.told.contains(why)).take(TOLD);
        for (_, failure, why) in fresh {
            tracing::warn!(source = &*self.name, reason = failure.word(), "no heartbeat file: {why}");
        }
        memory.told = unreadable.iter().map(|(_, _, why)| why.clone()).collect();
    }
}

impl Sought {
    /// Blocks for as long as the file system does.
    fn gather(&self, end: Instant) -> Result<Gathered, Refusal> {
        let mut gathered = Gathered::default();
        for (place, file) in self.files.iter().enumerate() {
            in_time(end)?;
            match sight(&file.path, Links::Anywhere) {
                Ok(sight) => gathered.named.push((place, Some(sight))),
                Err(Trouble::Absent) => gathered.named.push((place, None)),
                Err(trouble) => gathered.refuse(&file.path, trouble)?,
            }
        }
        let named: HashSet<&Path> = self.files.iter().map(|file| file.path.as_path()).collect();
        let mut walk = Walk::until(end);
        for pattern in &self.patterns {
            walk.pattern(pattern)?;
            let folder = fs::canonicalize(&pattern.folder).map_err(|error| {
                let why = format!("the folder {} cannot be followed: {error}", pattern.folder.display());
                Refusal { failure: Failure::Unavailable, why }
            })?;
            for found in walk.found.drain(..) {
                in_time(end)?;
                if named.contains(found.path.as_path()) {
                    continue;
                }
                match sight(&found.path, Links::Inside(&folder)) {
                    Ok(sight) => gathered.found.push((found.id, found.path, sight)),
                    Err(trouble) => gathered.refuse(&found.path, trouble)?,
                }
            }
        }
        gathered.unreadable.append(&mut walk.closed);
        let denied = |(_, failure, _): &(PathBuf, Failure, String)| *failure == Failure::PermissionDenied;
        let none = gathered.found.is_empty() && gathered.named.is_empty();
        match gathered.unreadable.first() {
            Some((_, failure, why)) if none && gathered.unreadable.iter().all(denied) => {
                Err(Refusal { failure: *failure, why: why.clone() })
            }
            _ => Ok(gathered),
        }
    }
}

impl Gathered {
    fn refuse(&mut self, path: &Path, trouble: Trouble) -> Result<(), Refusal> {
        match trouble {
            // It went while we looked.
            Trouble::Absent => {}
            Trouble::NotAHeartbeat(failure, why) => self.unreadable.push((path.to_owned(), failure, why)),
            Trouble::Failed(failure, why) => return Err(Refusal { failure, why }),
        }
        Ok(())
    }
}

impl Observe for FileSource {
    fn look<'a>(&'a self, scope: &'a Scope) -> Pin<Box<dyn Future<Output = Result<Report, Failure>> + Send + 'a>> {
        Box::pin(async move {
            match scope {
                Scope::Listing => self.list().await.map(Report::Listing),
                // Files are read all together; nobody asks for less.
                Scope::Worker(_) | Scope::Queue(_) => Err(Failure::Unimplemented),
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests;
