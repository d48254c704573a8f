//! Health endpoints of workers: one fresh connection per look, which also tests that the worker still accepts.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use verdict::evidence::{Observation, Reach, Report, Scope, Slot, WorkerKey};
use verdict::read::health::{self, Fields};
use verdict::words::Failure;

use super::Observe;
use super::fetch::{Ask, Encoding, Fault, Keyring};
use super::targets::Known;
use crate::config::{self, Access, HttpTarget};

/// JSON before text, since it tells more. A framework that offers a page of HTML then sends its data.
const ACCEPT: &str = "application/health+json, application/json;q=0.9, text/plain;q=0.5, */*;q=0.1";

/// One configured source of HTTP health endpoints.
pub struct HttpSource {
    name: Arc<str>,
    access: Arc<Access>,
    fields: Fields,
    max_body: usize,
    timeout: Duration,
    match_host_pid: bool,
    targets: Known,
    keyring: Keyring,
    /// What the last look at each worker came to, so that the log has one line per change and not one per look.
    told: Mutex<HashMap<WorkerKey, Option<Failure>>>,
}

impl HttpSource {
    /// A source over `targets`. `timeout` is the total deadline of one look, resolver and body included.
    pub fn new(name: Arc<str>, source: &config::HttpSource, timeout: Duration, targets: Known) -> Self {
        Self {
            name,
            access: Arc::clone(&source.targets.access),
            fields: Fields::new(source.fields.clone()),
            max_body: source.max_body,
            timeout,
            match_host_pid: false,
            targets,
            keyring: Keyring::default(),
            told: Mutex::default(),
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
        let targets = self.targets.load();
        // Discovery dropped it between the tick and now.
        let target = targets.get(key).cloned().ok_or(Failure::NotFound)?;
        drop(targets);
        let mut observation =
            Observation::new(format!("{}/{}", key.fleet, key.worker), Slot { key: key.clone(), exclusive: true });
        let began = Instant::now();
        let access = target.access.as_ref().unwrap_or(&self.access);
        let ask = Ask { accept: ACCEPT, encoding: Encoding::Identity, max_body: self.max_body, timeout: self.timeout };
        let asked = ask.of(&target.url, access, &self.keyring);
        let answer = match tokio::time::timeout(self.timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(Fault::Worker(Failure::Timeout)),
        };
        let took = began.elapsed();
        let mut note = None;
        let reported = match answer {
            Ok(answer) => {
                let read = match answer.body {
                    Ok(body) => health::read(answer.code, answer.content_type.as_deref(), &body, &self.fields),
                    Err(why) => health::unread(answer.code, why),
                };
                read.put_into(&mut observation, took, self.timeout)
            }
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
        self.tell(key, outcome(&reported, &observation), note.as_deref(), took);
        reported?;
        self.complete(&mut observation, &target);
        Ok(Report::Worker(Box::new(observation)))
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

    /// One log line per worker and change of reason: never a body, an address with its query, or a secret.
    fn tell(&self, key: &WorkerKey, now: Option<Failure>, note: Option<&str>, took: Duration) {
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
        let duration = took.as_secs_f64();
        match now {
            Some(reason) => {
                let why = note.unwrap_or_else(|| reason.meaning());
                tracing::warn!(source, fleet, worker, reason = reason.word(), duration, "health endpoint: {why}");
            }
            None => tracing::info!(source, fleet, worker, reason = "ok", duration, "health endpoint answers again"),
        }
    }
}

/// The failure that a look came to, `None` when it brought a readable answer.
fn outcome(reported: &Result<(), Failure>, observation: &Observation) -> Option<Failure> {
    match (*reported, observation.reach) {
        (Err(failure), _) | (Ok(()), Some(Reach::Missed(failure) | Reach::Misconfigured(failure))) => Some(failure),
        (Ok(()), _) => observation.says.unreadable,
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
