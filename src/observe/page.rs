//! One page of one worker, fetched as it is: for a sidecar, which looks at its own worker's metrics.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use url::Url;
use verdict::words::Failure;

use super::fetch::{Ask, Encoding, Fault, Keyring};
use crate::config::Access;

/// An exposition of one worker is some hundred kilobytes at most.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// One address.
pub struct Page {
    url: Url,
    access: Arc<Access>,
    keyring: Keyring,
    timeout: Duration,
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Page {
    /// Nothing is fetched yet. `timeout` is the total deadline of one look.
    #[must_use]
    pub fn new(url: Url, timeout: Duration) -> Self {
        Self { url, access: Arc::default(), keyring: Keyring::default(), timeout }
    }

    /// The body and its content type.
    ///
    /// # Errors
    /// Why there is none, the worker's fault or ours.
    pub async fn fetch(&self, accept: &'static str) -> Result<(Bytes, Option<String>), Failure> {
        let ask = Ask { accept, encoding: Encoding::Gzip, max_body: MAX_BODY, timeout: self.timeout };
        let asked = tokio::time::timeout(self.timeout, ask.of(&self.url, &self.access, &self.keyring));
        let answer = asked.await.map_err(|_| Failure::Timeout)?.map_err(|fault| match fault {
            Fault::Worker(failure) | Fault::Configuration(failure) | Fault::Own(failure) => failure,
            Fault::Unusable(failure, what) => {
                tracing::debug!(reason = failure.word(), "{what}");
                failure
            }
        })?;
        match answer.code {
            200..=299 => Ok((answer.body?, answer.content_type)),
            300..=399 => Err(Failure::Redirect),
            401 | 407 => Err(Failure::Unauthenticated),
            403 => Err(Failure::PermissionDenied),
            404 => Err(Failure::NotFound),
            _ => Err(Failure::HttpStatus),
        }
    }
}
