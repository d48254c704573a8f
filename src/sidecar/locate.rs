//! Which process is the worker, and how it is.

use std::fs;
use std::path::PathBuf;

use verdict::read::proc::{self, RunState, Stat};
use verdict::words::Failure;

use super::process::ProcessSeen;
use crate::observe::process::Machine;

/// A process tree is not deeper; a circle would be.
const DEEPEST: usize = 64;

/// How the worker's process is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// This one: our child.
    Child(u32),
    /// The one whose number stands in this file.
    PidFile(PathBuf),
    /// The oldest one whose command line contains this text.
    Match(String),
}

/// Finds and looks.
#[derive(Debug)]
pub(super) struct Locate {
    machine: Machine,
    sought: Sought,
    /// The one that was found by its command line. It is kept while it lives, so that nothing is searched.
    found: Option<(u32, u64)>,
}

impl Locate {
    /// Nothing is looked at yet.
    #[must_use]
    pub(super) fn new(sought: Sought) -> Self {
        Self { machine: Machine::here(), sought, found: None }
    }

    /// One look.
    ///
    /// # Errors
    /// When the process cannot be looked at, which says nothing of it.
    pub(super) fn look(&mut self) -> Result<ProcessSeen, Failure> {
        let stat = match &self.sought {
            Sought::Child(pid) => self.machine.process(*pid)?,
            Sought::PidFile(path) => match self.machine.pid_in(path)? {
                Some(pid) => self.machine.process(pid)?,
                None => None,
            },
            Sought::Match(text) => {
                let kept = self.found.and_then(|(pid, started)| {
                    let stat = self.machine.process(pid).ok().flatten()?;
                    (stat.started == started).then_some(stat)
                });
                match kept {
                    Some(stat) => Some(stat),
                    None => self.search(text)?,
                }
            }
        };
        self.found = stat.as_ref().map(|stat| (stat.pid, stat.started));
        let Some(Stat { pid, state, .. }) = stat else { return Ok(ProcessSeen::Gone) };
        Ok(match state {
            RunState::Able => ProcessSeen::Alive { pid },
            RunState::Waiting => ProcessSeen::Blocked { pid },
            RunState::Stopped | RunState::Traced => ProcessSeen::Stopped { pid },
            RunState::Zombie => ProcessSeen::Zombie { pid },
        })
    }

    /// The oldest match: a worker's children often carry its command line.
    fn search(&self, text: &str) -> Result<Option<Stat>, Failure> {
        let own = std::process::id();
        let entries = fs::read_dir("/proc").map_err(|_| Failure::Local)?;
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let matching = pids.filter(|pid| *pid != own).filter_map(|pid| {
            let line = proc::arguments(&fs::read(format!("/proc/{pid}/cmdline")).ok()?).join(" ");
            if line.contains(text) { self.machine.process(pid).ok().flatten() } else { None }
        });
        // Our own command line has the text in it too, and so has that of whoever started us with it.
        let ours = |stat: &Stat| self.above_us(stat.pid);
        Ok(matching.filter(|stat| !ours(stat)).min_by_key(|stat| (stat.started, stat.pid)))
    }

    /// Whether we descend from this process.
    fn above_us(&self, pid: u32) -> bool {
        self.descends(std::process::id(), pid)
    }

    /// Whether a process id that somebody claims is that of the worker or of a child of its.
    #[must_use]
    pub(super) fn is_ours(&self, pid: u32) -> bool {
        match (&self.sought, self.found) {
            // Whoever loses its parent below the child becomes our own child.
            (Sought::Child(_), _) => pid != std::process::id() && self.descends(pid, std::process::id()),
            (_, Some((root, _))) => self.descends(pid, root),
            (Sought::PidFile(path), None) => {
                self.machine.pid_in(path).ok().flatten().is_some_and(|root| self.descends(pid, root))
            }
            (Sought::Match(_), None) => false,
        }
    }

    fn descends(&self, pid: u32, root: u32) -> bool {
        let mut at = pid;
        for _ in 0..DEEPEST {
            if at == root {
                return true;
            }
            match self.machine.process(at) {
                Ok(Some(stat)) if stat.parent > 0 => at = stat.parent,
                _ => return false,
            }
        }
        false
    }
}
