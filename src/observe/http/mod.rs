//! Health endpoints of workers: one fresh connection per look, which also tests that the worker still accepts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use verdict::evidence::{Report, Scope, WorkerKey};
use verdict::read::health::{self, Fields};
use verdict::words::Failure;

use super::Observe;
use super::fetch::{Ask, Keyring, Visits};
use super::targets::Known;
use crate::config::{self, Access, HttpTarget};

/// JSON before text, since it tells more. A framework that offers a page of HTML then sends its data.
const ACCEPT: &str = "application/health+json, application/json;q=0.9, text/plain;q=0.5, */*;q=0.1";

/// One configured source of HTTP health endpoints.
pub struct HttpSource {
    visits: Visits,
    fields: Fields,
    max_body: usize,
    match_host_pid: bool,
}

impl HttpSource {
    /// A source over `targets`. `timeout` is the total deadline of one look, resolver and body included.
    pub fn new(name: Arc<str>, source: &config::HttpSource, timeout: Duration, targets: Known) -> Self {
        Self {
            visits: Visits::new(name, &source.targets.access, timeout, targets, Keyring::default()),
            fields: Fields::new(source.fields.clone()),
            max_body: source.max_body,
            match_host_pid: false,
        }
    }

    /// Joins its workers with those of other sources by host and process id (`match: host_pid`), where the answers
    /// give both.
    #[must_use]
    pub fn matching_host_pid(mut self) -> Self {
        self.match_host_pid = true;
        self
    }

    async fn look_at(&self, key: &WorkerKey) -> Result<Report, Failure> {
        let ask = Ask { accept: ACCEPT, max_body: self.max_body, timeout: self.visits.timeout };
        let mut own = None;
        let asked = async |target: HttpTarget, access: Arc<Access>| {
            let answer = ask.of(&target.url, &access, &self.visits.keyring).await?;
            let read = match answer.body {
                Ok(body) => health::read(answer.code, answer.content_type.as_deref(), &body, &self.fields),
                Err(why) => health::unread(answer.code, why),
            };
            // The host of the address is ours: two sources may reach one worker by two names.
            own = read.info.host.clone().zip(read.info.pid.clone());
            Ok(read)
        };
        let mut observation = self.visits.visit(key, asked).await?;
        if let (true, Some((host, pid))) = (self.match_host_pid, own) {
            observation.alias = Some(format!("{host}/{pid}").into());
        }
        Ok(Report::Worker(Box::new(observation)))
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
