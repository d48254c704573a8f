//! The life of one process of a Temporal worker: when it beats, sleeps, blocks and leaves.

/// Whose heartbeats it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// Every poll is stamped; a blocked loop holds its workflow slots.
    Core,
    /// Polls that brought nothing are not stamped; whoever waits between two polls holds no slot.
    Go,
    /// As Go, and it mentions task types that it does not serve.
    Java,
}

/// One incarnation of a Temporal worker.
#[derive(Clone, Debug)]
pub struct Process {
    pub host: String,
    pub pid: u32,
    pub queue: String,
    pub start: f64,
    pub beats_each: f64,
    /// From here on it does nothing (killed, or stopped by a signal).
    pub still: Option<f64>,
    /// It woke again (SIGCONT).
    pub woke: Option<f64>,
    /// It said goodbye.
    pub goodbye: Option<f64>,
    /// Its record is known to the registry from here on (after the registry was lost).
    pub used: u64,
    pub slots: u64,
    /// Its workflow loop is blocked between these.
    pub blocked: Option<(f64, f64)>,
    /// Share of a beat interval by which beats jitter.
    pub jitter: f64,
    /// Its SDK sends no heartbeats.
    pub no_heartbeats: bool,
    pub busy_until: f64,
    pub sdk: Sdk,
    /// Its slots are given by load: it has no number of free ones.
    pub unbounded: bool,
    /// The registry hears of it only one interval after its start, as of a worker of the core.
    pub late_first_beat: bool,
    /// Nothing is registered for workflow tasks.
    pub activities_only: bool,
}

impl Process {
    pub fn new(host: &str, pid: u32, start: f64) -> Self {
        Self {
            host: host.into(),
            pid,
            queue: "orders".into(),
            start,
            beats_each: 1.0,
            still: None,
            woke: None,
            goodbye: None,
            used: 0,
            slots: 100,
            blocked: None,
            jitter: 0.1,
            no_heartbeats: false,
            busy_until: 0.0,
            sdk: Sdk::Core,
            unbounded: false,
            late_first_beat: false,
            activities_only: false,
        }
    }

    /// Busy: a poll each half second. Idle: each ends after a minute.
    pub(super) fn polled(&self, at: f64) -> f64 {
        if at < self.busy_until {
            (at * 2.0).floor() / 2.0
        } else {
            self.busy_until + ((at - self.busy_until) / 60.0).floor() * 60.0
        }
    }

    pub fn identity(&self) -> String {
        format!("{}@{}", self.pid, self.host)
    }

    pub(super) fn key(&self) -> String {
        format!("{}-{}", self.identity(), self.start)
    }

    /// The last time up to `t` at which it was awake.
    pub(super) fn awake(&self, t: f64) -> f64 {
        let end = self.goodbye.unwrap_or(f64::MAX).min(t);
        match (self.still, self.woke) {
            (Some(_), Some(woke)) if t >= woke => end,
            (Some(still), _) => end.min(still),
            _ => end,
        }
    }

    pub(super) fn asleep_at(&self, t: f64) -> bool {
        self.still.is_some_and(|s| t > s) && self.woke.is_none_or(|w| t < w)
    }

    /// The last beat up to `t`: (number, stamp).
    pub(super) fn last_beat(&self, t: f64) -> Option<(u64, f64)> {
        let awake = self.awake(t);
        if awake < self.start {
            return None;
        }
        let n = ((awake - self.start) / self.beats_each).floor();
        if self.late_first_beat && n < 1.0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small test figures")]
        let n = n as u64;
        let hash =
            (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(self.pid).wrapping_mul(0xff51_afd7_ed55_8ccd)) >> 40;
        #[expect(clippy::cast_precision_loss, reason = "small test figures")]
        let (n_f, jitter) = (n as f64, (hash as f64 / f64::from(1 << 24)) * self.jitter * self.beats_each);
        let stamp = self.start + n_f * self.beats_each + if n == 0 { 0.0 } else { jitter };
        let stamp = if stamp > awake { stamp - self.beats_each } else { stamp };
        Some((n, stamp.max(self.start)))
    }
}
