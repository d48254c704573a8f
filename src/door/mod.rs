//! The way in: the file of `--web.config.file`, TLS of our own listeners, and every connection to them.
//!
//! What is in force is swapped whole, and only for something that works: a certificate whose key has not been replaced
//! yet, or a file with a mistake, leaves the one before in force, and the log says so.

mod serve;
mod tls;

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::{Mistake, Mistakes, Pem, Place, WebConfig, parse_web};
use crate::watch::Folders;

pub use serve::{Connections, serve};

/// No web configuration is larger; certificates stand in files of their own.
const LARGEST: u64 = 1 << 20;
/// The files are looked at this often when nobody comes and no notice tells of a change.
const GLANCE: Duration = Duration::from_secs(60);
/// While connections come, this often.
const GLANCE_BUSY: Duration = Duration::from_secs(1);

/// The way in.
#[derive(Debug)]
pub struct Door {
    file: Option<PathBuf>,
    config: Arc<ArcSwap<WebConfig>>,
    tls: ArcSwap<Option<Arc<ServerConfig>>>,
    seen: Mutex<Vec<Stamp>>,
    /// Somebody came.
    knock: Notify,
}

/// A file, and which version of it: when it was changed, its size, and which file it is.
type Stamp = (PathBuf, Option<(SystemTime, u64, u64)>);

struct Loaded {
    config: WebConfig,
    tls: Option<Arc<ServerConfig>>,
    seen: Vec<Stamp>,
}

impl Door {
    /// Without a file: plain HTTP, open to all.
    #[must_use]
    pub fn open() -> Self {
        Self::with(None, Loaded { config: WebConfig::default(), tls: None, seen: Vec::new() })
    }

    /// With what this file says, and the files that it names.
    ///
    /// # Errors
    /// Every mistake of the file; and where there is none, what of certificate, key or authority cannot be used.
    pub fn load(file: &Path) -> Result<Self, Mistakes> {
        Ok(Self::with(Some(file.to_owned()), read(file)?))
    }

    fn with(file: Option<PathBuf>, loaded: Loaded) -> Self {
        Self {
            file,
            config: Arc::new(ArcSwap::from_pointee(loaded.config)),
            tls: ArcSwap::from_pointee(loaded.tls),
            seen: Mutex::new(loaded.seen),
            knock: Notify::new(),
        }
    }

    /// What is in force, and will be.
    #[must_use]
    pub fn config(&self) -> Arc<ArcSwap<WebConfig>> {
        Arc::clone(&self.config)
    }

    /// Whether connections are over TLS now.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.load().is_some()
    }

    /// Keeps what is in force up to date until it is cancelled.
    pub async fn keep(self: Arc<Self>, cancel: CancellationToken) {
        let Some(file) = self.file.clone() else { return };
        let mut folders = Folders::new(|error| {
            tracing::warn!(%error, "the web configuration cannot be watched, its files are looked at now and then");
        });
        loop {
            let files = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
            folders.watch(files.iter().map(|(path, _)| path.as_path()).chain([file.as_path()]));
            let door = Arc::clone(&self);
            let path = file.clone();
            // Reading files blocks, on a network file system for long.
            let _ = tokio::task::spawn_blocking(move || door.refresh(&path)).await;
            let visited = async {
                self.knock.notified().await;
                tokio::time::sleep(GLANCE_BUSY).await;
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = folders.changed() => {}
                () = visited => {}
                () = tokio::time::sleep(GLANCE) => {}
            }
        }
    }

    /// Reads everything again if anything changed.
    fn refresh(&self, file: &Path) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now: Vec<Stamp> = seen.iter().map(|(path, _)| stamp(path)).collect();
        if now == *seen {
            return;
        }
        match read(file) {
            Ok(loaded) => {
                // TLS before users: whoever was just told to be asked is never asked over plain HTTP.
                self.tls.store(Arc::new(loaded.tls));
                self.config.store(Arc::new(loaded.config));
                *seen = loaded.seen;
                tracing::info!(file = %file.display(), "web configuration read again, it is in force");
            }
            Err(mistakes) => {
                // Remembered as it is now, so that each state of the files is complained about once.
                *seen = now;
                for mistake in mistakes.to_string().split("\n").filter(|line| !line.starts_with(' ')) {
                    tracing::error!(mistake, "web configuration not taken, the one before stays in force");
                }
            }
        }
    }
}

fn read(file: &Path) -> Result<Loaded, Mistakes> {
    let origin = file.display().to_string();
    // Stamped before they are read: what changes in between is then seen as changed.
    let own = stamp(file);
    let mut bytes = Vec::new();
    if let Err(error) = fs::File::open(file).and_then(|opened| opened.take(LARGEST + 1).read_to_end(&mut bytes)) {
        let reason = format!("cannot read the file: {}", error.kind());
        let hint = "check the path of --web.config.file and the permissions".to_owned();
        return Err(Mistakes::new(origin, vec![Mistake { place: Place::File, reason, hint }]));
    }
    let config = parse_web(&bytes, &origin, file.parent().unwrap_or(Path::new("")))?;
    let named = config.tls.iter().flat_map(|tls| [Some(&tls.certificate), Some(&tls.key), tls.client_ca.as_ref()]);
    let paths = named.flatten().filter_map(|pem| match pem {
        Pem::File(path) => Some(path.as_path()),
        Pem::Held(_) => None,
    });
    let seen = std::iter::once(own).chain(paths.map(stamp)).collect();
    let tls = tls::server(&config).map_err(|mistake| Mistakes::new(origin, vec![mistake]))?;
    Ok(Loaded { config, tls, seen })
}

fn stamp(path: &Path) -> Stamp {
    let version = fs::metadata(path).ok().and_then(|meta| Some((meta.modified().ok()?, meta.len(), meta.ino())));
    (path.to_owned(), version)
}
