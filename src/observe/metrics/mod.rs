//! A worker's own `/metrics`: asked as Prometheus asks, read strictly, and turned into the work it did.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use verdict::evidence::{Observation, Reach, Report, Scope, WorkerKey};
use verdict::read::exposition::{self, Limits};
use verdict::read::health;
use verdict::read::worker_metrics::{self, Names};
use verdict::words::Failure;

use super::Observe;
use super::fetch::{Answer, Ask, Encoding, Visits};
use super::targets::Known;
use crate::config::{self, Access, HttpTarget};

/// What Prometheus says of the two formats.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// One configured source of workers' own metrics.
pub struct MetricsSource {
    visits: Visits,
    names: Names,
    max_body: usize,
}

impl MetricsSource {
    /// A source over `known` targets.
    #[must_use]
    pub fn new(source: &config::Source, metrics: &config::MetricsSource, known: Known) -> Self {
        Self {
            visits: Visits::new(source, &metrics.targets, known, "metrics"),
            names: metrics.names.clone(),
            max_body: metrics.max_body,
        }
    }

    async fn look_at(&self, key: &WorkerKey) -> Result<Report, Failure> {
        let timeout = self.visits.timeout;
        let ask = Ask { accept: ACCEPT, encoding: Encoding::Gzip, max_body: self.max_body, timeout };
        let asked =
            async |target: HttpTarget, access: Arc<Access>| ask.of(&target.url, &access, &self.visits.keyring).await;
        let read = |answer: Answer, took, observation: &mut Observation| self.read(&answer, took, observation);
        Ok(Report::Worker(Box::new(self.visits.visit(key, asked, read).await?)))
    }

    /// What an answer says. That it cannot be read is said of it, and is not held against the worker's work.
    fn read(&self, answer: &Answer, took: Duration, observation: &mut Observation) -> Result<Option<String>, Failure> {
        let bytes = match &answer.body {
            Ok(bytes) if answer.code == 200 => bytes,
            body => {
                let why = body.as_ref().err().copied().unwrap_or(Failure::HttpStatus);
                health::unread(answer.code, why).put_into(observation, took, self.visits.timeout)?;
                // Its metrics fail, and not the worker.
                (observation.says.overall, observation.says.body) = (None, None);
                return Ok(None);
            }
        };
        observation.reach = Some(Reach::Answered { took, deadline: self.visits.timeout });
        let mistake = match exposition::format_of(answer.content_type.as_deref()) {
            None => Some(String::from("its Content-Type is neither OpenMetrics nor text")),
            Some(format) => match worker_metrics::read(bytes, format, &Limits::default(), &self.names) {
                Ok(read) => {
                    read.put_into(observation);
                    return Ok(None);
                }
                Err(mistakes) => mistakes.first().map(|mistake| format!("line {}: {}", mistake.line, mistake.what)),
            },
        };
        observation.says.unreadable = Some(Failure::BodyInvalid);
        Ok(mistake)
    }
}

impl Observe for MetricsSource {
    fn look<'a>(&'a self, scope: &'a Scope) -> Pin<Box<dyn Future<Output = Result<Report, Failure>> + Send + 'a>> {
        Box::pin(async move {
            match scope {
                Scope::Worker(key) => self.look_at(key).await,
                // Metrics list nobody and know no queues.
                Scope::Listing | Scope::Queue(_) => Err(Failure::Unimplemented),
            }
        })
    }
}
