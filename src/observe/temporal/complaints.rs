//! What the log says of requests that fail: each method and reason once, however many queues are asked about.

use std::collections::BTreeMap;
use std::time::Duration;

use verdict::time::Moment;
use verdict::words::Failure;

/// What goes on for so long is said again. So is what comes and goes, and no more often.
const AGAIN: Duration = Duration::from_secs(600);

/// What was said of one namespace.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    told: BTreeMap<(&'static str, Failure), Moment>,
    /// The last listing failed, and that was said.
    listing: bool,
}

impl Complaints {
    /// Whether it is to be said that `method` came to `failure`.
    pub(super) fn is_news(&mut self, method: &'static str, failure: Failure, now: Moment) -> bool {
        let told = self.told.get(&(method, failure));
        if told.is_some_and(|at| now.since(*at) < AGAIN) {
            return false;
        }
        self.told.insert((method, failure), now);
        true
    }

    /// The list of workers could not be had, for a reason that was said.
    pub(super) fn listing_failed(&mut self) {
        self.listing = true;
    }

    /// The list of workers was had; true when it is to be said that it is there again.
    pub(super) fn listed(&mut self) -> bool {
        std::mem::take(&mut self.listing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn each_method_and_reason_is_said_once_and_again_after_ten_minutes() {
        let mut complaints = Complaints::default();
        assert!(complaints.is_news("ListWorkers", Failure::Refused, at(0)));
        assert!(!complaints.is_news("ListWorkers", Failure::Refused, at(599)));
        assert!(complaints.is_news("ListWorkers", Failure::Timeout, at(599)), "another reason");
        assert!(complaints.is_news("DescribeTaskQueue", Failure::Refused, at(599)), "another method");
        assert!(complaints.is_news("ListWorkers", Failure::Refused, at(600)));
        assert!(!complaints.listed(), "it did not fail");
        complaints.listing_failed();
        assert!(complaints.listed() && !complaints.listed(), "it is back, said once");
    }
}
