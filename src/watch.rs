//! Notices of change in files, from the system.
//!
//! The FOLDER of a file is watched, not the file: Kubernetes swaps a symbolic link beside it (`..data`), and editors
//! write a new file and rename it. Whoever uses it reads again now and then all the same, for what no notice tells of:
//! network file systems, a folder that appears later.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A file is written in several steps; it is read when nothing has happened for this long,
const SETTLE: Duration = Duration::from_millis(100);
/// and at the latest this long after the first notice, in a folder where something always happens.
const SETTLED: Duration = Duration::from_secs(2);
/// Links from a file to the one that it stands for. Kubernetes needs two.
const LINKS: usize = 8;

/// Folders under watch.
#[derive(Debug)]
pub struct Folders {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    changes: mpsc::Receiver<()>,
}

impl Folders {
    /// Watches nothing yet. `unable` is told when the system gives no notices at all.
    pub fn new(unable: impl FnOnce(&notify::Error)) -> Self {
        // The watch calls from a thread of its own; one waiting note is as good as a hundred.
        let (changed, changes) = mpsc::channel(1);
        let note = move |event: notify::Result<notify::Event>| {
            // Our own reading is an event too, and would make us read for ever.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = changed.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(note).inspect_err(unable).ok();
        Self { watcher, watched: BTreeSet::new(), changes }
    }

    /// Watches the folders of these files as well, and of those that they are links to.
    pub fn watch<'a>(&mut self, files: impl IntoIterator<Item = &'a Path>) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<PathBuf> = files.into_iter().flat_map(folders).collect();
        // A folder that was deleted takes its watch with it; it is watched anew when it is there again.
        self.watched.retain(|folder| folder.is_dir());
        for folder in wanted {
            if !self.watched.contains(&folder) && watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                self.watched.insert(folder);
            }
        }
    }

    /// Waits for a notice, and then until it is quiet. Without a watch it waits for ever.
    pub async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        let latest = Instant::now() + SETTLED;
        loop {
            let quiet = (Instant::now() + SETTLE).min(latest);
            match tokio::time::timeout_at(quiet, self.changes.recv()).await {
                Ok(Some(())) if Instant::now() < latest => {}
                _ => return,
            }
        }
    }
}

/// The folder of a file, and those of the links on the way to what it stands for.
fn folders(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut path = path.to_owned();
    for _ in 0..=LINKS {
        let Some(folder) = path.parent() else { break };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if folder.is_dir() {
            found.push(folder.to_owned());
        }
        match std::fs::read_link(&path) {
            Ok(to) => path = folder.join(to),
            Err(_) => break,
        }
    }
    found
}
