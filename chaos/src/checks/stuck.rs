//! 10: nothing is stuck: no attempt outlives the lease of its worker for long, dispatch knows what is queued, and in the
//! end every task has ended and every worker is there to take the next one.

use chrono::TimeDelta;

use super::Findings;
use crate::evidence::Evidence;
use crate::faults::Scope;

const OUTLIVES_LEASE_AT_MOST: TimeDelta = TimeDelta::seconds(30);

/// Names attempts that were ended long after their worker's lease, tasks that dispatch did not know, workers that
/// makima does not know, and tasks that are still open.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let missing = evidence.missing_from_dispatch.iter().chain(&evidence.unregistered);
    let mut findings = Findings::of(0, missing.cloned().collect());
    for (task, history) in &evidence.histories {
        findings.judge(history.task.status.is_terminal(), || {
            let waiting =
                evidence.waiting.get(task).cloned().flatten().unwrap_or_else(|| "nothing".to_owned());
            format!("{} is still {}; it waits for {waiting}", evidence.name(*task), history.task.status)
        });
        for attempt in &history.attempts {
            let Some((ended, lease)) = attempt.ended_at.zip(attempt.lease_expires_at) else { continue };
            let excuse = evidence.windows.broken(lease, ended, delays_rescue);
            findings.judge(ended - lease <= OUTLIVES_LEASE_AT_MOST + excuse, || {
                let seconds = (ended - lease).num_seconds();
                format!(
                    "{}, epoch {}, was held for {seconds} s after its lease",
                    evidence.name(*task),
                    attempt.epoch
                )
            });
        }
    }
    findings
}

fn delays_rescue(scope: Scope) -> bool {
    match scope {
        Scope::Scheduler | Scope::Postgres | Scope::Machine => true,
        Scope::Worker(_) | Scope::Api | Scope::Redis | Scope::Remote | Scope::Nothing => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::staged::{Staged, at};

    #[test]
    fn an_attempt_that_outlives_its_lease_is_named() {
        let mut staged = Staged::done();
        assert!(judge(&staged.evidence).broken.is_empty());
        let attempt = &mut staged.history().attempts[0];
        attempt.ended_at = Some(at(100));
        attempt.lease_expires_at = Some(at(10));
        assert_eq!(judge(&staged.evidence).broken.len(), 1);
    }
}
