//! 1: every task that the client was told of exists, and has ended or says what it waits for.

use super::Findings;
use crate::evidence::Evidence;
use crate::ledger::Fact;

/// Names accepted tasks that are lost, refusals that nothing explains, and submissions that never got an answer.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    for entry in &evidence.ledger {
        match &entry.fact {
            Fact::Submitted { key, status, task, code, .. } => match (status, task) {
                (200 | 201, Some(task)) => findings.judge(evidence.histories.contains_key(task), || {
                    format!("{key} was accepted as {task} at {}, and no such task exists", entry.at)
                }),
                (200 | 201, None) => findings.judge(false, || format!("the answer to {key} names no task")),
                (429 | 500.., _) => {}
                _ => findings
                    .judge(false, || format!("{key} was refused with {status} {code:?} at {}", entry.at)),
            },
            Fact::Unanswered { key, .. } => {
                findings.judge(false, || format!("{key} got no answer to the end"))
            }
            Fact::Stopped { task, status } => findings.judge(matches!(status, 202 | 409), || {
                format!("the stop of {} was answered with {status}", evidence.name(*task))
            }),
            Fact::Task { .. } | Fact::StopSent { .. } | Fact::StillRuns { .. } => {}
        }
    }
    for (task, words) in &evidence.waiting {
        let status = evidence.histories[task].task.status;
        let is_active = status.is_active();
        findings.judge(words.is_some() || is_active, || {
            format!("{} is {status} and names nothing that it waits for", evidence.name(*task))
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use makima_shared::domain::TaskId;

    use super::*;
    use crate::checks::staged::{Staged, entry};

    #[test]
    fn a_task_that_was_accepted_and_is_gone_is_named() {
        let accepted =
            |task| Fact::Submitted { owner: 0, key: "k".into(), status: 201, task: Some(task), code: None };
        let mut staged = Staged::done();
        staged.evidence.ledger.push(entry(accepted(staged.task)));
        assert!(judge(&staged.evidence).broken.is_empty());
        staged.evidence.ledger.push(entry(accepted(TaskId::new())));
        assert_eq!(judge(&staged.evidence).broken.len(), 1);
    }

    #[test]
    fn a_refusal_is_named_and_an_outage_is_not() {
        let answered = |status| Fact::Submitted { owner: 0, key: "k".into(), status, task: None, code: None };
        let mut staged = Staged::done();
        staged.evidence.ledger.push(entry(answered(503)));
        assert!(judge(&staged.evidence).broken.is_empty());
        staged.evidence.ledger.push(entry(answered(422)));
        assert_eq!(judge(&staged.evidence).broken.len(), 1);
    }
}
