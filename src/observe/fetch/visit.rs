//! One visit to one worker at its address: the deadline, whose fault it is when there is no answer, and the log.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use verdict::evidence::{Observation, Reach, Slot, WorkerKey};
use verdict::words::Failure;

use super::fault::Fault;
use super::keyring::Keyring;
use crate::config::{self, Access, HttpTarget};
use crate::observe::targets::Known;
use crate::observe::tls;

/// The workers of one source, each asked at its own address.
pub(in crate::observe) struct Visits {
    name: Arc<str>,
    access: Arc<Access>,
    /// The total deadline of one look, resolver and body included.
    pub(in crate::observe) timeout: Duration,
    match_host_pid: bool,
    targets: Known,
    pub(in crate::observe) keyring: Keyring,
    /// What is asked, in the log.
    what: &'static str,
    /// What the last look at each worker came to, so that the log has one line per change and not one per look.
    told: Mutex<HashMap<WorkerKey, Option<Failure>>>,
}

impl Visits {
    /// To those whom discovery finds for this source; `what` they are asked for stands in the log.
    pub(in crate::observe) fn new(
        source: &config::Source,
        targets: &config::Targets,
        known: Known,
        what: &'static str,
    ) -> Self {
        Self {
            name: Arc::clone(&source.name),
            access: Arc::clone(&targets.access),
            timeout: source.timeout,
            match_host_pid: source.match_host_pid,
            targets: known,
            keyring: Keyring::default(),
            what,
            told: Mutex::default(),
        }
    }

    /// For a protocol that has to be offered in the TLS handshake.
    pub(in crate::observe) fn speaking(mut self, protocol: &'static [u8]) -> Self {
        self.keyring = Keyring::speaking(protocol);
        self
    }

    /// Asks one worker by `ask`, and brings what `read` makes of the answer, with where it was asked.
    ///
    /// `read` may add a note for the log: what exactly cannot be used.
    ///
    /// # Errors
    /// The look came to nothing by no fault of the worker.
    pub(in crate::observe) async fn visit<Answer, Asked>(
        &self,
        key: &WorkerKey,
        ask: impl FnOnce(HttpTarget, Arc<Access>) -> Asked,
        read: impl FnOnce(Answer, Duration, &mut Observation) -> Result<Option<String>, Failure>,
    ) -> Result<Observation, Failure>
    where
        Asked: Future<Output = Result<Answer, Fault>>,
    {
        // Discovery dropped it between the tick and now.
        let target = self.targets.load().get(key).cloned().ok_or(Failure::NotFound)?;
        let mut observation =
            Observation::new(format!("{}/{}", key.fleet, key.worker), Slot { key: key.clone(), exclusive: true });
        let host = target.url.host_str().map(Arc::from);
        let access = Arc::clone(target.access.as_ref().unwrap_or(&self.access));
        let began = Instant::now();
        let (answer, certificate) = tls::witnessed(tokio::time::timeout(self.timeout, ask(target, access))).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(_) => Err(Fault::Worker(Failure::Timeout)),
        };
        let took = began.elapsed();
        let (reach, looked, note) = match answer {
            Ok(answer) => match read(answer, took, &mut observation) {
                Ok(note) => (None, Ok(()), note),
                Err(failure) => (None, Err(failure), None),
            },
            Err(Fault::Worker(failure)) => (Some(Reach::Missed(failure)), Ok(()), None),
            Err(Fault::Configuration(failure)) => (Some(Reach::Misconfigured(failure)), Ok(()), None),
            Err(Fault::Unusable(failure, what)) => (Some(Reach::Misconfigured(failure)), Ok(()), Some(what)),
            Err(Fault::Own(failure)) => (None, Err(failure), None),
            Err(Fault::Unresolved(what)) => (None, Err(Failure::Dns), Some(what)),
        };
        observation.reach = reach.or(observation.reach);
        observation.certificate = certificate;
        self.tell(key, outcome(looked, &observation), note.as_deref(), took);
        looked?;
        let info = &mut observation.info;
        if let (true, Some(host), Some(pid)) = (self.match_host_pid, &info.host, &info.pid) {
            observation.alias = Some(format!("{host}/{pid}").into());
        }
        // What the address tells where the answer does not. The host of an address is ours, and joins nobody: two
        // sources may reach one worker by two names.
        info.host = info.host.take().or(host);
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
                tracing::warn!(source, fleet, worker, reason = reason.word(), duration, "{}: {why}", self.what);
            }
            None => tracing::info!(source, fleet, worker, reason = "ok", duration, "{} answers again", self.what),
        }
    }
}

/// The failure that a look came to, `None` when it brought a readable answer.
fn outcome(looked: Result<(), Failure>, observation: &Observation) -> Option<Failure> {
    match (looked, observation.reach) {
        (Err(failure), _) | (Ok(_), Some(Reach::Missed(failure) | Reach::Misconfigured(failure))) => Some(failure),
        (Ok(_), _) => observation.says.unreadable,
    }
}
