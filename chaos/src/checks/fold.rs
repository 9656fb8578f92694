//! 4: folding a task's events gives its state, over legal edges and numbers without gaps.

use makima_shared::domain::fold_statuses;

use super::Findings;
use crate::evidence::Evidence;

/// Names tasks whose history does not lead to where they stand.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    for (task, history) in &evidence.histories {
        let folded = fold_statuses(&history.events);
        findings.judge(folded == Ok(Some(history.task.status)), || {
            format!("{} is {}, and its events give {folded:?}", evidence.name(*task), history.task.status)
        });
        let last = history.events.last().map_or(0, |event| event.sequence);
        findings.judge(last == history.task.last_sequence, || {
            format!(
                "{} counts {} events, and the last is {last}",
                evidence.name(*task),
                history.task.last_sequence
            )
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use makima_shared::domain::TaskStatus;

    use super::*;
    use crate::checks::staged::Staged;

    #[test]
    fn a_state_without_its_event_is_named() {
        let mut staged = Staged::done();
        assert!(judge(&staged.evidence).broken.is_empty());
        staged.history().task.status = TaskStatus::Failed;
        assert_eq!(judge(&staged.evidence).broken.len(), 1);
    }

    #[test]
    fn a_gap_is_named() {
        let mut staged = Staged::done();
        staged.history().events.remove(1);
        assert_eq!(judge(&staged.evidence).broken.len(), 1);
    }
}
