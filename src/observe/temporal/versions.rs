//! Versions of workers on one queue: which are given tasks, by the queue's own routing. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use temporalio_protos::temporal::api::deployment::v1::WorkerDeploymentVersion;
use temporalio_protos::temporal::api::enums::v1::WorkerVersioningMode;
use temporalio_protos::temporal::api::taskqueue::v1::{PollerInfo, TaskQueueVersioningInfo};
use verdict::evidence::{Poller, Version, VersionReport};
use verdict::words::VersionStatus;

/// What the API calls the workers that belong to no deployment version.
const UNVERSIONED: &str = "__unversioned__";
/// Versions of a queue that are shown: those that are given tasks, those that drain, and those that poll, in this order.
/// Who deploys each hour would have hundreds of series otherwise.
const MOST_SHOWN: usize = 10;

/// What the slow questions about deployments brought for one queue.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Versions that have polled this queue, with their tasks where they were counted.
    pub(super) here: Vec<VersionReport>,
    /// Where each version stands, whatever it polled.
    pub(super) standing: BTreeMap<Version, VersionStatus>,
}

/// Where the new work of a queue goes.
struct Routing {
    current: Version,
    ramping: Option<(Version, f64)>,
}

/// The version of a poller. Only a versioned one has a build that decides what it is given: unversioned SDKs send one too.
pub(super) fn version_of(poller: &PollerInfo) -> Option<Version> {
    let options = poller.deployment_options.as_ref()?;
    (WorkerVersioningMode::try_from(options.worker_versioning_mode) == Ok(WorkerVersioningMode::Versioned))
        .then(|| Version::new(options.deployment_name.as_str(), options.build_id.as_str()))
        .filter(|version| !version.build_id.is_empty())
}

/// The builds that are given tasks now. Empty where every worker may get one: an unversioned queue, and one that is on
/// its way from or to unversioned workers.
pub(super) fn serving_builds(info: &TaskQueueVersioningInfo) -> Vec<Arc<str>> {
    let Routing { current, ramping } = routing(info);
    let build = |version: Version| Some(version.build_id).filter(|build| !build.is_empty());
    let ramping = ramping.filter(|(_, share)| *share > 0.0);
    let whole = ramping.as_ref().is_some_and(|(_, share)| *share >= 1.0);
    match (build(current), ramping.map(|(version, _)| build(version))) {
        (_, Some(None)) => Vec::new(),
        (Some(current), Some(Some(ramping))) if current != ramping => vec![current, ramping],
        (Some(current), _) => vec![current],
        (None, Some(Some(ramping))) if whole => vec![ramping],
        (None, _) => Vec::new(),
    }
}

/// The versions of a queue that matter: they are given tasks, drain, or poll. Empty where no versions are in use.
pub(super) fn versions(
    info: Option<&TaskQueueVersioningInfo>,
    pollers: &[Poller],
    known: &Known,
) -> Vec<VersionReport> {
    let routing = info.map(routing);
    let mut found: BTreeMap<Version, VersionReport> = BTreeMap::new();
    for report in &known.here {
        found.insert(report.version.clone(), report.clone());
    }
    let polls = |version: &Version| pollers.iter().any(|p| p.version.as_ref() == Some(version));
    for version in pollers.iter().filter_map(|poller| poller.version.as_ref()) {
        let status = known.standing.get(version).copied().unwrap_or(VersionStatus::Unknown);
        found.entry(version.clone()).or_insert_with(|| bare(version.clone(), status));
    }
    if found.is_empty() && info.is_none_or(|info| routed(info).next().is_none()) {
        return Vec::new();
    }
    if let Some(routing) = &routing {
        // The queue's own routing is fresh, and what is known of the deployment is not.
        for report in found.values_mut().filter(|r| is_given_work(r.status)) {
            report.status = VersionStatus::Draining;
        }
        let mut set = |version: &Version, status, ramp| {
            let report = found.entry(version.clone()).or_insert_with(|| bare(version.clone(), status));
            (report.status, report.ramp) = (status, ramp);
        };
        if pollers.iter().any(|poller| poller.version.is_none()) {
            set(&Version::default(), VersionStatus::Inactive, None);
        }
        if !routing.ramping.as_ref().is_some_and(|(_, share)| *share >= 1.0) {
            set(&routing.current, VersionStatus::Current, None);
        }
        if let Some((version, share)) = &routing.ramping {
            set(version, VersionStatus::Ramping, Some(*share));
        }
    }
    let shown = |report: &VersionReport| report.version.is_none() || matters(report.status) || polls(&report.version);
    let mut found: Vec<_> = found.into_values().filter(shown).collect();
    found.sort_by_key(|report| (rank(report.status), !polls(&report.version)));
    found.truncate(MOST_SHOWN);
    found
}

fn bare(version: Version, status: VersionStatus) -> VersionReport {
    VersionReport { version, status, ramp: None, backlog: None, backlog_age: None }
}

/// New work goes to it.
pub(super) fn is_given_work(status: VersionStatus) -> bool {
    matches!(status, VersionStatus::Current | VersionStatus::Ramping)
}

/// Work waits for it, or may: it needs workers.
pub(super) fn matters(status: VersionStatus) -> bool {
    is_given_work(status) || status == VersionStatus::Draining
}

fn rank(status: VersionStatus) -> u8 {
    match status {
        VersionStatus::Current => 0,
        VersionStatus::Ramping => 1,
        VersionStatus::Draining => 2,
        _ => 3,
    }
}

/// The versions that a queue sends work to.
pub(super) fn routed(info: &TaskQueueVersioningInfo) -> impl Iterator<Item = Version> {
    let Routing { current, ramping } = routing(info);
    std::iter::once(current).chain(ramping.map(|(version, _)| version)).filter(|version| !version.is_none())
}

fn routing(info: &TaskQueueVersioningInfo) -> Routing {
    #[expect(
        deprecated,
        reason = "all that a server before 1.28 fills, and all that shows a ramp to unversioned workers"
    )]
    let (current, ramping) = (&info.current_version, &info.ramping_version);
    let share = f64::from(info.ramping_version_percentage) / 100.0;
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let ramps = info.ramping_deployment_version.is_some() || !ramping.is_empty();
    Routing {
        current: version(info.current_deployment_version.as_ref(), current),
        ramping: ramps.then(|| (version(info.ramping_deployment_version.as_ref(), ramping), share)),
    }
}

/// A version in its own message, else in the text `deployment.build` that came before it.
pub(super) fn version(message: Option<&WorkerDeploymentVersion>, text: &str) -> Version {
    if let Some(message) = message.filter(|message| !message.build_id.is_empty()) {
        return Version::new(message.deployment_name.as_str(), message.build_id.as_str());
    }
    match text.split_once('.') {
        Some((deployment, build_id)) if text != UNVERSIONED => Version::new(deployment, build_id),
        _ => Version::default(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(deprecated, reason = "what old servers fill")]

    use verdict::evidence::{Slot, WorkerKey};

    use super::*;

    fn message(build: &str) -> Option<WorkerDeploymentVersion> {
        Some(WorkerDeploymentVersion { build_id: build.into(), deployment_name: "shop".into() })
    }

    /// As a real server 1.32 says it. An empty name is "no version".
    fn info(current: &str, ramping: Option<(&str, f32)>) -> TaskQueueVersioningInfo {
        let named = |build: &str| if build.is_empty() { UNVERSIONED.to_owned() } else { format!("shop.{build}") };
        TaskQueueVersioningInfo {
            current_version: named(current),
            current_deployment_version: message(current).filter(|version| !version.build_id.is_empty()),
            ramping_version: ramping.map(|(build, _)| named(build)).unwrap_or_default(),
            ramping_deployment_version: ramping
                .and_then(|(build, _)| message(build))
                .filter(|version| !version.build_id.is_empty()),
            ramping_version_percentage: ramping.map_or(0.0, |(_, share)| share),
            ..TaskQueueVersioningInfo::default()
        }
    }

    fn poller(build: &str) -> Poller {
        Poller {
            identity: build.into(),
            last_access: None,
            slot: Slot { key: WorkerKey::new("f", "w"), exclusive: false },
            version: (!build.is_empty()).then(|| Version::new("shop", build)),
        }
    }

    fn shown(info: Option<&TaskQueueVersioningInfo>, polling: &[&str], known: &Known) -> Vec<String> {
        let pollers: Vec<_> = polling.iter().map(|build| poller(build)).collect();
        versions(info, &pollers, known)
            .iter()
            .map(|report| format!("{} {}", report.version.build_id, report.status))
            .collect()
    }

    fn known(versions: &[(&str, VersionStatus)]) -> Known {
        let of = |(build, status): &(&str, VersionStatus)| (Version::new("shop", *build), *status);
        let here = versions.iter().map(of).map(|(version, status)| bare(version, status)).collect();
        Known { here, standing: versions.iter().map(of).collect() }
    }

    #[test]
    fn a_queue_without_versions_shows_none() {
        let none = Known::default();
        assert!(shown(None, &["", ""], &none).is_empty());
        assert!(shown(Some(&info("", None)), &["", ""], &none).is_empty());
        assert!(shown(Some(&TaskQueueVersioningInfo::default()), &[], &none).is_empty());
    }

    #[test]
    fn who_is_given_tasks_is_shown_whether_anybody_polls_or_not() {
        let none = Known::default();
        assert_eq!(shown(Some(&info("v2", None)), &["v1"], &none), ["v2 current", "v1 unknown"]);
        assert_eq!(shown(Some(&info("v1", Some(("v2", 30.0)))), &[], &none), ["v1 current", "v2 ramping"]);
        let ramp = versions(Some(&info("v1", Some(("v2", 25.0)))), &[], &none).last().and_then(|report| report.ramp);
        assert_eq!(ramp, Some(0.25));
    }

    #[test]
    fn before_a_version_is_current_work_goes_to_workers_without_one() {
        let none = Known::default();
        assert_eq!(shown(Some(&info("", None)), &["v1"], &none), [" current", "v1 unknown"]);
        assert_eq!(shown(Some(&info("", Some(("v1", 20.0)))), &["v1", ""], &none), [" current", "v1 ramping"]);
        assert_eq!(shown(Some(&info("", Some(("v1", 100.0)))), &["v1"], &none), ["v1 ramping"]);
        assert_eq!(shown(Some(&info("v1", Some(("", 20.0)))), &["v1"], &none), ["v1 current", " ramping"]);
        assert_eq!(shown(Some(&info("v1", None)), &["v1", ""], &none), ["v1 current", " inactive"]);
    }

    #[test]
    fn a_server_that_says_nothing_of_its_routing_is_not_read_as_routing_to_nobody() {
        assert_eq!(shown(None, &["v1"], &Known::default()), ["v1 unknown"]);
        let of_deployment = known(&[("v1", VersionStatus::Current)]);
        assert_eq!(shown(None, &[], &of_deployment), ["v1 current"]);
    }

    #[test]
    fn the_text_of_an_old_server_is_read_where_the_message_is_missing() {
        let old = TaskQueueVersioningInfo { current_version: "shop.1.2".into(), ..<_>::default() };
        assert_eq!(shown(Some(&old), &[], &Known::default()), ["1.2 current"]);
        assert_eq!(serving_builds(&old), [Arc::from("1.2")]);
    }

    #[test]
    fn the_queue_knows_its_routing_sooner_than_the_deployment() {
        use VersionStatus::{Current, Inactive};
        let before = known(&[("v1", Current), ("v2", Inactive)]);
        assert_eq!(shown(Some(&info("v2", None)), &["v1"], &before), ["v2 current", "v1 draining"]);
    }

    #[test]
    fn drained_and_inactive_versions_are_shown_only_while_they_poll() {
        use VersionStatus::{Drained, Draining, Inactive};
        let old = known(&[("v1", Drained), ("v2", Draining), ("v4", Inactive)]);
        assert_eq!(shown(Some(&info("v3", None)), &["v3"], &old), ["v3 current", "v2 draining"]);
        assert_eq!(shown(Some(&info("v3", None)), &["v1"], &old), ["v3 current", "v2 draining", "v1 drained"]);
    }

    #[test]
    fn hundreds_of_versions_are_ten_with_those_first_that_are_given_tasks() {
        let names: Vec<String> = (0..300).map(|n| format!("b{n:03}")).collect();
        let draining: Vec<_> = names.iter().map(|name| (name.as_str(), VersionStatus::Draining)).collect();
        let all = shown(Some(&info("z2", Some(("z1", 5.0)))), &["b250", "b299"], &known(&draining));
        assert_eq!(all.len(), MOST_SHOWN);
        let first: Vec<_> = all.iter().take(4).filter_map(|shown| shown.split(' ').next()).collect();
        assert_eq!(first, ["z2", "z1", "b250", "b299"]);
    }
}
