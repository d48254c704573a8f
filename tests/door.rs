//! The way in over real sockets: the whole program behind TLS, users and client certificates, and files that change.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support_tls;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::SanType;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use support_tls::{Authority, Identity};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use worker_exporter::app::{App, Broken, Launch};
use worker_exporter::config::{self, WebSettings};
use worker_exporter::door::Door;

/// Far more than any of this takes; reached only when a test fails. Far less than the slow look at the files.
const SOON: Duration = Duration::from_secs(20);
/// Of the password "right", at the lowest cost.
const HASH: &str = "$2b$04$cRnv/ah8JS4ZtVz8OFe7Xu5ZxgzOB1fFQm92X68726f/ea..u4ka2";

struct House {
    address: SocketAddr,
    folder: TempDir,
    authority: Authority,
    stop: CancellationToken,
    running: JoinHandle<Result<(), Broken>>,
}

/// The program with this web configuration, in which `DIR` is a folder with server.crt, server.key and ca.crt.
async fn house(web: &str) -> House {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.write(folder.path(), "ca.crt");
    server(&authority, "127.0.0.1").write(folder.path(), "server.crt", "server.key");
    write(folder.path(), web);
    let door = Door::load(&folder.path().join("web.yml")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let text = b"sources: [{name: a, kind: http, targets: [{url: 'http://127.0.0.1:9/'}]}]";
    let settings = config::parse(text, "a.yml", Path::new(""), &|_: &str| None).unwrap();
    let web = WebSettings {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        telemetry_path: "/metrics".into(),
        external_url: None,
        route_prefix: String::new(),
        enable_lifecycle: false,
    };
    let app = App::start(Launch { settings, load: None, watch: None, web, door })
        .await
        .unwrap_or_else(|broken| panic!("{broken}"));
    let (address, stop) = (*app.addresses().first().unwrap(), CancellationToken::new());
    let running = tokio::spawn(app.run(stop.clone()));
    House { address, folder, authority, stop, running }
}

fn server(authority: &Authority, address: &str) -> Identity {
    authority.issue("exporter", |params| {
        params.subject_alt_names.push(SanType::IpAddress(address.parse::<IpAddr>().unwrap()));
    })
}

fn write(folder: &Path, web: &str) {
    fs::write(folder.join("web.yml"), web.replace("DIR", folder.to_str().unwrap())).unwrap();
}

const TLS: &str = "tls_server_config: {cert_file: DIR/server.crt, key_file: DIR/server.key}\n";
const MUTUAL: &str = "tls_server_config: {cert_file: DIR/server.crt, key_file: DIR/server.key, client_ca_file: DIR/ca.crt, \
                      client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [prometheus, 'spiffe://a/b']}\n";

impl House {
    /// A client of this authority, that shows a certificate or none.
    fn client(&self, identity: Option<&Identity>, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate.der().clone()).unwrap();
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match identity {
            Some(identity) => {
                let chain: Vec<CertificateDer<'static>> = vec![identity.certificate.der().clone()];
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }

    async fn shake(&self, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::from(self.address.ip());
        TlsConnector::from(config).connect(name, stream).await
    }

    /// Code of the answer over TLS; `None` when there is none.
    async fn ask(&self, config: Arc<ClientConfig>, path: &str, pair: Option<&str>) -> Option<u16> {
        let stream = self.shake(config).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request(path, pair)).await.ok().map(|answer| answer.status().as_u16());
        drop(sender);
        let _ = connection.await;
        answer
    }

    async fn plain(&self, path: &str) -> Option<u16> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        sender.send_request(request(path, None)).await.ok().map(|answer| answer.status().as_u16())
    }

    /// The serial number of the certificate that the server shows now.
    async fn serial(&self) -> Option<Vec<u8>> {
        let stream = self.shake(self.client(None, &[])).await.ok()?;
        let shown = stream.get_ref().1.peer_certificates()?.first()?.clone();
        Some(shown.to_vec())
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(SOON, self.running).await.unwrap().unwrap().unwrap();
    }
}

fn request(path: &str, pair: Option<&str>) -> Request<Empty<Bytes>> {
    let mut request = Request::get(format!("https://127.0.0.1{path}")).header("host", "127.0.0.1");
    if let Some(pair) = pair {
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        request = request.header("authorization", format!("Basic {pair}"));
    }
    request.body(Empty::new()).unwrap()
}

async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let wait = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn over_tls_the_probes_are_open_and_the_rest_wants_a_password() {
    let house = house(&format!("{TLS}basic_auth_users: {{me: {HASH}}}")).await;
    let client = house.client(None, &[]);
    assert_eq!(house.ask(Arc::clone(&client), "/-/healthy", None).await, Some(200));
    for path in ["/metrics", "/", "/health/workers", "/health/events", "/config"] {
        assert_eq!(house.ask(Arc::clone(&client), path, None).await, Some(401), "{path}");
    }
    for path in ["/metrics", "/", "/health/workers"] {
        assert_eq!(house.ask(Arc::clone(&client), path, Some("me:right")).await, Some(200), "{path}");
    }
    assert_eq!(house.ask(client, "/metrics", Some("me:wrong")).await, Some(401));
    assert_eq!(house.plain("/-/healthy").await, None, "plain HTTP at a TLS port is no way around it");
    house.end().await;
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_and_the_event_stream_ends_with_the_program() {
    let house = house(TLS).await;
    let stream = house.shake(house.client(None, &[b"h2", b"http/1.1"])).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut sender, connection) =
        http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let metrics = sender.send_request(request("/metrics", None)).await.unwrap();
    assert_eq!(metrics.status(), 200);
    assert!(!metrics.into_body().collect().await.unwrap().to_bytes().is_empty());
    let events = sender.send_request(request("/health/events", None)).await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    house.end().await;

    let house = self::house(&format!("{TLS}http_server_config: {{http2: false}}")).await;
    let client = house.client(None, &[b"h2", b"http/1.1"]);
    let stream = house.shake(client).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
}

#[tokio::test]
async fn only_clients_with_a_certificate_of_the_authority_and_an_allowed_name_get_in() {
    let house = house(MUTUAL).await;
    let good = house.authority.issue("prometheus", |_| {});
    let uri = house.authority.issue("x", |params| {
        params.subject_alt_names.push(SanType::URI("spiffe://a/b".try_into().unwrap()));
    });
    let wildcard = house.authority.issue("*.prometheus", |_| {});
    let other_name = house.authority.issue("grafana", |_| {});
    let stranger = Authority::new().issue("prometheus", |_| {});
    for identity in [&good, &uri] {
        assert_eq!(house.ask(house.client(Some(identity), &[]), "/metrics", None).await, Some(200));
    }
    for identity in [None, Some(&wildcard), Some(&other_name), Some(&stranger)] {
        assert_eq!(house.ask(house.client(identity, &[]), "/metrics", None).await, None);
    }
    house.end().await;
}

#[tokio::test]
async fn a_client_that_says_nothing_holds_up_nobody() {
    let house = house(TLS).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(house.address).await.unwrap());
    }
    let asked = house.ask(house.client(None, &[]), "/-/healthy", None);
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), asked).await.unwrap(), Some(200), "while they are silent");
    // Each of them is hung up on at the deadline of the handshake.
    let mut first = silent.remove(0);
    let mut byte = [0; 1];
    let read = tokio::io::AsyncReadExt::read(&mut first, &mut byte);
    assert!(matches!(tokio::time::timeout(SOON, read).await.unwrap(), Ok(0) | Err(_)));
    house.end().await;
}

#[tokio::test]
async fn a_new_pair_comes_into_force_and_half_of_one_does_not() {
    let house = house(TLS).await;
    let old = house.serial().await.unwrap();
    let next = server(&house.authority, "127.0.0.1");
    let folder = house.folder.path();
    fs::write(folder.join("server.crt"), next.certificate.pem()).unwrap();
    // For longer than a changed file takes to be seen, with handshakes all along, the old pair serves.
    let watched = tokio::time::Instant::now() + Duration::from_secs(3);
    while tokio::time::Instant::now() < watched {
        assert_eq!(house.serial().await.as_ref(), Some(&old));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    fs::write(folder.join("server.key"), next.key.serialize_pem()).unwrap();
    until("the new certificate is shown", async || house.serial().await.is_some_and(|shown| shown != old)).await;
    house.end().await;
}

#[tokio::test]
async fn a_changed_file_comes_into_force_and_a_broken_one_does_not() {
    let house = house("{}").await;
    assert_eq!(house.plain("/metrics").await, Some(200));
    write(house.folder.path(), &format!("basic_auth_users: {{me: {HASH}}}"));
    until("a password is asked for", async || house.plain("/metrics").await == Some(401)).await;
    // A file of no users would let everybody in; one that cannot be read must not.
    for broken in ["", "basic_auth_users:", "basic_auth_users: {me: right}"] {
        write(house.folder.path(), broken);
        let watched = tokio::time::Instant::now() + Duration::from_millis(1500);
        while tokio::time::Instant::now() < watched {
            assert_eq!(house.plain("/metrics").await, Some(401), "{broken:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    write(house.folder.path(), TLS);
    let client = house.client(None, &[]);
    until("TLS is spoken", async || house.ask(Arc::clone(&client), "/metrics", None).await == Some(200)).await;
    house.end().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_mounted_secret_is_swapped_as_kubernetes_swaps_it() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let version = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        let identity = server(&authority, "127.0.0.1");
        identity.write(&path, "tls.crt", "tls.key");
        identity.certificate.der().to_vec()
    };
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(Path::new(to), folder.path().join(name)).unwrap();
    version("..v1");
    link("..v1", "..data");
    link("..data/tls.crt", "tls.crt");
    link("..data/tls.key", "tls.key");
    let path = folder.path().to_str().unwrap();
    let mut house = house(&format!("tls_server_config: {{cert_file: {path}/tls.crt, key_file: {path}/tls.key}}")).await;
    let next = version("..v2");
    link("..v2", "..data_tmp");
    fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    house.authority = authority;
    until("the new certificate is shown", async || house.serial().await.as_ref() == Some(&next)).await;
    house.end().await;
}

#[tokio::test]
async fn a_healthcheck_asks_over_tls_and_trusts_nobody_by_itself() {
    let house = house(&format!("{TLS}basic_auth_users: {{me: {HASH}}}")).await;
    let url = format!("https://{}", house.address);
    let authority = house.folder.path().join("ca.crt");
    let code = async |flags: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_worker-exporter"));
        let outcome = command.args(["healthcheck", "--url", &url]).args(flags).output().await.unwrap();
        outcome.status.code()
    };
    let trusted = ["--tls.ca-file", authority.to_str().unwrap()];
    until("it is ready", async || code(&trusted).await == Some(0)).await;
    assert_eq!(code(&["--tls.insecure-skip-verify"]).await, Some(0));
    assert_eq!(code(&[]).await, Some(1), "its authority is none of the system's");
    assert_eq!(code(&["--tls.ca-file", "no-such.pem"]).await, Some(1));
    house.end().await;
}

#[tokio::test]
async fn check_says_what_is_wrong_with_a_web_configuration_as_well() {
    let code = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_worker-exporter"));
        command.arg("check").args(arguments).output().await.unwrap().status.code()
    };
    let (good, bad) = ("deploy/examples/minimal.yaml", "tests/web/bad/password_in_clear.yaml");
    assert_eq!(code(&["--web.config.file", bad]).await, Some(2));
    assert_eq!(code(&["--web.config.file", bad, good]).await, Some(2));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("web.yml"), "{}").unwrap();
    assert_eq!(code(&["--web.config.file", folder.path().join("web.yml").to_str().unwrap(), good]).await, Some(0));
}
