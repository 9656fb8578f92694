//! 6: a resume goes on from the newest checkpoint, byte for byte, and that is at most one interval old.
//!
//! Agents that write lines add one line after the other to one file, so a checkpoint's count of added lines is the number
//! of lines that it holds, and an agent that resumes must find exactly these. One that goes on in the workspace that the
//! attempt before left may find what that one wrote later, too.

use chrono::{DateTime, TimeDelta, Utc};
use makima_shared::domain::{EventKind, TaskId};

use super::Findings;
use crate::evidence::{AttemptRow, Evidence, History, Noted};
use crate::faults::Scope;
use crate::load::Kind;

/// The interval of every task of the load, and what a checkpoint takes on a busy machine.
const INTERVAL: TimeDelta = TimeDelta::seconds(1);
const SLACK: TimeDelta = TimeDelta::seconds(4);

/// Names resumes that lost work which was saved, and those that lost more than an interval's work.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    let writers = evidence.histories.iter().filter(|(task, _)| is_writer(evidence, **task));
    for (task, history) in writers {
        for note in
            evidence.witness.of(*task).iter().filter(|note| note.noted == Noted::Start && note.epoch > 1)
        {
            let name = || format!("{}, epoch {}", evidence.name(*task), note.epoch);
            let newest = newest_checkpoint(history, note.epoch);
            let expected = newest.map_or(0, |(_, lines)| lines);
            let most = if took_up(history, note.epoch) {
                expected.max(written(evidence, *task, note.epoch) + 1)
            } else {
                expected
            };
            findings.judge((expected..=most).contains(&note.number), || {
                format!("{}: {} lines came back, and checkpoint {newest:?} holds others", name(), note.number)
            });
            let loss = loss(evidence, *task, note.epoch, note.number);
            let excuse = history
                .attempt(note.epoch - 1)
                .zip(loss)
                .map(|(before, loss)| excuse(evidence, before, loss));
            let lost = loss.map_or(TimeDelta::zero(), |(from, to)| to - from);
            findings.judge(lost <= INTERVAL + SLACK + excuse.unwrap_or_default(), || {
                format!("{}: {} ms of work were lost", name(), lost.num_milliseconds())
            });
        }
    }
    findings
}

/// Tells whether an attempt went on in the workspace of the one before.
fn took_up(history: &History, epoch: i64) -> bool {
    history.events.iter().any(|event| {
        event.kind == EventKind::Notice
            && event.epoch.number() == epoch
            && event.data["code"] == "WORKSPACE_TAKEN_UP"
    })
}

/// Returns how many lines were noted before an epoch; one more may have been written.
fn written(evidence: &Evidence, task: TaskId, epoch: i64) -> u32 {
    let notes = evidence.witness.of(task).iter();
    let before = notes.filter(|note| note.epoch < epoch && note.noted == Noted::Write);
    before.map(|note| note.number).max().unwrap_or_default()
}

fn is_writer(evidence: &Evidence, task: TaskId) -> bool {
    evidence.asked.get(&task).is_some_and(|asked| asked.kind == Kind::Lines)
}

/// Returns the number of the newest checkpoint before an epoch and how many lines it holds.
fn newest_checkpoint(history: &History, epoch: i64) -> Option<(i64, u32)> {
    let mut checkpoints = history.events.iter().filter(|event| event.kind == EventKind::Checkpoint);
    let newest = checkpoints.rfind(|event| event.epoch.number() < epoch)?;
    let lines = newest.data["linesAdded"].as_u64().and_then(|lines| u32::try_from(lines).ok())?;
    Some((newest.data["number"].as_i64()?, lines))
}

/// Returns from when to when the agent before an epoch wrote lines that did not come back.
fn loss(evidence: &Evidence, task: TaskId, epoch: i64, found: u32) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let before: Vec<_> = evidence.witness.of(task).iter().filter(|note| note.epoch < epoch).collect();
    let last_epoch = before.last()?.epoch;
    let mut lost = before
        .iter()
        .filter(|note| note.epoch == last_epoch && note.noted == Noted::Write && note.number > found);
    let first = lost.next()?.at;
    Some((first, lost.next_back().map_or(first, |note| note.at)))
}

/// Returns for how long of a loss the worker could not have stored a checkpoint.
fn excuse(
    evidence: &Evidence,
    attempt: &AttemptRow,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> TimeDelta {
    let place = attempt.worker_name.as_deref().and_then(worker_place);
    evidence.windows.broken(from, to, |scope| match scope {
        Scope::Postgres | Scope::Machine => true,
        Scope::Worker(broken) => Some(broken) == place,
        Scope::Scheduler | Scope::Api | Scope::Redis | Scope::Remote | Scope::Nothing => false,
    })
}

/// Reads the place out of `worker-<place from 1>.<life>`.
fn worker_place(name: &str) -> Option<usize> {
    let number: usize = name.strip_prefix("worker-")?.split('.').next()?.parse().ok()?;
    number.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::staged::{Staged, note};

    fn resumed(found: u32, wrote_until: i64) -> Staged {
        let mut staged = Staged::retried(Kind::Lines);
        staged.insert_checkpoint(1, 3);
        let mut notes = vec![note(Noted::Start, 1, 0, 0)];
        notes.extend(
            (1..=wrote_until).map(|second| note(Noted::Write, 1, u32::try_from(second).unwrap(), second)),
        );
        notes.push(note(Noted::Start, 2, found, wrote_until + 5));
        staged.evidence.witness.notes.insert(staged.task, notes);
        staged
    }

    #[test]
    fn a_resume_from_the_newest_checkpoint_is_fine() {
        let findings = judge(&resumed(3, 4).evidence);
        assert_eq!((findings.judged, findings.broken.len()), (2, 0), "{:?}", findings.broken);
    }

    #[test]
    fn lines_that_were_saved_and_are_lost_are_named() {
        assert_eq!(judge(&resumed(2, 4).evidence).broken.len(), 1);
    }

    #[test]
    fn a_workspace_that_was_taken_up_may_have_more_than_the_checkpoint_but_not_less() {
        let broken = |found| {
            let mut staged = resumed(found, 5);
            staged.insert_notice(2, "WORKSPACE_TAKEN_UP");
            judge(&staged.evidence).broken.len()
        };
        assert_eq!((broken(3), broken(5), broken(6)), (0, 0, 0));
        assert_eq!((broken(2), broken(7)), (1, 1), "less than was saved, and more than was written");
    }

    #[test]
    fn more_than_an_interval_lost_is_named() {
        assert_eq!(judge(&resumed(3, 20).evidence).broken.len(), 1);
    }

    #[test]
    fn the_place_of_a_worker_is_read_from_its_name() {
        assert_eq!(worker_place("worker-3.12"), Some(2));
        assert_eq!(worker_place("other"), None);
    }
}
