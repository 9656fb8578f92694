//! Tasks: submitted, listed, shown, changed, started, stopped, delivered again, deleted, followed and talked to.

pub(super) mod bulk;
pub(super) mod change;
pub(super) mod conversation;
pub(super) mod delete;
pub(super) mod events;
pub(super) mod list;
pub(super) mod message;
pub(super) mod messages;
pub(super) mod output;
pub(super) mod retry_completion;
pub(super) mod show;
pub(super) mod start;
pub(super) mod stop;
pub(super) mod stream;
pub(super) mod submit;
