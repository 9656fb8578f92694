//! 12: whatever belongs to a task has its owner.

use super::Findings;
use crate::evidence::Evidence;

/// Names rows of another owner than their task's, and tasks of another owner than the one who submitted them.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::of(0, evidence.foreign_rows.clone());
    let mut owners = std::collections::BTreeMap::new();
    for (task, asked) in &evidence.asked {
        let Some(history) = evidence.histories.get(task) else { continue };
        let owner = *owners.entry(asked.owner).or_insert(history.task.owner_id);
        findings.judge(owner == history.task.owner_id, || format!("{} changed hands", evidence.name(*task)));
    }
    findings
}
