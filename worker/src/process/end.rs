//! How an agent ended, in the worker's words.

use crate::shim::{KillReason, Outcome, ShimStatus};

/// What became of the process tree around an agent's main process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeEnd {
    /// What began the end, if the agent did not end by itself.
    pub killed_because: Option<KillReason>,
    /// How many descendants beside the main process had to be killed.
    pub leftovers: usize,
    /// How many descendants could not be killed.
    pub survivors: usize,
}

/// How an agent ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentEnd {
    /// It exited.
    Exited {
        /// Its exit code.
        code: i32,
        /// The tree around it.
        tree: TreeEnd,
    },
    /// A signal ended it.
    Signaled {
        /// The signal's number; 0 for a real-time signal.
        signal: i32,
        /// The tree around it.
        tree: TreeEnd,
    },
    /// It never ran: the program is missing, is not executable, has no working directory, or has more arguments and
    /// environment than the system takes. Code [`AgentEnd::NOT_STARTABLE`].
    NotStarted {
        /// Why, for people.
        error: String,
    },
    /// Its shim was killed or got stuck: how the agent ended is unknown. Its processes have been killed.
    Lost {
        /// What is known, for people.
        detail: String,
    },
}

impl AgentEnd {
    /// The error code of [`AgentEnd::NotStarted`].
    pub const NOT_STARTABLE: &'static str = "AGENT_NOT_STARTABLE";
    /// The error code of [`AgentEnd::Lost`].
    pub const LOST: &'static str = "AGENT_LOST";

    /// Says what began the end, if the agent did not end by itself.
    pub fn killed_because(&self) -> Option<KillReason> {
        match self {
            Self::Exited { tree, .. } | Self::Signaled { tree, .. } => tree.killed_because,
            Self::NotStarted { .. } | Self::Lost { .. } => None,
        }
    }
}

impl From<ShimStatus> for AgentEnd {
    fn from(status: ShimStatus) -> Self {
        let ShimStatus { outcome, killed_because, leftovers, survivors } = status;
        let tree = TreeEnd { killed_because, leftovers, survivors };
        match outcome {
            Outcome::Exited { code } => Self::Exited { code, tree },
            Outcome::Signaled { signal } => Self::Signaled { signal, tree },
            Outcome::NotStarted { error } => Self::NotStarted { error },
        }
    }
}
