//! One request to one address: what every source that asks workers at one shares.

mod ask;
mod connect;
mod fault;
mod keyring;
mod resolve;
mod visit;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use url::Url;

pub(super) use ask::{Answer, Ask, Encoding, USER_AGENT, credentials};
pub(super) use connect::open;
pub(super) use fault::Fault;
pub(super) use keyring::Keyring;
pub(super) use visit::Visits;

use crate::config::Access;
use crate::discovery::http_sd::{DEADLINE, Fetch, LARGEST, Page};

/// Gets lists of targets, the same way as workers are asked.
#[derive(Default)]
pub struct Lists {
    keyring: Keyring,
}

impl Fetch for Lists {
    fn get<'a>(
        &'a self,
        url: &'a Url,
        access: &'a Arc<Access>,
    ) -> Pin<Box<dyn Future<Output = Result<Page, String>> + Send + 'a>> {
        Box::pin(async move {
            let ask =
                Ask { accept: "application/json", encoding: Encoding::Identity, max_body: LARGEST, timeout: DEADLINE };
            let asked = tokio::time::timeout(DEADLINE, ask.of(url, access, &self.keyring)).await;
            let answer = match asked {
                Ok(Ok(answer)) => answer,
                Ok(Err(Fault::Unusable(_, what) | Fault::Unresolved(what))) => return Err(what),
                Ok(Err(Fault::Worker(failure) | Fault::Configuration(failure) | Fault::Own(failure))) => {
                    return Err(failure.meaning().to_owned());
                }
                Err(_elapsed) => return Err("no whole answer in time".to_owned()),
            };
            let body = match answer.body {
                Ok(body) => body.to_vec(),
                // What is wrong with the code is more worth saying than what is wrong with the body.
                Err(_) if answer.code != 200 => Vec::new(),
                Err(failure) => return Err(failure.meaning().to_owned()),
            };
            Ok(Page { code: answer.code, content_type: answer.content_type, body })
        })
    }
}
