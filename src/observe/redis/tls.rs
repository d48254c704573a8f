//! TLS towards Redis, with one provider (ring).

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use secrecy::ExposeSecret;

use crate::config::{Secret, Tls};

/// Builds it anew for each connection, so that a rotated file needs no restart. The error is for the log.
pub(super) fn client(tls: &Tls) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let builder = if tls.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
    } else {
        let roots = Arc::new(roots(tls)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| format!("the certificate authorities cannot be used: {error}"))?;
        builder.with_webpki_verifier(verifier)
    };
    let certificate = pem(tls.cert_file.as_deref(), tls.cert_data.as_ref(), "client certificate (`cert_file`)")?;
    let key = pem(tls.key_file.as_deref(), tls.key_data.as_ref(), "client key (`key_file`)")?;
    match (certificate, key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let chain = certificates(&certificate, "client certificate")?;
            let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| "the client key is not a PEM key".to_owned())?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("client certificate and key do not fit together: {error}"))
        }
        _ => Err("a client certificate needs both `cert_file` and `key_file`".to_owned()),
    }
}

/// The name to verify: the configured one, else the host of the address.
pub(super) fn server_name(tls: &Tls, host: &str) -> Result<ServerName<'static>, String> {
    let name = tls.server_name.as_deref().unwrap_or(host);
    ServerName::try_from(name.to_owned()).map_err(|_| format!("{name:?} is no name that a certificate can carry"))
}

fn roots(tls: &Tls) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = match pem(tls.ca_file.as_deref(), tls.ca_data.as_ref(), "certificate authority (`ca_file`)")? {
        Some(text) => certificates(&text, "certificate authority")?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(found);
    if roots.is_empty() {
        return Err("no certificate authority to trust: the system has none; name one with `ca_file`".to_owned());
    }
    Ok(roots)
}

fn pem(file: Option<&Path>, data: Option<&Secret>, what: &str) -> Result<Option<Vec<u8>>, String> {
    match (file, data) {
        (Some(path), _) => std::fs::read(path)
            .map(Some)
            .map_err(|error| format!("the {what} at {} cannot be read: {error}", path.display())),
        (None, Some(secret)) => secret
            .reveal()
            .map(|text| Some(text.expose_secret().as_bytes().to_vec()))
            .map_err(|error| format!("the {what} cannot be read: {error}")),
        (None, None) => Ok(None),
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| format!("the {what} is not valid PEM"))?;
    if found.is_empty() { Err(format!("the {what} holds no PEM certificate")) } else { Ok(found) }
}

/// `insecure_skip_verify`: believes any certificate, but still checks that the server holds its key.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
