//! Puts the configured TLS on the endpoint, in the words of the gRPC library.

use std::sync::Arc;

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::config::Tls;
use crate::observe::tls::{self, Anybody, Unusable};

/// The endpoint with TLS, made of the files as they are now.
pub(super) fn apply(endpoint: Endpoint, tls: &Tls) -> Result<Endpoint, Unusable> {
    let mut config = ClientTlsConfig::new();
    if let Some(name) = &tls.server_name {
        config = config.domain_name(name);
    }
    if let Some(tls::Identity { certificate, key }) = tls::identity(tls)? {
        config = config.identity(Identity::from_pem(certificate, key));
    }
    let set = if tls.insecure_skip_verify {
        endpoint.tls_config_with_verifier(config, Arc::new(Anybody::new()))
    } else {
        endpoint.tls_config(match tls::authority(tls)? {
            Some(ca) => config.ca_certificate(Certificate::from_pem(ca)),
            None => config.with_native_roots(),
        })
    };
    set.map_err(|error| Unusable::Client(chain(&error)))
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
