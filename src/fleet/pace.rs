//! When a new snapshot is published. Pure: `now` is an argument.
//!
//! A change of state is published at once, since somebody waits for it. All else waits a little, so that hundreds of
//! looks share one snapshot; and a snapshot that is dear to take is taken more seldom, so that ten thousand workers do
//! not cost ten times a thousand in snapshots alone.

use std::time::Duration;

use verdict::time::Moment;

/// No two ordinary snapshots are closer.
pub const BETWEEN: Duration = Duration::from_millis(200);

/// Taking ordinary snapshots may cost one part in this many of a core; those for changes one in four.
const SHARE: u32 = 50;
const SHARE_OF_CHANGES: u32 = 4;

/// No snapshot is older than this while anything happens, whatever it costs.
const AT_LATEST: Duration = Duration::from_secs(2);

/// See the head of the file.
#[derive(Debug, Default)]
pub struct Pace {
    published: Option<Moment>,
    cost: Duration,
    waiting: Option<News>,
}

/// What waits to be published; the greater is the more urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// A look came in, or a second went by.
    Look,
    /// A state changed, or other rules are in force.
    Change,
}

impl Pace {
    /// Something is there to be published.
    pub fn note(&mut self, news: News) {
        self.waiting = self.waiting.max(Some(news));
    }

    /// When to publish what waits; `None` when nothing does.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        let news = self.waiting?;
        let Some(published) = self.published else { return Some(Moment::START) };
        let gap = match news {
            News::Look => BETWEEN.max(self.cost.saturating_mul(SHARE)),
            News::Change => self.cost.saturating_mul(SHARE_OF_CHANGES),
        };
        Some(published + gap.min(AT_LATEST))
    }

    /// It was published at `now`, and to take it took `cost`.
    pub fn published(&mut self, now: Moment, cost: Duration) {
        self.published = Some(now);
        self.cost = cost;
        self.waiting = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Duration = Duration::from_micros(50);

    fn at(millis: u64) -> Moment {
        Moment::START + Duration::from_millis(millis)
    }

    #[test]
    fn nothing_is_published_when_nothing_happened() {
        assert_eq!(Pace::default().due(), None);
    }

    #[test]
    fn the_first_snapshot_is_published_at_once() {
        let mut pace = Pace::default();
        pace.note(News::Look);
        assert_eq!(pace.due(), Some(Moment::START));
    }

    #[test]
    fn looks_share_a_snapshot_every_two_hundred_milliseconds() {
        let mut pace = Pace::default();
        pace.published(at(1000), CHEAP);
        pace.note(News::Look);
        assert_eq!(pace.due(), Some(at(1200)));
    }

    #[test]
    fn a_change_is_published_at_once_even_when_a_look_already_waits() {
        let mut pace = Pace::default();
        pace.published(at(1000), CHEAP);
        pace.note(News::Look);
        pace.note(News::Change);
        pace.note(News::Look);
        assert!(pace.due() <= Some(at(1001)));
    }

    #[test]
    fn a_dear_snapshot_is_taken_more_seldom_but_never_later_than_two_seconds() {
        let mut pace = Pace::default();
        pace.published(at(1000), Duration::from_millis(10));
        pace.note(News::Look);
        assert_eq!(pace.due(), Some(at(1500)));
        pace.published(at(1000), Duration::from_secs(1));
        pace.note(News::Change);
        assert_eq!(pace.due(), Some(at(3000)));
    }

    #[test]
    fn after_publishing_nothing_waits() {
        let mut pace = Pace::default();
        pace.note(News::Change);
        pace.published(at(1000), CHEAP);
        assert_eq!(pace.due(), None);
    }
}
