//! The heartbeat file, through the reader that the exporter has for such files.

use std::path::PathBuf;
use std::sync::Arc;

use verdict::evidence::{Listing, Report, Scope};
use verdict::words::Failure;

use super::beat::BeatSeen;
use super::{FILE_LOOKS, source};
use crate::config::{self, HeartbeatFile};
use crate::observe::Observe;
use crate::observe::file::FileSource;

/// A file that the worker touches or writes.
#[derive(Debug)]
pub(super) struct BeatPath {
    source: FileSource,
}

impl BeatPath {
    /// Nothing is opened yet.
    pub(super) fn new(path: PathBuf) -> Self {
        let files = vec![HeartbeatFile { id: Arc::from("worker"), fleet: Arc::from("sidecar"), path }];
        let file = config::FileSource { paths: Vec::new(), files };
        let source = source("heartbeat-file", FILE_LOOKS, config::Detail::File(file.clone()));
        Self { source: FileSource::new(&source, &file) }
    }

    /// One look. A file that is not there is a place without a beat.
    pub(super) async fn look(&self) -> Result<BeatSeen, Failure> {
        match self.source.look(&Scope::Listing).await? {
            Report::Listing(listing) => seen(listing),
            Report::Worker(_) | Report::Queue(_) => Err(Failure::Internal),
        }
    }
}

/// The one record of the one file.
fn seen(mut listing: Listing) -> Result<BeatSeen, Failure> {
    if let Some((_, failure)) = listing.unreadable.first() {
        return Err(*failure);
    }
    let record = listing.records.pop().ok_or(Failure::Internal)?;
    Ok(BeatSeen::of(record.beat, record.says))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[tokio::test]
    async fn a_touch_or_a_change_of_what_stands_in_it_is_a_beat_and_no_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("beat");
        let beat = BeatPath::new(path.clone());
        assert_eq!(beat.look().await.unwrap().mark, None);
        fs::write(&path, "").unwrap();
        let first = beat.look().await.unwrap().mark;
        assert!(first.is_some());
        assert_eq!(beat.look().await.unwrap().mark, first);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000)).unwrap();
        let touched = beat.look().await.unwrap().mark;
        assert!(touched.is_some() && touched != first, "in whatever year");
        fs::write(&path, r#"{"alive":false,"interval":7}"#).unwrap();
        let said = beat.look().await.unwrap();
        assert_ne!(said.mark, touched);
        assert_eq!((said.says.alive, said.declared), (Some(false), Some(Duration::from_secs(7))));
        fs::remove_file(&path).unwrap();
        assert_eq!(beat.look().await.unwrap().mark, None);
    }

    #[tokio::test]
    async fn what_is_no_file_is_a_failed_look_and_a_huge_one_beats() {
        let folder = tempfile::tempdir().unwrap();
        let beat = BeatPath::new(folder.path().to_owned());
        assert_eq!(beat.look().await.unwrap_err(), Failure::WrongType);
        let path = folder.path().join("beat");
        fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let huge = BeatPath::new(path).look().await.unwrap();
        assert!(huge.mark.is_some());
    }
}
