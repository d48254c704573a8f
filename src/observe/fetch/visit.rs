//! One visit to one worker at its address: the deadline, whose fault it is when there is no answer, and the log.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use verdict::evidence::{Observation, Reach, Slot, WorkerKey};
use verdict::read::health::HealthAnswer;
use verdict::words::Failure;

use super::fault::Fault;
use super::keyring::Keyring;
use crate::config::{Access, HttpTarget};
use crate::observe::targets::Known;

/// The workers of one source, each asked for its health at its own address.
pub(in crate::observe) struct Visits {
    name: Arc<str>,
    access: Arc<Access>,
    pub(in crate::observe) timeout: Duration,
    targets: Known,
    pub(in crate::observe) keyring: Keyring,
    /// What the last look at each worker came to, so that the log has one line per change and not one per look.
    told: Mutex<HashMap<WorkerKey, Option<Failure>>>,
}

impl Visits {
    /// Of the source `name`, over `targets`. `timeout` is the total deadline of one look, resolver and body included.
    pub(in crate::observe) fn new(
        name: Arc<str>,
        access: &Arc<Access>,
        timeout: Duration,
        targets: Known,
        keyring: Keyring,
    ) -> Self {
        Self { name, access: Arc::clone(access), timeout, targets, keyring, told: Mutex::default() }
    }

    /// Asks one worker, by `ask`, and brings what comes of it, with where it was asked.
    pub(in crate::observe) async fn visit<F>(
        &self,
        key: &WorkerKey,
        ask: impl FnOnce(HttpTarget, Arc<Access>) -> F,
    ) -> Result<Observation, Failure>
    where
        F: Future<Output = Result<HealthAnswer, Fault>>,
    {
        // Discovery dropped it between the tick and now.
        let target = self.targets.load().get(key).cloned().ok_or(Failure::NotFound)?;
        let mut observation =
            Observation::new(format!("{}/{}", key.fleet, key.worker), Slot { key: key.clone(), exclusive: true });
        let host = target.url.host_str().map(Arc::from);
        let access = Arc::clone(target.access.as_ref().unwrap_or(&self.access));
        let began = Instant::now();
        let answer = match tokio::time::timeout(self.timeout, ask(target, access)).await {
            Ok(answer) => answer,
            Err(_) => Err(Fault::Worker(Failure::Timeout)),
        };
        let took = began.elapsed();
        let mut note = None;
        let reported = match answer {
            Ok(answer) => answer.put_into(&mut observation, took, self.timeout),
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
        // What the address tells where the answer does not.
        observation.info.host = observation.info.host.take().or(host);
        Ok(observation)
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
