//! Health endpoints of workers: one fresh connection per look, which also tests that the worker still accepts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use verdict::evidence::{Observation, Report, Scope, WorkerKey};
use verdict::read::health::{self, Fields};
use verdict::words::Failure;

use super::Observe;
use super::fetch::{Answer, Ask, Encoding, Visits};
use super::targets::Known;
use crate::config::{self, Access, HttpTarget};

/// JSON before text, since it tells more. A framework that offers a page of HTML then sends its data.
const ACCEPT: &str = "application/health+json, application/json;q=0.9, text/plain;q=0.5, */*;q=0.1";

/// One configured source of HTTP health endpoints.
pub struct HttpSource {
    visits: Visits,
    fields: Fields,
    identity: Option<config::Identity>,
    max_body: usize,
}

impl HttpSource {
    /// A source over `known` targets.
    #[must_use]
    pub fn new(source: &config::Source, http: &config::HttpSource, known: Known) -> Self {
        Self {
            visits: Visits::new(source, &http.targets, known, "health endpoint"),
            fields: Fields::new(http.fields.clone())
                .with_identity(http.identity.as_ref().map(|identity| identity.field.clone())),
            identity: http.identity.clone(),
            max_body: http.max_body,
        }
    }

    async fn look_at(&self, key: &WorkerKey) -> Result<Report, Failure> {
        let timeout = self.visits.timeout;
        let ask = Ask { accept: ACCEPT, encoding: Encoding::Identity, max_body: self.max_body, timeout };
        let asked =
            async |target: HttpTarget, access: Arc<Access>| ask.of(&target.url, &access, &self.visits.keyring).await;
        let read = |answer: Answer, took, observation: &mut Observation| {
            let read = match answer.body {
                Ok(body) => health::read(answer.code, answer.content_type.as_deref(), &body, &self.fields),
                Err(why) => health::unread(answer.code, why),
            };
            let read = match &self.identity {
                Some(identity) => read.of(&identity.of(&key.worker)),
                None => read,
            };
            read.put_into(observation, took, timeout).map(|()| None)
        };
        Ok(Report::Worker(Box::new(self.visits.visit(key, asked, read).await?)))
    }
}

impl Observe for HttpSource {
    fn look<'a>(&'a self, scope: &'a Scope) -> Pin<Box<dyn Future<Output = Result<Report, Failure>> + Send + 'a>> {
        Box::pin(async move {
            match scope {
                Scope::Worker(key) => self.look_at(key).await,
                // Health endpoints list nobody and know no queues.
                Scope::Listing | Scope::Queue(_) => Err(Failure::Unimplemented),
            }
        })
    }
}
