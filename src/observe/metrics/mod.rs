//! A worker's own `/metrics`: asked as Prometheus asks, read strictly, and turned into the work it did.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use verdict::evidence::{Observation, Reach, Report, Scope, Slot, WorkerKey};
use verdict::read::exposition::{self, Limits};
use verdict::read::health;
use verdict::read::worker_metrics::{self, Names};
use verdict::words::Failure;

use super::Observe;
use super::fetch::{Answer, Ask, Encoding, Fault, Keyring};
use super::targets::Known;
use crate::config::{self, Access, HttpTarget};

/// What Prometheus says of the two formats.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// One configured source of workers' own metrics.
pub struct MetricsSource {
    name: Arc<str>,
    access: Arc<Access>,
    names: Names,
    max_body: usize,
    timeout: Duration,
    match_host_pid: bool,
    targets: Known,
    keyring: Keyring,
    /// What the last look at each worker came to, so that the log has one line per change and not one per look.
    told: Mutex<HashMap<WorkerKey, Option<Failure>>>,
}

impl MetricsSource {
    /// A source over `targets`.
    #[must_use]
    pub fn new(source: &config::Source, metrics: &config::MetricsSource, targets: Known) -> Self {
        Self {
            name: Arc::clone(&source.name),
            access: Arc::clone(&metrics.targets.access),
            names: metrics.names.clone(),
            max_body: metrics.max_body,
            timeout: source.timeout,
            match_host_pid: source.match_host_pid,
            targets,
            keyring: Keyring::default(),
            told: Mutex::default(),
        }
    }

    async fn look_at(&self, key: &WorkerKey) -> Result<Report, Failure> {
        let targets = self.targets.load();
        // Discovery dropped it between the tick and now.
        let target = targets.get(key).cloned().ok_or(Failure::NotFound)?;
        drop(targets);
        let mut observation =
            Observation::new(format!("{}/{}", key.fleet, key.worker), Slot { key: key.clone(), exclusive: true });
        let began = Instant::now();
        let access = target.access.as_ref().unwrap_or(&self.access);
        let ask = Ask { accept: ACCEPT, encoding: Encoding::Gzip, max_body: self.max_body, timeout: self.timeout };
        let asked = ask.of(&target.url, access, &self.keyring);
        let answer = match tokio::time::timeout(self.timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(Fault::Worker(Failure::Timeout)),
        };
        let took = began.elapsed();
        let mut note = None;
        let looked = match answer {
            Ok(answer) => self.read(&answer, took, &mut observation, &mut note),
            Err(Fault::Worker(failure)) => {
                observation.reach = Some(Reach::Missed(failure));
                Ok(())
            }
            Err(Fault::Configuration(failure)) => {
                observation.reach = Some(Reach::Misconfigured(failure));
                Ok(())
            }
            Err(Fault::Unusable(failure, what)) => {
                note = Some(what);
                observation.reach = Some(Reach::Misconfigured(failure));
                Ok(())
            }
            Err(Fault::Own(failure)) => Err(failure),
        };
        self.tell(key, outcome(&looked, &observation), note.as_deref());
        looked?;
        self.complete(&mut observation, &target);
        Ok(Report::Worker(Box::new(observation)))
    }

    /// What an answer says. That it cannot be read is said of it, and is not held against the worker's work.
    fn read(
        &self,
        answer: &Answer,
        took: Duration,
        observation: &mut Observation,
        note: &mut Option<String>,
    ) -> Result<(), Failure> {
        let bytes = match &answer.body {
            Ok(bytes) if answer.code == 200 => bytes,
            body => {
                let why = body.as_ref().err().copied().unwrap_or(Failure::HttpStatus);
                health::unread(answer.code, why).put_into(observation, took, self.timeout)?;
                // Its metrics fail, and not the worker.
                (observation.says.overall, observation.says.body) = (None, None);
                return Ok(());
            }
        };
        observation.reach = Some(Reach::Answered { took, deadline: self.timeout });
        let Some(format) = exposition::format_of(answer.content_type.as_deref()) else {
            observation.says.unreadable = Some(Failure::BodyInvalid);
            *note = Some(String::from("its Content-Type is neither OpenMetrics nor text"));
            return Ok(());
        };
        match worker_metrics::read(bytes, format, &Limits::default(), &self.names) {
            Ok(read) => read.put_into(observation),
            Err(mistakes) => {
                observation.says.unreadable = Some(Failure::BodyInvalid);
                *note = mistakes.first().map(|mistake| format!("line {}: {}", mistake.line, mistake.what));
            }
        }
        Ok(())
    }

    /// What the address tells where the answer does not.
    fn complete(&self, observation: &mut Observation, target: &HttpTarget) {
        let info = &mut observation.info;
        if self.match_host_pid
            && let (Some(host), Some(pid)) = (&info.host, &info.pid)
        {
            observation.alias = Some(format!("{host}/{pid}").into());
        }
        if info.host.is_none() {
            info.host = target.url.host_str().map(Arc::from);
        }
    }

    /// One log line per worker and change of reason.
    fn tell(&self, key: &WorkerKey, now: Option<Failure>, note: Option<&str>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.insert(key.clone(), now).flatten();
        if before == now {
            return;
        }
        let targets = self.targets.load();
        if told.len() > 2 * targets.len() {
            told.retain(|key, _| targets.contains_key(key));
        }
        drop(told);
        let (source, fleet, worker) = (&*self.name, &*key.fleet, &*key.worker);
        match now {
            Some(reason) => {
                let why = note.unwrap_or_else(|| reason.meaning());
                tracing::warn!(source, fleet, worker, reason = reason.word(), "metrics: {why}");
            }
            None => tracing::info!(source, fleet, worker, reason = "ok", "metrics are read again"),
        }
    }
}

/// The failure that a look came to, `None` when it brought a readable answer.
fn outcome(looked: &Result<(), Failure>, observation: &Observation) -> Option<Failure> {
    match (*looked, observation.reach) {
        (Err(failure), _) | (Ok(()), Some(Reach::Missed(failure) | Reach::Misconfigured(failure))) => Some(failure),
        (Ok(()), _) => observation.says.unreadable,
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
