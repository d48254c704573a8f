//! TLS towards what is observed, as it is configured: one provider (ring), one way to read the files, one set of
//! complaints.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use secrecy::ExposeSecret;
use verdict::time::WallTime;
use webpki::{EndEntityCert, KeyUsage};

use crate::config::{Secret, Tls};

/// Why TLS cannot be set up as configured. For the log: it names files, never what is in them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("the {what} cannot be read from {place}: {error}; check that the file exists and is readable")]
    Unreadable { what: &'static str, place: String, error: io::Error },
    #[error("the {0} is not valid PEM")]
    NotPem(&'static str),
    #[error("the {0} holds no certificate")]
    Empty(&'static str),
    #[error("the {0} holds a certificate that cannot be used: {1}")]
    Certificate(&'static str, rustls::Error),
    #[error("the system has no certificate authority to trust; name one with `ca_file`")]
    NoAuthority,
    #[error("a client certificate needs its key, and a key its certificate: give both `cert_file` and `key_file`")]
    Half,
    #[error("client certificate and key do not fit together: {0}")]
    Pair(rustls::Error),
    #[error("{0:?} is no name that a certificate can carry; correct `server_name`")]
    Name(String),
    #[error("no usable TLS version: {0}")]
    Version(rustls::Error),
    #[error("{0}; check the certificate, key and CA files (PEM)")]
    Client(String),
}

/// The files behind a configuration, and when each was changed last.
pub(super) type Files = Vec<(PathBuf, Option<SystemTime>)>;

/// Looks at the files once. Unequal to an earlier look: something was changed.
pub(super) fn files(tls: &Tls) -> Files {
    [&tls.ca_file, &tls.cert_file, &tls.key_file]
        .into_iter()
        .flatten()
        .map(|path| (path.clone(), std::fs::metadata(path).and_then(|meta| meta.modified()).ok()))
        .collect()
}

/// The client configuration, made of the files as they are now.
pub(crate) fn client(tls: &Tls) -> Result<ClientConfig, Unusable> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = if tls.insecure_skip_verify {
        Arc::new(Anybody::new())
    } else {
        WebPkiServerVerifier::builder_with_provider(roots(tls)?, Arc::clone(&provider))
            .build()
            .map_err(|error| Unusable::Client(error.to_string()))?
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Unusable::Version)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Witness { verifier }));
    match identity(tls)? {
        Some(identity) => {
            let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|_| Unusable::NotPem(CLIENT_KEY))?;
            let chain = certificates(&identity.certificate, CLIENT_CERTIFICATE)?;
            builder.with_client_auth_cert(chain, key).map_err(Unusable::Pair)
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

/// The name to verify: the configured one, else the host of the address, an IPv6 address without its brackets.
pub(crate) fn server_name(tls: &Tls, host: &str) -> Result<ServerName<'static>, Unusable> {
    let name = tls.server_name.as_deref().unwrap_or(host).trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(name.to_owned()).map_err(|_| Unusable::Name(name.to_owned()))
}

const CLIENT_CERTIFICATE: &str = "client certificate (`cert_file`)";
const CLIENT_KEY: &str = "client key (`key_file`)";
const AUTHORITY: &str = "certificate authority (`ca_file`)";

/// A client certificate with its key, PEM.
pub(super) struct Identity {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
}

/// What we show of ourselves, where something is configured.
pub(super) fn identity(tls: &Tls) -> Result<Option<Identity>, Unusable> {
    let certificate = pem(CLIENT_CERTIFICATE, tls.cert_file.as_ref(), tls.cert_data.as_ref())?;
    let key = pem(CLIENT_KEY, tls.key_file.as_ref(), tls.key_data.as_ref())?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(Identity { certificate, key })),
        (None, None) => Ok(None),
        _ => Err(Unusable::Half),
    }
}

/// The configured authorities, PEM. `None`: the system's.
pub(super) fn authority(tls: &Tls) -> Result<Option<Vec<u8>>, Unusable> {
    pem(AUTHORITY, tls.ca_file.as_ref(), tls.ca_data.as_ref())
}

fn roots(tls: &Tls) -> Result<Arc<RootCertStore>, Unusable> {
    /// The system's authorities are read once: it takes tens of milliseconds, and a new system needs a restart anyway.
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let Some(own) = authority(tls)? else {
        let system = SYSTEM.get_or_init(|| {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(store)
        });
        return if system.is_empty() { Err(Unusable::NoAuthority) } else { Ok(Arc::clone(system)) };
    };
    let mut store = RootCertStore::empty();
    for certificate in certificates(&own, AUTHORITY)? {
        store.add(certificate).map_err(|error| Unusable::Certificate(AUTHORITY, error))?;
    }
    Ok(Arc::new(store))
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| Unusable::NotPem(what))?;
    if found.is_empty() { Err(Unusable::Empty(what)) } else { Ok(found) }
}

fn pem(what: &'static str, file: Option<&PathBuf>, data: Option<&Secret>) -> Result<Option<Vec<u8>>, Unusable> {
    let unreadable = |place: String| move |error| Unusable::Unreadable { what, place, error };
    match (file, data) {
        (Some(path), _) => std::fs::read(path).map(Some).map_err(unreadable(path.display().to_string())),
        (None, Some(data)) => {
            let held = data.reveal().map_err(unreadable("the environment".to_owned()))?;
            Ok(Some(held.expose_secret().as_bytes().to_vec()))
        }
        (None, None) => Ok(None),
    }
}

tokio::task_local! {
    /// Until when the certificate is valid that this task was shown. A verifier is told nothing of the connection that it
    /// serves, and one for each connection would end the resumption of sessions.
    static SHOWN: Arc<OnceLock<WallTime>>;
}

/// Does `work`, and tells until when the certificate is valid that a server showed meanwhile: also one that was refused,
/// since that is when somebody wants to know.
pub(super) async fn witnessed<T>(work: impl Future<Output = T>) -> (T, Option<WallTime>) {
    let shown = Arc::new(OnceLock::new());
    let done = SHOWN.scope(Arc::clone(&shown), work).await;
    (done, shown.get().copied())
}

/// Takes note of the certificate of a server. What is noted first stays.
pub(super) fn witness(certificate: &CertificateDer<'_>) {
    let _ = SHOWN.try_with(|shown| {
        if shown.get().is_none()
            && let Some(until) = valid_until(certificate)
        {
            let _ = shown.set(until);
        }
    });
}

/// Until when a certificate is valid. Whoever verifies certificates has to read that, but hands it out only with the news
/// that it is over: so it is asked whether the certificate is valid at the end of all time.
fn valid_until(certificate: &CertificateDer<'_>) -> Option<WallTime> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let end = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    match certificate.verify_for_usage(&[], &[], &[], end, KeyUsage::server_auth(), None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => {
            let micros = i64::try_from(not_after.as_secs()).ok()?.checked_mul(1_000_000)?;
            Some(WallTime::from_micros(micros))
        }
        _ => None,
    }
}

/// Verifies as another does, and takes note of what was shown.
#[derive(Debug)]
struct Witness {
    verifier: Arc<dyn ServerCertVerifier>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        witness(end_entity);
        self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// `insecure_skip_verify`: whoever answers is believed. The signatures are checked all the same, so that a broken peer
/// is told from an untrusted one.
#[derive(Debug)]
pub(super) struct Anybody {
    algorithms: WebPkiSupportedAlgorithms,
}

impl Anybody {
    pub(super) fn new() -> Self {
        Self { algorithms: ring::default_provider().signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What a server shows may be anything.
        #[test]
        fn bytes_that_are_no_certificate_have_no_end(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(valid_until(&CertificateDer::from(bytes)), None);
        }
    }
}
