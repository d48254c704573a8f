//! A Redis hash in which a framework keeps what it knows of one worker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::stamp;
use crate::evidence::{Slot, WorkerKey};
use crate::time::WallTime;

/// Longer values are not names, numbers or stamps.
const LONGEST: usize = 64 * 1024;
/// More queues than this on one worker are not believed to be queues.
const MAX_QUEUES: usize = 256;

/// The fields of one hash, as far as they are text.
#[derive(Clone, Debug, Default)]
pub struct Hash(HashMap<String, String>);

impl Hash {
    /// Keeps what is UTF-8 and of a believable length; the rest is as if it were absent.
    #[must_use]
    pub fn of(pairs: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let text = |bytes: Vec<u8>| (bytes.len() <= LONGEST).then(|| String::from_utf8(bytes).ok()).flatten();
        Self(pairs.into_iter().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect())
    }

    /// There is no such hash.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A field that is not empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The same, to be kept.
    #[must_use]
    pub fn name(&self, name: &str) -> Option<Arc<str>> {
        self.text(name).map(Arc::from)
    }

    /// A count.
    #[must_use]
    pub fn count(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Seconds, not negative and no longer than a person lives.
    #[must_use]
    pub fn seconds(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse().ok().filter(|seconds| (0.0..=3e9).contains(seconds))
    }

    /// A stamp.
    #[must_use]
    pub fn stamp(&self, name: &str) -> Option<WallTime> {
        stamp::text(self.text(name)?).time()
    }
}

/// What belongs to a look at one record of a framework, besides its fields.
#[derive(Clone, Debug)]
pub struct Around<'a> {
    /// The fleet of the workers.
    pub fleet: &'a Arc<str>,
    /// Its time to live.
    pub ttl: Option<Duration>,
    /// The server's clock.
    pub now: WallTime,
}

impl Around<'_> {
    /// A slot that only one record can hold: its name is unique there.
    pub(super) fn own(&self, worker: &str) -> Slot {
        Slot { key: WorkerKey::new(Arc::clone(self.fleet), worker), exclusive: true }
    }

    /// A slot that several living records may claim: the frameworks' own names change with each start.
    pub(super) fn shared(&self, worker: &str) -> Slot {
        Slot { key: WorkerKey::new(Arc::clone(self.fleet), worker), exclusive: false }
    }
}

/// Names of queues, each once.
pub(super) fn queues<'n>(names: impl Iterator<Item = &'n str>) -> Vec<Arc<str>> {
    let mut queues: Vec<Arc<str>> = Vec::new();
    for name in names.map(str::trim).filter(|name| !name.is_empty()).take(MAX_QUEUES) {
        if !queues.iter().any(|known| **known == *name) {
            queues.push(Arc::from(name));
        }
    }
    queues
}
