//! What the log says of a failing endpoint: once per change, with the reason's word, and never a secret or a body.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod http_scene;
#[path = "support/log.rs"]
mod log;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_scene::{LONG, Scene, look, ok, request, rest, source};
use log::Log;
use tokio::io::AsyncWriteExt;
use worker_exporter::config::{Access, Secret};

fn complaints(log: &Log) -> Vec<String> {
    log.text().lines().filter(|line| line.contains("health endpoint")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_failing_endpoint_is_told_once_per_change_and_no_secret_with_it() {
    let log = Log::default();
    let _guard = log.listen();

    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let scene = Scene::new(move |mut stream| {
        let is_well = Arc::clone(&is_well);
        async move {
            // An endpoint that repeats whatever it is sent, credentials and all.
            let echo = request(&mut stream).await;
            let answer = if is_well.load(Ordering::SeqCst) {
                ok("text/plain", "OK")
            } else {
                format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {}\r\n\r\n{echo}", echo.len())
            };
            let _ = stream.write_all(answer.as_bytes()).await;
            rest(&mut stream).await;
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "canary-one").unwrap();
    let access = Access {
        bearer: Some(Secret::File(file.clone())),
        headers: vec![("X-Key".into(), Secret::held("canary-two"))],
        ..Access::default()
    };
    let source = source(&format!("{}?key=canary-three", scene.url()), LONG, access);

    let mut seen = String::new();
    for _ in 0..3 {
        seen += &format!("{:?}", look(&source).await);
    }
    let lines = complaints(&log);
    assert_eq!(lines.len(), 1, "{lines:?}");
    for field in
        ["WARN", "source=\"night\"", "fleet=\"mail\"", "worker=\"w-0\"", "reason=\"unauthenticated\"", "duration="]
    {
        assert!(lines[0].contains(field), "{field} in {lines:?}");
    }

    well.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        seen += &format!("{:?}", look(&source).await);
    }
    assert_eq!(complaints(&log).len(), 2);
    assert!(
        complaints(&log)[1].contains("INFO") && complaints(&log)[1].contains("answers again"),
        "{:?}",
        complaints(&log)
    );

    std::fs::remove_file(&file).unwrap();
    seen += &format!("{:?}", look(&source).await);
    assert_eq!(complaints(&log).len(), 3);
    assert!(complaints(&log)[2].contains(&*file.to_string_lossy()), "the file is named: {:?}", complaints(&log));

    assert!(!log.text().contains("canary"), "{}", log.text());
    assert!(!seen.contains("canary"), "{seen}");
}
