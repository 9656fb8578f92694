//! 13: after a drain nothing is left behind.

use super::Findings;
use crate::evidence::Evidence;

/// Names worktrees, processes, refs, keys and transactions that stayed.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let left = &evidence.leftovers;
    let kinds = [
        ("worktree", &left.worktrees),
        ("process", &left.processes),
        ("ref", &left.refs),
        ("Redis key", &left.redis_keys),
        ("idle transaction", &left.idle_transactions),
    ];
    let found = kinds.iter().flat_map(|(kind, all)| all.iter().map(move |one| format!("{kind} {one}")));
    Findings::of(kinds.len(), found.collect())
}
