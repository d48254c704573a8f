//! What must hold of every read, whatever the bytes were. A target that only waits for a panic finds half of what it
//! could: these say when a read that ended well has said something that nobody may believe.

use verdict::evidence::{Beat, Info, Numbers, Says};
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
