//! TLS towards workers: one cached client configuration per credentials, made anew when its files change.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use secrecy::ExposeSecret;
use url::Url;
use verdict::words::Failure;

use super::fault::Fault;
use crate::config::{Access, Secret, Tls};

/// How often the files behind a configuration are looked at.
const FILES_EVERY: Duration = Duration::from_secs(1);

/// The client configurations in use. Kept across looks, so that TLS sessions are resumed.
#[derive(Default)]
pub(super) struct Keyring {
    /// By the address of the shared credentials; the entry holds them, so an address is never used twice.
    kept: Mutex<HashMap<usize, Kept>>,
}

struct Kept {
    access: Arc<Access>,
    config: Arc<ClientConfig>,
    files: Vec<Option<SystemTime>>,
    looked: Instant,
}

impl Keyring {
    /// The configuration and the name for this address.
    pub(super) fn prepare(
        &self,
        url: &Url,
        access: &Arc<Access>,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), Fault> {
        let host = access.tls.server_name.as_deref().or(url.host_str()).unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| Fault::Configuration(Failure::InvalidArgument))?;
        Ok((self.config(access)?, name))
    }

    fn config(&self, access: &Arc<Access>) -> Result<Arc<ClientConfig>, Fault> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = Arc::as_ptr(access).addr();
        if let Some(entry) = kept.get_mut(&place) {
            if entry.looked.elapsed() < FILES_EVERY {
                return Ok(Arc::clone(&entry.config));
            }
            entry.looked = Instant::now();
            let files = changes(&access.tls);
            if files != entry.files {
                match build(&access.tls) {
                    Ok(config) => {
                        entry.config = config;
                        entry.files = files;
                    }
                    // A pair that is written just now does not match for a moment: the old one serves on.
                    Err(why) => {
                        tracing::warn!(reason = why, "changed TLS files are not usable; the old ones stay in use")
                    }
                }
            }
            return Ok(Arc::clone(&entry.config));
        }
        // Credentials that a reload dropped are held by nobody but this map.
        kept.retain(|_, entry| Arc::strong_count(&entry.access) > 1);
        let files = changes(&access.tls);
        let config = build(&access.tls).map_err(|why| Fault::Unusable(Failure::Tls, why.to_owned()))?;
        if access.tls.insecure_skip_verify {
            tracing::warn!("insecure_skip_verify: certificates of workers are not verified");
        }
        let entry = Kept { access: Arc::clone(access), config: Arc::clone(&config), files, looked: Instant::now() };
        kept.insert(place, entry);
        Ok(config)
    }
}

fn changes(tls: &Tls) -> Vec<Option<SystemTime>> {
    [&tls.ca_file, &tls.cert_file, &tls.key_file]
        .into_iter()
        .map(|file| std::fs::metadata(file.as_ref()?).and_then(|meta| meta.modified()).ok())
        .collect()
}

fn build(tls: &Tls) -> Result<Arc<ClientConfig>, &'static str> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| "no common TLS version")?;
    let builder = if tls.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody { algorithms }))
    } else {
        builder.with_root_certificates(roots(tls)?)
    };
    let chain = pem(tls.cert_file.as_deref(), tls.cert_data.as_ref())?;
    let key = pem(tls.key_file.as_deref(), tls.key_data.as_ref())?;
    let config = match (chain, key) {
        (Some(chain), Some(key)) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
            let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| "the client key is not PEM")?;
            builder
                .with_client_auth_cert(chain.map_err(|_| "the client certificate is not PEM")?, key)
                .map_err(|_| "client certificate and key do not belong together")?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err("a client certificate needs its key, and a key its certificate"),
    };
    Ok(Arc::new(config))
}

fn roots(tls: &Tls) -> Result<Arc<RootCertStore>, &'static str> {
    /// The system's authorities are read once: it takes tens of milliseconds, and a new system needs a restart anyway.
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let Some(own) = pem(tls.ca_file.as_deref(), tls.ca_data.as_ref())? else {
        return Ok(Arc::clone(SYSTEM.get_or_init(|| {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(store)
        })));
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&own) {
        let certificate = certificate.map_err(|_| "the CA file is not PEM")?;
        store.add(certificate).map_err(|_| "the CA file holds what is no certificate")?;
    }
    if store.is_empty() {
        return Err("the CA file holds no certificate");
    }
    Ok(Arc::new(store))
}

fn pem(file: Option<&Path>, data: Option<&Secret>) -> Result<Option<Vec<u8>>, &'static str> {
    match (file, data) {
        (Some(file), _) => std::fs::read(file).map(Some).map_err(|_| "a TLS file cannot be read"),
        (None, Some(data)) => data
            .reveal()
            .map(|text| Some(text.expose_secret().as_bytes().to_vec()))
            .map_err(|_| "a TLS secret cannot be read"),
        (None, None) => Ok(None),
    }
}

/// `insecure_skip_verify`: whoever answers is believed. The signatures are checked all the same, which costs nothing.
#[derive(Debug)]
struct Anybody {
    algorithms: WebPkiSupportedAlgorithms,
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
