//! From what a worker is to the runbook that says what to do.

use verdict::words::{Reason, State};

/// The alert whose runbook fits this state; none where there is nothing to do.
#[must_use]
pub const fn advice(state: State, reason: Reason) -> Option<&'static str> {
    Some(match (state, reason) {
        (_, Reason::Misconfigured) => "WorkerExporterMisconfigured",
        (_, Reason::SourceFailed) => "WorkerSourceDown",
        (_, Reason::SourceSilent) => "WorkerExporterBlind",
        (State::Down, Reason::NeverBeat) => "WorkerNeverStarted",
        (State::Down, _) => "WorkerDown",
        (State::Stuck, _) => "WorkerStuck",
        (State::Draining, Reason::DrainStuck) => "WorkerDrainStuck",
        (State::Degraded, Reason::CheckHeartbeat | Reason::HeartbeatLost) => "WorkerHeartbeatLate",
        (State::Degraded, Reason::Flapping) => "WorkerFlapping",
        (State::Degraded, Reason::Saturated) => "WorkerSaturated",
        (State::Degraded, Reason::CheckDiskSpace) => "WorkerDiskHigh",
        (State::Degraded, Reason::CheckTaskPerformance) => "WorkerTaskFailureRatioHigh",
        // Its tree goes from each check to what to do.
        (State::Degraded, _) => "WorkerHealthScoreLow",
        (State::Unknown | State::Starting | State::Healthy | State::Draining, _) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    #[test]
    fn every_state_that_needs_somebody_has_a_runbook_that_there_is() {
        for state in State::ALL {
            for reason in Reason::ALL {
                let alert = advice(*state, *reason);
                assert!(alert.is_none_or(|alert| find(alert).is_some()), "{state}, {reason}: {alert:?}");
                let needs = matches!(state, State::Down | State::Stuck | State::Degraded);
                assert!(alert.is_some() || !needs, "{state}, {reason}");
            }
        }
    }
}
