//! The configuration file under watch: the whole program, real files, the system's own notices.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker_exporter::app::{App, Broken, Launch, Watched};
use worker_exporter::config::{self, WebSettings};
use worker_exporter::door::Door;

/// Every wait ends here: far longer than a notice takes, and shorter than the minute after which the file is read anyway.
const SOON: Duration = Duration::from_secs(30);

struct Program {
    address: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<Result<(), Broken>>,
}

impl Program {
    async fn start(file: &Path) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let path = file.to_owned();
        let load = move || config::load(&path, &|_: &str| None).map_err(|mistakes| vec![mistakes.to_string()]);
        let web = WebSettings {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            telemetry_path: "/metrics".into(),
            external_url: None,
            route_prefix: String::new(),
            enable_lifecycle: false,
        };
        let watched = Watched::now(file.to_owned());
        let settings = load().unwrap();
        let launch = Launch { settings, load: Some(Arc::new(load)), watch: Some(watched), web, door: Door::open() };
        let app = App::start(launch).await.unwrap_or_else(|broken| panic!("{broken}"));
        let (address, stop) = (*app.addresses().first().unwrap(), CancellationToken::new());
        let running = tokio::spawn(app.run(stop.clone()));
        Self { address, stop, running }
    }

    async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn until(&self, path: &str, wanted: &str) {
        let wait = async {
            while !self.get(path).await.contains(wanted) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("{path} never says {wanted}"));
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(SOON, self.running).await.unwrap().unwrap().unwrap();
    }
}

fn source(name: &str) -> String {
    format!("sources: [{{name: {name}, kind: http, targets: [{{url: 'http://127.0.0.1:9/'}}]}}]\n")
}

const SUCCESSFUL: &str = "worker_exporter_config_last_reload_successful";

#[tokio::test]
async fn a_changed_file_comes_into_force_and_a_broken_one_keeps_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yml");
    fs::write(&file, source("first")).unwrap();
    let program = Program::start(&file).await;
    program.until("/config", "first").await;
    fs::write(&file, source("second")).unwrap();
    program.until("/config", "second").await;
    // Only a whole, valid file is taken; what is wrong shows in the metric.
    fs::write(&file, "sources: [{name: third").unwrap();
    program.until("/metrics", &format!("{SUCCESSFUL} 0")).await;
    assert!(program.get("/config").await.contains("second"));
    // As editors write: a new file takes the name of the old one.
    fs::write(folder.path().join("new"), source("fourth")).unwrap();
    fs::rename(folder.path().join("new"), &file).unwrap();
    program.until("/config", "fourth").await;
    program.until("/metrics", &format!("{SUCCESSFUL} 1")).await;
    program.end().await;
}

#[tokio::test]
async fn a_swapped_symbolic_link_is_seen_as_kubernetes_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let version = |name: &str, text: &str| {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("config.yml"), text).unwrap();
    };
    version("..v1", &source("first"));
    symlink("..v1", at("..data")).unwrap();
    symlink("..data/config.yml", at("config.yml")).unwrap();
    let program = Program::start(&at("config.yml")).await;
    for round in 2..5 {
        // The folder of the version before goes away with it, as the kubelet removes it.
        version(&format!("..v{round}"), &source(&format!("round-{round}")));
        symlink(format!("..v{round}"), at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        fs::remove_dir_all(at(&format!("..v{}", round - 1))).unwrap();
        program.until("/config", &format!("round-{round}")).await;
    }
    program.end().await;
}
