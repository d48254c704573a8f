//! One cached TLS client configuration per credentials, made anew when its files change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use url::Url;
use verdict::words::Failure;

use super::fault::Fault;
use crate::config::Access;
use crate::observe::tls::{self, Files};

/// How often the files behind a configuration are looked at.
const FILES_EVERY: Duration = Duration::from_secs(1);

/// The client configurations in use. Kept across looks, so that TLS sessions are resumed.
#[derive(Default)]
pub(in crate::observe) struct Keyring {
    /// By the address of the shared credentials; the entry holds them, so an address is never used twice.
    kept: Mutex<HashMap<usize, Kept>>,
    /// What is offered in the handshake (ALPN), where it matters.
    speaks: Option<&'static [u8]>,
}

struct Kept {
    access: Arc<Access>,
    config: Arc<ClientConfig>,
    files: Files,
    looked: Instant,
}

impl Keyring {
    /// For a protocol that has to be offered in the TLS handshake.
    pub(in crate::observe) fn speaking(protocol: &'static [u8]) -> Self {
        Self { speaks: Some(protocol), ..Self::default() }
    }

    fn client(&self, access: &Access) -> Result<Arc<ClientConfig>, tls::Unusable> {
        let mut config = tls::client(&access.tls)?;
        config.alpn_protocols = self.speaks.into_iter().map(<[u8]>::to_vec).collect();
        Ok(Arc::new(config))
    }

    /// The configuration and the name for this address.
    pub(in crate::observe) fn prepare(
        &self,
        url: &Url,
        access: &Arc<Access>,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), Fault> {
        let name = tls::server_name(&access.tls, url.host_str().unwrap_or_default())
            .map_err(|why| Fault::Unusable(Failure::InvalidArgument, why.to_string()))?;
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
            let files = tls::files(&access.tls);
            if files != entry.files {
                match self.client(access) {
                    Ok(config) => {
                        entry.config = config;
                        entry.files = files;
                    }
                    // A pair that is written just now does not match for a moment: the old one serves on.
                    Err(why) => {
                        tracing::warn!(reason = %why, "changed TLS files are not usable; the old ones stay in use");
                    }
                }
            }
            return Ok(Arc::clone(&entry.config));
        }
        // Credentials that a reload dropped are held by nobody but this map.
        kept.retain(|_, entry| Arc::strong_count(&entry.access) > 1);
        let files = tls::files(&access.tls);
        let config = self.client(access).map_err(|why| Fault::Unusable(Failure::Tls, why.to_string()))?;
        if access.tls.insecure_skip_verify {
            tracing::warn!("insecure_skip_verify: certificates of workers are not verified");
        }
        let entry = Kept { access: Arc::clone(access), config: Arc::clone(&config), files, looked: Instant::now() };
        kept.insert(place, entry);
        Ok(config)
    }
}
