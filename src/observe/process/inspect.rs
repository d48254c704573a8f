//! One look at one worker's process: where it is, whether it can run, and what it uses of what it may.
//!
//! Everything here blocks, and is done in a lane.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use verdict::evidence::{Gone, Hold, Host, Numbers, Part};
use verdict::read::cgroup;
use verdict::read::proc::{self, RunState, Stat};
use verdict::time::WallTime;
use verdict::words::Failure;

use super::census::{Census, Depth, List, Pattern};
use super::group::{self, Group};
use super::machine::Machine;
use crate::config::Locate;

/// CPU time is counted in ticks of 10 ms: over a shorter time than this it tells nothing.
const SHORTEST: Duration = Duration::from_millis(500);

/// Of so many processes each is asked for its share of memory, which takes the kernel a walk over its pages.
const MOST_SHARES: usize = 64;

/// A process that started this much later than its pid file was written is another one. Less may be a clock that was set.
const OLDER_FILE: f64 = 60.0;

/// A process that cannot be taken for another: pids are used again, but not with the same start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incarnation {
    pub(super) pid: u32,
    started: u64,
    /// By the wall clock at first sight. It stays: a clock that is set makes no new process.
    pub(super) start_time: Option<WallTime>,
}

impl Incarnation {
    fn is(&self, process: &Stat) -> bool {
        self.pid == process.pid && self.started == process.started
    }
}

/// A name and arguments that are looked for.
type Title = (String, Option<String>);

/// The pid of a process and its start.
type Id = (u32, u64);

/// What is remembered of a worker's process from one look to the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    incarnation: Option<Incarnation>,
    /// CPU time, and when it was read.
    cpu: Option<(Instant, Duration)>,
    /// It waited in the kernel, with this much CPU time.
    waited: Option<Duration>,
    /// Where it lived, and how many were killed there for memory.
    group: Option<Group>,
    oom_kills: Option<u64>,
    gone: Option<Gone>,
    /// What its pid file said when it was found, and when that was written.
    file: Option<(u32, SystemTime)>,
}

/// What one look found.
#[derive(Debug)]
pub(super) struct Inspection {
    pub(super) host: Host,
    pub(super) incarnation: Option<Incarnation>,
    pub(super) numbers: Numbers,
    pub(super) unread: Vec<(Part, Option<Failure>)>,
    pub(super) notes: Vec<Arc<str>>,
    /// All its processes.
    pub(super) pids: Vec<u32>,
    pub(super) past: Past,
}

/// A worker's process, found.
struct Found {
    main: Stat,
    /// It and whatever belongs to it.
    all: Vec<Stat>,
    /// A control group that is the worker's alone, so that its figures are the worker's.
    own: Option<Group>,
}

/// Looks at processes of one machine.
pub(super) struct Inspector {
    machine: Machine,
    processes: Census,
    /// The same with arguments: a process that is stuck may hold up who reads them.
    titles: Census,
    /// Which process has which of the slots of a name.
    holders: Mutex<HashMap<Title, Vec<Option<Id>>>>,
}

impl Inspector {
    pub(super) fn new(machine: Machine) -> Self {
        let (processes, titles) = (Census::new(Depth::Stat), Census::new(Depth::Arguments));
        Self { machine, processes, titles, holders: Mutex::default() }
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// One look.
    pub(super) fn inspect(&self, locate: &Locate, past: Past) -> Result<Inspection, Failure> {
        let mut past = past;
        match self.find(locate, &mut past)? {
            Some(found) => Ok(self.there(found, past)),
            None => Ok(gone(past)),
        }
    }

    fn find(&self, locate: &Locate, past: &mut Past) -> Result<Option<Found>, Failure> {
        let main = match locate {
            Locate::Pid(pid) => self.living(*pid)?,
            Locate::PidFile(file) => self.by_file(file, past)?,
            Locate::Name { name, arguments, slot, of } => self.by_name(name, arguments.as_deref(), *slot, *of)?,
            Locate::Unit(unit) => {
                let path = group::unit(&self.machine, unit)?;
                return path.map_or(Ok(None), |path| self.by_group(&path));
            }
            Locate::Cgroup(path) => return self.by_group(path),
        };
        let Some(main) = main else { return Ok(None) };
        let all = self.processes.take(&self.machine)?.tree(&main);
        Ok(Some(Found { main, all, own: None }))
    }

    /// A process that has not exited. A zombie has: it only waits to be collected.
    fn living(&self, pid: u32) -> Result<Option<Stat>, Failure> {
        Ok(self.machine.process(pid)?.filter(|process| process.state != RunState::Zombie))
    }

    /// The process that was there at the last look, if it still is.
    fn known(&self, past: &Past) -> Result<Option<Stat>, Failure> {
        let Some(known) = past.incarnation else { return Ok(None) };
        Ok(self.living(known.pid)?.filter(|process| known.is(process)))
    }

    fn by_file(&self, file: &Path, past: &mut Past) -> Result<Option<Stat>, Failure> {
        let pid = match self.machine.pid_in(file) {
            Ok(Some(pid)) => pid,
            // A file only names a process: one that was seen is there for as long as it lives.
            Ok(None) => return self.known(past),
            Err(failure) => return self.known(past)?.map_or(Err(failure), |process| Ok(Some(process))),
        };
        let Some(process) = self.living(pid)? else { return Ok(None) };
        if past.incarnation.is_some_and(|known| known.is(&process)) {
            return Ok(Some(process));
        }
        let written = std::fs::metadata(file).and_then(|meta| meta.modified()).ok();
        if past.file.is_some() && past.file == written.map(|written| (pid, written)) {
            // The same file named another process before: that one is gone, and its pid is used again.
            return Ok(None);
        }
        let age = |written: SystemTime| {
            let written = written.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64();
            Some(self.machine.started_at(&process)?.seconds() - written)
        };
        if written.and_then(age).is_some_and(|younger| younger > OLDER_FILE) {
            // Left behind by another process, or a clock was set: we cannot know, and say so.
            return Err(Failure::FieldInvalid);
        }
        past.file = written.map(|written| (pid, written));
        Ok(Some(process))
    }

    fn by_name(&self, name: &str, arguments: Option<&str>, slot: usize, of: usize) -> Result<Option<Stat>, Failure> {
        let list = self.titles.take(&self.machine)?;
        let matching = list.matching(&Pattern::new(name), arguments.map(Pattern::new).as_ref());
        let mut all = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let holders = all.entry((name.to_owned(), arguments.map(str::to_owned))).or_default();
        holders.resize(of, None);
        assign(holders, &list, &matching);
        let held = holders.get(slot).copied().flatten();
        let found = list.entries.iter().map(|entry| &entry.stat).find(|stat| held == Some((stat.pid, stat.started)));
        match found {
            None if list.partial => Err(Failure::PermissionDenied),
            found => Ok(found.cloned()),
        }
    }

    /// The whole group is the worker; its oldest process is the one that tells incarnations apart.
    fn by_group(&self, path: &str) -> Result<Option<Found>, Failure> {
        let Some(group) = Group::at(&self.machine, path) else { return Ok(None) };
        let mut all = Vec::new();
        for pid in group.processes()? {
            all.extend(self.living(pid)?);
        }
        let main = all.iter().min_by_key(|process| (process.started, process.pid)).cloned();
        Ok(main.map(|main| Found { main, all, own: Some(group) }))
    }

    fn there(&self, found: Found, past: Past) -> Inspection {
        let Found { main, all, own } = found;
        let known = past.incarnation.filter(|known| known.is(&main));
        // Whatever was counted for another incarnation is no measure for this one.
        let past = if known.is_some() { past } else { Past { file: past.file, ..Past::default() } };
        let incarnation = known.unwrap_or_else(|| Incarnation {
            pid: main.pid,
            started: main.started,
            start_time: self.machine.started_at(&main),
        });
        let around = own.clone().or_else(|| {
            let membership = self.machine.file(main.pid, "cgroup").ok()??;
            Some(Group::of_process(&self.machine, &cgroup::membership(&membership)))
        });
        let mut inspection = Inspection {
            host: Host::Able,
            incarnation: Some(incarnation),
            numbers: Numbers::default(),
            unread: Vec::new(),
            notes: Vec::new(),
            pids: all.iter().map(|process| process.pid).collect(),
            past: Past {
                incarnation: Some(incarnation),
                oom_kills: around.as_ref().and_then(Group::oom_kills),
                group: around,
                gone: None,
                ..past
            },
        };
        let cores = self.cpu(&mut inspection, &all, own.as_ref());
        self.memory(&mut inspection, &main, &all, own.as_ref());
        inspection.host = held(&main, &mut inspection.past);
        inspection.notes.push(note(&main, all.len(), cores, inspection.host).into());
        inspection
    }

    /// CPU since the look before, of the cores that it may use; tells how many those are.
    fn cpu(&self, inspection: &mut Inspection, all: &[Stat], own: Option<&Group>) -> Option<f64> {
        let past = &mut inspection.past;
        #[expect(clippy::cast_precision_loss, reason = "a count of CPUs")]
        let online = self.machine.online().map(|count| count as f64);
        let limit = past.group.as_ref().and_then(Group::cores);
        let cores = [online, limit].into_iter().flatten().min_by(f64::total_cmp);
        let used = own.and_then(Group::cpu_time).unwrap_or_else(|| all.iter().map(|process| process.cpu).sum());
        let now = Instant::now();
        match past.cpu {
            Some((at, _)) if now.duration_since(at) < SHORTEST => return cores,
            // Less than before: a child ended that nobody collected here. There is no telling what it had used.
            Some((at, before)) => {
                let ratio = cores.zip(used.checked_sub(before)).map(|(cores, used)| {
                    used.as_secs_f64() / now.duration_since(at).as_secs_f64() / cores.max(f64::EPSILON)
                });
                inspection.numbers.cpu_ratio = ratio;
            }
            None => {}
        }
        past.cpu = Some((now, used));
        cores
    }

    fn memory(&self, inspection: &mut Inspection, main: &Stat, all: &[Stat], own: Option<&Group>) {
        let numbers = &mut inspection.numbers;
        let of_group = inspection.past.group.as_ref().map(Group::memory).unwrap_or_default();
        let used = own.and(of_group.used).map_or_else(|| self.resident(all), Ok);
        match used {
            Ok(used) => numbers.memory_bytes = Some(used),
            Err(failure) => inspection.unread.push((Part::Memory, Some(failure))),
        }
        numbers.memory_limit_bytes = of_group.limit;
        let space = self.machine.file(main.pid, "limits").ok().flatten();
        if let Some(space) = space.and_then(|bytes| proc::address_space_limit(&bytes)).filter(|_| own.is_none()) {
            // What counts against this limit is not memory in use, but address space.
            numbers.memory_limit_bytes = Some(of_group.limit.map_or(space, |limit| limit.min(space)));
            let of_group = numbers.memory_bytes.zip(of_group.limit).map(|(used, limit)| ratio(used, limit));
            numbers.memory_ratio =
                [Some(ratio(main.address_space, space)), of_group].into_iter().flatten().max_by(f64::total_cmp);
        }
    }

    /// Memory of a tree of processes. What they share is counted once, where the kernel tells their shares.
    fn resident(&self, all: &[Stat]) -> Result<u64, Failure> {
        let one = |process: &Stat| -> Result<u64, Failure> {
            let status = self.machine.file(process.pid, "status")?;
            Ok(status.and_then(|bytes| proc::resident(&bytes)).unwrap_or_default())
        };
        let share = |process: &Stat| proc::share(&self.machine.file(process.pid, "smaps_rollup").ok()??);
        let shared = all.len() > 1 && all.len() <= MOST_SHARES;
        let mut sum = 0_u64;
        for process in all {
            let share = if shared { share(process) } else { None };
            sum = sum.saturating_add(share.map_or_else(|| one(process), Ok)?);
        }
        Ok(sum)
    }
}

/// Whoever has a slot keeps it for as long as he lives; newcomers take the free ones, the oldest the first.
fn assign(holders: &mut [Option<Id>], list: &List, matching: &[Stat]) {
    let lives = |(pid, started): Id| {
        let mut all = list.entries.iter().map(|entry| &entry.stat);
        all.any(|stat| stat.pid == pid && stat.started == started && stat.state != RunState::Zombie)
    };
    for holder in holders.iter_mut() {
        *holder = holder.filter(|holder| lives(*holder));
    }
    for stat in matching {
        let id = (stat.pid, stat.started);
        if holders.contains(&Some(id)) {
            continue;
        }
        let Some(free) = holders.iter_mut().find(|holder| holder.is_none()) else { return };
        *free = Some(id);
    }
}

/// It is not there. How it ended is told when that is first seen, while its group may still be there.
fn gone(past: Past) -> Inspection {
    let killed = || {
        let now = past.group.as_ref().and_then(Group::oom_kills);
        now.zip(past.oom_kills).is_some_and(|(now, before)| now > before)
    };
    let gone = past.gone.unwrap_or_else(|| if killed() { Gone::OomKilled } else { Gone::Exited });
    Inspection {
        host: Host::Gone(gone),
        incarnation: None,
        numbers: Numbers::default(),
        unread: Vec::new(),
        notes: Vec::new(),
        pids: Vec::new(),
        past: Past { gone: Some(gone), cpu: None, waited: None, ..past },
    }
}

/// Whether it can run.
fn held(main: &Stat, past: &mut Past) -> Host {
    let waited = std::mem::take(&mut past.waited);
    match main.state {
        RunState::Stopped => Host::Held(Hold::Stopped),
        RunState::Traced => Host::Held(Hold::Traced),
        RunState::Waiting => {
            past.waited = Some(main.cpu);
            // Any process waits for its disk now and then. One that has used no CPU from look to look does nothing else.
            if waited == Some(main.cpu) { Host::Held(Hold::Waiting) } else { Host::Able }
        }
        RunState::Able | RunState::Zombie => Host::Able,
    }
}

fn note(main: &Stat, count: usize, cores: Option<f64>, host: Host) -> String {
    let state = match host {
        Host::Held(Hold::Stopped) => ", stopped by a signal",
        Host::Held(Hold::Traced) => ", stopped by a debugger",
        Host::Held(Hold::Waiting) => ", hangs in the kernel (state D)",
        Host::Able | Host::Gone(_) => "",
    };
    let others = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    let cores = cores.map(|cores| format!("; CPU is of {cores:.2} cores")).unwrap_or_default();
    format!("process {} ({}){others}{state}{cores}", main.pid, main.name.escape_debug())
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of byte counts")]
fn ratio(used: u64, limit: u64) -> f64 {
    if limit == 0 { 1.0 } else { used as f64 / limit as f64 }
}

#[cfg(test)]
mod tests;
