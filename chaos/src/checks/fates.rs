//! Every task ends as its kind must: faults cost time, never a result.

use std::collections::HashSet;

use makima_shared::domain::{TaskId, TaskStatus};

use super::Findings;
use crate::evidence::Evidence;
use crate::ledger::Fact;
use crate::load::Fate;

/// What makes a good task fail that is nobody's fault here: its parent failed, or the remote was away when it looked.
const EXCUSES: [&str; 3] = ["DEPENDENCY_FAILED", "REPOSITORY_NOT_FOUND", "REPOSITORY_UNREACHABLE"];

/// Names good tasks that failed, bad ones that did not, and tasks that were cancelled without a word.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    let stopped: HashSet<TaskId> = evidence.ledger.iter().filter_map(|entry| stop_of(&entry.fact)).collect();
    for (task, submitted) in &evidence.submitted {
        let Some(row) = evidence.histories.get(task).map(|history| &history.task) else { continue };
        let code = row.status_code.as_deref().unwrap_or("no reason");
        let is_fine = match row.status {
            TaskStatus::Done | TaskStatus::Merged => submitted.kind.fate() == Fate::Done,
            TaskStatus::Failed => submitted.kind.fate() == Fate::Failed || EXCUSES.contains(&code),
            TaskStatus::Cancelled => stopped.contains(task),
            // Open ones are another check's.
            TaskStatus::Pending
            | TaskStatus::Queued
            | TaskStatus::Starting
            | TaskStatus::Running
            | TaskStatus::Paused
            | TaskStatus::Interrupted => true,
        };
        findings.judge(is_fine, || format!("{} is {} with {code}", evidence.name(*task), row.status));
    }
    findings
}

fn stop_of(fact: &Fact) -> Option<TaskId> {
    match fact {
        Fact::StopSent { task } => Some(*task),
        Fact::Submitted { .. }
        | Fact::Unanswered { .. }
        | Fact::Task { .. }
        | Fact::Stopped { .. }
        | Fact::StillRuns { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::staged::Staged;
    use crate::load::Kind;

    #[test]
    fn a_good_task_that_failed_and_a_bad_one_that_is_done_are_named() {
        assert!(judge(&Staged::retried(Kind::Lines).evidence).broken.is_empty());
        assert_eq!(judge(&Staged::retried(Kind::Failing).evidence).broken.len(), 1);
        let mut staged = Staged::retried(Kind::Lines);
        staged.history().task.status = TaskStatus::Failed;
        assert_eq!(judge(&staged.evidence).broken.len(), 1);
        staged.history().task.status_code = Some("DEPENDENCY_FAILED".to_owned());
        assert!(judge(&staged.evidence).broken.is_empty());
    }
}
