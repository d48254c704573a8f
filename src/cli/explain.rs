//! What `probe` prints: a worker's evidence, checks, score, state and reason as text. Pure.

use std::fmt::Write;

use verdict::snapshot::{ChannelView, CheckView, Finding, NumbersView, WorkerView};
use verdict::time::WallTime;
use verdict::words::State;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// What was found.
    Finding,
    /// And the limits, and what would change it.
    Limits,
}

/// `now` is what the wall shows, for "ago".
pub(super) fn text(worker: &WorkerView, depth: Depth, now: WallTime) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write(&mut text, worker, depth, now);
    text
}

fn write(out: &mut String, worker: &WorkerView, depth: Depth, now: WallTime) -> std::fmt::Result {
    writeln!(out, "{}/{}", worker.key.fleet, worker.key.worker)?;
    writeln!(out, "  state   {}: {}", worker.state, worker.state.meaning())?;
    writeln!(out, "  reason  {}: {}", worker.reason, worker.reason.meaning())?;
    match worker.score {
        Some(score) => writeln!(out, "  score   {score:.2}")?,
        None => writeln!(out, "  score   none: no check is known")?,
    }
    if let Some(cause) = &worker.shared_cause {
        writeln!(out, "  shared  {cause}")?;
    }
    for issue in &worker.issues {
        writeln!(out, "  issue   {issue}")?;
    }

    writeln!(out, "\nevidence")?;
    if worker.channels.is_empty() {
        writeln!(out, "  none yet")?;
    }
    for channel in &worker.channels {
        write_channel(out, channel, depth, now)?;
    }

    for note in &worker.notes {
        writeln!(out, "  {note}")?;
    }
    if let Some(used) = used(&worker.numbers) {
        writeln!(out, "  uses   {used}")?;
    }
    if let Some(until) = worker.certificate {
        let days = until.seconds_since(now) / 86_400.0;
        match days < 0.0 {
            true => writeln!(out, "  certificate expired {:.1} days ago", -days)?,
            false => writeln!(out, "  certificate valid for {days:.1} days more")?,
        }
    }
    if worker.restarts > 0 {
        writeln!(out, "  restarted {} times since this program started to look", worker.restarts)?;
    }
    if let Some(start) = worker.info.start_time {
        writeln!(out, "  started {:.0} s ago", now.seconds_since(start).max(0.0))?;
    }

    writeln!(out, "\nchecks")?;
    let (known, unknown): (Vec<_>, Vec<_>) = worker.checks.iter().partition(|check| check.finding.is_some());
    if known.is_empty() {
        writeln!(out, "  none is known")?;
    }
    for check in known {
        write_check(out, check)?;
    }
    for check in unknown {
        write_check(out, check)?;
    }

    if depth == Depth::Limits {
        writeln!(out, "\nwhat would change it")?;
        if worker.would_change.is_empty() {
            writeln!(out, "  nothing that these sources can show")?;
        }
        for change in &worker.would_change {
            writeln!(out, "  {change}")?;
        }
    }
    Ok(())
}

/// What it uses of what it may, as far as that is known.
fn used(numbers: &NumbersView) -> Option<String> {
    let percent = |name: &str, ratio: Option<f64>| ratio.map(|ratio| format!("{name} {:.1} %", ratio * 100.0));
    let memory = numbers.memory_bytes.map(|bytes| {
        let limit = numbers.memory_limit_bytes.map(|limit| format!(" of {} MiB", limit >> 20)).unwrap_or_default();
        format!("memory {} MiB{limit}", bytes >> 20)
    });
    let parts = [
        percent("CPU", numbers.cpu_ratio),
        memory,
        percent("disk", numbers.disk_ratio),
        percent("GPU", numbers.gpu_ratio),
        percent("GPU memory", numbers.gpu_memory_ratio),
    ];
    let known: Vec<String> = parts.into_iter().flatten().collect();
    (!known.is_empty()).then(|| known.join(", "))
}

fn write_channel(out: &mut String, channel: &ChannelView, depth: Depth, now: WallTime) -> std::fmt::Result {
    write!(out, "  {:<6} {}: ", channel.kind.word(), channel.source)?;
    match channel.last_moved {
        Some(moved) => {
            let ago = now.seconds_since(moved).max(0.0);
            write!(out, "moved {} times, last {ago:.1} s ago, silent {:.1} s", channel.moves, channel.silent_seconds)?;
        }
        None => write!(out, "never moved")?,
    }
    if channel.misses > 0 {
        write!(out, ", {} missed in a row", channel.misses)?;
    }
    if let Some(failure) = channel.failure {
        write!(out, ", {failure}: {}", failure.meaning())?;
    }
    writeln!(out)?;
    if depth == Depth::Limits {
        writeln!(
            out,
            "         warns at {:.1} s of silence, critical at {:.1} s",
            channel.warning_seconds, channel.critical_seconds
        )?;
    }
    Ok(())
}

fn write_check(out: &mut String, check: &CheckView) -> std::fmt::Result {
    let finding = match check.finding {
        Some(Finding::Pass) => "pass",
        Some(Finding::Warning) => "warning",
        Some(Finding::Critical) => "critical",
        None => "unknown",
    };
    writeln!(out, "  {:<17} {finding:<8} weight {}: {}", check.check.word(), check.weight, check.why)
}

/// No verdict yet: a little more evidence may bring one.
pub(super) fn is_open(state: State) -> bool {
    matches!(state, State::Unknown | State::Starting)
}

/// Names that somebody may have meant, the closest first, five at most.
pub(super) fn close_names<'a>(meant: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut close: Vec<(usize, &str)> = names
        .into_iter()
        .map(|name| (strsim::levenshtein(&meant.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= meant.len().max(3) / 2 || name.contains(meant))
        .collect();
    close.sort();
    close.dedup();
    close.into_iter().take(5).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use verdict::words::{ChannelKind, Check, Failure, Reason};

    use super::*;
    use crate::web::sample;

    fn worker() -> WorkerView {
        WorkerView {
            since: WallTime::default(),
            score: Some(0.0),
            checks: vec![
                CheckView { check: Check::Heartbeat, finding: None, weight: 3.0, why: "no beat channel".into() },
                CheckView {
                    check: Check::Probe,
                    finding: Some(Finding::Critical),
                    weight: 2.0,
                    why: "3 looks in a row were refused".into(),
                },
            ],
            issues: vec!["nothing listens at its address".into()],
            would_change: vec!["two answers in a row: healthy".into()],
            channels: vec![ChannelView {
                source: "web".into(),
                kind: ChannelKind::Reach,
                what: String::from("heartbeat"),
                silent_seconds: 9.0,
                warning_seconds: 4.0,
                critical_seconds: 6.0,
                last_moved: Some(WallTime::from_micros(1_000_000)),
                moves: 7,
                misses: 3,
                failure: Some(Failure::Refused),
                said: None,
            }],
            sources: vec!["web".into()],
            certificate: Some(WallTime::from_micros(11_000_000 - 43_200_000_000)),
            ..sample::worker("emails", "w-1", State::Down, Reason::Refused)
        }
    }

    #[test]
    fn evidence_checks_score_state_and_reason_are_told() {
        let text = text(&worker(), Depth::Finding, WallTime::from_micros(11_000_000));
        for part in [
            "emails/w-1",
            "state   down",
            "reason  refused",
            "score   0.00",
            "issue   nothing listens at its address",
            "reach  web: moved 7 times, last 10.0 s ago, silent 9.0 s, 3 missed in a row, refused",
            "probe             critical weight 2: 3 looks in a row were refused",
            "heartbeat         unknown  weight 3: no beat channel",
            "certificate expired 0.5 days ago",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains("what would change it") && !text.contains("warns at"));
        assert!(text.find("probe ").unwrap() < text.find("heartbeat ").unwrap(), "known checks come first");
    }

    #[test]
    fn the_limits_and_what_would_change_it_are_told_when_asked_for() {
        let text = text(&worker(), Depth::Limits, WallTime::from_micros(11_000_000));
        assert!(text.contains("warns at 4.0 s of silence, critical at 6.0 s"), "{text}");
        assert!(text.contains("two answers in a row: healthy"), "{text}");
    }

    #[test]
    fn a_certificate_that_is_valid_is_told_with_the_days_that_are_left() {
        let worker = WorkerView { certificate: Some(WallTime::from_micros(864_000_000_000)), ..worker() };
        let text = text(&worker, Depth::Finding, WallTime::default());
        assert!(text.contains("certificate valid for 10.0 days more"), "{text}");
    }

    #[test]
    fn a_name_that_was_mistyped_finds_the_one_that_was_meant() {
        let names = ["emails-1", "emails-2", "reports-1", "x"];
        assert_eq!(close_names("email-1", names), ["emails-1", "emails-2"]);
        assert_eq!(close_names("reports", names), ["reports-1"]);
        assert!(close_names("zzzzzzzzz", names).is_empty());
    }
}
