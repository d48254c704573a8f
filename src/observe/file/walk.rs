//! All files of the patterns, within bounds. Blocking: called aside from the runtime.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use verdict::words::Failure;

use super::pattern::{self, Name, Pattern, Wildcard};
use super::sight::{Trouble, trouble};

/// More files than this are not heartbeats: the pattern matches something else.
const MAX_FILES: usize = 20_000;
/// Entries of folders that are passed over on the way.
const MAX_ENTRIES: usize = 200_000;

/// Why the look as a whole has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) failure: Failure,
    /// For the log: names paths, never what is in a file.
    pub(super) why: String,
}

/// A file that a pattern found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: Arc<str>,
    pub(super) path: PathBuf,
}

/// One walk.
pub(super) struct Walk {
    end: Instant,
    entries: usize,
    /// What was found so far.
    pub(super) found: Vec<Found>,
    /// Folders on the way that we may not list.
    pub(super) closed: Vec<(PathBuf, Failure, String)>,
}

impl Walk {
    /// A walk that gives up at `end`.
    pub(super) const fn until(end: Instant) -> Self {
        Self { end, entries: 0, found: Vec::new(), closed: Vec::new() }
    }

    /// Adds the files of `pattern`.
    pub(super) fn pattern(&mut self, pattern: &Pattern) -> Result<(), Refusal> {
        // A folder that the configuration names and that is not there (a volume that is not mounted) is no empty list:
        // nobody is to leave because of it.
        fs::read_dir(&pattern.folder).map_err(|error| {
            let failure = match trouble(&pattern.folder, &error) {
                Trouble::Absent => Failure::NotFound,
                Trouble::NotAHeartbeat(failure, _) | Trouble::Failed(failure, _) => failure,
            };
            Refusal { failure, why: format!("the folder {} cannot be listed: {error}", pattern.folder.display()) }
        })?;
        self.step(&pattern.folder, &pattern.names, None)
    }

    fn step(&mut self, at: &Path, names: &[Name], id: Option<&Arc<str>>) -> Result<(), Refusal> {
        let Some((name, rest)) = names.split_first() else {
            if let Some(id) = id {
                self.found.push(Found { id: Arc::clone(id), path: at.to_owned() });
            }
            return if self.found.len() > MAX_FILES {
                let why = format!("more than {MAX_FILES} files match; make the pattern narrower");
                Err(Refusal { failure: Failure::Paging, why })
            } else {
                Ok(())
            };
        };
        let (what, before, after) = match name {
            Name::Plain(name) => return self.step(&at.join(name), rest, id),
            Name::Wild { what, before, after } => (*what, before, after),
        };
        let entries = match fs::read_dir(at) {
            Ok(entries) => entries,
            Err(error) => return self.closed(at, &error),
        };
        for entry in entries {
            self.count()?;
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.closed(at, &error),
            };
            let file_name = entry.file_name();
            let Some(middle) = pattern::between(file_name.as_bytes(), before, after) else { continue };
            let own = (what == Wildcard::Id).then(|| pattern::id(middle));
            self.step(&at.join(&file_name), rest, own.as_ref().or(id))?;
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), Refusal> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            let why = format!("more than {MAX_ENTRIES} files lie in these folders; give heartbeats one of their own");
            return Err(Refusal { failure: Failure::Paging, why });
        }
        in_time(self.end)
    }

    fn closed(&mut self, at: &Path, error: &io::Error) -> Result<(), Refusal> {
        match trouble(at, error) {
            // It went while we walked, or is a file where another has a folder.
            Trouble::Absent => {}
            Trouble::NotAHeartbeat(failure, why) => self.closed.push((at.to_owned(), failure, why)),
            Trouble::Failed(failure, why) => return Err(Refusal { failure, why }),
        }
        Ok(())
    }
}

/// Nobody waits for this walk any more: the thread is better free.
pub(super) fn in_time(end: Instant) -> Result<(), Refusal> {
    if Instant::now() < end {
        return Ok(());
    }
    Err(Refusal { failure: Failure::Timeout, why: "the file system is too slow for the deadline of a look".to_owned() })
}
