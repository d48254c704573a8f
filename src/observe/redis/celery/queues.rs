//! The queues: how much waits in each, and for how long its heads have waited.
//!
//! A queue is a list for each priority, `mail` and `mail\x06\x163`, pushed at the left and taken at the right. A message
//! carries no time, so a head is as old as we have seen it be the head: a lower bound, which any movement sets back.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline, RedisResult};
use verdict::evidence::{Mark, QueueReport};
use verdict::read::celery;
use verdict::time::Moment;

use super::super::connect::Refusal;

/// Between the name of a queue and a priority, and between the parts of a binding.
const SEPARATOR: &str = "\x06\x16";
/// Priorities beside the one without a number. Celery's default steps are 3, 6 and 9; any others lie among these.
const PRIORITIES: std::ops::RangeInclusive<u8> = 1..=9;
/// More queues than this are not taken from the bindings; the configuration may name as many as it likes.
const MAX_FOUND: usize = 200;
/// Bindings are looked for among so many keys; beyond, the configuration names the queues.
const SCAN_STEPS: usize = 200;
const SCAN_COUNT: usize = 1000;
/// Each exchange keeps its bindings in a set of this name.
const BINDINGS: &str = "_kombu.binding.";

/// How deep a queue is, and which of its lists hold something.
#[derive(Debug, Default)]
pub(super) struct Depth {
    pub(super) sum: u64,
    pub(super) filled: Vec<String>,
    pub(super) empty: Vec<String>,
}

/// What stands at the head of each list.
pub(super) type Heads = Vec<(String, Option<Mark>)>;

/// The heads of the lists of all queues, and since when each has been seen to be one.
#[derive(Debug, Default)]
pub(super) struct Ages {
    since: HashMap<String, (Mark, Moment)>,
}

impl Ages {
    /// The age of the head of `list` now; `None` clears it.
    fn age(&mut self, list: &str, head: Option<Mark>, now: Moment) -> Option<Duration> {
        let Some(head) = head else {
            self.since.remove(list);
            return None;
        };
        let (mark, since) = self.since.entry(list.to_owned()).or_insert((head, now));
        if *mark != head {
            (*mark, *since) = (head, now);
        }
        Some(now.since(*since))
    }
}

/// The lists of a queue.
fn lists(prefix: &str, queue: &str) -> Vec<String> {
    let plain = format!("{prefix}{queue}");
    let ranked = PRIORITIES.map(|priority| format!("{plain}{SEPARATOR}{priority}"));
    std::iter::once(plain.clone()).chain(ranked).collect()
}

/// The answers to all of `pipe`, or the first that is an error: what a whole pipe came to has no reason of its own.
async fn each<T: FromRedisValue>(pipe: &mut Pipeline, redis: &mut MultiplexedConnection) -> Result<Vec<T>, Refusal> {
    let answers: Vec<RedisResult<T>> = pipe.ignore_errors().query_async(redis).await?;
    Ok(answers.into_iter().collect::<RedisResult<_>>()?)
}

/// How deep a queue is, all its lists together.
pub(super) async fn depths(redis: &mut MultiplexedConnection, prefix: &str, queue: &str) -> Result<Depth, Refusal> {
    let lists = lists(prefix, queue);
    let mut pipe = redis::pipe();
    for list in &lists {
        pipe.cmd("LLEN").arg(list);
    }
    let depths: Vec<u64> = each(&mut pipe, redis).await?;
    let mut depth = Depth::default();
    for (list, length) in lists.into_iter().zip(depths) {
        depth.sum = depth.sum.saturating_add(length);
        if length > 0 { &mut depth.filled } else { &mut depth.empty }.push(list);
    }
    Ok(depth)
}

/// What stands at the head of each of these lists.
pub(super) async fn heads(redis: &mut MultiplexedConnection, lists: &[String]) -> Result<Heads, Refusal> {
    if lists.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipe = redis::pipe();
    for list in lists {
        pipe.cmd("LINDEX").arg(list).arg(-1);
    }
    let heads: Vec<Option<Vec<u8>>> = each(&mut pipe, redis).await?;
    Ok(lists.iter().cloned().zip(heads.into_iter().map(|head| head.map(|head| celery::head(&head)))).collect())
}

/// A queue of this depth, whose lists have these heads, as far as they could be read.
pub(super) fn report(depth: &Depth, heads: Heads, ages: &mut Ages, now: Moment) -> QueueReport {
    for list in &depth.empty {
        ages.age(list, None, now);
    }
    let of_each = heads.into_iter().filter_map(|(list, head)| ages.age(&list, head, now));
    QueueReport { backlog: Some(depth.sum), backlog_age: of_each.max(), ..QueueReport::default() }
}

/// The queues that workers or clients have declared, as far as we may read it.
pub(super) async fn registered(
    redis: &mut MultiplexedConnection,
    prefix: &str,
) -> Result<Option<BTreeSet<Arc<str>>>, Refusal> {
    let mut glob = Vec::new();
    super::super::pattern::escape(format!("{prefix}{BINDINGS}").as_bytes(), &mut glob);
    glob.push(b'*');
    let mut sets: BTreeSet<String> = BTreeSet::new();
    let mut cursor = 0_u64;
    for _ in 0..SCAN_STEPS {
        let mut step = redis::cmd("SCAN");
        step.arg(cursor).arg("MATCH").arg(glob.as_slice()).arg("COUNT").arg(SCAN_COUNT);
        let (next, names): (u64, Vec<Vec<u8>>) = step.query_async(redis).await?;
        sets.extend(names.into_iter().filter_map(|name| String::from_utf8(name).ok()));
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    if cursor != 0 {
        return Ok(None);
    }
    let mut pipe = redis::pipe();
    for set in sets.iter().filter(|set| !is_internal(set)).take(MAX_FOUND) {
        pipe.cmd("SMEMBERS").arg(set);
    }
    if pipe.is_empty() {
        return Ok(Some(BTreeSet::new()));
    }
    let members: Vec<Vec<Vec<u8>>> = each(&mut pipe, redis).await?;
    Ok(Some(members.iter().flatten().filter_map(|member| queue_of(member)).take(MAX_FOUND).collect()))
}

/// Events, remote control and its answers: exchanges of Celery itself.
fn is_internal(name: &str) -> bool {
    name.ends_with(".pidbox") || name.ends_with("celeryev") || name.contains("celeryev.")
}

/// The queue of a binding, `routing key SEP pattern SEP queue`.
fn queue_of(member: &[u8]) -> Option<Arc<str>> {
    let (_, queue) = std::str::from_utf8(member).ok()?.rsplit_once(SEPARATOR)?;
    (!queue.is_empty() && queue.len() <= 255 && !is_internal(queue)).then(|| Arc::from(queue))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(seconds)
    }

    #[test]
    fn a_queue_is_a_list_for_each_priority() {
        let lists = lists("shop:", "mail");
        assert_eq!(
            (lists.len(), &*lists[0], &*lists[3], &*lists[9]),
            (10, "shop:mail", "shop:mail\x06\x163", "shop:mail\x06\x169")
        );
    }

    #[test]
    fn the_age_of_a_queue_is_that_of_its_oldest_head_and_starts_anew_when_that_is_taken() {
        let mut ages = Ages::default();
        let head = |list: &str, tag: &str| (list.to_owned(), Some(Mark::bytes(tag.as_bytes())));
        let mut age = |seconds, heads: Vec<_>, empty: &[String]| {
            let depth = Depth { sum: 7, filled: Vec::new(), empty: empty.to_vec() };
            report(&depth, heads, &mut ages, at(seconds)).backlog_age.map(|age| age.as_secs())
        };
        assert_eq!(age(0, vec![head("a", "1")], &[]), Some(0));
        assert_eq!(age(30, vec![head("a", "1"), head("a3", "9")], &[]), Some(30));
        assert_eq!(
            age(40, vec![head("a", "2"), head("a3", "9")], &[]),
            Some(10),
            "the other list's head is the oldest now"
        );
        assert_eq!(age(50, vec![head("a3", "9")], &["a".to_owned()]), Some(20));
        assert_eq!(
            age(60, vec![head("a", "2"), head("a3", "8")], &[]),
            Some(0),
            "the same message came back after it was empty"
        );
        assert_eq!(age(61, Vec::new(), &["a".to_owned(), "a3".to_owned()]), None);
    }

    #[test]
    fn bindings_name_the_queues_and_celerys_own_are_none() {
        assert_eq!(queue_of(b"mail\x06\x16\x06\x16mail.eu").as_deref(), Some("mail.eu"));
        assert_eq!(queue_of(b"\x06\x16\x06\x16w1@vm.celery.pidbox"), None);
        assert_eq!(queue_of(b"worker.#\x06\x16\x06\x16celeryev.5f1d"), None);
        for nothing in [&b"mail"[..], b"", b"a\x06\x16\x06\x16", b"\xff\x06\x16\x06\x16\xfe"] {
            assert_eq!(queue_of(nothing), None);
        }
        assert!(is_internal("_kombu.binding.celeryev") && is_internal("_kombu.binding.reply.celery.pidbox"));
        assert!(!is_internal("_kombu.binding.celery"));
    }
}
