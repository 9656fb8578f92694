//! 8: a task that kills its workers ends as failed once its retries are spent, on different workers, with its story.

use std::collections::BTreeSet;

use makima_shared::domain::{AttemptOutcome, TaskStatus};

use super::Findings;
use crate::evidence::Evidence;
use crate::load::Kind;

/// Names poison tasks that were done, that were tried too often, or twice on one worker.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    for (task, history) in &evidence.histories {
        if evidence.asked.get(task).is_none_or(|asked| asked.kind != Kind::Poison) {
            continue;
        }
        let status = history.task.status;
        let is_over = matches!(status, TaskStatus::Failed | TaskStatus::Cancelled);
        findings.judge(is_over, || format!("{} is {status}", evidence.name(*task)));
        // What a drain hands back is no try.
        let tries: Vec<_> = history
            .attempts
            .iter()
            .filter(|attempt| attempt.outcome != Some(AttemptOutcome::HandedBack))
            .collect();
        let allowed = usize::try_from(history.task.max_retries).unwrap_or(0) + 1;
        findings.judge(tries.len() <= allowed, || {
            format!("{} was tried {} times, and {allowed} were allowed", evidence.name(*task), tries.len())
        });
        let lost: Vec<_> =
            tries.iter().filter(|attempt| attempt.outcome == Some(AttemptOutcome::WorkerLost)).collect();
        let workers: BTreeSet<_> = lost.iter().map(|attempt| attempt.worker_id).collect();
        findings.judge(workers.len() == lost.len(), || {
            let names: Vec<_> =
                lost.iter().map(|attempt| attempt.worker_name.as_deref().unwrap_or("?")).collect();
            format!("{} was lost twice by one worker: {names:?}", evidence.name(*task))
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::staged::Staged;

    #[test]
    fn a_poison_task_that_is_done_or_tried_too_often_is_named() {
        let mut staged = Staged::retried(Kind::Poison);
        staged.history().task.max_retries = 0;
        assert_eq!(judge(&staged.evidence).broken.len(), 2);
    }
}
