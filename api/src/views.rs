//! The shapes of answers: the domain's own, with what only clients need beside them.

pub(crate) mod bulk;
pub(crate) mod checkpoint;
pub(crate) mod conversation;
pub(crate) mod event;
pub(crate) mod message;
pub(crate) mod output;
pub(crate) mod schedule;
pub(crate) mod service;
pub(crate) mod task;
pub(crate) mod worker;
