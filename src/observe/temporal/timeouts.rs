//! How many workflows a timeout closed lately: when to ask, and what is known. Pure.
//!
//! The answer comes from the visibility store, whose quota is small and shared with whoever lists workflows in the web
//! interface: so it is asked once a minute, and only where the configuration wants it.

use std::time::Duration;

use jiff::Timestamp;
use temporalio_protos::temporal::api::workflowservice::v1::CountWorkflowExecutionsRequest;
use verdict::time::{Moment, WallTime};

/// Between two questions.
const EVERY: Duration = Duration::from_secs(60);
/// Who has no right, or a store that cannot count, is asked again after this long.
const REFUSED: Duration = Duration::from_secs(10 * 60);
/// What was counted is shown for this long: one answer may fail to come.
const FRESH: Duration = Duration::from_secs(150);
/// Workflows are counted that were closed within this time.
const WINDOW_MICROS: i64 = 5 * 60 * 1_000_000;

/// What is known of one namespace.
#[derive(Debug)]
pub(super) struct TimedOut {
    wanted: bool,
    due: Moment,
    counted: Option<(Moment, u64)>,
}

/// The question, at this time on the wall. The server compares it with its own stamps; a clock that is off by a minute
/// moves the window by as much.
pub(super) fn question(namespace: &str, wall: WallTime) -> CountWorkflowExecutionsRequest {
    let since = Timestamp::from_microsecond(wall.micros().saturating_sub(WINDOW_MICROS)).unwrap_or_default();
    CountWorkflowExecutionsRequest {
        namespace: namespace.to_owned(),
        query: format!("ExecutionStatus = 'TimedOut' AND CloseTime > '{since}'"),
    }
}

impl TimedOut {
    pub(super) const fn new(wanted: bool) -> Self {
        Self { wanted, due: Moment::START, counted: None }
    }

    /// True when it is to be asked now; it is not due again before the next time.
    pub(super) fn take_turn(&mut self, now: Moment) -> bool {
        let due = self.wanted && now >= self.due;
        if due {
            self.due = now + EVERY;
        }
        due
    }

    /// The server counted so many.
    pub(super) fn counted(&mut self, count: i64, now: Moment) {
        self.counted = u64::try_from(count).ok().map(|count| (now, count));
    }

    /// The server will not count, and not a minute later either.
    pub(super) fn refused(&mut self, now: Moment) {
        self.due = now + REFUSED;
    }

    /// How many there were, as far as that is known now.
    pub(super) fn known(&self, now: Moment) -> Option<u64> {
        self.counted.filter(|(at, _)| now.since(*at) < FRESH).map(|(_, count)| count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn it_asks_for_what_was_closed_within_five_minutes() {
        let asked = question("shop", WallTime::from_micros(1_800_000_000_250_000));
        assert_eq!(asked.namespace, "shop");
        assert_eq!(asked.query, "ExecutionStatus = 'TimedOut' AND CloseTime > '2027-01-15T07:55:00.25Z'");
    }

    #[test]
    fn it_is_asked_once_a_minute_where_it_is_wanted_and_nowhere_else() {
        let mut wanted = TimedOut::new(true);
        let turns: Vec<_> = (0..=120).filter(|second| wanted.take_turn(at(*second))).collect();
        assert_eq!(turns, [0, 60, 120]);
        let mut unwanted = TimedOut::new(false);
        assert!((0..=120).all(|second| !unwanted.take_turn(at(second))));
    }

    #[test]
    fn a_refusal_is_respected_for_ten_minutes() {
        let mut counts = TimedOut::new(true);
        assert!(counts.take_turn(at(0)));
        counts.refused(at(1));
        assert!(!counts.take_turn(at(600)) && counts.take_turn(at(601)));
    }

    #[test]
    fn what_was_counted_is_shown_until_it_is_old_and_nonsense_never() {
        let mut counts = TimedOut::new(true);
        assert_eq!(counts.known(at(0)), None, "nothing is no 0");
        counts.counted(7, at(10));
        assert_eq!((counts.known(at(159)), counts.known(at(160))), (Some(7), None));
        counts.counted(-1, at(200));
        assert_eq!(counts.known(at(200)), None);
    }
}
