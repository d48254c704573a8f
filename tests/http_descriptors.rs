//! Our own exhaustion, made for real: this process runs out of file descriptors. Alone in its file, because the limit
//! holds for the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod http_scene;

use std::fs::File;
use std::process::Command;

use http_scene::{LONG, SHORT, Scene, look, ok, source};
use verdict::evidence::Said;
use verdict::words::Failure;
use worker_exporter::config::Access;

#[tokio::test]
async fn without_file_descriptors_the_look_has_failed_and_the_worker_is_not_blamed() {
    let scene = Scene::answering(ok("text/plain", "OK")).await;
    let source = source(&scene.url(), LONG, Access::default());
    // By name too: without descriptors the resolver claims that there is no such name.
    let by_name = format!("http://localhost:{}/health", scene.address.port());
    let named = http_scene::source(&by_name, LONG, Access::default());
    assert_eq!(look(&source).await.unwrap().says.overall, Some(Said::Up));
    assert_eq!(look(&named).await.unwrap().says.overall, Some(Said::Up));

    // The soft limit only; `prlimit` is part of util-linux and asks no privileges for that.
    let pid = std::process::id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &pid, "--nofile=64:"]).status().unwrap().success());
    let mut taken: Vec<File> = Vec::new();
    for url in [&scene.url(), &by_name] {
        let source = http_scene::source(url, SHORT, Access::default());
        // The scene's side of an earlier connection may close, and free a descriptor, while a look is under way.
        let mut seen = Ok(());
        for _ in 0..50 {
            taken.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
            seen = look(&source).await.map(|_| ());
            if seen.is_err() {
                break;
            }
        }
        assert_eq!(seen, Err(Failure::Local));
    }

    drop(taken);
    assert_eq!(look(&source).await.unwrap().says.overall, Some(Said::Up));
}
