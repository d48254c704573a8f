//! From the web configuration to what rustls needs of a server.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, NamedGroup, RootCertStore, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use secrecy::ExposeSecret;
use webpki::EndEntityCert;

use crate::config::{ClientAuth, Mistake, Pem, TlsVersions, WebConfig, WebTls};

/// The server configuration, made of the files as they are now.
pub(super) fn server(config: &WebConfig) -> Result<Option<Arc<ServerConfig>>, Mistake> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let built = build(tls, config.http2).map_err(|(reason, hint)| Mistake {
        place: tls.place.clone(),
        reason,
        hint: hint.to_owned(),
    })?;
    Ok(Some(Arc::new(built)))
}

/// What is wrong, and what to do about it.
type Wrong = (String, &'static str);

fn build(tls: &WebTls, http2: bool) -> Result<ServerConfig, Wrong> {
    let provider = Arc::new(provider(tls));
    let versions: &[_] = match tls.versions {
        TlsVersions::Only12 => &[&TLS12],
        TlsVersions::Only13 => &[&TLS13],
        TlsVersions::Both => &[&TLS13, &TLS12],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| (format!("these versions, suites and curves do not work together: {error}"), "allow more"))?;
    let builder = match verifier(tls, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let chain = certificates(&read(&tls.certificate, "certificate")?, "certificate")?;
    let key = PrivateKeyDer::from_pem_slice(&read(&tls.key, "key")?)
        .map_err(|_| ("the key is not valid PEM".to_owned(), "write a PEM file with one unencrypted private key"))?;
    let mut server = builder.with_single_cert(chain, key).map_err(|error| {
        let hint = "give the certificate its own key; where both are replaced, replace them together";
        (format!("certificate and key do not fit together: {error}"), hint)
    })?;
    server.ignore_client_order = tls.own_order;
    server.alpn_protocols = if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Ok(server)
}

/// What is left of ring's suites and curves, in the order of the configuration.
fn provider(tls: &WebTls) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !tls.cipher_suites.is_empty() {
        let all = std::mem::take(&mut provider.cipher_suites);
        let (newer, older): (Vec<_>, Vec<_>) = all.into_iter().partition(|suite| suite.tls13().is_some());
        let chosen = tls
            .cipher_suites
            .iter()
            .filter_map(|name| older.iter().find(|suite| suite.suite().as_str() == Some(name.as_str())));
        provider.cipher_suites = newer.iter().chain(chosen).copied().collect();
    }
    if !tls.curves.is_empty() {
        let all = std::mem::take(&mut provider.kx_groups);
        let group = |name: &String| match name.as_str() {
            "CurveP256" => NamedGroup::secp256r1,
            "CurveP384" => NamedGroup::secp384r1,
            _ => NamedGroup::X25519,
        };
        let chosen = tls.curves.iter().map(group);
        provider.kx_groups = chosen.filter_map(|name| all.iter().find(|group| group.name() == name)).copied().collect();
    }
    provider
}

fn verifier(tls: &WebTls, provider: Arc<CryptoProvider>) -> Result<Option<Arc<dyn ClientCertVerifier>>, Wrong> {
    let (ClientAuth::IfGiven | ClientAuth::Everybody, Some(authority)) = (tls.client_auth, &tls.client_ca) else {
        return Ok(None);
    };
    let what = "authority of client certificates";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&read(authority, what)?, what)? {
        roots.add(certificate).map_err(|error| (format!("the {what} cannot be used: {error}"), PEM_HINT))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match tls.client_auth {
        ClientAuth::Everybody => builder,
        _ => builder.allow_unauthenticated(),
    };
    let verifier = builder.build().map_err(|error: VerifierBuilderError| (format!("the {what}: {error}"), PEM_HINT))?;
    Ok(Some(if tls.allowed_names.is_empty() {
        verifier
    } else {
        Arc::new(Named { verifier, allowed: tls.allowed_names.clone() })
    }))
}

const PEM_HINT: &str = "write a PEM file with at least one certificate";

fn read(pem: &Pem, what: &str) -> Result<Vec<u8>, Wrong> {
    match pem {
        Pem::File(path) => fs::read(path).map_err(|error| {
            let reason = format!("the {what} cannot be read from {}: {}", path.display(), error.kind());
            (reason, "check that the file exists and is readable")
        }),
        Pem::Held(secret) => match secret.reveal() {
            Ok(text) => Ok(text.expose_secret().as_bytes().to_vec()),
            Err(error) => Err((format!("the {what} cannot be read: {}", error.kind()), PEM_HINT)),
        },
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err((format!("the {what} holds no certificate"), PEM_HINT)),
        Err(_) => Err((format!("the {what} is not valid PEM"), PEM_HINT)),
    }
}

/// Of the clients whom the authority vouches for, only those with one of these names.
#[derive(Debug)]
struct Named {
    verifier: Arc<dyn ClientCertVerifier>,
    allowed: Vec<String>,
}

impl Named {
    fn is_allowed(&self, certificate: &CertificateDer<'_>) -> Result<bool, rustls::Error> {
        let bad = |_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
        let certificate = EndEntityCert::try_from(certificate).map_err(bad)?;
        Ok(self.allowed.iter().any(|allowed| match allowed.parse::<IpAddr>() {
            Ok(ip) => certificate.verify_is_valid_for_subject_name(&ServerName::from(ip)).is_ok(),
            Err(_) => certificate.valid_dns_names().chain(certificate.valid_uri_names()).any(|name| name == allowed),
        }))
    }
}

impl ClientCertVerifier for Named {
    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now)?;
        if self.is_allowed(end_entity)? {
            Ok(verified)
        } else {
            Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
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
