//! Every key that makima has in Redis.
//!
//! | key, behind `<prefix>:{q}` | type | holds |
//! |---|---|---|
//! | `:lane:<owner>:<labels>` | sorted set | ids of the owner's queued tasks that ask for these labels; the lowest score goes first |
//! | `:owners:<labels>` | sorted set | owners with such a lane, by what they have paid: the lowest pass goes first |
//! | `:label_sets` | set | the label sets of all lanes |
//! | `:passes:<labels>` | hash | owner -> the pass it was left with; the empty field holds that of the last claim |
//! | `:weights:<labels>` | hash | owner -> weight |
//! | `:excluded` | hash | task id -> ids of the workers that shall not take it, with spaces between |
//! | `:waiting` | sorted set | ids of workers that asked for a task and got none; the one that waits longest goes first |
//! | `:offers` | hash | worker id -> the labels that it offers, of workers that waited |
//! | `:inbox:<worker>` | list | messages for one worker; expires a minute after the last |
//! | `:alive:<worker>` | channel | nothing: its subscriber is a worker that lives |
//! | `:wake` | list | calls for the leading scheduler; the newest 10,000 |
//! | `:allowance:<owner>` | string | the time, in microseconds, at which an owner may submit a minute's worth again; gone then |
//! | `:filled` | string | there since the last time that every queued task was entered; gone with the rest when Redis is wiped |
//! | `:events:<task>` | channel | the number of a task's newest event |
//!
//! `{q}` is a hash tag: in a cluster all keys of one queue live in one slot, so scripts may touch several. Scripts get the
//! root as their one key and make the names themselves.

use crate::domain::{OwnerId, TaskId, WorkerId};

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

    /// What all keys start with: the one key that scripts get.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// The sorted set of an owner's queued tasks that ask for `labels`, which have spaces between.
    #[must_use]
    pub fn lane(&self, owner: OwnerId, labels: &str) -> String {
        format!("{}:lane:{owner}:{labels}", self.root)
    }

    pub(super) fn wake(&self) -> String {
        format!("{}:wake", self.root)
    }

    pub(super) fn filled(&self) -> String {
        format!("{}:filled", self.root)
    }

    pub(super) fn inbox(&self, worker: WorkerId) -> String {
        format!("{}:inbox:{worker}", self.root)
    }

    pub(super) fn alive(&self, worker: WorkerId) -> String {
        format!("{}:alive:{worker}", self.root)
    }

    pub(super) fn events(&self, task: TaskId) -> String {
        format!("{}:events:{task}", self.root)
    }
}
