//! What is asked, how seldom, and how the answers are read: as a real server 1.32 sends them, and as they might come.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, deprecated, reason = "a test fails by panicking")]

use prost_wkt_types::Timestamp;
use temporalio_protos::temporal::api::deployment::v1::{VersionDrainageInfo, WorkerDeploymentVersion};
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueueStats;
use temporalio_protos::temporal::api::workflowservice::v1::describe_worker_deployment_version_response::VersionTaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1::list_worker_deployments_response::WorkerDeploymentSummary;

use super::*;

fn at(seconds: u64) -> Moment {
    Moment::after_start(Duration::from_secs(seconds))
}

fn summary(build: &str, status: WorkerDeploymentVersionStatus) -> WorkerDeploymentVersionSummary {
    WorkerDeploymentVersionSummary {
        status: status.into(),
        deployment_version: Some(WorkerDeploymentVersion { build_id: build.into(), deployment_name: "shop".into() }),
        ..<_>::default()
    }
}

fn list(names: &[&str]) -> ListWorkerDeploymentsResponse {
    let summary = |name: &&str| WorkerDeploymentSummary {
        name: (*name).into(),
        current_version_summary: Some(WorkerDeploymentVersionSummary {
            deployment_version: Some(WorkerDeploymentVersion {
                build_id: "v2".into(),
                deployment_name: (*name).into(),
            }),
            ..summary("v2", WorkerDeploymentVersionStatus::Current)
        }),
        ..<_>::default()
    };
    ListWorkerDeploymentsResponse { worker_deployments: names.iter().map(summary).collect(), ..<_>::default() }
}

fn shop(versions: &[(&str, WorkerDeploymentVersionStatus)]) -> WorkerDeploymentInfo {
    WorkerDeploymentInfo {
        name: "shop".into(),
        version_summaries: versions.iter().map(|(build, status)| summary(build, *status)).collect(),
        ..<_>::default()
    }
}

fn counted(tasks: i64) -> DescribeWorkerDeploymentVersionResponse {
    let stats = TaskQueueStats { approximate_backlog_count: tasks, ..<_>::default() };
    let queue = |r#type: i32| VersionTaskQueue { name: "orders".into(), r#type, stats: Some(stats), ..<_>::default() };
    DescribeWorkerDeploymentVersionResponse { version_task_queues: vec![queue(1), queue(99)], ..<_>::default() }
}

/// A namespace whose one deployment is known, at second 10.
fn learnt() -> Deployments {
    use WorkerDeploymentVersionStatus::{Current, Drained, Draining};
    let mut deployments = Deployments::new(5.0);
    assert_eq!(deployments.next(at(0)), Some(Question::List));
    deployments.list(&list(&["shop"]));
    assert_eq!(deployments.next(at(2)), Some(Question::Deployment("shop".into())));
    deployments.deployment(&"shop".into(), &shop(&[("v2", Current), ("v1", Draining), ("v0", Drained)]));
    deployments
}

#[test]
fn it_asks_for_the_list_then_for_each_deployment_and_each_version_that_matters() {
    let mut deployments = learnt();
    assert_eq!(deployments.next(at(4)), Some(Question::Version(Version::new("shop", "v1"))));
    assert_eq!(deployments.next(at(6)), Some(Question::Version(Version::new("shop", "v2"))));
    assert_eq!(deployments.next(at(8)), None, "v0 drained, and all else is fresh");
    assert_eq!(deployments.next(at(62)), Some(Question::Deployment("shop".into())));
}

#[test]
fn it_takes_a_tenth_of_the_budget_however_many_versions_there_are() {
    use WorkerDeploymentVersionStatus::Draining;
    let mut deployments = Deployments::new(5.0);
    deployments.next(at(0));
    deployments.list(&list(&["shop"]));
    let builds: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let all: Vec<_> = builds.iter().map(|build| (build.as_str(), Draining)).collect();
    deployments.deployment(&"shop".into(), &shop(&all));
    let asked: Vec<_> = (1..=600).filter_map(|second| deployments.next(at(second))).collect();
    assert_eq!(asked.len(), 300);
    let lists = asked.iter().filter(|question| **question == Question::List).count();
    assert_eq!(lists, 2, "the list is the dearest");
    let mut different: Vec<_> = asked.iter().map(|question| format!("{question:?}")).collect();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 102, "and everybody has a turn");
}

#[test]
fn a_namespace_without_deployments_costs_one_list_every_five_minutes() {
    let mut deployments = Deployments::new(5.0);
    let mut asked = 0;
    for second in 0..3600 {
        if let Some(question) = deployments.next(at(second)) {
            assert_eq!(question, Question::List);
            deployments.list(&ListWorkerDeploymentsResponse::default());
            asked += 1;
        }
    }
    assert_eq!(asked, 12);
}

#[test]
fn the_tasks_of_a_version_are_known_for_five_minutes() {
    let mut deployments = learnt();
    let v2 = Version::new("shop", "v2");
    deployments.version(&v2, &counted(60), at(10));
    let of = |deployments: &Deployments, now| {
        let known = deployments.known("orders", TaskType::Workflow, now);
        known.here.iter().map(|report| (report.status, report.backlog)).collect::<Vec<_>>()
    };
    assert_eq!(of(&deployments, at(11)), [(VersionStatus::Current, Some(60))]);
    assert_eq!(of(&deployments, at(310)), [(VersionStatus::Current, None)]);
    assert!(deployments.known("orders", TaskType::Activity, at(11)).here.is_empty());
    assert_eq!(deployments.queues(), [("orders".into(), TaskType::Workflow)]);
    assert_eq!(deployments.known("bills", TaskType::Workflow, at(11)).standing.len(), 3, "what it is, wherever");
}

#[test]
fn an_old_server_is_left_alone_for_five_minutes_and_what_was_known_is_not_shown_for_ever() {
    for failure in [Failure::Unimplemented, Failure::PermissionDenied] {
        let mut deployments = learnt();
        let question = deployments.next(at(4)).unwrap();
        deployments.failed(&question, failure, at(4));
        assert_eq!((5..300).find_map(|second| deployments.next(at(second))), None);
        assert!(deployments.known("orders", TaskType::Workflow, at(5)).standing.is_empty());
        assert!(deployments.next(at(304)).is_some());
    }
}

#[test]
fn where_only_the_list_is_refused_pollers_name_the_deployments() {
    let mut deployments = Deployments::new(5.0);
    let question = deployments.next(at(0)).unwrap();
    deployments.failed(&question, Failure::Unimplemented, at(0));
    assert_eq!(deployments.next(at(2)), None);
    deployments.name(&"shop".into());
    assert_eq!(deployments.next(at(4)), Some(Question::Deployment("shop".into())));
}

#[test]
fn what_is_gone_is_forgotten() {
    let mut deployments = learnt();
    deployments.failed(&Question::Version(Version::new("shop", "v1")), Failure::NotFound, at(4));
    assert_eq!(deployments.known("orders", TaskType::Workflow, at(5)).standing.len(), 2);
    deployments.list(&list(&["other"]));
    assert!(deployments.known("orders", TaskType::Workflow, at(5)).standing.keys().all(|v| &*v.deployment == "other"));
    deployments.failed(&Question::Deployment("other".into()), Failure::NotFound, at(6));
    assert!(deployments.named.is_empty());
}

#[test]
fn a_server_before_1_28_says_it_in_other_fields() {
    let drains = WorkerDeploymentVersionSummary {
        version: "shop.v1".into(),
        drainage_info: Some(VersionDrainageInfo { status: 1, ..<_>::default() }),
        ..<_>::default()
    };
    let current = WorkerDeploymentVersionSummary {
        version: "shop.v2".into(),
        current_since_time: Some(Timestamp { seconds: 1, nanos: 0 }),
        ..<_>::default()
    };
    let nothing = WorkerDeploymentVersionSummary::default();
    let mut deployments = learnt();
    let old = WorkerDeploymentInfo { version_summaries: vec![drains, current, nothing], ..<_>::default() };
    deployments.deployment(&"shop".into(), &old);
    let known = deployments.known("orders", TaskType::Workflow, at(10)).standing;
    assert_eq!(known.get(&Version::new("shop", "v1")), Some(&VersionStatus::Draining));
    assert_eq!(known.get(&Version::new("shop", "v2")), Some(&VersionStatus::Current));
    assert_eq!(known.len(), 2);
}

#[test]
fn a_status_of_a_future_server_is_unknown_and_raises_nothing() {
    assert_eq!(status(99, 0), None);
    assert_eq!(status(0, 99), None);
    assert!(!matters(VersionStatus::Unknown));
}
