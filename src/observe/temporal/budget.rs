//! How many requests a namespace may be asked, and how long it is left alone after it said "too many".
//!
//! Up to server 1.31 `ListWorkers` costs visibility quota: 10 requests a second for a whole namespace, shared with the
//! people who look at the UI. An exporter that is throttled is a nuisance; one that gets others throttled is an outage.
//! So every request to a namespace, whatever it is for, takes a token from one bucket, and `ResourceExhausted` on any
//! of them holds all of them back. Pure: time is an argument.

use std::time::Duration;

use verdict::time::Moment;

/// The first pause after `ResourceExhausted`: longer than the one-second window over which servers count.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// No pause is longer: two minutes blind is as much as a page about a dead worker may wait for us.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// The rate never falls under this part of what is configured, so that the way back up can be found.
const LEAST_SHARE: f64 = 1.0 / 16.0;
/// Each request that is served gives this part of the configured rate back: full speed after 32 served requests.
const REGAIN: f64 = 1.0 / 32.0;

/// The request was not sent: the budget is spent for longer than the look can wait, or a pause is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Ask again no sooner than this from now.
    pub(super) for_another: Duration,
}

/// What a question beside the looks is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// A verdict hangs on it.
    Pressing,
    /// It is good to know, some time.
    Idle,
}

/// A token bucket whose rate halves when the server complains and comes back request by request.
#[derive(Debug)]
pub(super) struct Budget {
    configured: f64,
    burst: f64,
    /// What may be spent now; negative while requests wait that have reserved their token.
    tokens: f64,
    filled: Moment,
    /// Part of the configured rate that is in use.
    share: f64,
    /// Complaints since the rate was last whole; widens the pause.
    complaints: u32,
    resume: Option<Moment>,
    seed: u64,
}

impl Budget {
    /// A full bucket. `seed` spreads the pauses of several exporters and sources; the same seed gives the same pauses.
    pub(super) fn new(requests_per_second: f64, seed: u64, now: Moment) -> Self {
        // The configuration refuses nonsense; a bucket that never fills would blind us for ever all the same.
        let configured =
            if requests_per_second.is_finite() && requests_per_second > 0.0 { requests_per_second } else { 1.0 };
        // One second's worth, at least a first look's three requests (namespace, system, list), never a flood.
        let burst = configured.ceil().clamp(3.0, 10.0);
        Self { configured, burst, tokens: burst, filled: now, share: 1.0, complaints: 0, resume: None, seed }
    }

    /// Reserves a token, and says how long to wait before the request may be sent. Refused when that is longer than
    /// `patience`: then nothing is reserved, so that looks that gave up do not eat the budget of those that come after.
    pub(super) fn ask(&mut self, now: Moment, patience: Duration) -> Result<Duration, Held> {
        if let Some(resume) = self.resume.filter(|resume| now < *resume) {
            return Err(Held { for_another: resume.since(now) });
        }
        self.fill(now);
        let missing = (1.0 - self.tokens).max(0.0);
        let wait = Duration::try_from_secs_f64(missing / self.rate()).unwrap_or(LONGEST_PAUSE);
        if wait > patience {
            return Err(Held { for_another: wait.saturating_sub(patience) });
        }
        self.tokens -= 1.0;
        Ok(wait)
    }

    /// True when there is room at once for a question that could as well come later.
    pub(super) fn has_room(&mut self, now: Moment, worth: Worth) -> bool {
        self.fill(now);
        // What others will want soon stays.
        let kept = match worth {
            Worth::Pressing => 1.0,
            Worth::Idle => self.burst / 2.0,
        };
        self.resume.is_none_or(|resume| now >= resume) && self.tokens >= 1.0 + kept
    }

    /// The server said `ResourceExhausted`.
    pub(super) fn throttled(&mut self, now: Moment) {
        // Requests that were on their way together come back with one complaint each: they count once.
        if self.resume.is_some_and(|resume| now < resume) {
            return;
        }
        self.fill(now);
        let doublings = self.complaints.min(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        let pause = pause.mul_f64(jitter(self.seed, self.complaints)).min(LONGEST_PAUSE);
        self.complaints = self.complaints.saturating_add(1);
        self.share = (self.share / 2.0).max(LEAST_SHARE);
        // What was saved up is gone too: a burst right after the pause would be answered like the one before it.
        self.tokens = self.tokens.min(1.0);
        self.resume = Some(now + pause);
    }

    /// The server served a request.
    pub(super) fn served(&mut self, now: Moment) {
        self.fill(now);
        self.share = (self.share + REGAIN).min(1.0);
        if self.share >= 1.0 {
            self.complaints = 0;
        }
    }

    /// Requests a second at this time.
    fn rate(&self) -> f64 {
        self.configured * self.share
    }

    fn fill(&mut self, now: Moment) {
        // A pause gives nothing: tokens that pile up during it would be the next burst.
        let from = self.resume.map_or(self.filled, |resume| resume.max(self.filled));
        self.tokens = (self.tokens + now.since(from).as_secs_f64() * self.rate()).min(self.burst);
        self.filled = self.filled.max(now);
    }
}

/// Between 0.75 and 1.25, the same for the same seed and step (splitmix64): no two sources come back together, and a
/// test can say when each does.
fn jitter(seed: u64, step: u32) -> f64 {
    let mut z = seed.wrapping_add(u64::from(step).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    let tenths_of_permille = u16::try_from(z % 10_000).unwrap_or(0);
    0.75 + f64::from(tenths_of_permille) / 20_000.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: f64) -> Moment {
        Moment::after_start(Duration::from_secs_f64(seconds))
    }

    const PATIENT: Duration = Duration::from_secs(10);

    #[test]
    fn a_burst_is_served_at_once_and_then_the_rate_holds() {
        let mut budget = Budget::new(5.0, 1, at(0.0));
        for _ in 0..5 {
            assert_eq!(budget.ask(at(0.0), PATIENT), Ok(Duration::ZERO));
        }
        assert_eq!(budget.ask(at(0.0), PATIENT), Ok(Duration::from_millis(200)));
        assert_eq!(budget.ask(at(0.0), PATIENT), Ok(Duration::from_millis(400)), "the reservation before it counts");
    }

    #[test]
    fn who_cannot_wait_is_refused_and_costs_nothing() {
        let mut budget = Budget::new(1.0, 1, at(0.0));
        for _ in 0..3 {
            budget.ask(at(0.0), PATIENT).unwrap();
        }
        for _ in 0..100 {
            assert!(budget.ask(at(0.0), Duration::from_millis(500)).is_err());
        }
        assert_eq!(budget.ask(at(0.0), PATIENT), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn a_complaint_holds_everything_back_and_the_next_one_for_longer() {
        let mut budget = Budget::new(5.0, 7, at(0.0));
        budget.throttled(at(1.0));
        let first = budget.ask(at(1.0), PATIENT).unwrap_err().for_another;
        assert!((1.5..=2.5).contains(&first.as_secs_f64()), "{first:?}");
        let resumed = at(1.0) + first;
        assert!(budget.ask(resumed, PATIENT).is_ok());
        budget.throttled(resumed);
        let second = budget.ask(resumed, PATIENT).unwrap_err().for_another;
        assert!(second > first, "{second:?} after {first:?}");
        assert!((3.0..=5.0).contains(&second.as_secs_f64()), "{second:?}");
    }

    #[test]
    fn complaints_about_requests_sent_together_count_once() {
        let mut one = Budget::new(5.0, 7, at(0.0));
        let mut many = Budget::new(5.0, 7, at(0.0));
        one.throttled(at(1.0));
        for _ in 0..20 {
            many.throttled(at(1.0));
        }
        assert_eq!(one.ask(at(1.0), PATIENT), many.ask(at(1.0), PATIENT));
    }

    #[test]
    fn the_rate_halves_on_a_complaint_and_comes_back_request_by_request() {
        let mut budget = Budget::new(8.0, 7, at(0.0));
        budget.throttled(at(0.0));
        assert!((budget.rate() - 4.0).abs() < 1e-9);
        budget.served(at(3.0));
        assert!((budget.rate() - 4.25).abs() < 1e-9, "not at once");
        for _ in 0..15 {
            budget.served(at(4.0));
        }
        assert!((budget.rate() - 8.0).abs() < 1e-9);
        budget.throttled(at(5.0));
        let pause = budget.ask(at(5.0), PATIENT).unwrap_err().for_another;
        assert!(pause <= Duration::from_millis(2500), "a recovered namespace starts from the first pause: {pause:?}");
    }

    #[test]
    fn a_pause_saves_nothing_up() {
        let mut budget = Budget::new(5.0, 7, at(0.0));
        budget.throttled(at(0.0));
        let resumed = at(0.0) + budget.ask(at(0.0), PATIENT).unwrap_err().for_another;
        assert_eq!(budget.ask(resumed, PATIENT), Ok(Duration::ZERO), "one to try with");
        assert!(budget.ask(resumed, PATIENT).unwrap() > Duration::from_millis(100), "and no burst behind it");
    }

    #[test]
    fn what_others_will_want_soon_stays_and_a_pause_has_room_for_nothing() {
        for (worth, expected) in [(Worth::Idle, 2), (Worth::Pressing, 4)] {
            let mut budget = Budget::new(5.0, 7, at(0.0));
            let mut sent = 0;
            while budget.has_room(at(0.0), worth) {
                budget.ask(at(0.0), Duration::ZERO).unwrap();
                sent += 1;
            }
            assert_eq!(sent, expected, "of five");
            assert!(budget.ask(at(0.0), Duration::ZERO).is_ok(), "which others can have");
            assert!(budget.has_room(at(1.0), worth));
            budget.throttled(at(1.0));
            assert!(!budget.has_room(at(1.5), worth));
        }
    }

    #[test]
    fn sources_do_not_come_back_together() {
        let pauses: std::collections::BTreeSet<_> = (0..50)
            .map(|seed| {
                let mut budget = Budget::new(5.0, seed, at(0.0));
                budget.throttled(at(0.0));
                budget.ask(at(0.0), PATIENT).unwrap_err().for_another
            })
            .collect();
        assert!(pauses.len() > 40, "{} different pauses", pauses.len());
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate(
            rate in 0.2f64..50.0,
            gaps in prop::collection::vec(0.0f64..2.0, 1..200),
        ) {
            let mut budget = Budget::new(rate, 3, at(0.0));
            let mut now = 0.0;
            let mut sent = Vec::new();
            for gap in gaps {
                now += gap;
                if let Ok(wait) = budget.ask(at(now), PATIENT) {
                    sent.push(now + wait.as_secs_f64());
                }
            }
            for (first, from) in sent.iter().enumerate() {
                for (last, to) in sent.iter().enumerate().skip(first) {
                    let count = f64::from(u32::try_from(last - first + 1).unwrap());
                    let allowed = budget.burst + (to - from) * rate + 1e-3;
                    prop_assert!(count <= allowed, "{count} requests in {} s at {rate}/s", to - from);
                }
            }
        }

        #[test]
        fn a_pause_always_ends(rate in 0.1f64..50.0, complaints in 1u32..60, seed: u64) {
            let mut budget = Budget::new(rate, seed, at(0.0));
            let mut now = at(0.0);
            for _ in 0..complaints {
                budget.throttled(now);
                let held = budget.ask(now, PATIENT).unwrap_err();
                prop_assert!(held.for_another <= LONGEST_PAUSE);
                now = now + held.for_another;
            }
            prop_assert!(budget.ask(now + Duration::from_secs(200), Duration::ZERO).is_ok());
        }

        #[test]
        fn time_that_runs_backwards_gives_nothing(rate in 0.2f64..50.0, back in 0.0f64..100.0) {
            let mut budget = Budget::new(rate, 3, at(100.0));
            while budget.ask(at(100.0), Duration::ZERO).is_ok() {}
            prop_assert!(budget.ask(at(100.0 - back), Duration::ZERO).is_err());
            prop_assert!(budget.ask(at(100.0), Duration::ZERO).is_err());
        }
    }
}
