//! The heartbeat file: one look at it, aside from the runtime.
//!
//! Whatever lies there, a look ends: a pipe is never waited for, a huge file never read, and a file system that hangs
//! holds one thread and no other.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use tokio::task::{JoinHandle, spawn_blocking};
use verdict::read::heartbeat;
use verdict::time::WallTime;
use verdict::words::Failure;

use super::beat::BeatSeen;

/// A larger file is a log: it beats by its modification time.
const MAX_CONTENT: u64 = 64 * 1024;

/// A file that the worker touches or writes.
#[derive(Debug)]
pub(super) struct BeatPath {
    path: PathBuf,
    timeout: Duration,
    running: Option<JoinHandle<Result<BeatSeen, Failure>>>,
}

impl BeatPath {
    /// Nothing is opened yet.
    pub(super) const fn new(path: PathBuf, timeout: Duration) -> Self {
        Self { path, timeout, running: None }
    }

    /// One look. A file that is not there is a place without a beat.
    pub(super) async fn look(&mut self) -> Result<BeatSeen, Failure> {
        let path = self.path.clone();
        let mut running = self.running.take().unwrap_or_else(|| spawn_blocking(move || read(&path)));
        match tokio::time::timeout(self.timeout, &mut running).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => Err(Failure::Internal),
            Err(_) => {
                // Waited for at the next look, so that no second thread hangs beside it.
                self.running = Some(running);
                Err(Failure::Timeout)
            }
        }
    }
}

fn read(path: &Path) -> Result<BeatSeen, Failure> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from).map(File::from);
    let (file, metadata) = match opened.and_then(|file| file.metadata().map(|metadata| (file, metadata))) {
        Ok(found) => found,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(BeatSeen::default()),
                io::ErrorKind::PermissionDenied => Err(Failure::PermissionDenied),
                io::ErrorKind::OutOfMemory | io::ErrorKind::QuotaExceeded => Err(Failure::Local),
                _ => Err(Failure::Unavailable),
            };
        }
    };
    if !metadata.is_file() {
        return Err(Failure::WrongType);
    }
    let mut content = Vec::new();
    if metadata.len() <= MAX_CONTENT {
        file.take(MAX_CONTENT).read_to_end(&mut content).map_err(|_| Failure::Unavailable)?;
    }
    let micros = metadata.mtime().saturating_mul(1_000_000).saturating_add(metadata.mtime_nsec() / 1000);
    Ok(seen(WallTime::from_micros(micros), &content))
}

/// It beats when its modification time or its content has changed, never by its age: an old time is a quiet worker or a
/// wrong clock.
fn seen(modified: WallTime, content: &[u8]) -> BeatSeen {
    let reading = heartbeat::read(content);
    let written = [&modified.micros().to_be_bytes(), content].concat();
    BeatSeen { mark: reading.mark(&written, 0), stamp: reading.stamp, declared: reading.declared, says: reading.says }
}
