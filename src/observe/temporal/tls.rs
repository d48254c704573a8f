//! TLS towards the server, as it is configured.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::DigitallySignedStruct;
use rustls::SignatureScheme;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use secrecy::ExposeSecret;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::client::Unready;
use crate::config::{Secret, Tls};

/// The files of this configuration and when each was changed last.
pub(super) fn files(tls: &Tls) -> Vec<(PathBuf, Option<SystemTime>)> {
    [&tls.ca_file, &tls.cert_file, &tls.key_file]
        .into_iter()
        .flatten()
        .map(|path| (path.clone(), std::fs::metadata(path).and_then(|meta| meta.modified()).ok()))
        .collect()
}

/// Puts the configured TLS on the endpoint.
pub(super) fn apply(endpoint: Endpoint, tls: &Tls) -> Result<Endpoint, Unready> {
    let mut config = ClientTlsConfig::new();
    if let Some(name) = &tls.server_name {
        config = config.domain_name(name);
    }
    let certificate = read("the client certificate", tls.cert_file.as_ref(), tls.cert_data.as_ref())?;
    let key = read("the client key", tls.key_file.as_ref(), tls.key_data.as_ref())?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => config = config.identity(Identity::from_pem(certificate, key)),
        (None, None) => {}
        _ => return Err(Unready::Tls("a client certificate needs its key, and a key its certificate".to_owned())),
    }
    let set = if tls.insecure_skip_verify {
        let provider = CryptoProvider::get_default()
            .map_or_else(|| Arc::new(rustls::crypto::ring::default_provider()), Arc::clone);
        endpoint.tls_config_with_verifier(config, Arc::new(Unverified(provider)))
    } else {
        endpoint.tls_config(match read("the CA certificate", tls.ca_file.as_ref(), tls.ca_data.as_ref())? {
            Some(ca) => config.ca_certificate(Certificate::from_pem(ca)),
            None => config.with_native_roots(),
        })
    };
    set.map_err(|error| Unready::Tls(chain(&error)))
}

fn read(what: &'static str, file: Option<&PathBuf>, data: Option<&Secret>) -> Result<Option<Vec<u8>>, Unready> {
    let unreadable = |path: String| move |error| Unready::File { what, path, error };
    if let Some(path) = file {
        return std::fs::read(path).map(Some).map_err(unreadable(path.display().to_string()));
    }
    data.map(|data| {
        let held = data.reveal().map_err(unreadable("the environment".to_owned()))?;
        Ok(held.expose_secret().as_bytes().to_vec())
    })
    .transpose()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Takes any certificate, as `insecure_skip_verify` asks; the handshake's signatures are still checked, so that a
/// broken peer is told from an untrusted one.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
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
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
