//! What the log says of a failing endpoint: once per change, with the reason's word, and never a secret or a body.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod http_scene;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use http_scene::{LONG, Scene, look, ok, request, rest, source};
use tokio::io::AsyncWriteExt;
use tracing_subscriber::fmt::MakeWriter;
use worker_exporter::config::{Access, Secret};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        self.text().lines().filter(|line| line.contains("health endpoint")).map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_failing_endpoint_is_told_once_per_change_and_no_secret_with_it() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // For this thread, on which the whole test runs.
    let _guard = tracing::subscriber::set_default(subscriber);

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
    let lines = log.lines();
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
    assert_eq!(log.lines().len(), 2);
    assert!(log.lines()[1].contains("INFO") && log.lines()[1].contains("answers again"), "{:?}", log.lines());

    std::fs::remove_file(&file).unwrap();
    seen += &format!("{:?}", look(&source).await);
    assert_eq!(log.lines().len(), 3);
    assert!(log.lines()[2].contains(&*file.to_string_lossy()), "the file is named: {:?}", log.lines());

    assert!(!log.text().contains("canary"), "{}", log.text());
    assert!(!seen.contains("canary"), "{seen}");
}
