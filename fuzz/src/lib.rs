//! What must hold of every read, whatever the bytes were. A target that only waits for a panic finds half of what it
//! could: these say when a read that ended well has said something that nobody may believe.

use std::time::Duration;

use verdict::evidence::{Beat, Hands, Info, Numbers, Observation, Says};
use verdict::read::hash::Hash;
use verdict::time::WallTime;

/// A stamp that anybody may believe lies between 1973 and 2286, the range of an epoch in whole seconds of nine or ten
/// digits. One that is written out as a date may be any that a calendar has.
pub fn epoch_in_range(stamp: WallTime) {
    let seconds = stamp.seconds();
    assert!((1e8..=1e10).contains(&seconds), "an epoch of {seconds}");
}

/// Ratios are finite and not negative (the CPU of several cores may pass 1), and bounded where a whole is known.
pub fn numbers_are_sane(numbers: &Numbers) {
    for ratio in [
        numbers.memory_ratio,
        numbers.host_cpu_ratio,
        numbers.host_memory_ratio,
        numbers.disk_ratio,
        numbers.gpu_ratio,
        numbers.gpu_memory_ratio,
    ]
    .into_iter()
    .flatten()
    {
        assert!((0.0..=1.0).contains(&ratio), "a ratio of {ratio}");
    }
    for figure in [numbers.cpu_ratio, numbers.task_seconds_total].into_iter().flatten() {
        assert!(figure.is_finite() && figure >= 0.0, "a figure of {figure}");
    }
}

/// A beat that is on trial, or our own, has its marks; a stamp comes with a mark.
pub fn beat_is_sane(beat: Option<Beat>) {
    let Some(beat) = beat else { return };
    assert!(beat.stamp.is_none() || beat.mark.is_some(), "a stamp, and nothing that moves: {beat:?}");
    assert!(beat.declared.is_none_or(|every| !every.is_zero()), "a beat every 0 s");
}

/// At most 32 parts are named, the worst first.
pub fn says_is_sane(says: &Says) {
    assert!(says.failing.len() <= 32, "{} failing parts", says.failing.len());
    assert!(says.failing.is_sorted_by(|a, b| a.1 >= b.1), "not the worst first");
}

/// A name is no empty label.
pub fn info_is_sane(info: &Info) {
    for name in [&info.host, &info.pod, &info.pid, &info.instance, &info.build_id].into_iter().flatten() {
        assert!(!name.is_empty(), "an empty name");
    }
}

/// Cuts the input in two at its first line end: two pieces of outside data from one.
pub fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    (&data[..at], data.get(at + 1..).unwrap_or_default())
}

/// A record of a framework: a line with its name, one with `<time to live> <the server's clock>`, and a field on each
/// further line, `name=value`.
pub struct Record {
    /// As the framework calls it.
    pub name: String,
    /// What is left until it expires.
    pub ttl: Option<Duration>,
    /// The server's clock.
    pub now: WallTime,
    /// Its fields.
    pub hash: Hash,
}

/// Takes a record out of the input.
pub fn record(data: &[u8]) -> Record {
    let (name, rest) = halves(data);
    let (times, fields) = halves(rest);
    let times = String::from_utf8_lossy(times);
    let mut times = times.split(' ');
    let ttl = times.next().and_then(|ttl| ttl.parse().ok()).map(Duration::from_millis);
    let now = times.next().and_then(|now| now.parse().ok()).map(WallTime::from_micros);
    Record {
        name: String::from_utf8_lossy(name).into_owned(),
        ttl,
        now: now.unwrap_or_default(),
        hash: Hash::of(pairs(fields)),
    }
}

/// The fields of a record, as the bytes say them.
pub fn pairs(fields: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    fields.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        Some((line[..at].to_vec(), line[at + 1..].to_vec()))
    })
}

/// What is true of every worker that a framework keeps in a hash.
pub fn worker_is_sane(worker: &Observation) {
    numbers_are_sane(&worker.numbers);
    beat_is_sane(worker.beat);
    says_is_sane(&worker.says);
    info_is_sane(&worker.info);
    assert!(!worker.slot.key.worker.trim().is_empty(), "a worker without a name");
    let queues = &worker.task_queues;
    assert!(queues.len() <= 256, "{} queues", queues.len());
    for (at, queue) in queues.iter().enumerate() {
        assert!(!queue.trim().is_empty() && !queues[..at].contains(queue), "queue {queue:?}");
    }
    for each in &worker.types {
        assert_eq!(each.used, worker.numbers.in_flight, "one number, said twice");
        assert!(each.failed <= each.processed, "{:?} failed of {:?}", each.failed, each.processed);
    }
    match worker.hands {
        Some(Hands::Empty) => assert_eq!(worker.numbers.in_flight, Some(0)),
        Some(Hands::Full(_)) => assert!(worker.numbers.in_flight > Some(0), "full hands, and nothing in them"),
        None => {}
    }
}
