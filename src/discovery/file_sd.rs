//! Prometheus `file_sd`: target groups in files, re-read when they change.
//!
//! A slow re-read catches what a watch cannot see (network file systems, a folder that appears later).

pub mod parse;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use self::parse::Format;
use super::Report;
use crate::config::{HttpTarget, Targets};
use crate::watch::Folders;

/// Everything is read anew this often, whatever the watch says. Prometheus does the same.
const REREAD: Duration = Duration::from_secs(300);
/// No list of targets is larger.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Reports the full set of the targets of the files, at once and after each change.
pub(super) async fn run(source: Targets, report: Report, cancel: CancellationToken) {
    let mut folders = Folders::new(|error| {
        let source = &*report.source;
        tracing::warn!(source, "target files cannot be watched, they are re-read every 5 minutes: {error}");
    });
    let mut files = Files { source: &source, report: &report, good: BTreeMap::new(), told: HashMap::new() };
    loop {
        // The watch stands before the files are read, so that no change falls between.
        let paths = matching(&source.file_sd);
        folders.watch(source.file_sd.iter().chain(&paths).map(PathBuf::as_path));
        files.read(paths).await;
        tokio::select! {
            sent = report.send(files.all()) => if !sent { return },
            () = cancel.cancelled() => return,
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(REREAD) => {}
            () = folders.changed() => {}
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

/// The files and what they last said.
struct Files<'a> {
    source: &'a Targets,
    report: &'a Report,
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
        Ok(parse::targets(&groups, self.source, &self.report.fleet))
    }

    fn tell(&mut self, path: PathBuf, what: String) {
        let (source, file) = (&*self.report.source, path.display());
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

    /// Those of all files, by name.
    fn all(&self) -> Vec<HttpTarget> {
        self.good.values().flatten().cloned().collect()
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
