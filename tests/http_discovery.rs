//! Targets from real files in real folders, through the operating system's own notices of change.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use worker_exporter::config::{Detail, HttpSource, HttpTarget, Source};
use worker_exporter::discovery::{Found, watch};
use worker_exporter::observe::fetch::Lists;

/// Every wait ends here. Far longer than a notice takes, far shorter than the slow re-read, so that only the watch can
/// make these tests pass.
const SOON: Duration = Duration::from_secs(30);

struct Watch {
    found: mpsc::Receiver<Found>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl Watch {
    fn new(globs: &[PathBuf], fixed: &[(&str, &str)]) -> Self {
        let target = |(id, url): &(&str, &str)| HttpTarget {
            id: Arc::from(*id),
            fleet: Arc::from("mail"),
            url: url.parse().unwrap(),
            access: None,
        };
        let mut http = HttpSource::of(fixed.iter().map(target).collect());
        http.targets.file_sd = globs.to_vec();
        let detail = Detail::Http(http);
        let source = Source {
            name: "night".into(),
            fleet: Some("mail".into()),
            timeout: Duration::from_secs(5),
            minimum_interval: Duration::from_secs(2),
            maximum_interval: Duration::from_secs(30),
            match_host_pid: false,
            detail,
        };
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let found = watch(&source, &tasks, cancel.clone(), Arc::new(Lists::default())).unwrap();
        Self { found, tasks, cancel }
    }

    /// The next full set, as ids.
    async fn next(&mut self) -> Vec<String> {
        let found =
            tokio::time::timeout(SOON, self.found.recv()).await.unwrap_or_else(|_| panic!("no new set")).unwrap();
        assert_eq!(&*found.source, "night");
        found.targets.iter().map(|target| target.id.to_string()).collect()
    }
}

fn write(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn list(targets: &str) -> String {
    format!(r#"[{{"targets":[{targets}]}}]"#)
}

#[tokio::test]
async fn each_change_brings_the_full_set_and_the_vanished_vanish() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.json", &list(r#""a:1","b:1""#));
    let mut watch =
        Watch::new(&[folder.path().join("*.json"), folder.path().join("*.yml")], &[("fixed", "http://f:1/")]);
    assert_eq!(watch.next().await, ["fixed", "a:1", "b:1"]);
    write(&folder, "a.json", &list(r#""b:1""#));
    assert_eq!(watch.next().await, ["fixed", "b:1"]);
    write(&folder, "z.yml", "- targets: ['z:1']\n");
    assert_eq!(watch.next().await, ["fixed", "b:1", "z:1"]);
    std::fs::remove_file(folder.path().join("a.json")).unwrap();
    assert_eq!(watch.next().await, ["fixed", "z:1"]);
}

#[tokio::test]
async fn a_broken_file_keeps_its_last_good_list_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.json", &list(r#""a:1""#));
    write(&folder, "b.json", &list(r#""b:1""#));
    let mut watch = Watch::new(&[folder.path().join("*.json")], &[]);
    assert_eq!(watch.next().await, ["a:1", "b:1"]);
    write(&folder, "a.json", "[{");
    // The change of the other file is the proof that the broken one was read and kept.
    write(&folder, "b.json", &list(r#""b:2""#));
    assert_eq!(watch.next().await, ["a:1", "b:2"]);
    write(&folder, "a.json", &list(r#""a:2""#));
    assert_eq!(watch.next().await, ["a:2", "b:2"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_swapped_symbolic_link_is_seen_as_kubernetes_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let version = |name: &str, target: &str| {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        write(&folder, &format!("{name}/t.json"), &list(target));
    };
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(Path::new(to), folder.path().join(name)).unwrap();
    version("..v1", r#""a:1""#);
    link("..v1", "..data");
    link("..data/t.json", "t.json");
    let mut watch = Watch::new(&[folder.path().join("t.json")], &[]);
    assert_eq!(watch.next().await, ["a:1"]);
    version("..v2", r#""b:1""#);
    link("..v2", "..data_tmp");
    std::fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    assert_eq!(watch.next().await, ["b:1"]);
}

#[tokio::test]
async fn of_two_targets_with_one_name_the_first_counts() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.json", &list(r#""a:1","a:1","b:1""#));
    write(&folder, "b.json", &list(r#""b:1""#));
    let mut watch = Watch::new(&[folder.path().join("*.json")], &[("a:1", "http://configured:1/")]);
    let found = tokio::time::timeout(SOON, watch.found.recv()).await.unwrap().unwrap();
    let urls: Vec<String> = found.targets.iter().map(|target| target.url.to_string()).collect();
    assert_eq!(urls, ["http://configured:1/", "http://b:1/health"]);
}

#[tokio::test]
async fn it_ends_when_it_is_cancelled_and_no_task_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = Watch::new(&[folder.path().join("*.json")], &[]);
    assert_eq!(watch.next().await, Vec::<String>::new());
    watch.cancel.cancel();
    watch.tasks.close();
    tokio::time::timeout(SOON, watch.tasks.wait()).await.unwrap();
    assert!(watch.found.recv().await.is_none());
}
