//! 5: nothing happens to a task that has ended.

use super::Findings;
use crate::evidence::Evidence;

/// Names events behind the end of their task.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    for (task, history) in &evidence.histories {
        let Some((end, change)) = history.changes().find(|(_, change)| change.to.is_terminal()) else {
            continue;
        };
        let later = history.events.iter().find(|event| event.sequence > end.sequence);
        findings.judge(later.is_none(), || {
            let sequence = later.map(|event| event.sequence);
            format!("{} was {}, and event {sequence:?} came after that", evidence.name(*task), change.to)
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::staged::Staged;

    #[test]
    fn an_event_behind_the_end_is_named() {
        let mut staged = Staged::done();
        assert!(judge(&staged.evidence).broken.is_empty());
        staged.push_output("late");
        assert_eq!(judge(&staged.evidence).broken.len(), 1);
    }
}
