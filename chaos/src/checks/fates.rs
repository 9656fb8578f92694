//! Every task ends as its kind must: faults cost time, never a result.

use std::collections::HashSet;

use chrono::TimeDelta;
use makima_shared::domain::{TaskId, TaskStatus};

use super::Findings;
use crate::evidence::{Evidence, History};
use crate::faults::Scope;
use crate::ledger::Fact;
use crate::load::Fate;

/// How long before its end a task may have found out what made it fail.
const FOUND_OUT: TimeDelta = TimeDelta::seconds(10);

/// Names good tasks that failed, bad ones that did not, and tasks that were cancelled without a word.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    let stopped: HashSet<TaskId> = evidence.ledger.iter().filter_map(|entry| stop_of(&entry.fact)).collect();
    for (task, asked) in &evidence.asked {
        let Some(history) = evidence.histories.get(task) else { continue };
        let row = &history.task;
        let code = row.status_code.as_deref().unwrap_or("no reason");
        let is_fine = match row.status {
            TaskStatus::Done | TaskStatus::Merged => asked.kind.fate() == Fate::Done,
            TaskStatus::Failed => asked.kind.fate() == Fate::Failed || is_excused(evidence, history),
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

/// Tells whether a good task failed for what is no fault of makima's: its parent failed, or the remote was away.
pub(super) fn is_excused(evidence: &Evidence, history: &History) -> bool {
    let ended = history.first(TaskStatus::Failed);
    let remote_was_away =
        || ended.is_some_and(|at| evidence.windows.any(at - FOUND_OUT, at, |scope| scope == Scope::Remote));
    match history.task.status_code.as_deref() {
        Some("DEPENDENCY_FAILED") => true,
        Some("REPOSITORY_NOT_FOUND" | "REPOSITORY_UNREACHABLE") => remote_was_away(),
        Some(_) | None => false,
    }
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
        staged.history().task.status_code = Some("REPOSITORY_NOT_FOUND".to_owned());
        assert_eq!(judge(&staged.evidence).broken.len(), 1, "the remote was there all the time");
        staged.history().task.status_code = Some("DEPENDENCY_FAILED".to_owned());
        assert!(judge(&staged.evidence).broken.is_empty());
    }
}
