//! Cron schedules: made, listed, shown and deleted. The scheduler finds what is due by itself.

pub(super) mod create;
pub(super) mod delete;
pub(super) mod list;
pub(super) mod show;
