//! 11: a confirmed stop wins: the task is cancelled, and 15 s later no process of it lives.

use makima_shared::domain::TaskStatus;

use super::Findings;
use crate::evidence::Evidence;
use crate::ledger::Fact;

/// Names stopped tasks that went on.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    for entry in &evidence.ledger {
        match &entry.fact {
            Fact::Stopped { task, status: 202 } => {
                let status = evidence.histories.get(task).map(|history| history.task.status);
                findings.judge(status == Some(TaskStatus::Cancelled), || {
                    format!("{} was stopped at {} and is {status:?}", evidence.name(*task), entry.at)
                });
            }
            Fact::StillRuns { task, processes } => {
                findings.judge(false, || {
                    format!(
                        "{} was stopped 15 s before {}, and {processes:?} lived",
                        evidence.name(*task),
                        entry.at
                    )
                });
            }
            Fact::Submitted { .. }
            | Fact::Unanswered { .. }
            | Fact::Task { .. }
            | Fact::StopSent { .. }
            | Fact::Stopped { .. } => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::staged::{Staged, entry};

    #[test]
    fn a_stopped_task_that_is_done_is_named() {
        let mut staged = Staged::done();
        staged.evidence.ledger.push(entry(Fact::Stopped { task: staged.task, status: 409 }));
        assert!(judge(&staged.evidence).broken.is_empty());
        staged.evidence.ledger.push(entry(Fact::Stopped { task: staged.task, status: 202 }));
        assert_eq!(judge(&staged.evidence).broken.len(), 1);
    }
}
