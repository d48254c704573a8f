//! The figures of our own process, and of no other.

use std::sync::Mutex;

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// What the conventional `process_` metrics show.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// User and system time, seconds.
    pub cpu_seconds: f64,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// Virtual memory, bytes.
    pub virtual_bytes: u64,
    /// Start, seconds since 1970.
    pub start_time: u64,
    /// Open file descriptors.
    pub open_fds: Option<usize>,
    /// Most file descriptors that may be open.
    pub max_fds: Option<usize>,
}

/// Reads them. Keeps the system handle, which is costly to make.
#[derive(Debug)]
pub(super) struct Reader {
    /// `None` where the system gives no figures at all.
    system: Mutex<Option<System>>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { system: Mutex::new(System::new().ok()) }
    }

    /// The figures now.
    pub(super) fn read(&self) -> Option<Process> {
        let pid = sysinfo::get_current_pid().ok()?;
        // A poisoned lock only means that another reader panicked; the handle itself is refreshed below.
        let mut system = self.system.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let system = system.as_mut()?;
        let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
        let process = system.process(pid)?;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of processor time fit in 53 bits")]
        let cpu_seconds = process.accumulated_cpu_time() as f64 / 1000.0;
        Some(Process {
            cpu_seconds,
            resident_bytes: process.memory(),
            virtual_bytes: process.virtual_memory(),
            start_time: process.start_time(),
            open_fds: process.open_files(),
            max_fds: process.open_files_limit(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]
    use super::*;

    #[test]
    fn our_own_process_has_memory_a_start_and_open_files() {
        let read = Reader::new().read().unwrap();
        assert!(read.resident_bytes > 1 << 20, "{read:?}");
        assert!(read.virtual_bytes >= read.resident_bytes, "{read:?}");
        assert!(read.start_time > 1_600_000_000, "{read:?}");
        assert!(read.open_fds.unwrap() >= 3, "{read:?}");
        assert!(read.max_fds.unwrap() >= read.open_fds.unwrap(), "{read:?}");
    }
}
