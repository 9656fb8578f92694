//! 15: a task has one branch at the remote, and only its attempts move it, each in its turn.

use std::collections::{BTreeMap, HashMap};

use chrono::TimeDelta;
use makima_shared::domain::{TaskId, TaskStatus};

use super::Findings;
use crate::evidence::{AttemptRow, Evidence, History};
use crate::faults::Scope;

/// How long after its end an attempt's last push may still arrive: git was on its way and is told the expected value, so a
/// later attempt's push is never undone. A log of git's has whole seconds.
const ON_ITS_WAY_SECS: i64 = 5;
/// How long before its end a task may have begun to push.
const TRIES: TimeDelta = TimeDelta::seconds(15);

/// Names branches that several tasks moved, that a stale attempt moved, or that do not stand where their task says, and
/// results that are not what the agent wrote.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    let by_commit = by_commit(&evidence.histories);
    let mut movers: BTreeMap<&str, (TaskId, i64)> = BTreeMap::new();
    for push in &evidence.results.pushes {
        let Some(attempt) = by_commit.get(push.to.as_str()) else {
            findings.judge(false, || {
                format!("{} was moved to {}, which no attempt pushed", push.branch, push.to)
            });
            continue;
        };
        let mover = (attempt.task_id, attempt.epoch);
        let before = movers.insert(&push.branch, mover);
        findings.judge(before.is_none_or(|before| before.0 == mover.0 && before.1 <= mover.1), || {
            format!("{} was moved by {before:?}, then by {mover:?}", push.branch)
        });
        let is_late =
            attempt.ended_at.is_some_and(|ended| push.at_secs > ended.timestamp() + ON_ITS_WAY_SECS);
        findings.judge(!is_late, || {
            format!("{} was moved by epoch {} long after that had ended", push.branch, attempt.epoch)
        });
    }
    for (task, history) in &evidence.histories {
        judge_result(evidence, *task, history, &mut findings);
    }
    findings
}

fn by_commit(histories: &HashMap<TaskId, History>) -> HashMap<&str, &AttemptRow> {
    let attempts = histories.values().flat_map(|history| &history.attempts);
    attempts.filter_map(|attempt| Some((attempt.pushing_commit.as_deref()?, attempt))).collect()
}

fn judge_result(evidence: &Evidence, task: TaskId, history: &History, findings: &mut Findings) {
    let asked = evidence.asked.get(&task).filter(|asked| asked.is_pushed);
    let Some(asked) = asked.filter(|_| history.task.status == TaskStatus::Done) else { return };
    let Some(branch) = &history.task.result_branch else {
        findings.judge(is_excused(evidence, history), || {
            format!("{} was not pushed: {:?}", evidence.name(task), history.task.completion_error)
        });
        return;
    };
    let stands = evidence.results.branches.get(branch);
    findings.judge(stands == history.task.result_commit.as_ref(), || {
        let says = &history.task.result_commit;
        format!("{} says that {branch} is at {says:?}, and it is at {stands:?}", evidence.name(task))
    });
    let lines = evidence.results.lines.get(&task);
    let wanted: String = (1..=asked.lines).map(|number| format!("{number}\n")).collect();
    findings.judge(lines == Some(&Ok(wanted)), || {
        format!(
            "{}: 1 to {} were to be in its result, and there is {lines:?}",
            evidence.name(task),
            asked.lines
        )
    });
}

/// Tells whether a result stayed where it was because the remote was away for all tries.
fn is_excused(evidence: &Evidence, history: &History) -> bool {
    let ended = history.first(TaskStatus::Done);
    history.task.completion_error.is_some()
        && ended.is_some_and(|at| evidence.windows.any(at - TRIES, at, |scope| scope == Scope::Remote))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::staged::{Staged, at};
    use crate::load::Kind;
    use crate::remote::Push;

    fn pushed(moves: &[(&str, i64)]) -> Staged {
        let mut staged = Staged::retried(Kind::Lines);
        for (attempt, commit) in staged.history().attempts.iter_mut().zip(["a", "b"]) {
            attempt.pushing_commit = Some(commit.to_owned());
        }
        staged.evidence.results.pushes = moves
            .iter()
            .map(|(to, second)| Push {
                branch: "makima/x".to_owned(),
                to: (*to).to_owned(),
                at_secs: at(*second).timestamp(),
            })
            .collect();
        staged
    }

    #[test]
    fn attempts_that_push_in_their_turn_are_fine() {
        assert!(judge(&pushed(&[("a", 1), ("b", 2)]).evidence).broken.is_empty());
    }

    #[test]
    fn a_stale_push_and_a_foreign_one_are_named() {
        assert_eq!(judge(&pushed(&[("b", 1), ("a", 2)]).evidence).broken.len(), 1);
        assert_eq!(judge(&pushed(&[("c", 1)]).evidence).broken.len(), 1);
        assert_eq!(judge(&pushed(&[("a", 1000)]).evidence).broken.len(), 1);
    }

    #[test]
    fn a_result_that_is_nowhere_is_named() {
        let mut staged = pushed(&[]);
        let task = staged.task;
        if let Some(asked) = staged.evidence.asked.get_mut(&task) {
            asked.is_pushed = true;
        }
        assert_eq!(judge(&staged.evidence).broken.len(), 1);
        staged.history().task.result_branch = Some("makima/x".to_owned());
        assert_eq!(judge(&staged.evidence).broken.len(), 1, "the branch holds nothing of it");
    }
}
