//! Where this machine shows its processes: `/proc` and `/sys/fs/cgroup`, or where they are mounted.
//!
//! Every call here may block, and some wait for a process that is stuck itself: call them aside from the runtime.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use verdict::read::proc::{self, Stat};
use verdict::time::WallTime;
use verdict::words::Failure;

/// None of these files is larger; `cgroup.procs` of 100,000 processes and the longest command line fit.
const LARGEST: u64 = 1 << 20;

/// A pid file holds a number. What is larger is another file.
const LARGEST_PID_FILE: u64 = 4096;

/// The file systems in which the kernel shows processes and control groups.
#[derive(Clone, Debug)]
pub struct Machine {
    proc: PathBuf,
    cgroups: PathBuf,
}

impl Machine {
    /// This machine, by the usual paths.
    #[must_use]
    pub fn here() -> Self {
        Self::at(PathBuf::from("/proc"), PathBuf::from("/sys/fs/cgroup"))
    }

    /// A machine whose `/proc` and `/sys/fs/cgroup` are these folders.
    #[must_use]
    pub fn at(proc: PathBuf, cgroups: PathBuf) -> Self {
        Self { proc, cgroups }
    }

    /// The process with this id; `None` when there is none.
    ///
    /// # Errors
    /// When nothing can be said of it: it is hidden from us, or our machine fails us.
    pub fn process(&self, pid: u32) -> Result<Option<Stat>, Failure> {
        match self.file(pid, "stat")? {
            Some(bytes) => proc::stat(&bytes).map(Some).ok_or(Failure::BodyInvalid),
            None if self.hides(pid) => Err(Failure::PermissionDenied),
            None => Ok(None),
        }
    }

    /// The pid that a pid file names; `None` when there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read, or names no pid.
    pub fn pid_in(&self, file: &Path) -> Result<Option<u32>, Failure> {
        match read(file, LARGEST_PID_FILE)? {
            Some(bytes) => proc::pid_file(&bytes).map(Some).ok_or(Failure::FieldInvalid),
            None => Ok(None),
        }
    }

    /// When a process started, by the wall clock of this machine as it goes now.
    #[must_use]
    pub fn started_at(&self, process: &Stat) -> Option<WallTime> {
        let boot = proc::boot_time(&read(&self.proc.join("stat"), LARGEST).ok()??)?;
        let micros = boot.checked_mul(1_000_000)?.checked_add(process.started.checked_mul(1_000_000 / proc::TICKS)?)?;
        Some(WallTime::from_micros(i64::try_from(micros).ok()?))
    }

    /// What the kernel calls this machine.
    pub(super) fn host_name(&self) -> Option<std::sync::Arc<str>> {
        let bytes = read(&self.proc.join("sys/kernel/hostname"), LARGEST).ok()??;
        let name = std::str::from_utf8(&bytes).ok()?.trim();
        (!name.is_empty()).then(|| name.into())
    }

    /// How many CPUs this machine has online; `None` where it does not tell.
    pub(super) fn online(&self) -> Option<usize> {
        let bytes = read(&self.proc.join("stat"), LARGEST).ok()??;
        Some(proc::online(&bytes)).filter(|count| *count > 0)
    }

    /// A file of a process; `None` when the process or the file is gone.
    pub(super) fn file(&self, pid: u32, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        read(&self.path(pid, name), LARGEST)
    }

    /// The path of a file of a process.
    pub(super) fn path(&self, pid: u32, name: &str) -> PathBuf {
        self.proc.join(pid.to_string()).join(name)
    }

    /// Where the control groups are.
    #[must_use]
    pub fn control_groups(&self) -> &Path {
        &self.cgroups
    }

    /// All processes that we may see.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn pids(&self) -> Result<Vec<u32>, Failure> {
        let entries = std::fs::read_dir(&self.proc).map_err(|error| failure(&error))?;
        // A name that is no number is another file of /proc.
        Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }

    /// A process that is there and that this `/proc` does not show (`hidepid`). Only the kernel of this machine can tell.
    pub(super) fn hides(&self, pid: u32) -> bool {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        self.proc == Path::new("/proc")
            && pid.is_some_and(|pid| matches!(test_kill_process(pid), Ok(()) | Err(Errno::PERM)))
    }
}

/// A whole file, as far as it is no larger than `largest`; `None` when it is gone.
pub(super) fn read(path: &Path, largest: u64) -> Result<Option<Vec<u8>>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(largest).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(failure(&error)),
    }
}

/// A process that ends while it is read gives ESRCH, a control group that is removed ENODEV.
fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        || matches!(Errno::from_io_error(error), Some(Errno::SRCH | Errno::NODEV))
}

/// Why a file of this machine could not be read.
pub(super) fn failure(error: &io::Error) -> Failure {
    match Errno::from_io_error(error) {
        Some(Errno::ACCESS | Errno::PERM) => Failure::PermissionDenied,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN) => Failure::Local,
        Some(Errno::TIMEDOUT) => Failure::Timeout,
        Some(Errno::ISDIR) => Failure::WrongType,
        _ => Failure::Internal,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use std::process::{Command, Stdio};

    use verdict::read::proc::RunState;

    use super::*;

    fn eventually(what: &str, mut is: impl FnMut() -> bool) {
        let begun = std::time::Instant::now();
        while !is() {
            assert!(begun.elapsed().as_secs() < 20, "waited 20 s for {what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn this_very_process_is_found_with_its_start_in_the_past() {
        let machine = Machine::here();
        let own = machine.process(std::process::id()).unwrap().unwrap();
        assert_eq!(own.pid, std::process::id());
        let started = machine.started_at(&own).unwrap().seconds();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(started > 1.7e9 && started < now + 2.0, "{started} {now}");
    }

    #[test]
    fn a_process_that_was_killed_is_a_zombie_until_it_is_collected_and_then_it_is_gone() {
        let machine = Machine::here();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let state = |pid| machine.process(pid).unwrap().map(|process| process.state);
        // It may be waiting for its disk while it is loaded.
        eventually("a process that can run", || state(child.id()) == Some(RunState::Able));
        child.kill().unwrap();
        eventually("a zombie", || state(child.id()) == Some(RunState::Zombie));
        child.wait().unwrap();
        assert_eq!(state(child.id()), None);
    }

    #[test]
    fn a_pid_file_is_read_missed_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::here();
        let file = folder.path().join("worker.pid");
        assert_eq!(machine.pid_in(&file), Ok(None));
        std::fs::write(&file, "4711\n").unwrap();
        assert_eq!(machine.pid_in(&file), Ok(Some(4711)));
        std::fs::write(&file, "").unwrap();
        assert_eq!(machine.pid_in(&file), Err(Failure::FieldInvalid), "about to be written");
        assert_eq!(machine.pid_in(folder.path()), Err(Failure::WrongType));
    }

    #[test]
    fn what_is_no_stat_is_not_taken_for_a_process() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::at(folder.path().to_path_buf(), folder.path().to_path_buf());
        std::fs::create_dir(folder.path().join("7")).unwrap();
        assert_eq!(machine.process(7), Ok(None));
        std::fs::write(folder.path().join("7/stat"), "7 (x").unwrap();
        assert_eq!(machine.process(7), Err(Failure::BodyInvalid));
        assert_eq!(machine.pids(), Ok(vec![7]));
    }
}
