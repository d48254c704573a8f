//! What was heard of the workers: one entry for each, bounded. Pure: time is an argument.
//!
//! An event is gone once it was sent, so what a worker said last is held here until a look asks for it. A worker that
//! says nothing more stays, unmoved: that is how its silence is seen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use verdict::read::celery::{Event, Kind};
use verdict::time::Moment;
use verdict::words::Failure;

/// More workers than this on one broker are not believed; the one that was silent for longest makes room.
const MAX_NODES: usize = 20_000;
/// A worker that said goodbye is listed for this long, so that its goodbye is heard whatever the rhythm of looks is.
const GOODBYE: Duration = Duration::from_secs(600);
/// Longer than the longest quiet that a fleet may have by design, a day and a little.
const SILENT: Duration = Duration::from_secs(48 * 3600);
/// Earlier processes of a name that are remembered.
const FORMER: usize = 8;
/// A name is used by one worker again when no other was heard under it for this long.
const ALONE: Duration = Duration::from_secs(60);

/// One worker, as it was heard last.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Its last event.
    pub(super) said: Event,
    /// How often it was heard.
    pub(super) beats: u64,
    heard: Moment,
    former: Vec<u64>,
    shared: Option<Moment>,
}

impl Node {
    /// Two workers use this name: what one says of itself is not true of the other.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    fn hear(&mut self, said: Event, now: Moment) {
        if let (Some(before), Some(after)) = (self.said.pid, said.pid)
            && before != after
        {
            // Kept back while a connection was lost, or of one of two: the one that was heard last goes on.
            if said.kind == Kind::Offline {
                return;
            }
            if self.former.contains(&after) {
                // A restart never comes back to the process before it.
                self.shared = Some(now);
            }
            if !self.former.contains(&before) {
                self.former.push(before);
                if self.former.len() > FORMER {
                    self.former.remove(0);
                }
            }
        }
        if self.shared.is_some_and(|at| now.since(at) > ALONE) {
            self.shared = None;
            self.former.clear();
        }
        self.said = said;
        self.beats += 1;
        self.heard = now;
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Store {
    nodes: HashMap<Arc<str>, Node>,
    unreadable: HashMap<Failure, u64>,
}

impl Store {
    /// Takes in an event.
    pub(super) fn hear(&mut self, said: Event, now: Moment) {
        if let Some(node) = self.nodes.get_mut(&said.hostname) {
            return node.hear(said, now);
        }
        // Who is first heard of as it leaves was never ours.
        if said.kind == Kind::Offline {
            return;
        }
        if self.nodes.len() >= MAX_NODES
            && let Some(oldest) = self.nodes.iter().min_by_key(|(_, node)| node.heard).map(|(name, _)| Arc::clone(name))
        {
            self.nodes.remove(&oldest);
        }
        let name = Arc::clone(&said.hostname);
        self.nodes.insert(name, Node { said, beats: 1, heard: now, former: Vec::new(), shared: None });
    }

    /// An event that could not be read.
    pub(super) fn mishear(&mut self, failure: Failure) {
        *self.unreadable.entry(failure).or_default() += 1;
    }

    /// What could not be read since the last time this was asked.
    pub(super) fn misheard(&mut self) -> HashMap<Failure, u64> {
        std::mem::take(&mut self.unreadable)
    }

    /// All workers, without those that are long gone.
    pub(super) fn nodes(&mut self, now: Moment) -> impl Iterator<Item = &Node> {
        self.nodes
            .retain(|_, node| now.since(node.heard) <= if node.said.kind == Kind::Offline { GOODBYE } else { SILENT });
        self.nodes.values()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(seconds)
    }

    fn event(hostname: &str, pid: u64, kind: Kind) -> Event {
        Event {
            kind,
            hostname: Arc::from(hostname),
            pid: Some(pid),
            freq: Some(Duration::from_secs(2)),
            active: Some(0),
            processed: Some(0),
            stamp: None,
            software: None,
            version: None,
        }
    }

    fn only(store: &mut Store, now: Moment) -> Node {
        store.nodes(now).next().unwrap().clone()
    }

    #[test]
    fn each_beat_is_counted_and_a_silent_worker_stays() {
        let mut store = Store::default();
        for second in [0, 2, 4] {
            store.hear(event("a", 1, Kind::Heartbeat), at(second));
        }
        assert_eq!(only(&mut store, at(4)).beats, 3);
        assert_eq!(only(&mut store, at(4 + 24 * 3600)).beats, 3);
        assert_eq!(store.nodes(at(5 + 48 * 3600)).count(), 0);
    }

    #[test]
    fn a_goodbye_is_held_for_a_while_and_that_of_a_stranger_or_of_a_process_before_is_not() {
        let mut store = Store::default();
        store.hear(event("stranger", 1, Kind::Offline), at(0));
        assert_eq!(store.nodes(at(0)).count(), 0);
        store.hear(event("a", 1, Kind::Heartbeat), at(0));
        store.hear(event("a", 2, Kind::Online), at(1));
        assert_eq!(only(&mut store, at(1)).said.pid, Some(2), "restarted");
        store.hear(event("b", 7, Kind::Heartbeat), at(1));
        store.hear(event("b", 6, Kind::Offline), at(2));
        store.hear(event("a", 1, Kind::Offline), at(2));
        assert!(store.nodes(at(2)).all(|node| node.said.kind != Kind::Offline), "buffered by a process that is gone");
        store.hear(event("a", 2, Kind::Offline), at(3));
        let left = |store: &mut Store, now| store.nodes(now).any(|node| node.said.kind == Kind::Offline);
        assert!(left(&mut store, at(600)));
        assert!(!left(&mut store, at(604)));
    }

    #[test]
    fn a_restart_is_none_of_two_workers_under_one_name_and_two_are_told_once_the_first_is_heard_again() {
        let mut store = Store::default();
        for (second, pid, shared) in
            [(0, 1, false), (2, 2, false), (4, 3, false), (6, 2, true), (7, 3, true), (9, 2, true), (70, 2, false)]
        {
            store.hear(event("a", pid, Kind::Heartbeat), at(second));
            assert_eq!(only(&mut store, at(second)).is_shared(), shared, "at {second}");
        }
        let mut store = Store::default();
        for pid in 0..100 {
            store.hear(event("a", pid, Kind::Online), at(pid));
        }
        let node = only(&mut store, at(100));
        assert!(!node.is_shared() && node.former.len() <= FORMER && node.former.contains(&98), "{node:?}");
    }

    #[test]
    fn it_holds_no_more_workers_than_it_may_and_lets_the_longest_silent_go() {
        let mut store = Store::default();
        for n in 0..=MAX_NODES as u64 {
            store.hear(event(&n.to_string(), 1, Kind::Heartbeat), at(n));
        }
        let names: Vec<_> = store.nodes(at(MAX_NODES as u64)).map(|node| node.said.hostname.to_string()).collect();
        assert!(names.len() == MAX_NODES && !names.contains(&"0".to_owned()));
    }

    #[test]
    fn what_could_not_be_read_is_told_once() {
        let mut store = Store::default();
        store.mishear(Failure::BodyInvalid);
        store.mishear(Failure::BodyInvalid);
        assert_eq!(store.misheard(), HashMap::from([(Failure::BodyInvalid, 2)]));
        assert!(store.misheard().is_empty());
    }
}
