//! TLS towards workers: a real handshake with certificates made at test time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod http_scene;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_scene::{LONG, SHORT, Scene, look, ok, request, rest, source};
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;
use verdict::evidence::{Observation, Reach, Said};
use verdict::time::WallTime;
use verdict::words::Failure;
use worker_exporter::config::{Access, Tls};

struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

struct Identity {
    certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }

    fn write(&self, folder: &Path, name: &str) -> PathBuf {
        write(folder, name, &self.certificate.pem())
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A worker behind TLS that answers OK; with `clients` only to those that this authority knows.
async fn serve(identity: &Identity, clients: Option<&Authority>) -> Scene {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = match clients {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.unwrap().with_client_cert_verifier(verifier)
        }
        None => builder.unwrap().with_no_client_auth(),
    };
    let chain: Vec<CertificateDer<'static>> = vec![identity.certificate.der().clone()];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    Scene::new(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            request(&mut stream).await;
            let _ = stream.write_all(ok("text/plain", "OK").as_bytes()).await;
            let _ = stream.shutdown().await;
            rest(&mut stream).await;
        }
    })
    .await
}

async fn ask(scene: &Scene, tls: Tls) -> Observation {
    let url = format!("https://{}/", scene.address);
    look(&source(&url, LONG, Access { tls, ..Access::default() })).await.unwrap()
}

#[tokio::test]
async fn a_worker_behind_tls_is_seen_and_a_bad_certificate_is_its_own_reason() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let stranger = Authority::new();
    let ca_file = Some(authority.write(folder.path(), "ca.pem"));
    let trusting = Tls { ca_file, ..Tls::default() };
    let failed = Some(Reach::Missed(Failure::Tls));

    let good = serve(&authority.issue("127.0.0.1", |_| {}), None).await;
    assert_eq!(ask(&good, trusting.clone()).await.says.overall, Some(Said::Up));
    let expired =
        serve(&authority.issue("127.0.0.1", |params| params.not_after = date_time_ymd(2020, 1, 1)), None).await;
    assert_eq!(ask(&expired, trusting.clone()).await.reach, failed);
    let early =
        serve(&authority.issue("127.0.0.1", |params| params.not_before = date_time_ymd(2090, 1, 1)), None).await;
    assert_eq!(ask(&early, trusting.clone()).await.reach, failed);
    let elsewhere = serve(&authority.issue("worker.example", |_| {}), None).await;
    assert_eq!(ask(&elsewhere, trusting.clone()).await.reach, failed);
    let named = Tls { server_name: Some("worker.example".into()), ..trusting.clone() };
    assert_eq!(ask(&elsewhere, named).await.says.overall, Some(Said::Up));
    let unknown = serve(&stranger.issue("127.0.0.1", |_| {}), None).await;
    assert_eq!(ask(&unknown, trusting).await.reach, failed);
    assert_eq!(ask(&unknown, Tls::default()).await.reach, failed);
    let careless = Tls { insecure_skip_verify: true, ..Tls::default() };
    assert_eq!(ask(&unknown, careless).await.says.overall, Some(Said::Up));
}

#[tokio::test]
async fn a_client_certificate_opens_what_is_closed_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let scene = serve(&authority.issue("127.0.0.1", |_| {}), Some(&authority)).await;
    let without = Tls { ca_file: Some(authority.write(folder.path(), "ca.pem")), ..Tls::default() };
    assert_eq!(ask(&scene, without.clone()).await.reach, Some(Reach::Missed(Failure::Tls)));
    let client = authority.issue("exporter", |_| {});
    let with = Tls {
        cert_file: Some(write(folder.path(), "cert.pem", &client.certificate.pem())),
        key_file: Some(write(folder.path(), "key.pem", &client.key.serialize_pem())),
        ..without
    };
    assert_eq!(ask(&scene, with).await.says.overall, Some(Said::Up));
}

#[tokio::test]
async fn files_that_cannot_be_used_are_our_fault_and_a_half_written_one_keeps_the_old() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let scene = serve(&authority.issue("127.0.0.1", |_| {}), None).await;
    let missing = Tls { ca_file: Some(folder.path().join("none.pem")), ..Tls::default() };
    assert_eq!(ask(&scene, missing).await.reach, Some(Reach::Misconfigured(Failure::Tls)));

    // A source that trusts a stranger first, and the right authority as soon as its file changes; in between the file
    // is broken, which must change nothing.
    let file = Authority::new().write(folder.path(), "ca.pem");
    let url = format!("https://{}/", scene.address);
    let tls = Tls { ca_file: Some(file), ..Tls::default() };
    let source = source(&url, LONG, Access { tls, ..Access::default() });
    assert_eq!(look(&source).await.unwrap().reach, Some(Reach::Missed(Failure::Tls)));
    write(folder.path(), "ca.pem", "-----BEGIN CERT");
    assert_eq!(look(&source).await.unwrap().reach, Some(Reach::Missed(Failure::Tls)));
    authority.write(folder.path(), "ca.pem");
    tokio::time::timeout(LONG, async {
        while look(&source).await.unwrap().says.overall != Some(Said::Up) {
            tokio::time::sleep(SHORT).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_handshake_that_stalls_or_meets_plain_http_fails() {
    let stall = Scene::new(|mut stream| async move { rest(&mut stream).await }).await;
    let url = format!("https://{}/", stall.address);
    let seen = look(&source(&url, SHORT, Access::default())).await.unwrap();
    assert_eq!(seen.reach, Some(Reach::Missed(Failure::Timeout)));
    let plain = Scene::new(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        rest(&mut stream).await;
    })
    .await;
    assert_eq!(ask(&plain, Tls::default()).await.reach, Some(Reach::Missed(Failure::Tls)));
}

#[tokio::test]
async fn a_server_of_an_old_version_and_one_whose_certificate_changes_between_looks_are_told_as_they_are() {
    // No library that is still kept speaks TLS 1.0: these bytes are its fatal alert `protocol_version`.
    let old = Scene::new(|mut stream| async move {
        let _ = stream.write_all(&[21, 3, 1, 0, 2, 2, 70]).await;
        rest(&mut stream).await;
    })
    .await;
    assert_eq!(ask(&old, Tls::default()).await.reach, Some(Reach::Missed(Failure::Tls)));

    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let good = serve(&authority.issue("127.0.0.1", |_| {}), None).await;
    let expired = authority.issue("127.0.0.1", |params| params.not_after = date_time_ymd(2020, 1, 1));
    let expired = serve(&expired, None).await;
    // One address, behind which the certificate is another each time.
    let turn = Arc::new(AtomicUsize::new(0));
    let behind = [good.address, expired.address, good.address];
    let front = Scene::new(move |mut stream| {
        let now = behind[turn.fetch_add(1, Ordering::SeqCst).min(2)];
        async move {
            let mut worker = tokio::net::TcpStream::connect(now).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut worker).await;
        }
    })
    .await;
    let tls = Tls { ca_file: Some(authority.write(folder.path(), "ca.pem")), ..Tls::default() };
    let source = source(&format!("https://{}/", front.address), LONG, Access { tls, ..Access::default() });
    assert_eq!(look(&source).await.unwrap().says.overall, Some(Said::Up));
    assert_eq!(look(&source).await.unwrap().reach, Some(Reach::Missed(Failure::Tls)));
    assert_eq!(look(&source).await.unwrap().says.overall, Some(Said::Up));
}

#[tokio::test]
async fn until_when_a_certificate_is_valid_is_told_of_one_that_is_refused_too() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let trusting = Tls { ca_file: Some(authority.write(folder.path(), "ca.pem")), ..Tls::default() };
    let until = |year, month, day| {
        let end = date_time_ymd(year, month, day);
        let identity = authority.issue("127.0.0.1", |params| params.not_after = end);
        (identity, Some(WallTime::from_micros(end.unix_timestamp() * 1_000_000)))
    };
    let refused = Some(Reach::Missed(Failure::Tls));

    // As well as two years before its end as at the end of all dates that a certificate can bear.
    for year in [2099, 9999] {
        let (identity, end) = until(year, 12, 31);
        let scene = serve(&identity, None).await;
        let url = format!("https://{}/", scene.address);
        let source = source(&url, LONG, Access { tls: trusting.clone(), ..Access::default() });
        // The second time the session is resumed, in which nobody shows a certificate.
        for _ in 0..2 {
            let seen = look(&source).await.unwrap();
            assert_eq!((seen.says.overall, seen.certificate), (Some(Said::Up), end));
        }
    }
    let (identity, end) = until(2020, 1, 1);
    let expired = serve(&identity, None).await;
    let seen = ask(&expired, trusting.clone()).await;
    assert_eq!((seen.reach, seen.certificate), (refused, end));
    let careless = Tls { insecure_skip_verify: true, ..Tls::default() };
    let seen = ask(&expired, careless).await;
    assert_eq!((seen.says.overall, seen.certificate), (Some(Said::Up), end));

    let (identity, end) = until(2098, 12, 31);
    let stranger = serve(&identity, None).await;
    let other = Tls { ca_file: Some(Authority::new().write(folder.path(), "other.pem")), ..Tls::default() };
    let seen = ask(&stranger, other).await;
    assert_eq!((seen.reach, seen.certificate), (refused, end));
    let elsewhere = Tls { server_name: Some("worker.example".into()), ..trusting };
    let seen = ask(&stranger, elsewhere).await;
    assert_eq!((seen.reach, seen.certificate), (refused, end));
}

#[tokio::test]
async fn where_no_certificate_is_shown_none_is_told() {
    let plain = Scene::answering(ok("text/plain", "OK")).await;
    let seen = look(&source(&plain.url(), LONG, Access::default())).await.unwrap();
    assert_eq!((seen.says.overall, seen.certificate), (Some(Said::Up), None));
    // The handshake never comes to it; our own authority is missing, so that there is none.
    let url = format!("https://{}/", plain.address);
    assert_eq!(look(&source(&url, SHORT, Access::default())).await.unwrap().certificate, None);
    let missing = Tls { ca_file: Some("/nonexistent/ca.pem".into()), ..Tls::default() };
    assert_eq!(ask(&plain, missing).await.certificate, None);
}
