//! 3: epochs are dense and rising, what an attempt writes stands between its claim and its end, and no two attempts of a
//! task wrote at once.

use makima_shared::domain::{EventKind, TaskStatus};

use super::Findings;
use crate::evidence::{Evidence, History};

/// Names epochs that are missing or stand twice, events behind the end of their epoch, and agents that wrote after a later
/// one had begun.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    for (task, history) in &evidence.histories {
        let name = || evidence.name(*task);
        let epochs: Vec<_> = history.attempts.iter().map(|attempt| attempt.epoch).collect();
        let dense: Vec<_> = (1..=history.task.epoch).collect();
        findings.judge(epochs == dense, || {
            format!("{} is at epoch {} with attempts {epochs:?}", name(), history.task.epoch)
        });
        let open: Vec<_> = history.attempts.iter().filter(|attempt| attempt.ended_at.is_none()).collect();
        let is_open_rightly = open.len() == usize::from(history.task.status.is_active())
            && open.iter().all(|attempt| attempt.epoch == history.task.epoch);
        findings.judge(is_open_rightly, || {
            format!("{} is {} with {} open attempts", name(), history.task.status, open.len())
        });
        let stray = stray_event(history);
        findings
            .judge(stray.is_none(), || format!("{}: event {stray:?} stands outside of its attempt", name()));
        let late = late_note(evidence, history);
        findings.judge(late.is_none(), || {
            format!("{}: the agent of epoch {:?} wrote after a later one had begun", name(), late)
        });
    }
    findings
}

/// Finds an event of an attempt that stands before its claim or behind its end.
fn stray_event(history: &History) -> Option<i64> {
    let mut is_open = false;
    let mut changes = history.changes().peekable();
    for event in &history.events {
        if let Some((_, change)) = changes.next_if(|(changed, _)| changed.sequence == event.sequence) {
            is_open = matches!(change.to, TaskStatus::Starting | TaskStatus::Running);
        }
        let is_of_attempt = matches!(event.kind, EventKind::Output | EventKind::Checkpoint);
        if is_of_attempt && !is_open {
            return Some(event.sequence);
        }
    }
    None
}

/// Finds the epoch of an agent that noted anything behind a later one's notes.
fn late_note(evidence: &Evidence, history: &History) -> Option<i64> {
    let notes = evidence.witness.of(history.task.id);
    notes.windows(2).find(|pair| pair[1].epoch < pair[0].epoch).map(|pair| pair[1].epoch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::staged::{Staged, note};
    use crate::evidence::Noted;

    #[test]
    fn output_behind_the_end_of_its_attempt_is_named() {
        let mut staged = Staged::done();
        assert!(judge(&staged.evidence).broken.is_empty());
        staged.push_output("late");
        assert_eq!(judge(&staged.evidence).broken.len(), 1);
    }

    #[test]
    fn a_missing_epoch_is_named() {
        let mut staged = Staged::done();
        staged.history().task.epoch = 3;
        assert_eq!(judge(&staged.evidence).broken.len(), 1);
    }

    #[test]
    fn two_agents_at_once_are_named() {
        let mut staged = Staged::done();
        let notes = [note(Noted::Start, 1, 0, 0), note(Noted::Start, 2, 0, 5), note(Noted::Write, 1, 7, 6)];
        staged.evidence.witness.notes.insert(staged.task, notes.to_vec());
        assert_eq!(judge(&staged.evidence).broken.len(), 1);
    }
}
