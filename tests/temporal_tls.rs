//! TLS towards Temporal: a real handshake with certificates made here. The frontend behind it is the FAKE of
//! `support/temporal_fake.rs`, because a dev server has no TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/temporal_fake.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod temporal_fake;
#[path = "support/temporal_source.rs"]
mod temporal_source;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use temporal_fake::{FakeTemporal, Reply, Script};
use temporalio_protos::temporal::api::workflowservice::v1::ListWorkersResponse;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use verdict::evidence::Scope;
use verdict::words::Failure;
use worker_exporter::config::{self, Secret};
use worker_exporter::observe::Observe;
use worker_exporter::observe::temporal::TemporalSource;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, PEM.
fn issue(ca: &Ca, name: &str) -> (String, String) {
    issue_until(ca, name, 4000)
}

/// One that is valid until the beginning of this year.
fn issue_until(ca: &Ca, name: &str, year: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_after = date_time_ymd(year, 1, 1);
    (params.signed_by(&key, ca).unwrap().pem(), key.serialize_pem())
}

/// A server that shows a certificate for `name` and, where `clients` is given, wants one of its clients.
async fn serve(ca: &Ca, name: &str, clients: Option<&Ca>) -> FakeTemporal {
    serve_with(issue(ca, name), clients).await
}

async fn serve_with((certificate, key): (String, String), clients: Option<&Ca>) -> FakeTemporal {
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let script = Script::with_heartbeats().list(|_| Reply::Say(ListWorkersResponse::default()));
    FakeTemporal::listen(script, Some(TlsAcceptor::from(Arc::new(config))), "127.0.0.1:0".parse().unwrap()).await
}

fn source(fake: &FakeTemporal, tls: config::Tls) -> TemporalSource {
    let settings = config::TemporalSource {
        address: format!("localhost:{}", fake.address.port()),
        namespace: "orders-prod".into(),
        api_key: None,
        tls: Some(tls),
        metadata: Vec::new(),
        task_queues: Vec::new(),
        requests_per_second: 100.0,
        timed_out_workflows: false,
    };
    temporal_source::source(&settings, Duration::from_secs(10))
}

async fn look(source: &TemporalSource) -> Result<(), Failure> {
    source.look(&Scope::Listing).await.map(|_| ())
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn the_servers_certificate_is_verified_against_the_configured_authority_and_name() {
    let (ours, other) = (authority(), authority());
    let fake = serve(&ours, "localhost", None).await;
    let trusting = |ca: &Ca| config::Tls { ca_data: Some(Secret::held(ca.pem())), ..config::Tls::default() };
    assert_eq!(look(&source(&fake, trusting(&ours))).await, Ok(()));
    assert_eq!(look(&source(&fake, trusting(&other))).await, Err(Failure::Tls), "signed by somebody else");
    assert_eq!(look(&source(&fake, config::Tls::default())).await, Err(Failure::Tls), "the system does not know it");
    let named = config::Tls { server_name: Some("temporal.example".into()), ..trusting(&ours) };
    assert_eq!(look(&source(&fake, named.clone())).await, Err(Failure::Tls), "another name than it shows");
    let elsewhere = serve(&ours, "temporal.example", None).await;
    assert_eq!(look(&source(&elsewhere, trusting(&ours))).await, Err(Failure::Tls));
    assert_eq!(look(&source(&elsewhere, named)).await, Ok(()), "the configured name is sent and verified");
}

#[tokio::test]
async fn skipping_verification_takes_any_certificate() {
    let fake = serve(&authority(), "somebody.else", None).await;
    let tls = config::Tls { insecure_skip_verify: true, ..config::Tls::default() };
    assert_eq!(look(&source(&fake, tls)).await, Ok(()));
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_wanted() {
    let ca = authority();
    let fake = serve(&ca, "localhost", Some(&ca)).await;
    let tls = config::Tls { ca_data: Some(Secret::held(ca.pem())), ..config::Tls::default() };
    assert_eq!(look(&source(&fake, tls.clone())).await, Err(Failure::Tls), "none is shown");
    let (certificate, key) = issue(&ca, "exporter");
    let with = config::Tls {
        cert_data: Some(Secret::held(certificate.clone())),
        key_data: Some(Secret::held(key)),
        ..tls.clone()
    };
    assert_eq!(look(&source(&fake, with)).await, Ok(()));
    let half = config::Tls { cert_data: Some(Secret::held(certificate)), ..tls };
    assert_eq!(look(&source(&fake, half)).await, Err(Failure::Tls), "a certificate without its key");
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_said_to_be_tls_whoever_shows_it() {
    let ca = authority();
    let trusting = config::Tls { ca_data: Some(Secret::held(ca.pem())), ..config::Tls::default() };
    let fake = serve_with(issue_until(&ca, "localhost", 2020), None).await;
    assert_eq!(look(&source(&fake, trusting.clone())).await, Err(Failure::Tls), "the server's");
    let fake = serve(&ca, "localhost", Some(&ca)).await;
    for (year, outcome) in [(2020, Err(Failure::Tls)), (4000, Ok(()))] {
        let (certificate, key) = issue_until(&ca, "exporter", year);
        let (cert_data, key_data) = (Some(Secret::held(certificate)), Some(Secret::held(key)));
        let ours = config::Tls { cert_data, key_data, ..trusting.clone() };
        assert_eq!(look(&source(&fake, ours)).await, outcome, "ours, until {year}");
    }
}

#[tokio::test]
async fn a_renewed_authority_file_is_taken_up_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (authority(), authority());
    let fake = serve(&new, "localhost", None).await;
    let ca_file = write(folder.path(), "ca.pem", &old.pem());
    let source = source(&fake, config::Tls { ca_file: Some(ca_file), ..config::Tls::default() });
    assert_eq!(look(&source).await, Err(Failure::Tls));
    write(folder.path(), "ca.pem", &new.pem());
    assert_eq!(look(&source).await, Ok(()));
}
