//! 10: nothing is stuck: no attempt outlives the lease of its worker for long, dispatch knows what is queued, and in the
//! end everything has ended.

use chrono::TimeDelta;

use super::Findings;
use crate::evidence::Evidence;

const OUTLIVES_LEASE_AT_MOST: TimeDelta = TimeDelta::seconds(30);

/// Names attempts that were ended long after their worker's lease, tasks that dispatch did not know, and tasks that are
/// still open.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::of(0, evidence.missing_from_dispatch.clone());
    for (task, history) in &evidence.histories {
        findings.judge(history.task.status.is_terminal(), || {
            let waiting =
                evidence.waiting.get(task).cloned().flatten().unwrap_or_else(|| "nothing".to_owned());
            format!("{} is still {}; it waits for {waiting}", evidence.name(*task), history.task.status)
        });
        for attempt in &history.attempts {
            let Some((ended, lease)) = attempt.ended_at.zip(attempt.lease_expires_at) else { continue };
            findings.judge(ended - lease <= OUTLIVES_LEASE_AT_MOST, || {
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
