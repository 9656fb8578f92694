//! A role ends when it is killed or told to, and never by itself.

use super::Findings;
use crate::evidence::Evidence;

/// Names roles that ended by themselves, or did not end when they were told to.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    Findings::of(1, evidence.ended_by_themselves.clone())
}
