//! GPUs: what each is doing, for whom, and what of it is a worker's. The driver is asked in a lane of its own: a driver
//! that hangs is reported as such, costs one thread, and holds up nobody.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use verdict::words::Failure;

use super::lane::{Lane, Road};
use super::nvml;

/// Looks within this time see the same figures: a driver takes milliseconds for each device.
const FRESH: Duration = Duration::from_secs(1);

/// Where there was no driver one may be installed or loaded later.
const AGAIN: Duration = Duration::from_secs(600);

/// What the driver tells of one device, or of one slice of a device that is divided (MIG).
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Device {
    /// `0`, or `0/1` for a slice.
    pub(super) id: String,
    /// As the maker calls it.
    pub(super) name: String,
    /// Share of the last moment in which it computed. A slice has none.
    pub(super) busy: Option<f64>,
    /// Bytes in use by all, and bytes that there are.
    pub(super) memory: Option<(u64, u64)>,
    /// Who has something on it.
    pub(super) users: Vec<User>,
}

/// A process on a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct User {
    pub(super) pid: u32,
    /// Its memory there, where the driver tells.
    pub(super) memory: Option<u64>,
    /// Share of the device's time that it had, where the driver tells.
    pub(super) busy: Option<f64>,
}

/// Whoever can tell of GPUs.
pub(super) trait Driver: Send {
    /// All devices, as they are now.
    fn devices(&mut self) -> Result<Vec<Device>, Failure>;
}

/// A driver, where there is one.
pub(super) type Opened = Result<Option<Box<dyn Driver>>, Failure>;

/// Opens the driver of this machine. May block.
type Open = dyn Fn() -> Opened + Send + Sync;

/// What was read last, and when. `None`: this machine has no GPU that we can read.
type Reading = Result<Option<Arc<Vec<Device>>>, Failure>;

/// The GPUs of this machine.
pub(super) struct Gpus {
    lane: Lane,
    open: Arc<Open>,
    driver: Arc<Mutex<State>>,
    /// One asks the driver; who comes meanwhile waits for that answer.
    last: tokio::sync::Mutex<Option<(Instant, Reading)>>,
}

enum State {
    Closed,
    Open(Box<dyn Driver>),
    Absent(Instant),
}

impl Gpus {
    /// Those of this machine, for all sources together: a driver that hangs must not take a thread for each of them, nor
    /// another one after each reload.
    pub(super) fn of_this_machine() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Gpus>> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(|| Arc::new(Self::new(nvml::open))))
    }

    pub(super) fn new(open: impl Fn() -> Opened + Send + Sync + 'static) -> Self {
        Self {
            lane: Lane::new(&Road::default()),
            open: Arc::new(open),
            driver: Arc::new(Mutex::new(State::Closed)),
            last: tokio::sync::Mutex::new(None),
        }
    }

    /// All devices; `None` where this machine has none.
    ///
    /// # Errors
    /// [`Failure::Timeout`] when the driver does not answer within `within`, and at once while it still hangs.
    pub(super) async fn read(&self, within: Duration) -> Reading {
        let mut last = tokio::time::timeout(within, self.last.lock()).await.map_err(|_| Failure::Timeout)?;
        if let Some((_, reading)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return reading.clone();
        }
        let (driver, open) = (Arc::clone(&self.driver), Arc::clone(&self.open));
        let reading = self.lane.run(within, move || ask(&driver, &*open)).await.and_then(|reading| reading);
        *last = Some((Instant::now(), reading.clone()));
        reading
    }
}

fn ask(driver: &Mutex<State>, open: &Open) -> Reading {
    let mut state = driver.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(&*state, State::Absent(since) if since.elapsed() < AGAIN) {
        return Ok(None);
    }
    if !matches!(&*state, State::Open(_)) {
        let Some(opened) = open()? else {
            if matches!(&*state, State::Closed) {
                tracing::info!("no NVIDIA driver library on this machine: GPUs are not read");
            }
            *state = State::Absent(Instant::now());
            return Ok(None);
        };
        *state = State::Open(opened);
    }
    let State::Open(driver) = &mut *state else { return Ok(None) };
    match driver.devices() {
        Ok(devices) => Ok(Some(Arc::new(devices))),
        Err(failure) => {
            // A device that fell off the bus comes back to a new session at most.
            *state = State::Closed;
            Err(failure)
        }
    }
}

/// What of the GPUs is a worker's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Use {
    /// The busiest of its devices: its own share of that one's time, or what all do on it where the driver does not tell.
    pub(super) busy: Option<f64>,
    /// The fullest of its devices, whoever fills it: that is the limit that it will meet.
    pub(super) memory: Option<f64>,
    /// One sentence for each of its devices.
    pub(super) notes: Vec<Arc<str>>,
}

/// Of all devices those on which one of `pids` has something.
pub(super) fn of_worker(devices: &[Device], pids: &[u32]) -> Use {
    let mut all = Use::default();
    for device in devices {
        let own: Vec<&User> = device.users.iter().filter(|user| pids.contains(&user.pid)).collect();
        if own.is_empty() {
            continue;
        }
        let share = own.iter().filter_map(|user| user.busy).reduce(|sum, busy| sum + busy);
        let busy = share.map(|share| share.min(1.0)).or(device.busy);
        #[expect(clippy::cast_precision_loss, reason = "a ratio of byte counts")]
        let memory = device.memory.filter(|(_, total)| *total > 0).map(|(used, total)| used as f64 / total as f64);
        let bytes = own.iter().filter_map(|user| user.memory).reduce(u64::saturating_add);
        all.busy = highest(all.busy, busy);
        all.memory = highest(all.memory, memory);
        all.notes.push(note(device, share, memory, bytes).into());
    }
    all
}

fn highest(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    [one, other].into_iter().flatten().max_by(f64::total_cmp)
}

fn note(device: &Device, share: Option<f64>, memory: Option<f64>, bytes: Option<u64>) -> String {
    let mut note = format!("GPU {} ({})", device.id, device.name);
    let percent = |ratio: f64| format!("{:.0} %", ratio * 100.0);
    let busy = match (device.busy, share) {
        (Some(busy), Some(share)) => Some(format!("busy {}, its share {}", percent(busy), percent(share))),
        (Some(busy), None) => Some(format!("busy {}", percent(busy))),
        (None, Some(share)) => Some(format!("its share {}", percent(share))),
        (None, None) => None,
    };
    let memory = memory.map(|memory| format!("memory {} full", percent(memory)));
    let bytes = bytes.map(|bytes| format!("its own {} MiB", bytes >> 20));
    let parts: Vec<String> = [busy, memory, bytes].into_iter().flatten().collect();
    if !parts.is_empty() {
        note.push_str(": ");
        note.push_str(&parts.join(", "));
    }
    note
}

#[cfg(test)]
mod tests;
