//! Targets from a server of HTTP SD and from DNS, over real sockets.
//!
//! The HTTP SD server is a real web server. The DNS server is a fake of forty lines: no real one lies to order, forgets
//! an address at the right moment, or points at the metadata service of a cloud.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use worker_exporter::config::{self, Secret};
use worker_exporter::discovery::{Found, watch};
use worker_exporter::observe::fetch::Lists;

/// Every wait ends here.
const SOON: Duration = Duration::from_secs(30);
/// Longer than any of the intervals that these tests configure, several times over.
const LONG: Duration = Duration::from_secs(4);

struct Watch {
    found: mpsc::Receiver<Found>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl Watch {
    /// A source with these keys.
    fn new(keys: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = format!("sources:\n  - {{name: night, kind: http, {keys}}}\n");
        let env = |name: &str| (name == "KEY").then(|| "hunter2".to_owned());
        let settings = config::parse(text.as_bytes(), "x.yml", Path::new(""), &env).unwrap_or_else(|m| panic!("{m}"));
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let found = watch(&settings.sources[0], &tasks, cancel.clone(), Arc::new(Lists::default())).unwrap();
        Self { found, tasks, cancel }
    }

    async fn next(&mut self) -> Found {
        tokio::time::timeout(SOON, self.found.recv()).await.unwrap_or_else(|_| panic!("no new set")).unwrap()
    }

    async fn ids(&mut self) -> Vec<String> {
        self.next().await.targets.iter().map(|target| target.id.to_string()).collect()
    }

    /// For several intervals the set stays as it is.
    async fn stays(&mut self) {
        assert!(tokio::time::timeout(LONG, self.found.recv()).await.is_err(), "another set");
    }

    async fn end(self) {
        self.cancel.cancel();
        self.tasks.close();
        tokio::time::timeout(SOON, self.tasks.wait()).await.unwrap();
    }
}

/// What the server answers, and the headers of the last request.
type Shelf = Arc<Mutex<((StatusCode, &'static str, String), HeaderMap)>>;

async fn lists(body: &str) -> (String, Shelf) {
    let shelf: Shelf = Arc::new(Mutex::new(((StatusCode::OK, "application/json", body.to_owned()), HeaderMap::new())));
    let answers = Arc::clone(&shelf);
    let answer = move |headers: HeaderMap| {
        let mut shelf = answers.lock().unwrap();
        shelf.1 = headers;
        let (code, kind, body) = shelf.0.clone();
        async move { (code, [(header::CONTENT_TYPE, kind)], body) }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/targets", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, Router::new().route("/targets", get(answer))).into_future());
    (url, shelf)
}

fn list(targets: &str) -> String {
    format!(r#"[{{"targets":[{targets}],"labels":{{"team":"mail"}}}}]"#)
}

#[tokio::test]
async fn a_server_of_lists_is_asked_with_its_own_key_and_each_list_is_the_full_set() {
    let (url, shelf) = lists(&list(r#""a:1","b:1""#)).await;
    let keys = format!(
        "fleet_label: team, targets: [{{id: fixed, url: 'http://f:1/'}}], headers: {{X-Workers: {{env: KEY}}}}, \
         http_sd: {{url: '{url}', refresh_interval: 1s, bearer_token_env: KEY}}"
    );
    let mut watch = Watch::new(&keys);
    let found = watch.next().await;
    let shown: Vec<_> =
        found.targets.iter().map(|target| format!("{}/{} {}", target.fleet, target.id, target.url)).collect();
    assert_eq!(shown, ["night/fixed http://f:1/", "mail/a:1 http://a:1/health", "mail/b:1 http://b:1/health"]);
    let headers = shelf.lock().unwrap().1.clone();
    assert_eq!(headers["authorization"], "Bearer hunter2");
    assert_eq!(headers["x-prometheus-refresh-interval-seconds"], "1");
    assert!(!headers.contains_key("x-workers"), "what workers are told is none of its business");
    shelf.lock().unwrap().0.2 = list(r#""b:1""#);
    assert_eq!(watch.ids().await, ["fixed", "b:1"]);
    watch.end().await;
}

#[tokio::test]
async fn a_server_that_fails_keeps_its_last_good_list() {
    let (url, shelf) = lists(&list(r#""a:1""#)).await;
    let mut watch = Watch::new(&format!("http_sd: {{url: '{url}', refresh_interval: 1s, max_targets: 2}}"));
    assert_eq!(watch.ids().await, ["a:1"]);
    let good = shelf.lock().unwrap().0.clone();
    shelf.lock().unwrap().0 = (StatusCode::INTERNAL_SERVER_ERROR, "application/json", "[]".into());
    watch.stays().await;
    shelf.lock().unwrap().0 = (StatusCode::OK, "text/html", "[]".into());
    watch.stays().await;
    shelf.lock().unwrap().0 = (StatusCode::OK, "application/json", list(r#""a:1","b:1","c:1""#));
    watch.stays().await;
    shelf.lock().unwrap().0 = good;
    watch.stays().await;
    shelf.lock().unwrap().0 = (StatusCode::OK, "application/json", "[]".into());
    assert_eq!(watch.ids().await, Vec::<String>::new(), "an empty list is a list");
    watch.end().await;
}

#[tokio::test]
async fn a_list_that_leads_to_the_metadata_service_is_taken_without_it() {
    let (url, _) = lists(&list(r#""169.254.169.254:80","[fe80::1]:80","[::ffff:169.254.1.1]:80","a:1""#)).await;
    let mut watch = Watch::new(&format!("http_sd: {{url: '{url}'}}"));
    assert_eq!(watch.ids().await, ["a:1"]);
    watch.end().await;
    let mut watch = Watch::new(&format!("allowed_networks: [169.254.169.254], http_sd: {{url: '{url}'}}"));
    assert_eq!(watch.ids().await, ["169.254.169.254:80", "a:1"]);
    watch.end().await;
}

/// Addresses by name, and services by name. `None` answers nothing but "server failure".
type Zone = Arc<Mutex<Option<HashMap<&'static str, Vec<Record>>>>>;

#[derive(Clone)]
enum Record {
    A(Ipv4Addr),
    Srv(&'static str, u16),
}

fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> = labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    wire.push(0);
    wire
}

fn answer(query: &[u8], zone: &Zone) -> Vec<u8> {
    // The question: labels up to the root, then type and class.
    let (mut at, mut name) = (12, Vec::new());
    while query[at] > 0 {
        let length = usize::from(query[at]);
        name.push(String::from_utf8(query[at + 1..=at + length].to_vec()).unwrap().to_lowercase());
        at += length + 1;
    }
    let (name, kind) = (name.join("."), u16::from_be_bytes([query[at + 1], query[at + 2]]));
    let zone = zone.lock().unwrap();
    let records = zone.as_ref().and_then(|zone| zone.get(name.as_str()));
    let data: Vec<(u16, Vec<u8>)> = records
        .into_iter()
        .flatten()
        .map(|record| match record {
            Record::A(ip) => (1, ip.octets().to_vec()),
            Record::Srv(target, port) => (33, [&[0, 0, 0, 0], &port.to_be_bytes()[..], &wire(target)].concat()),
        })
        .filter(|(found, _)| *found == kind)
        .collect();
    let code = match (&*zone, records) {
        (None, _) => 2,
        (Some(_), None) => 3,
        (Some(_), Some(_)) => 0,
    };
    let mut answer = [&query[..2], &[0x84, code, 0, 1], &(data.len() as u16).to_be_bytes(), &[0, 0, 0, 0]].concat();
    answer.extend_from_slice(&query[12..at + 5]);
    for (kind, data) in data {
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 1]);
        answer.extend((data.len() as u16).to_be_bytes());
        answer.extend(data);
    }
    answer
}

async fn names(records: &[(&'static str, Vec<Record>)]) -> (SocketAddr, Zone) {
    let zone: Zone = Arc::new(Mutex::new(Some(records.iter().cloned().collect())));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let asked = Arc::clone(&zone);
    tokio::spawn(async move {
        let mut query = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            let _ = socket.send_to(&answer(&query[..length], &asked), from).await;
        }
    });
    (address, zone)
}

fn a(octets: [u8; 4]) -> Record {
    Record::A(octets.into())
}

#[tokio::test]
async fn addresses_are_workers_and_those_of_no_worker_are_refused() {
    let shady = vec![a([10, 0, 0, 1]), a([169, 254, 169, 254]), a([127, 0, 0, 1]), a([0, 0, 0, 0]), a([224, 0, 0, 1])];
    let (server, _) = names(&[("workers.test", shady), ("localhost", vec![a([127, 0, 0, 1])])]).await;
    let sd =
        |names: &str| format!("dns_sd: {{names: [{names}], port: 8080, server: '{server}', refresh_interval: 1s}}");
    let mut watch = Watch::new(&sd("workers.test"));
    let found = watch.next().await;
    let shown: Vec<_> = found.targets.iter().map(|target| format!("{} {}", target.id, target.url)).collect();
    assert_eq!(shown, ["10.0.0.1:8080 http://10.0.0.1:8080/health"], "the URL holds the address that was checked");
    watch.stays().await;
    watch.end().await;
    let mut watch = Watch::new(&format!("allowed_networks: [127.0.0.0/8], {}", sd("workers.test.")));
    assert_eq!(watch.ids().await, ["10.0.0.1:8080", "127.0.0.1:8080"]);
    watch.end().await;
}

#[tokio::test]
async fn of_services_the_name_and_port_are_the_worker_and_its_address_is_checked_too() {
    let (server, _) = names(&[
        (
            "_health._tcp.workers.test",
            vec![
                Record::Srv("w-0.workers.test", 9000),
                Record::Srv("w-1.workers.test", 9001),
                Record::Srv("trap.workers.test", 80),
            ],
        ),
        ("w-0.workers.test", vec![a([10, 0, 0, 2]), a([10, 0, 0, 1])]),
        ("w-1.workers.test", vec![a([10, 0, 0, 3])]),
        ("trap.workers.test", vec![a([169, 254, 169, 254])]),
    ])
    .await;
    let sd = format!("dns_sd: {{names: [_health._tcp.workers.test], type: SRV, server: '{server}'}}, scheme: https");
    let mut watch = Watch::new(&sd);
    let found = watch.next().await;
    let shown: Vec<_> = found.targets.iter().map(|target| format!("{} {}", target.id, target.url)).collect();
    assert_eq!(
        shown,
        ["w-0.workers.test:9000 https://10.0.0.1:9000/health", "w-1.workers.test:9001 https://10.0.0.3:9001/health"]
    );
    let name = found.targets[0].access.as_ref().unwrap().tls.server_name.as_deref();
    assert_eq!(name, Some("w-0.workers.test"), "its certificate is for its name");
    watch.end().await;
}

#[tokio::test]
async fn a_server_of_names_that_fails_keeps_what_it_said_last() {
    let (server, zone) = names(&[("workers.test", vec![a([10, 0, 0, 1])])]).await;
    let sd = format!("dns_sd: {{names: [workers.test], port: 80, server: '{server}', refresh_interval: 1s}}");
    let mut watch = Watch::new(&sd);
    assert_eq!(watch.ids().await, ["10.0.0.1:80"]);
    let good = zone.lock().unwrap().take();
    watch.stays().await;
    *zone.lock().unwrap() = good;
    watch.stays().await;
    watch.end().await;
}

#[tokio::test]
async fn who_has_vanished_from_dns_stays_for_as_long_as_it_accepts() {
    let worker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = worker.local_addr().unwrap().port();
    let (server, zone) = names(&[("workers.test", vec![a([127, 0, 0, 1]), a([127, 0, 0, 2])])]).await;
    let sd = format!("dns_sd: {{names: [workers.test], port: {port}, server: '{server}', refresh_interval: 1s}}");
    let mut watch = Watch::new(&format!("allowed_networks: [127.0.0.0/8], {sd}"));
    assert_eq!(watch.ids().await, [format!("127.0.0.1:{port}"), format!("127.0.0.2:{port}")]);
    // At the second nobody listens, so it has left; the first still answers.
    *zone.lock().unwrap() = Some(HashMap::new());
    assert_eq!(watch.ids().await, [format!("127.0.0.1:{port}")]);
    watch.stays().await;
    drop(worker);
    assert_eq!(watch.ids().await, Vec::<String>::new());
    watch.end().await;
}

#[test]
fn no_key_of_a_server_of_lists_is_printed() {
    let text = "sources: [{name: a, kind: http, http_sd: {url: 'http://sd/', bearer_token_env: KEY}}]";
    let env = |name: &str| (name == "KEY").then(|| "hunter2".to_owned());
    let settings = config::parse(text.as_bytes(), "x.yml", Path::new(""), &env).unwrap();
    assert!(!format!("{settings:?}{}", settings.shown).contains("hunter2"));
    let sd = settings.sources[0].detail.targets().unwrap().http_sd.as_ref().unwrap();
    assert_eq!(sd.access.bearer, Some(Secret::held("hunter2")));
}
