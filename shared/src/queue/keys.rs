//! Every key that makima has in Redis.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `<prefix>:{q}:ready` | sorted set | ids of queued tasks; the lowest score goes first |
//! | `<prefix>:{q}:excluded` | hash | task id -> ids of the workers that shall not take it, with spaces between |
//! | `<prefix>:{q}:waiting` | sorted set | ids of workers that asked for a task and got none; the one that waits longest goes first |
//! | `<prefix>:{q}:inbox:<worker>` | list | messages for one worker; expires a minute after the last |
//! | `<prefix>:{q}:alive:<worker>` | channel | nothing: its subscriber is a worker that lives |
//! | `<prefix>:{q}:wake` | list | ids of tasks that ended, for the leading scheduler; the newest 10,000 |
//! | `<prefix>:{q}:events:<task>` | channel | the number of a task's newest event |
//!
//! `{q}` is a hash tag: in a cluster all keys of one queue live in one slot, so scripts may touch several.

use crate::domain::{TaskId, WorkerId};

/// Makes key names under one prefix.
#[derive(Clone, Debug)]
pub struct Keys {
    root: String,
}

impl Keys {
    /// Takes the prefix that keeps several queues in one Redis apart.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { root: format!("{prefix}:{{q}}") }
    }

    pub(super) fn ready(&self) -> String {
        format!("{}:ready", self.root)
    }

    pub(super) fn excluded(&self) -> String {
        format!("{}:excluded", self.root)
    }

    pub(super) fn waiting(&self) -> String {
        format!("{}:waiting", self.root)
    }

    pub(super) fn wake(&self) -> String {
        format!("{}:wake", self.root)
    }

    /// What inbox keys start with; a worker's id follows.
    pub(super) fn inbox_prefix(&self) -> String {
        format!("{}:inbox:", self.root)
    }

    pub(super) fn inbox(&self, worker: WorkerId) -> String {
        format!("{}{worker}", self.inbox_prefix())
    }

    pub(super) fn alive(&self, worker: WorkerId) -> String {
        format!("{}:alive:{worker}", self.root)
    }

    pub(super) fn events(&self, task: TaskId) -> String {
        format!("{}:events:{task}", self.root)
    }
}
