//! Versions of the workers of one queue: which of them are given tasks, and who polls for them.
//!
//! A queue server routes new work to one version, or to two during a ramp. Where nobody polls for such a version its
//! tasks wait for ever, however many workers of other versions are healthy beside it: no state of a worker shows that.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::snapshot::VersionView;
use crate::words::VersionStatus;

/// A version of workers. Both names are empty for workers without one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Version {
    /// The deployment that it belongs to.
    pub deployment: Arc<str>,
    /// Its build id.
    pub build_id: Arc<str>,
}

impl Version {
    /// The version `build_id` of `deployment`.
    #[must_use]
    pub fn new(deployment: impl Into<Arc<str>>, build_id: impl Into<Arc<str>>) -> Self {
        Self { deployment: deployment.into(), build_id: build_id.into() }
    }

    /// True for workers without a version.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.deployment.is_empty() && self.build_id.is_empty()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.deployment, self.build_id)
    }
}

/// What a queue server says of one version on one queue.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionReport {
    /// Which.
    pub version: Version,
    /// Where it stands.
    pub status: VersionStatus,
    /// The share of new work that it is given while it ramps, 0 to 1.
    pub ramp: Option<f64>,
    /// Tasks that wait for it, about.
    pub backlog: Option<u64>,
    /// Age of the head of those tasks.
    pub backlog_age: Option<Duration>,
}

/// What is wrong with the versions of a queue, one sentence for each that is given tasks which nobody polls for. `alive`
/// says that a worker of a version lives all the same: with all its slots full it does not poll.
pub(crate) fn issues(versions: &[VersionView], alive: impl Fn(&Version) -> bool) -> Vec<String> {
    let lacking = versions.iter().filter(|v| v.pollers == Some(0) && !alive(&v.version));
    lacking
        .filter_map(|lacking| {
            let others = versions.iter().filter(|v| v.version != lacking.version).filter_map(|v| v.pollers).sum();
            Some(format!("{}{}", sentence(lacking)?, beside(others)))
        })
        .collect()
}

fn sentence(lacking: &VersionView) -> Option<String> {
    let version = &lacking.version;
    match lacking.status {
        VersionStatus::Current if version.is_none() => Some(String::from(
            "no version is current, so that new work goes to workers without a version, and none of those polls",
        )),
        VersionStatus::Current => Some(format!("no worker polls for {version}, the current version: new work waits")),
        VersionStatus::Ramping if lacking.ramp_ratio.is_some_and(|share| share > 0.0) => {
            let share = lacking.ramp_ratio.unwrap_or_default() * 100.0;
            Some(if version.is_none() {
                format!("workers without a version are ramping and are given {share:.0} % of new work, and none polls")
            } else {
                format!("no worker polls for {version}, which is ramping and is given {share:.0} % of new work")
            })
        }
        // Pinned workflows have nowhere else to go.
        VersionStatus::Draining => lacking
            .backlog
            .filter(|tasks| *tasks > 0)
            .map(|tasks| format!("no worker polls for {version}, which is draining, and {tasks} of its tasks wait")),
        _ => None,
    }
}

fn beside(others: u64) -> String {
    match others {
        0 => String::new(),
        1 => String::from("; 1 poller of another version is there"),
        many => format!("; {many} pollers of other versions are there"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(build: &str, status: VersionStatus, pollers: u64) -> VersionView {
        let version = if build.is_empty() { Version::default() } else { Version::new("shop", build) };
        let ramp_ratio = (status == VersionStatus::Ramping).then_some(0.25);
        VersionView { version, status, ramp_ratio, pollers: Some(pollers), backlog: None, backlog_age_seconds: None }
    }

    fn told(versions: &[VersionView]) -> Vec<String> {
        issues(versions, |_| false)
    }

    #[test]
    fn a_current_or_ramping_version_that_nobody_polls_for_is_told() {
        use VersionStatus::{Current, Draining, Ramping};
        assert_eq!(
            told(&[view("v2", Current, 0), view("v1", Draining, 2)]),
            ["no worker polls for shop:v2, the current version: new work waits; 2 pollers of other versions are there"]
        );
        assert_eq!(
            told(&[view("v2", Current, 1), view("v3", Ramping, 0)]),
            [
                "no worker polls for shop:v3, which is ramping and is given 25 % of new work; 1 poller of another version \
              is there"
            ]
        );
        assert_eq!(
            told(&[view("", Current, 0), view("v1", VersionStatus::Inactive, 0)]),
            ["no version is current, so that new work goes to workers without a version, and none of those polls"]
        );
        assert_eq!(told(&[view("v2", Current, 0), view("v3", Ramping, 0)]).len(), 2);
    }

    #[test]
    fn a_version_that_drained_is_inactive_or_unknown_raises_nothing() {
        use VersionStatus::{Created, Current, Drained, Draining, Inactive, Unknown};
        for status in [Created, Drained, Draining, Inactive, Unknown] {
            assert!(told(&[view("v2", Current, 1), view("v1", status, 0)]).is_empty(), "{status}");
        }
        assert!(told(&[]).is_empty());
    }

    #[test]
    fn where_not_every_poller_was_seen_nobody_is_missing() {
        let unseen = VersionView { pollers: None, ..view("v2", VersionStatus::Current, 0) };
        assert!(told(&[unseen]).is_empty());
    }

    #[test]
    fn a_ramp_of_nothing_raises_nothing() {
        let idle = VersionView { ramp_ratio: Some(0.0), ..view("v3", VersionStatus::Ramping, 0) };
        assert!(told(&[idle]).is_empty());
    }

    #[test]
    fn a_draining_version_raises_only_what_waits_for_it() {
        let with = |backlog| VersionView { backlog, ..view("v1", VersionStatus::Draining, 0) };
        assert!(told(&[with(Some(0))]).is_empty());
        assert_eq!(told(&[with(Some(4))]), ["no worker polls for shop:v1, which is draining, and 4 of its tasks wait"]);
    }

    #[test]
    fn a_version_whose_workers_are_full_is_not_missing() {
        let versions = [view("v2", VersionStatus::Current, 0)];
        assert!(issues(&versions, |version| &*version.build_id == "v2").is_empty());
    }
}
