//! The state table: first match wins. Pure facts in, a state and its reason out; the rows are those of the documentation.
//!
//! What is known and what is silent was decided before (in `channel` and `worker`); here nothing is measured, only weighed.

use crate::snapshot::Finding;
use crate::words::{Check, Reason, State, Status};

/// What one kind of channel shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pulse {
    /// The worker has no such channel.
    #[default]
    None,
    /// Moved inside its warning limit.
    Fresh,
    /// Past its warning limit.
    Late,
    /// Past its critical limit.
    Silent,
    /// Its source fails: nothing can be said.
    Blind,
}

/// A worker that said goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// It still beats, works or answers.
    pub present: bool,
    /// It said so longer ago than its limit.
    pub overdue: bool,
}

/// Everything that the table weighs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Row 0: every source of it fails past the limit, or none has been looked at.
    pub blind: Option<Reason>,
    /// Row 1: the thing it lived in is gone.
    pub host_gone: Option<Reason>,
    /// Row 2: it says itself that it is dead.
    pub says_dead: Option<Reason>,
    /// Row 3.
    pub goodbye: Option<Goodbye>,
    /// Row 4: a beat, work or a good answer was seen.
    pub alive_once: bool,
    /// Row 4: inside its start grace.
    pub in_grace: bool,
    /// Row 4: why nothing was ever seen.
    pub restarted: bool,
    /// Its heartbeat.
    pub beat: Pulse,
    /// Its work, all marks of it together: the freshest counts.
    pub work: Pulse,
    /// Its endpoint: `Silent` after three misses, `Late` after one.
    pub reach: Pulse,
    /// Its process. Being there proves no work, so that no row but the first weighs it against other channels.
    pub host: Pulse,
    /// The most often that one kind of work moved since the beat was late.
    pub work_without_beat: u32,
    /// Row 5: what to call the silence.
    pub silence: Option<Reason>,
    /// Known by its polls alone: full, stopped and killed look the same.
    pub only_polls: bool,
    /// Row 8.
    pub stuck: Option<Reason>,
    /// Row 9.
    pub saturated: bool,
    /// Row 10: the gravest critical check, said as a reason.
    pub critical: Option<Reason>,
    /// Row 10.
    pub low_score: bool,
    /// Its state changed too often of late.
    pub flapping: bool,
    /// Some check warns.
    pub warning: bool,
}

impl Facts {
    /// Work was seen that no beat explains: twice, since one move may be the end of a poll that died with its worker.
    #[must_use]
    pub const fn works_on(&self) -> bool {
        self.work_without_beat >= 2
    }
}

/// What the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This state, for this reason.
    Is(State, Reason),
    /// It said goodbye and is silent: it leaves without a word.
    Left,
}

/// The table. `Down` from rows 1, 2 and 5 still needs an immediate second look that agrees; the caller sees to that.
#[must_use]
pub fn decide(facts: &Facts) -> Verdict {
    use State::{Degraded, Down, Draining, Healthy, Starting, Stuck, Unknown};
    // 0
    if let Some(reason) = facts.blind {
        return Verdict::Is(Unknown, reason);
    }
    // 1
    if let (Some(reason), None) = (facts.host_gone, facts.goodbye) {
        return Verdict::Is(Down, reason);
    }
    // 3 before 2: a worker that drains may well say that its loop has ended.
    if let Some(goodbye) = facts.goodbye {
        return match goodbye {
            Goodbye { present: false, .. } => Verdict::Left,
            Goodbye { overdue: true, .. } => Verdict::Is(Draining, Reason::DrainStuck),
            Goodbye { .. } => Verdict::Is(Draining, Reason::ShuttingDown),
        };
    }
    // 2: never over work that was seen after it.
    if let Some(reason) = facts.says_dead
        && !facts.works_on()
    {
        return Verdict::Is(Down, reason);
    }
    // 4
    if !facts.alive_once {
        return match (facts.in_grace, facts.only_polls) {
            (true, _) if facts.restarted => Verdict::Is(Starting, Reason::Restarted),
            (true, _) => Verdict::Is(Starting, Reason::AwaitingBeat),
            (false, true) => Verdict::Is(Unknown, Reason::FullOrGone),
            (false, false) => {
                Verdict::Is(Down, facts.silence.filter(|r| *r == Reason::Stale).unwrap_or(Reason::NeverBeat))
            }
        };
    }
    let beat_silent = facts.beat == Pulse::Silent;
    let reach_silent = facts.reach == Pulse::Silent;
    // 5
    match silence(facts) {
        Silence::All if facts.only_polls => return Verdict::Is(Unknown, Reason::FullOrGone),
        Silence::All => return Verdict::Is(Down, facts.silence.unwrap_or(Reason::Stale)),
        Silence::AllThatCanBeSeen => return Verdict::Is(Unknown, Reason::SourceFailed),
        Silence::NotAll => {}
    }
    // 6
    if beat_silent && (facts.works_on() || facts.reach == Pulse::Fresh) {
        return Verdict::Is(Degraded, Reason::HeartbeatLost);
    }
    // 7
    if reach_silent {
        return Verdict::Is(Degraded, Reason::EndpointLost);
    }
    // 8
    if let Some(reason) = facts.stuck {
        return Verdict::Is(Stuck, reason);
    }
    // 9
    if facts.saturated {
        return Verdict::Is(Degraded, Reason::Saturated);
    }
    // 10
    if let Some(reason) = facts.critical {
        return Verdict::Is(Degraded, reason);
    }
    if facts.low_score {
        return Verdict::Is(Degraded, Reason::LowScore);
    }
    if facts.flapping {
        return Verdict::Is(Degraded, Reason::Flapping);
    }
    // 11
    Verdict::Is(Healthy, if facts.warning { Reason::Warning } else { Reason::Ok })
}

enum Silence {
    NotAll,
    All,
    /// All channels that can be seen are silent, and one cannot be seen.
    AllThatCanBeSeen,
}

/// Row 5. Work that is carried by the beat, or moves rarely, says nothing for a worker unless it moved twice since the
/// beat was late.
fn silence(facts: &Facts) -> Silence {
    let beat = facts.beat;
    let work = if beat == Pulse::Silent && !facts.works_on() && facts.work != Pulse::Blind {
        Pulse::Silent
    } else {
        facts.work
    };
    let all = [beat, work, facts.reach];
    let silent = all.contains(&Pulse::Silent);
    let speaks = all.iter().any(|p| matches!(p, Pulse::Fresh | Pulse::Late));
    if !silent || speaks {
        return Silence::NotAll;
    }
    // Work alone says nothing about a worker that should beat or answer: it only joins in.
    let blind = [beat, facts.reach].contains(&Pulse::Blind)
        || (work == Pulse::Blind && beat == Pulse::None && facts.reach == Pulse::None);
    if blind { Silence::AllThatCanBeSeen } else { Silence::All }
}

/// What a state comes down to.
#[must_use]
pub const fn status(state: State, worst: Option<Finding>) -> Status {
    match (state, worst) {
        (State::Unknown | State::Starting, _) => Status::Unknown,
        (State::Stuck | State::Down, _) | (State::Degraded, Some(Finding::Critical)) => Status::Critical,
        (State::Draining | State::Degraded, _) | (State::Healthy, Some(Finding::Warning | Finding::Critical)) => {
            Status::Warning
        }
        (State::Healthy, _) => Status::Healthy,
    }
}

/// The reason that names a critical check.
#[must_use]
pub const fn reason_of(check: Check) -> Reason {
    match check {
        Check::Heartbeat => Reason::CheckHeartbeat,
        Check::Progress => Reason::CheckProgress,
        Check::QueueConnection => Reason::CheckQueueConnection,
        Check::Probe => Reason::CheckProbe,
        Check::TaskPerformance => Reason::CheckTaskPerformance,
        Check::Resources => Reason::CheckResources,
        Check::DiskSpace => Reason::CheckDiskSpace,
        Check::ModelLoading => Reason::CheckModelLoading,
        Check::Process => Reason::CheckProcess,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::Is;

    fn living() -> Facts {
        Facts { alive_once: true, beat: Pulse::Fresh, work: Pulse::Fresh, ..Facts::default() }
    }

    #[test]
    fn row_0_unknown_wins_over_everything() {
        let facts = Facts {
            blind: Some(Reason::SourceFailed),
            says_dead: Some(Reason::LoopDead),
            host_gone: Some(Reason::Exited),
            beat: Pulse::Silent,
            ..living()
        };
        assert_eq!(decide(&facts), Is(State::Unknown, Reason::SourceFailed));
    }

    #[test]
    fn row_1_a_gone_host_convicts_unless_it_drains() {
        let gone = Facts { host_gone: Some(Reason::OomKilled), ..living() };
        assert_eq!(decide(&gone), Is(State::Down, Reason::OomKilled));
        let draining = Facts { goodbye: Some(Goodbye { present: false, overdue: false }), ..gone };
        assert_eq!(decide(&draining), Verdict::Left);
    }

    #[test]
    fn row_2_its_own_word_convicts_it_unless_work_was_seen_after() {
        let dead = Facts { says_dead: Some(Reason::LoopDead), reach: Pulse::Fresh, ..living() };
        assert_eq!(decide(&dead), Is(State::Down, Reason::LoopDead));
        let works = Facts { work_without_beat: 2, beat: Pulse::Silent, ..dead };
        assert_eq!(decide(&works), Is(State::Degraded, Reason::HeartbeatLost));
    }

    #[test]
    fn row_3_goodbye_drains_then_leaves_in_silence() {
        let say = |present, overdue| decide(&Facts { goodbye: Some(Goodbye { present, overdue }), ..living() });
        assert_eq!(say(true, false), Is(State::Draining, Reason::ShuttingDown));
        assert_eq!(say(true, true), Is(State::Draining, Reason::DrainStuck));
        assert_eq!(say(false, true), Verdict::Left);
    }

    #[test]
    fn row_4_starting_lasts_as_long_as_the_grace() {
        let new = Facts { in_grace: true, beat: Pulse::Silent, silence: Some(Reason::Stale), ..Facts::default() };
        assert_eq!(decide(&new), Is(State::Starting, Reason::AwaitingBeat));
        assert_eq!(decide(&Facts { restarted: true, ..new }), Is(State::Starting, Reason::Restarted));
        assert_eq!(decide(&Facts { in_grace: false, ..new }), Is(State::Down, Reason::Stale));
        assert_eq!(decide(&Facts { in_grace: false, silence: None, ..new }), Is(State::Down, Reason::NeverBeat));
    }

    #[test]
    fn row_5_needs_every_channel_to_be_silent() {
        let silent = Facts { beat: Pulse::Silent, work: Pulse::Silent, silence: Some(Reason::Stale), ..living() };
        assert_eq!(decide(&silent), Is(State::Down, Reason::Stale));
        assert_eq!(decide(&Facts { reach: Pulse::Silent, ..silent }), Is(State::Down, Reason::Stale));
        assert_eq!(decide(&Facts { reach: Pulse::Fresh, ..silent }), Is(State::Degraded, Reason::HeartbeatLost));
        let undecided = Facts { reach: Pulse::Late, critical: Some(Reason::CheckHeartbeat), ..silent };
        assert_eq!(decide(&undecided), Is(State::Degraded, Reason::CheckHeartbeat), "two misses are not three");
    }

    #[test]
    fn row_5_one_last_move_of_a_poll_that_died_with_it_does_not_save_it_two_do() {
        let silent = Facts { beat: Pulse::Silent, work: Pulse::Fresh, ..living() };
        assert_eq!(decide(&Facts { work_without_beat: 1, ..silent }), Is(State::Down, Reason::Stale));
        assert_eq!(decide(&Facts { work_without_beat: 2, ..silent }), Is(State::Degraded, Reason::HeartbeatLost));
    }

    #[test]
    fn row_5_what_cannot_be_seen_is_not_silent() {
        let facts = Facts { beat: Pulse::Blind, work: Pulse::None, reach: Pulse::Silent, ..living() };
        assert_eq!(decide(&facts), Is(State::Unknown, Reason::SourceFailed));
        let facts = Facts { beat: Pulse::Silent, work: Pulse::Blind, ..living() };
        assert_eq!(
            decide(&facts),
            Is(State::Down, Reason::Stale),
            "a queue that cannot be described hides no dead worker"
        );
    }

    #[test]
    fn a_worker_known_by_its_polls_alone_is_never_down() {
        let facts = Facts { only_polls: true, beat: Pulse::None, work: Pulse::Silent, ..living() };
        assert_eq!(decide(&facts), Is(State::Unknown, Reason::FullOrGone));
        let never = Facts { alive_once: false, ..facts };
        assert_eq!(decide(&never), Is(State::Unknown, Reason::FullOrGone));
    }

    #[test]
    fn row_7_a_lost_endpoint_of_a_living_worker_is_degraded() {
        assert_eq!(decide(&Facts { reach: Pulse::Silent, ..living() }), Is(State::Degraded, Reason::EndpointLost));
        let by_work = Facts { beat: Pulse::None, reach: Pulse::Silent, ..living() };
        assert_eq!(decide(&by_work), Is(State::Degraded, Reason::EndpointLost));
    }

    #[test]
    fn rows_8_to_11_in_their_order() {
        let mut facts = Facts {
            stuck: Some(Reason::NotPolling),
            saturated: true,
            critical: Some(Reason::CheckResources),
            low_score: true,
            flapping: true,
            warning: true,
            ..living()
        };
        assert_eq!(decide(&facts), Is(State::Stuck, Reason::NotPolling));
        facts.stuck = None;
        assert_eq!(decide(&facts), Is(State::Degraded, Reason::Saturated));
        facts.saturated = false;
        assert_eq!(decide(&facts), Is(State::Degraded, Reason::CheckResources));
        facts.critical = None;
        assert_eq!(decide(&facts), Is(State::Degraded, Reason::LowScore));
        facts.low_score = false;
        assert_eq!(decide(&facts), Is(State::Degraded, Reason::Flapping));
        facts.flapping = false;
        assert_eq!(decide(&facts), Is(State::Healthy, Reason::Warning));
        facts.warning = false;
        assert_eq!(decide(&facts), Is(State::Healthy, Reason::Ok));
    }

    #[test]
    fn the_status_of_each_state() {
        use Finding::{Critical, Warning};
        let rows = [
            (State::Unknown, Some(Critical), Status::Unknown),
            (State::Starting, None, Status::Unknown),
            (State::Healthy, None, Status::Healthy),
            (State::Healthy, Some(Finding::Pass), Status::Healthy),
            (State::Healthy, Some(Warning), Status::Warning),
            (State::Draining, None, Status::Warning),
            (State::Degraded, Some(Warning), Status::Warning),
            (State::Degraded, Some(Critical), Status::Critical),
            (State::Stuck, None, Status::Critical),
            (State::Down, None, Status::Critical),
        ];
        for (state, worst, expected) in rows {
            assert_eq!(status(state, worst), expected, "{state} {worst:?}");
        }
    }
}
