//! Who polls a queue, over all its partitions. Pure.
//!
//! A server splits a queue into partitions, four by default, and gives each poll to one of them. It answers about the
//! partition that is named, which is the root where nobody names another. A poll that waits in another partition shows at
//! the root only once it was forwarded there, and a partition forwards no more than a few at a time: of twelve idle workers
//! with one poller each on eight partitions a real server showed eight. So the others are asked too: while somebody is
//! missing at each look, else once a minute, and always from what the budget has to spare.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use prost_wkt_types::Timestamp;
use temporalio_protos::temporal::api::taskqueue::v1::{PollerInfo, TaskQueue};
use temporalio_protos::temporal::api::workflowservice::v1::{
    ListTaskQueuePartitionsRequest, ListTaskQueuePartitionsResponse,
};
use verdict::time::{Moment, WallTime};
use verdict::words::TaskType;

use super::budget::Worth;
use super::read::access;

/// How many there are changes with the server's configuration.
const COUNT_FRESH: Duration = Duration::from_secs(10 * 60);
/// A partition is asked this often while nobody is missing: for those who never showed at the root.
const FRESH: Duration = Duration::from_secs(60);
/// The same while somebody is missing: servers cache nothing here, and a look comes every ten seconds.
const NEWS: Duration = Duration::from_secs(9);
/// Who polls moves each minute, since a long poll lasts 60 s. Who did not for this long may poll where we did not look.
const QUIET: Duration = Duration::from_secs(65);
/// What a partition said is good for this long, where somebody is missing: a budget that is spent leaves no room for all
/// of them in one look.
const SEEN: Duration = Duration::from_secs(120);
/// A server names a poller for this long after its last access; so do we.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);
/// A queue that was not looked at for this long is forgotten.
const IDLE: Duration = Duration::from_secs(3600);
/// Partitions that are assumed where the server does not count them: its default.
const ASSUMED: usize = 4;
/// A server keeps the last so many who polled, for each partition and version, and forgets who polled before them.
const HISTORY: usize = 1000;
/// More partitions than this are not asked: with so many the polls of a worker reach the root soon.
const MOST: usize = 32;

/// The partitions of one queue of one type.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    looked: Moment,
    count: Option<(Moment, usize)>,
    children: BTreeMap<usize, (Moment, Vec<PollerInfo>)>,
    /// By identity: the newest access, and when it came.
    moved: HashMap<String, (Option<WallTime>, Moment)>,
    /// That the list is cut stands in the log.
    told: bool,
}

/// The pollers of a queue, as far as they were seen.
#[derive(Debug, Default)]
pub(super) struct Polling {
    pub(super) pollers: Vec<PollerInfo>,
    /// Somebody is missing, and not every partition was seen or the list is cut: no poller that does not move is known to be
    /// gone.
    pub(super) partial: bool,
    /// A list is as long as lists get, for the first time.
    pub(super) newly_cut: bool,
}

/// True where somebody who polls may have been left out: the last so many of all have polled within one poll's time. Where
/// the list is as long and its end older than that, whoever is not on it has not polled for longer than a poll takes. Dead
/// identities, of which a deployment leaves many for minutes, so cut nothing.
fn is_cut(pollers: &[PollerInfo]) -> bool {
    let mut times: Vec<_> = pollers.iter().filter_map(access).collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    let (newest, last) = (times.first(), times.get(HISTORY - 1));
    newest.zip(last).is_some_and(|(newest, last)| newest.seconds_since(*last) < QUIET.as_secs_f64())
}

/// A time as the server writes it.
fn stamp(time: WallTime) -> Timestamp {
    let (seconds, micros) = (time.micros().div_euclid(1_000_000), time.micros().rem_euclid(1_000_000));
    Timestamp { seconds, nanos: i32::try_from(micros * 1000).unwrap_or_default() }
}

/// The name under which a server describes a partition. The root has the name of the queue.
pub(super) fn name_of(task_queue: &str, partition: usize) -> String {
    format!("/_sys/{task_queue}/{partition}")
}

/// The question how many partitions a queue has.
pub(super) fn counting(namespace: &str, task_queue: &str) -> ListTaskQueuePartitionsRequest {
    ListTaskQueuePartitionsRequest {
        namespace: namespace.to_owned(),
        task_queue: Some(TaskQueue { name: task_queue.to_owned(), ..TaskQueue::default() }),
    }
}

/// How many there are, the root included. Of nexus tasks no server says it.
pub(super) fn count_of(answer: &ListTaskQueuePartitionsResponse, task_type: TaskType) -> usize {
    match task_type {
        TaskType::Workflow => answer.workflow_task_queue_partitions.len(),
        TaskType::Activity => answer.activity_task_queue_partitions.len(),
        TaskType::Nexus | TaskType::LocalActivity => 1,
    }
}

impl Partitions {
    /// True when it should be asked anew how many there are.
    pub(super) fn uncounted(&self, now: Moment) -> bool {
        self.count.is_none_or(|(at, _)| now.since(at) >= COUNT_FRESH)
    }

    /// There are so many, the root included; `None` where the server does not say.
    pub(super) fn counted(&mut self, count: Option<usize>, now: Moment) {
        let count = count.unwrap_or(ASSUMED).clamp(1, MOST);
        self.count = Some((now, count));
        self.children.retain(|partition, _| *partition < count);
    }

    /// The server does not describe partitions: the root is all there is to see.
    pub(super) fn refused(&mut self, now: Moment) {
        self.counted(Some(1), now);
    }

    /// Nobody wants to know of this queue any more.
    pub(super) fn is_idle(&self, now: Moment) -> bool {
        now.since(self.looked) >= IDLE
    }

    fn count(&self) -> usize {
        self.count.map_or(1, |(_, count)| count)
    }

    /// What the root said. Gives the partitions to ask now, the one that was asked longest ago first.
    pub(super) fn root(&mut self, pollers: &[PollerInfo], now: Moment) -> Vec<usize> {
        self.looked = now;
        self.children.retain(|_, (at, _)| now.since(*at) < REMEMBERED);
        let merged = self.merged(pollers);
        // Whoever is still on a list is remembered, or an old access of his would be a new one.
        let listed: HashSet<_> = merged.iter().map(|poller| &*poller.identity).collect();
        self.moved.retain(|identity, (_, at)| now.since(*at) < REMEMBERED || listed.contains(&**identity));
        self.note(&merged, now);
        let fresh = if self.somebody_is_missing(now) { NEWS } else { FRESH };
        let asked = |partition: &usize| self.children.get(partition).map(|(at, _)| *at);
        let mut due: Vec<_> =
            (1..self.count()).filter(|partition| asked(partition).is_none_or(|at| now.since(at) >= fresh)).collect();
        due.sort_by_key(asked);
        due
    }

    /// What it is worth to ask a partition now. A verdict hangs only on those that were not seen for so long that
    /// [`SEEN`] comes near: with all of them at each look, a handful of workers that are gone would eat the budget of a
    /// namespace, and the last of them would never be judged.
    pub(super) fn worth(&self, partition: usize, now: Moment) -> Worth {
        let seen = self.children.get(&partition).is_some_and(|(at, _)| now.since(*at) < FRESH);
        if self.somebody_is_missing(now) && !seen { Worth::Pressing } else { Worth::Idle }
    }

    /// What another partition said.
    pub(super) fn child(&mut self, partition: usize, pollers: Vec<PollerInfo>, now: Moment) {
        self.note(&pollers, now);
        self.children.insert(partition, (now, pollers));
    }

    /// All that is known now.
    pub(super) fn polling(&mut self, root: &[PollerInfo], now: Moment) -> Polling {
        let seen = |partition| self.children.get(&partition).is_some_and(|(at, _)| now.since(*at) < SEEN);
        let unseen = self.somebody_is_missing(now) && !(1..self.count()).all(seen);
        let cut = is_cut(root) || self.children.values().any(|(_, pollers)| is_cut(pollers));
        let newly_cut = cut && !self.told;
        self.told |= cut;
        Polling { pollers: self.merged(root), partial: unseen || cut, newly_cut }
    }

    /// All lists together, each poller with its newest access. The lists are read at different times, and a server forgets
    /// at different times what they hold: when the newest access of a dead worker is forgotten first, an older one is left,
    /// and that is no poll.
    fn merged(&self, root: &[PollerInfo]) -> Vec<PollerInfo> {
        let all = root.iter().chain(self.children.values().flat_map(|(_, pollers)| pollers));
        all.map(|poller| {
            let newest = self.moved.get(&poller.identity).and_then(|(newest, _)| *newest);
            let mut poller = poller.clone();
            if let Some(newest) = newest.filter(|newest| access(&poller).is_none_or(|own| own < *newest)) {
                poller.last_access_time = Some(stamp(newest));
            }
            poller
        })
        .collect()
    }

    fn note(&mut self, pollers: &[PollerInfo], now: Moment) {
        for poller in pollers {
            let newest = access(poller);
            match self.moved.get_mut(&poller.identity) {
                Some((known, at)) if *known < newest => (*known, *at) = (newest, now),
                Some(_) => {}
                None => {
                    self.moved.insert(poller.identity.clone(), (newest, now));
                }
            }
        }
    }

    /// Somebody who polled did not for longer than a poll takes, as far as was seen.
    pub(super) fn somebody_is_missing(&self, now: Moment) -> bool {
        self.moved.values().any(|(_, at)| now.since(*at) >= QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn poller(identity: &str, second: i64) -> PollerInfo {
        let last_access_time = Some(Timestamp { seconds: 1_700_000_000 + second, nanos: 0 });
        PollerInfo { identity: identity.into(), last_access_time, ..<_>::default() }
    }

    fn of(count: usize) -> Partitions {
        let mut partitions = Partitions::default();
        partitions.counted(Some(count), at(0));
        partitions
    }

    #[test]
    fn a_queue_of_one_partition_is_its_root() {
        let mut one = of(1);
        assert!(one.root(&[poller("a", 0)], at(0)).is_empty());
        assert!(one.root(&[], at(200)).is_empty());
        assert!(!one.polling(&[], at(200)).partial, "whoever is missing is gone");
    }

    #[test]
    fn the_others_are_asked_once_a_minute_and_at_each_look_while_somebody_is_missing() {
        let mut four = of(4);
        let mut asked = Vec::new();
        for second in (0..240).step_by(10) {
            // It polls at the root for a minute and a half, and then elsewhere.
            let root = [poller("a", second.min(90))];
            for partition in four.root(&root, at(second.unsigned_abs())) {
                asked.push(second);
                four.child(partition, Vec::new(), at(second.unsigned_abs()));
            }
        }
        asked.dedup();
        assert_eq!(asked, [0, 60, 120, 160, 170, 180, 190, 200, 210, 220, 230]);
    }

    #[test]
    fn a_worker_that_polls_elsewhere_is_seen_there_and_is_not_missing() {
        let mut two = of(2);
        for second in (0_u64..600).step_by(10) {
            let polls = i64::try_from(second / 60 * 60).unwrap_or_default();
            for partition in two.root(&[poller("a", 0)], at(second)) {
                two.child(partition, vec![poller("a", polls)], at(second));
            }
            let seen = two.polling(&[poller("a", 0)], at(second));
            assert!(!seen.partial, "at {second} s");
            assert!(seen.pollers.iter().filter_map(access).max() >= access(&poller("a", polls - 60)), "at {second} s");
        }
    }

    #[test]
    fn who_is_missing_is_not_known_to_be_gone_before_every_partition_was_seen() {
        let mut four = of(4);
        for second in [0, 60, 120] {
            four.root(&[poller("a", 0)], at(second));
        }
        assert!(four.polling(&[], at(120)).partial, "the budget left no room");
        let mut due = four.root(&[], at(120));
        assert_eq!(due, [1, 2, 3]);
        for partition in due.drain(..2) {
            four.child(partition, Vec::new(), at(120));
        }
        assert!(four.polling(&[], at(120)).partial);
        assert_eq!([1, 2, 3].map(|n| four.worth(n, at(130))), [Worth::Idle, Worth::Idle, Worth::Pressing]);
        assert_eq!(four.root(&[], at(130)), [3, 1, 2], "the one that was never asked comes first");
        four.child(3, Vec::new(), at(130));
        assert!(!four.polling(&[], at(130)).partial);
        assert_eq!([1, 3].map(|n| four.worth(n, at(180))), [Worth::Pressing, Worth::Idle]);
        assert_eq!(of(4).worth(1, at(180)), Worth::Idle, "nobody is missing");
    }

    #[test]
    fn a_server_that_does_not_count_has_four_and_one_that_does_not_describe_has_one() {
        let mut unknown = Partitions::default();
        assert!(unknown.uncounted(at(0)));
        unknown.counted(None, at(0));
        assert_eq!(unknown.root(&[], at(0)), [1, 2, 3]);
        unknown.refused(at(1));
        assert!(unknown.root(&[], at(2)).is_empty());
        assert!(!unknown.uncounted(at(2)));
        assert!(unknown.uncounted(at(601)));
    }

    #[test]
    fn a_worker_that_is_dead_does_not_poll_when_the_list_of_its_newest_poll_forgets_it_first() {
        let mut two = of(2);
        two.root(&[poller("a", 50)], at(60));
        two.child(1, vec![poller("a", 10)], at(60));
        for second in (70_u64..=600).step_by(10) {
            // The root forgets it after five minutes; the other partition was read before it forgot.
            let root = if second < 350 { vec![poller("a", 50)] } else { Vec::new() };
            two.root(&root, at(second));
            if second == 300 {
                two.child(1, vec![poller("a", 10)], at(second));
            }
            let newest: Vec<_> = two.polling(&root, at(second)).pollers.iter().filter_map(access).collect();
            assert!(newest.iter().all(|at| Some(*at) == access(&poller("a", 50))), "at {second} s: {newest:?}");
            assert!(second < 130 || newest.is_empty() || two.somebody_is_missing(at(second)), "at {second} s");
        }
        assert!(two.moved.is_empty(), "who is on no list is forgotten");
    }

    /// So many, of whom the last polled so many seconds before the first.
    fn crowd(count: i64, over: i64) -> Vec<PollerInfo> {
        (0..count).map(|n| poller(&format!("w{n}"), n * over / (count - 1))).collect()
    }

    #[test]
    fn a_list_is_cut_where_as_many_as_it_holds_polled_within_the_time_of_a_poll() {
        for (count, over, cut) in [
            (999, 10, false),
            (1000, 10, true),
            (1000, 64, true),
            (1000, 65, false),
            (1300, 80, true),
            (1300, 300, false),
        ] {
            assert_eq!(is_cut(&crowd(count, over)), cut, "{count} over {over} s");
        }
        let mut after_a_deployment = crowd(700, 60);
        after_a_deployment.extend((0..600).map(|n| poller(&format!("old{n}"), -120)));
        assert!(!is_cut(&after_a_deployment), "those who left were the last");
        assert!(!is_cut(&vec![PollerInfo::default(); 2000]), "nothing is known of when they polled");
    }

    #[test]
    fn who_is_not_on_a_list_that_is_cut_is_not_known_to_be_gone_wherever_it_is_cut() {
        let mut one = of(1);
        let seen = one.polling(&crowd(1000, 10), at(0));
        assert!(seen.partial && seen.newly_cut);
        let again = one.polling(&crowd(1000, 10), at(10));
        assert!(again.partial && !again.newly_cut, "it is said once");
        assert!(!one.polling(&crowd(999, 10), at(20)).partial);
        assert!(!one.polling(&crowd(1000, 10), at(30)).newly_cut);

        let mut two = of(2);
        two.child(1, crowd(1000, 10), at(0));
        assert!(two.polling(&[poller("a", 0)], at(0)).partial);
    }

    #[test]
    fn what_a_partition_said_is_forgotten_when_the_server_would_have_forgotten_it() {
        let mut two = of(2);
        two.child(1, vec![poller("a", 0)], at(0));
        two.root(&[], at(299));
        assert_eq!(two.polling(&[], at(299)).pollers.len(), 1);
        two.root(&[], at(300));
        assert!(two.polling(&[], at(300)).pollers.is_empty());
        assert!(two.moved.is_empty());
    }
}
