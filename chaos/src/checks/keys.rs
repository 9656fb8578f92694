//! 2: a key makes one task for its owner, however often it is sent.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use crate::evidence::Evidence;
use crate::ledger::Fact;
use crate::load::crons;

/// Names keys that were answered with several tasks, and names of tasks that several tasks have.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut of_key: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for entry in &evidence.ledger {
        if let Fact::Submitted { owner, key, task: Some(task), .. } = &entry.fact {
            of_key.entry((owner, key)).or_default().insert(*task);
        }
    }
    let mut findings = Findings::default();
    for ((_, key), tasks) in of_key {
        findings.judge(tasks.len() == 1, || format!("{key} was answered with {tasks:?}"));
    }
    // The load names each task after its key; those of schedules have none.
    let mut of_name: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for history in evidence.histories.values().filter(|history| !history.task.name.starts_with(crons::NAME)) {
        of_name.entry((history.task.owner_id, &history.task.name)).or_default().push(history.task.id);
    }
    for ((_, name), tasks) in of_name {
        findings.judge(tasks.len() == 1, || format!("{name} became {tasks:?}"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use makima_shared::domain::TaskId;

    use super::*;
    use crate::checks::staged::{Staged, entry};

    #[test]
    fn a_key_with_two_tasks_is_named() {
        let answered =
            |task| Fact::Submitted { owner: 0, key: "k".into(), status: 201, task: Some(task), code: None };
        let mut staged = Staged::done();
        let task = TaskId::new();
        staged.evidence.ledger.extend([entry(answered(task)), entry(answered(task))]);
        assert!(judge(&staged.evidence).broken.is_empty());
        staged.evidence.ledger.push(entry(answered(TaskId::new())));
        assert_eq!(judge(&staged.evidence).broken.len(), 1);
    }
}
