//! 7: no task begins before its parents are done, and it is released once, within 5 s of the last of them.

use chrono::{DateTime, TimeDelta, Utc};
use makima_shared::domain::{TaskId, TaskStatus};

use super::Findings;
use crate::evidence::{Evidence, History};
use crate::faults::Scope;

const RELEASED_WITHIN: TimeDelta = TimeDelta::seconds(5);

/// Names children that began too early, that were released twice, or too late while nothing was broken.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    for (task, asked) in evidence.asked.iter().filter(|(_, asked)| !asked.parents.is_empty()) {
        let Some(history) = evidence.histories.get(task) else { continue };
        let releases = releases(history);
        findings.judge(releases.len() <= 1, || {
            format!("{} was released {} times before its first claim", evidence.name(*task), releases.len())
        });
        let Some(claimed) = history.first(TaskStatus::Starting) else { continue };
        let Some(ready) = all_done(evidence, &asked.parents) else {
            findings.judge(false, || {
                format!("{} began, and not all of its parents are done", evidence.name(*task))
            });
            continue;
        };
        findings.judge(claimed >= ready, || {
            format!("{} began before its parents were done", evidence.name(*task))
        });
        if let Some(released) = releases.first()
            && !evidence.windows.any(ready, *released, delays_release)
        {
            let took = *released - ready;
            findings.judge(took <= RELEASED_WITHIN, || {
                format!(
                    "{} was released {} ms after its last parent",
                    evidence.name(*task),
                    took.num_milliseconds()
                )
            });
        }
    }
    findings
}

/// Returns when the task came to be queued before it was ever claimed.
fn releases(history: &History) -> Vec<DateTime<Utc>> {
    let before_claim = history.changes().take_while(|(_, change)| change.to != TaskStatus::Starting);
    let queued = before_claim.filter(|(_, change)| change.to == TaskStatus::Queued);
    queued.map(|(event, _)| event.created_at).collect()
}

/// Returns when the last of the parents was done; none if one was not.
fn all_done(evidence: &Evidence, parents: &[TaskId]) -> Option<DateTime<Utc>> {
    let done = |parent| evidence.histories.get(parent)?.first(TaskStatus::Done);
    parents.iter().map(done).collect::<Option<Vec<_>>>()?.into_iter().max()
}

fn delays_release(scope: Scope) -> bool {
    match scope {
        Scope::Scheduler | Scope::Redis | Scope::Postgres | Scope::Machine => true,
        Scope::Worker(_) | Scope::Api | Scope::Remote | Scope::Nothing => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::staged::Staged;

    #[test]
    fn a_child_that_waits_for_its_parent_is_fine() {
        let findings = judge(&Staged::with_parent(2).evidence);
        assert_eq!((findings.judged, findings.broken.len()), (3, 0), "{:?}", findings.broken);
    }

    #[test]
    fn a_child_that_begins_first_is_named() {
        assert_eq!(judge(&Staged::with_parent(-20).evidence).broken.len(), 1);
    }

    #[test]
    fn a_late_release_is_named() {
        assert_eq!(judge(&Staged::with_parent(60).evidence).broken.len(), 1);
    }
}
