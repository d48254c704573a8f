//! Watches the configuration file, so that a change comes into force by itself.
//!
//! What counts is the content: a file that was touched, or written again as it was, is no change.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::watch::Folders;

/// The file is read this often whatever the notices say, and a configuration that failed is tried again: what it names,
/// such as a secret that is mounted later, may be there by then.
const AGAIN: Duration = Duration::from_secs(60);

/// Why the configuration should be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nudge {
    /// The file has another content.
    Changed,
    /// Time has passed. Only worth it when the last attempt failed.
    Again,
}

/// The file, and what stood in it before it was loaded for the first time: what changes from then on is seen.
#[derive(Clone, Debug)]
pub struct Watched {
    file: PathBuf,
    content: Option<Vec<u8>>,
}

impl Watched {
    /// As it is now. To be called before the configuration is loaded.
    #[must_use]
    pub fn now(file: PathBuf) -> Self {
        let content = std::fs::read(&file).ok();
        Self { file, content }
    }
}

/// Sends a nudge for each change of the file, and now and then, until it is cancelled.
pub(super) async fn watch(watched: Watched, nudge: mpsc::Sender<Nudge>, cancel: CancellationToken) {
    let Watched { file, content: mut last } = watched;
    let mut folders = Folders::new(|error| {
        tracing::warn!(%error, "the configuration file cannot be watched, it is read once a minute");
    });
    let mut why = Nudge::Changed;
    loop {
        // Before the file is read, so that no change falls between; a swapped link may lead elsewhere now.
        folders.watch([file.as_path()]);
        let now = content(&file).await;
        if now != last {
            (last, why) = (now, Nudge::Changed);
            if nudge.send(why).await.is_err() {
                return;
            }
        } else if why == Nudge::Again && nudge.send(why).await.is_err() {
            return;
        }
        let noticed = async {
            tokio::select! {
                () = folders.changed() => Nudge::Changed,
                () = tokio::time::sleep(AGAIN) => Nudge::Again,
            }
        };
        let Some(noticed) = cancel.run_until_cancelled(noticed).await else { return };
        why = noticed;
    }
}

/// What stands in the file; `None` when it cannot be read, which is a change as well: loading it says why.
async fn content(file: &Path) -> Option<Vec<u8>> {
    tokio::fs::read(file).await.ok()
}
