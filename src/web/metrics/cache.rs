//! One rendering for all scrapers of a moment.
//!
//! The part of workers, fleets and queues is rendered once per snapshot, by the first scraper that wants it, and is
//! kept either as text or deflated, never both for the same scraper. The exporter's own part is rendered at each
//! scrape. Both become ONE gzip member: the shared part is a deflate stream that was flushed to a byte boundary and not
//! ended, the own part continues it, and the two checksums are combined. A second member would be cheaper to write,
//! and is cut off by some clients.

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use tokio::sync::Mutex;
use verdict::snapshot::Snapshot;
use verdict::time::Moment;

use super::{Live, process, write};
use crate::fleet::{Clock, Present};
use crate::web::negotiate::{Coding, Format};
use crate::web::site::ReloadStatus;

/// Fast, and within a few percent of the size that the default level reaches on an exposition.
const LEVEL: u32 = 2;
/// A rendering is used again for this many times what it cost, so that rendering takes at most a twentieth of one core
/// however often we are scraped; a small fleet is always shown as it is now.
const REUSE_FACTOR: u32 = 20;
/// But never longer than this.
const REUSE_LIMIT: Duration = Duration::from_secs(5);
/// What nobody asked for in this time is given back: one look with a browser must not cost its megabytes for ever.
const IDLE_LIMIT: Duration = Duration::from_secs(120);

/// The body of an exposition: the chunks in order, not yet copied together.
#[derive(Debug)]
pub struct Body {
    /// The chunks.
    pub chunks: Vec<Bytes>,
}

/// The shared part in one format and coding.
#[derive(Clone, Debug)]
struct Shared {
    snapshot: Arc<Snapshot>,
    built: Moment,
    used: Moment,
    cost: Duration,
    bytes: Bytes,
    /// Of the text, for gzip.
    crc: Arc<Crc>,
}

/// The expositions.
#[derive(Debug)]
pub struct Metrics {
    clock: Clock,
    /// By format and coding. The lock is held while rendering, so that many scrapers at once cost one rendering.
    slots: [Arc<Mutex<Option<Shared>>>; 4],
    dropped: Arc<AtomicU64>,
    process: process::Reader,
}

impl Metrics {
    /// Nothing rendered yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, slots: Default::default(), dropped: Arc::default(), process: process::Reader::new() }
    }

    /// The exposition of the present.
    ///
    /// # Errors
    /// When a family does not fit its row in the table, which a test rules out, or rendering panicked.
    pub async fn body(
        &self,
        present: &Present,
        reload: Arc<ReloadStatus>,
        format: Format,
        coding: Coding,
    ) -> Result<Body, fmt::Error> {
        let shared = self.shared(present, format, coding).await?;
        let live = Live {
            snapshot: Arc::clone(&shared.snapshot),
            reload,
            process: self.process.read(),
            series_dropped: self.dropped.load(Ordering::Relaxed),
        };
        let chunks = match coding {
            Coding::Identity => {
                let mut text = String::new();
                write::own(&mut text, format, live)?;
                vec![shared.bytes, text.into()]
            }
            Coding::Gzip => {
                let mut deflate = Deflate::new();
                write::own(&mut deflate, format, live)?;
                let (own, own_crc) = deflate.end()?;
                // A checksum cannot be cloned; nothing followed by it is the same.
                let mut crc = Crc::new();
                crc.combine(&shared.crc);
                crc.combine(&own_crc);
                vec![Bytes::from_static(&GZIP_HEADER), shared.bytes, own, trailer(&crc)]
            }
        };
        Ok(Body { chunks })
    }

    async fn shared(&self, present: &Present, format: Format, coding: Coding) -> Result<Shared, fmt::Error> {
        let at = usize::from(format == Format::Text) * 2 + usize::from(coding == Coding::Gzip);
        let slot = self.slots.get(at).ok_or(fmt::Error)?;
        let mut slot = Arc::clone(slot).lock_owned().await;
        let snapshot = present.load_full();
        let now = self.clock.now();
        for other in &self.slots {
            // One that is locked is in use, our own among them.
            if let Ok(mut other) = other.try_lock() {
                *other = other.take().filter(|shared| now.since(shared.used) < IDLE_LIMIT);
            }
        }
        if let Some(shared) = slot.as_mut() {
            shared.used = now;
            let reuse = REUSE_LIMIT.min(shared.cost * REUSE_FACTOR);
            if Arc::ptr_eq(&shared.snapshot, &snapshot) || now.since(shared.built) < reuse {
                return Ok(shared.clone());
            }
        }
        let (clock, dropped) = (self.clock, Arc::clone(&self.dropped));
        // The lock goes along: a scraper that hangs up does not let a second rendering start beside its own.
        let rendered = tokio::task::spawn_blocking(move || {
            // What is not used again is given back before the new one is made.
            *slot = None;
            let (bytes, crc, left_out) = render(Arc::clone(&snapshot), format, coding)?;
            dropped.fetch_add(left_out, Ordering::Relaxed);
            let built = clock.now();
            let shared = Shared { snapshot, built, used: built, cost: built.since(now), bytes, crc: Arc::new(crc) };
            *slot = Some(shared.clone());
            Ok(shared)
        });
        rendered.await.map_err(|_| fmt::Error)?
    }
}

fn render(snapshot: Arc<Snapshot>, format: Format, coding: Coding) -> Result<(Bytes, Crc, u64), fmt::Error> {
    match coding {
        Coding::Identity => {
            let mut text = String::new();
            let left_out = write::shared(&mut text, format, snapshot)?;
            text.shrink_to_fit();
            Ok((text.into(), Crc::new(), left_out))
        }
        Coding::Gzip => {
            let mut deflate = Deflate::new();
            let left_out = write::shared(&mut deflate, format, snapshot)?;
            let (bytes, crc) = deflate.pause()?;
            Ok((bytes, crc, left_out))
        }
    }
}

/// RFC 1952: magic, deflate, no flags, no time, no extra flags, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

fn trailer(crc: &Crc) -> Bytes {
    let mut trailer = [0; 8];
    let (sum, length) = trailer.split_at_mut(4);
    sum.copy_from_slice(&crc.sum().to_le_bytes());
    length.copy_from_slice(&crc.amount().to_le_bytes());
    Bytes::copy_from_slice(&trailer)
}

/// Deflates what is written, and sums it up. The text itself is never held whole.
struct Deflate {
    encoder: DeflateEncoder<Vec<u8>>,
    crc: Crc,
    /// Collects the many short pieces that an exposition is written in.
    pieces: Vec<u8>,
}

const PIECES: usize = 64 << 10;

impl Deflate {
    fn new() -> Self {
        let encoder = DeflateEncoder::new(Vec::new(), Compression::new(LEVEL));
        Self { encoder, crc: Crc::new(), pieces: Vec::with_capacity(PIECES) }
    }

    fn drain(&mut self) -> fmt::Result {
        self.crc.update(&self.pieces);
        let written = self.encoder.write_all(&self.pieces);
        self.pieces.clear();
        written.map_err(|_| fmt::Error)
    }

    /// Up to here, on a byte boundary, to be continued.
    fn pause(mut self) -> Result<(Bytes, Crc), fmt::Error> {
        self.drain()?;
        self.encoder.flush().map_err(|_| fmt::Error)?;
        let mut bytes = std::mem::take(self.encoder.get_mut());
        bytes.shrink_to_fit();
        Ok((bytes.into(), self.crc))
    }

    /// Up to here, and the end.
    fn end(mut self) -> Result<(Bytes, Crc), fmt::Error> {
        self.drain()?;
        let bytes = self.encoder.finish().map_err(|_| fmt::Error)?;
        Ok((bytes.into(), self.crc))
    }
}

impl fmt::Write for Deflate {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.pieces.extend_from_slice(text.as_bytes());
        if self.pieces.len() >= PIECES { self.drain() } else { Ok(()) }
    }
}
