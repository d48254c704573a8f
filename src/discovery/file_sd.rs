//! Prometheus `file_sd`: target groups in files, re-read when they change.
//!
//! The FOLDER is watched, not the file: Kubernetes swaps a symbolic link beside it, and editors write a new file and
//! rename it. A slow re-read catches what a watch cannot see (network file systems, a folder that appears later).

pub mod parse;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::parse::Format;
use super::{Found, fixed};
use crate::config::{HttpTarget, Targets};

/// Everything is read anew this often, whatever the watch says. Prometheus does the same.
const REREAD: Duration = Duration::from_secs(300);
/// A file is written in several steps; this long after the first of them it is read.
const SETTLE: Duration = Duration::from_millis(100);
/// No list of targets is larger.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Sends the full set of targets, those in the configuration and those of the files, at once and after each change.
pub async fn run(
    name: Arc<str>,
    fleet: Arc<str>,
    source: Targets,
    sender: mpsc::Sender<Found>,
    cancel: CancellationToken,
) {
    // The watch calls from a thread of its own; one waiting note is as good as a hundred.
    let (changed, mut changes) = mpsc::channel::<()>(1);
    let mut folders = Folders::new(&name, changed);
    let mut files = Files { source: &source, fleet: &fleet, name: &name, good: BTreeMap::new(), told: HashMap::new() };
    let mut last: Option<Vec<HttpTarget>> = None;
    loop {
        // The watch stands before the files are read, so that no change falls between.
        let paths = matching(&source.file_sd);
        folders.watch(&source.file_sd, &paths);
        files.read(paths).await;
        let targets = files.all();
        if last.as_ref() != Some(&targets) {
            last = Some(targets.clone());
            let found = Found { source: Arc::clone(&name), targets, workers: Vec::new() };
            tokio::select! {
                sent = sender.send(found) => if sent.is_err() { return },
                () = cancel.cancelled() => return,
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(REREAD) => {}
            Some(()) = changes.recv() => {
                tokio::time::sleep(SETTLE).await;
                while changes.try_recv().is_ok() {}
            }
        }
    }
}

/// The files that the globs match now, each once.
fn matching(globs: &[PathBuf]) -> BTreeSet<PathBuf> {
    globs
        .iter()
        .filter_map(|pattern| glob::glob(&pattern.to_string_lossy()).ok())
        .flat_map(|paths| paths.filter_map(Result::ok))
        .filter(|path| path.is_file())
        .collect()
}

/// The folders under watch.
struct Folders {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl Folders {
    fn new(source: &str, changed: mpsc::Sender<()>) -> Self {
        let note = move |event: notify::Result<notify::Event>| {
            // Our own reading is an event too, and would make us read for ever.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = changed.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(note)
            .inspect_err(|error| {
                tracing::warn!(source, "target files cannot be watched, they are re-read every 5 minutes: {error}");
            })
            .ok();
        Self { watcher, watched: BTreeSet::new() }
    }

    /// Watches the folders of the globs, and of the files where a folder is a glob itself.
    fn watch(&mut self, globs: &[PathBuf], files: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<PathBuf> = globs.iter().chain(files).filter_map(|path| folder(path)).collect();
        // A folder that was deleted takes its watch with it; it is watched anew when it is there again.
        self.watched.retain(|folder| folder.is_dir());
        for folder in wanted {
            if !self.watched.contains(&folder) && watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                self.watched.insert(folder);
            }
        }
    }
}

fn folder(path: &Path) -> Option<PathBuf> {
    let folder = path.parent()?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    folder.is_dir().then(|| folder.to_owned())
}

/// The files and what they last said.
struct Files<'a> {
    source: &'a Targets,
    fleet: &'a Arc<str>,
    name: &'a Arc<str>,
    /// The last good set of each file.
    good: BTreeMap<PathBuf, Vec<HttpTarget>>,
    /// What was last said in the log of each file, so that it is said once.
    told: HashMap<PathBuf, String>,
}

impl Files<'_> {
    /// Reads every file. A broken one keeps its last good set; one that is gone takes its targets with it.
    async fn read(&mut self, paths: BTreeSet<PathBuf>) {
        self.good.retain(|path, _| paths.contains(path));
        self.told.retain(|path, _| paths.contains(path));
        for path in paths {
            match self.one(&path).await {
                Ok((targets, refused)) => {
                    self.good.insert(path.clone(), targets);
                    self.tell(path, refused.join("; "));
                }
                Err(why) => self.tell(path, format!("the file is not used, its last good list stays in force: {why}")),
            }
        }
    }

    async fn one(&self, path: &Path) -> Result<(Vec<HttpTarget>, Vec<String>), String> {
        let text = text(path).await.map_err(|error| error.to_string())?;
        let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let format = if json { Format::Json } else { Format::Yaml };
        let groups = parse::groups(format, &text).map_err(|mistake| mistake.to_string())?;
        Ok(parse::targets(&groups, self.source, self.fleet))
    }

    fn tell(&mut self, path: PathBuf, what: String) {
        let (source, file) = (&**self.name, path.display());
        match self.told.get(&path) {
            Some(before) if *before == what => return,
            Some(before) if what.is_empty() && !before.is_empty() => {
                tracing::info!(source, %file, "target file is good again");
            }
            _ if !what.is_empty() => tracing::warn!(source, %file, "target file: {what}"),
            _ => {}
        }
        self.told.insert(path, what);
    }

    /// All targets. Where two carry the same fleet and id the first one counts: the configuration before the files,
    /// the files by name.
    fn all(&self) -> Vec<HttpTarget> {
        let mut seen = BTreeSet::new();
        fixed::targets(self.source)
            .into_iter()
            .chain(self.good.values().flatten().cloned())
            .filter(|target| seen.insert((Arc::clone(&target.fleet), Arc::clone(&target.id))))
            .collect()
    }
}

async fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    tokio::fs::File::open(path).await?.take(LARGEST + 1).read_to_string(&mut text).await?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    Ok(text)
}
