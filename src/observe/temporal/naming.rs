//! Which worker a record or a poller belongs to: its fleet, and a name in it that outlives a restart.
//!
//! A Temporal identity is `pid@host` by default (Go: `pid@host@queue`), so it changes with every restart; what stays is
//! the host and the queue. An identity that somebody configured names the worker itself and is kept. Where one process
//! serves several queues of one configured fleet under one identity, the queue that was seen first keeps the bare name
//! and the others get the queue behind it: a name that was once given never changes while the worker is seen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use verdict::evidence::{Slot, WorkerKey};
use verdict::time::Moment;

/// Names of workers that were not seen for this long are forgotten: pods come with a new name each day.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// What is known of a worker when it is named.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bearer<'a> {
    /// Its identity; not unique, and often with a pid in it.
    pub(super) identity: &'a str,
    /// Its host, where the record says so.
    pub(super) host: &'a str,
    /// Its process id, where the record says so.
    pub(super) pid: &'a str,
    /// The queue of the record.
    pub(super) queue: &'a str,
}

/// The names that were given. One per source.
#[derive(Debug)]
pub(super) struct Names {
    fleet: Option<Arc<str>>,
    namespace: Arc<str>,
    /// By identity: the names it has by queue, in the order in which they were given.
    given: HashMap<Arc<str>, Vec<Given>>,
}

#[derive(Debug)]
struct Given {
    queue: Arc<str>,
    name: Arc<str>,
    seen: Moment,
}

impl Names {
    pub(super) fn new(fleet: Option<Arc<str>>, namespace: Arc<str>) -> Self {
        Self { fleet, namespace, given: HashMap::new() }
    }

    /// The slot of a listed worker.
    pub(super) fn of_worker(&mut self, who: Bearer<'_>, now: Moment) -> Slot {
        let name = self.name(who);
        let name = self.settle(who, name, now);
        self.slot(who.queue, name)
    }

    /// The slot of a poller: the name of the listed worker that polls under this identity, where there is one, because
    /// the list knows its host and process id and the poller only shows the identity.
    pub(super) fn of_poller(&mut self, identity: &str, queue: &str, now: Moment) -> Slot {
        let listed = self.given.get_mut(identity).and_then(|all| all.iter_mut().find(|given| *given.queue == *queue));
        if let Some(given) = listed {
            given.seen = now;
            let name = Arc::clone(&given.name);
            return self.slot(queue, name);
        }
        self.of_worker(Bearer { identity, queue, ..Bearer::default() }, now)
    }

    /// Forgets who was not seen for a day.
    pub(super) fn forget(&mut self, now: Moment) {
        self.given.retain(|_, all| {
            all.retain(|given| now.since(given.seen) < REMEMBERED);
            !all.is_empty()
        });
    }

    fn slot(&self, queue: &str, worker: Arc<str>) -> Slot {
        let fleet = match &self.fleet {
            Some(fleet) => Arc::clone(fleet),
            None => Arc::from(format!("{}/{queue}", self.namespace)),
        };
        // Two workers in one process, or of one host and queue, are two living records of one name.
        Slot { key: WorkerKey { fleet, worker }, exclusive: false }
    }

    /// The name by itself, before other workers are considered.
    fn name(&self, who: Bearer<'_>) -> Name {
        let Bearer { identity, host, pid, queue } = who;
        if identity.is_empty() || carries_pid(identity, pid) {
            let host = if host.is_empty() { host_of(identity) } else { host };
            return Name::Settled(Arc::from(format!("{host}/{queue}")));
        }
        if self.fleet.is_none() {
            // The queue is in the fleet's name already.
            return Name::Settled(Arc::from(identity));
        }
        Name::Identity
    }

    fn settle(&mut self, who: Bearer<'_>, name: Name, now: Moment) -> Arc<str> {
        let all = self.given.entry(Arc::from(who.identity)).or_default();
        let position = all.iter().position(|given| *given.queue == *who.queue);
        let name = match (name, position.and_then(|at| all.get(at))) {
            (Name::Settled(name), _) => name,
            (Name::Identity, Some(given)) => Arc::clone(&given.name),
            (Name::Identity, None) if all.iter().any(|given| *given.name == *who.identity) => {
                Arc::from(format!("{}/{}", who.identity, who.queue))
            }
            (Name::Identity, None) => Arc::from(who.identity),
        };
        match position.and_then(|at| all.get_mut(at)) {
            Some(given) => {
                given.seen = now;
                given.name = Arc::clone(&name);
            }
            None => all.push(Given { queue: Arc::from(who.queue), name: Arc::clone(&name), seen: now }),
        }
        name
    }
}

enum Name {
    /// Needs no look at the others.
    Settled(Arc<str>),
    /// The identity, with the queue behind it where another queue has the bare one.
    Identity,
}

/// True when a restart will change this identity.
fn carries_pid(identity: &str, pid: &str) -> bool {
    let digits = identity.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 && identity.as_bytes().get(digits) == Some(&b'@') {
        return true;
    }
    // In a container the process is often number 1, at every start: `etl-1` is then a name and not a pid.
    pid.len() > 1
        && pid.bytes().all(|byte| byte.is_ascii_digit())
        && identity.split(|c: char| !c.is_ascii_digit()).any(|number| number == pid)
}

/// `host` of `pid@host` and of `pid@host@queue`; the identity itself where it has no such form.
fn host_of(identity: &str) -> &str {
    identity.split('@').nth(1).filter(|host| !host.is_empty()).unwrap_or(identity)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;

    const NOW: Moment = Moment::START;

    fn names(fleet: Option<&str>) -> Names {
        Names::new(fleet.map(Arc::from), Arc::from("default"))
    }

    fn who<'a>(identity: &'a str, host: &'a str, pid: &'a str, queue: &'a str) -> Bearer<'a> {
        Bearer { identity, host, pid, queue }
    }

    fn pair(slot: &Slot) -> (&str, &str) {
        assert!(!slot.exclusive, "several living records may share a Temporal name");
        (&slot.key.fleet, &slot.key.worker)
    }

    #[test]
    fn an_identity_with_a_pid_is_named_after_host_and_queue() {
        for (identity, pid) in [
            ("4711@box", "4711"),
            ("1@orders-7d9f", "1"),
            ("4711@box@orders", "4711"),
            ("orders-worker-4711", "4711"),
            ("4711@elsewhere", ""),
        ] {
            let slot = names(None).of_worker(who(identity, "box", pid, "orders"), NOW);
            assert_eq!(pair(&slot), ("default/orders", "box/orders"), "{identity}");
        }
    }

    #[test]
    fn an_identity_without_a_pid_is_the_name() {
        for (identity, pid) in
            [("payments-a", "4711"), ("worker-14711", "4711"), ("etl-1", "1"), ("a@b", "9"), ("p4711q2", "47")]
        {
            let slot = names(None).of_worker(who(identity, "box", pid, "orders"), NOW);
            assert_eq!(pair(&slot), ("default/orders", identity));
        }
    }

    #[test]
    fn a_record_without_an_identity_is_named_after_host_and_queue() {
        let slot = names(None).of_worker(who("", "box", "4711", "orders"), NOW);
        assert_eq!(pair(&slot), ("default/orders", "box/orders"));
    }

    #[test]
    fn a_restart_keeps_the_name() {
        let mut names = names(Some("etl"));
        let before = names.of_worker(who("100@box", "box", "100", "orders"), NOW);
        let after = names.of_worker(who("200@box", "box", "200", "orders"), NOW);
        assert_eq!(before, after);
        assert_eq!(pair(&after), ("etl", "box/orders"));
    }

    #[test]
    fn the_second_queue_of_one_identity_in_a_configured_fleet_is_told_apart_and_nobody_is_renamed() {
        let mut names = names(Some("etl"));
        let orders = names.of_worker(who("w1", "box", "7", "orders"), NOW);
        let bills = names.of_worker(who("w1", "box", "7", "bills"), NOW);
        assert_eq!(pair(&orders), ("etl", "w1"));
        assert_eq!(pair(&bills), ("etl", "w1/bills"));
        assert_eq!(names.of_worker(who("w1", "box", "7", "orders"), NOW), orders);
        assert_eq!(names.of_worker(who("w1", "box", "8", "bills"), NOW), bills);
    }

    #[test]
    fn a_poller_has_the_name_of_the_listed_worker() {
        let mut names = names(None);
        let listed = names.of_worker(who("orders-worker-4711", "box", "4711", "orders"), NOW);
        assert_eq!(names.of_poller("orders-worker-4711", "orders", NOW), listed);
    }

    #[test]
    fn a_poller_that_is_never_listed_is_named_after_its_identity() {
        let mut names = names(None);
        for (identity, name) in
            [("4711@box", "box/orders"), ("4711@box@orders", "box/orders"), ("4711@box@", "box/orders"), ("w1", "w1")]
        {
            assert_eq!(pair(&names.of_poller(identity, "orders", NOW)), ("default/orders", name));
        }
    }

    #[test]
    fn who_was_not_seen_for_a_day_is_forgotten() {
        let mut names = names(Some("etl"));
        names.of_worker(who("w1", "box", "7", "orders"), NOW);
        let later = NOW + REMEMBERED;
        names.forget(later);
        assert!(names.given.is_empty());
        assert_eq!(pair(&names.of_worker(who("w1", "box", "7", "bills"), later)), ("etl", "w1"));
    }
}
