//! Which workers to ask about one by one, where the list carries no heartbeats. Pure.
//!
//! A server may stop sending whole heartbeats in `ListWorkers`; then each costs a `DescribeWorker`, and a look can
//! afford only some. Those whose beat did not move come first, since a verdict hangs on them, then those never asked
//! about, then those that were not asked about for the longest.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use verdict::evidence::Mark;

/// What was learned about each record, by instance key.
#[derive(Debug, Default)]
pub(super) struct Details {
    round: u64,
    known: HashMap<Arc<str>, Known>,
}

#[derive(Debug)]
struct Known {
    asked: u64,
    mark: Option<Mark>,
    /// The last answer showed the same beat as the one before.
    frozen: bool,
}

impl Details {
    /// The next at most `limit` of `listed` to ask about. Half of them at least go round, so that a pile of dead
    /// records cannot keep us from ever looking at the living.
    pub(super) fn choose(&mut self, listed: &[Arc<str>], limit: usize) -> Vec<Arc<str>> {
        self.round += 1;
        let present: HashSet<&Arc<str>> = listed.iter().collect();
        self.known.retain(|key, _| present.contains(key));
        let asked = |key: &Arc<str>| self.known.get(key).map_or(0, |known| known.asked);
        let (mut suspects, mut others): (Vec<_>, Vec<_>) =
            listed.iter().cloned().partition(|key| self.known.get(key).is_some_and(|known| known.frozen));
        suspects.sort_by_key(asked);
        others.sort_by_key(asked);
        let first = suspects.len().min(limit.saturating_sub(others.len().min(limit.div_ceil(2))));
        let rest = suspects.split_off(first);
        suspects.into_iter().chain(others).chain(rest).take(limit).collect()
    }

    /// What asking about `key` brought.
    pub(super) fn learned(&mut self, key: &Arc<str>, mark: Option<Mark>) {
        let round = self.round;
        self.known
            .entry(Arc::clone(key))
            .and_modify(|known| {
                known.frozen = known.mark == mark;
                known.mark = mark;
                known.asked = round;
            })
            .or_insert(Known { asked: round, mark, frozen: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn everybody_gets_a_turn() {
        let all = keys(&["a", "b", "c", "d", "e"]);
        let mut details = Details::default();
        let mut asked = Vec::new();
        for round in 0..3u8 {
            for key in details.choose(&all, 2) {
                details.learned(&key, Some(Mark::bytes(&[round])));
                asked.push(key);
            }
        }
        assert_eq!(asked.len(), 6);
        assert_eq!(asked.iter().collect::<HashSet<_>>().len(), 5);
    }

    #[test]
    fn a_frozen_beat_is_asked_about_again_before_the_others() {
        let all = keys(&["a", "b", "c", "d", "e", "f"]);
        let mut details = Details::default();
        let same = Some(Mark::bytes(b"same"));
        details.choose(&all, 6);
        for key in &all {
            details.learned(key, Some(Mark::bytes(key.as_bytes())));
        }
        details.choose(&all, 6);
        for key in &all {
            details.learned(key, if &**key == "e" { Some(Mark::bytes(b"e")) } else { same });
        }
        assert_eq!(details.choose(&all, 2).first(), Some(&Arc::from("e")));
    }

    #[test]
    fn many_dead_records_leave_half_of_the_turns_to_the_living() {
        let dead = keys(&["d1", "d2", "d3", "d4", "d5", "d6"]);
        let living = keys(&["l1", "l2", "l3", "l4"]);
        let all: Vec<_> = dead.iter().chain(&living).cloned().collect();
        let mut details = Details::default();
        for round in 0..2u8 {
            details.choose(&all, 10);
            for key in &dead {
                details.learned(key, Some(Mark::bytes(b"frozen")));
            }
            for key in &living {
                details.learned(key, Some(Mark::bytes(&[round])));
            }
        }
        let chosen = details.choose(&all, 4);
        assert_eq!(chosen.iter().filter(|key| living.contains(key)).count(), 2, "{chosen:?}");
    }

    #[test]
    fn who_is_no_longer_listed_is_forgotten() {
        let mut details = Details::default();
        details.learned(&Arc::from("gone"), None);
        details.choose(&keys(&["a"]), 1);
        assert!(details.known.is_empty());
    }
}
