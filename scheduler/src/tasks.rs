//! The reconcilers, one file each.

pub(crate) mod end_silent;
pub(crate) mod fail_blocked;
pub(crate) mod give_slots;
pub(crate) mod promote_due;
pub(crate) mod prune_deleted;
pub(crate) mod prune_keys;
pub(crate) mod prune_output;
pub(crate) mod prune_patches;
pub(crate) mod prune_schedule_runs;
pub(crate) mod prune_workers;
pub(crate) mod quarantine;
pub(crate) mod recount;
pub(crate) mod relax_exclusions;
pub(crate) mod release;
pub(crate) mod requeue_lost;
pub(crate) mod requeue_wiped;
pub(crate) mod rescue;
pub(crate) mod run_schedules;
