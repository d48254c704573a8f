//! Our own exhaustion, made for real: this process runs out of file descriptors. Alone in its file, because the limit
//! holds for the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod http_scene;

use std::fs::File;
use std::process::Command;

use http_scene::{LONG, Scene, look, ok, source};
use verdict::evidence::Said;
use verdict::words::Failure;
use worker_exporter::config::Access;

#[tokio::test]
async fn without_file_descriptors_the_look_has_failed_and_the_worker_is_not_blamed() {
    let scene = Scene::answering(ok("text/plain", "OK")).await;
    let source = source(&scene.url(), LONG, Access::default());
    assert_eq!(look(&source).await.unwrap().says.overall, Some(Said::Up));

    // The soft limit only; `prlimit` is part of util-linux and asks no privileges for that.
    let pid = std::process::id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &pid, "--nofile=64:"]).status().unwrap().success());
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert_eq!(look(&source).await.unwrap_err(), Failure::Local);

    drop(taken);
    assert_eq!(look(&source).await.unwrap().says.overall, Some(Said::Up));
}
