//! The reconcilers, one file each.

pub(crate) mod end_silent;
pub(crate) mod fail_blocked;
pub(crate) mod prune_patches;
pub(crate) mod quarantine;
pub(crate) mod relax_exclusions;
pub(crate) mod release;
pub(crate) mod requeue_lost;
pub(crate) mod rescue;
