//! Where a task stands, and which moves are legal.
//!
//! ```text
//!  pending --released--> queued --claimed--> starting --started--> running --completed--> done --> merged
//!     ^                    ^                    |                     |
//!     |                    +----handed back-----+---------------------+
//!     +---------------- lost, failed with retries left ---------------+--> failed
//!  (any state that is not final) --cancelled--> cancelled
//!  (any state that is final, and interrupted) --restarted, by name alone--> pending
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The status of a task. Each variant says who moves a task out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "task_status", rename_all = "lowercase")]
pub enum TaskStatus {
    /// Waits for dependencies, a time or a back-off. The scheduler releases it.
    Pending,
    /// Released. Any eligible worker may claim it.
    Queued,
    /// Claimed. Its worker prepares the workspace.
    Starting,
    /// Its agent runs. Its worker ends it, or the scheduler once the worker's lease is dead.
    Running,
    /// Checkpointed and off its worker. A person resumes it.
    Paused,
    /// Stopped midway. A person decides what becomes of it.
    Interrupted,
    /// Ended well.
    Done,
    /// Ended well, and its result is part of the base branch.
    Merged,
    /// Gave up; the reason stands beside it.
    Failed,
    /// Stopped by request.
    Cancelled,
}

impl TaskStatus {
    /// All statuses, in the order of a task's life.
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Queued,
        Self::Starting,
        Self::Running,
        Self::Paused,
        Self::Interrupted,
        Self::Done,
        Self::Merged,
        Self::Failed,
        Self::Cancelled,
    ];
    /// A worker holds the task.
    pub const ACTIVE: [Self; 2] = [Self::Starting, Self::Running];
    /// Nothing moves the task any more, unless somebody asks for a restart by name.
    pub const TERMINAL: [Self; 4] = [Self::Done, Self::Merged, Self::Failed, Self::Cancelled];
    /// Nobody works on the task, and nothing but a person moves it on.
    pub const HELD: [Self; 2] = [Self::Paused, Self::Interrupted];
    /// Whatever somebody may start again: see [`super::Transition::restarted`].
    pub const RESTARTABLE: [Self; 5] =
        [Self::Interrupted, Self::Done, Self::Merged, Self::Failed, Self::Cancelled];
    /// What depends on the task may run.
    pub const SATISFIED: [Self; 2] = [Self::Done, Self::Merged];
    /// Whatever may still be cancelled.
    pub const CANCELLABLE: [Self; 6] =
        [Self::Pending, Self::Queued, Self::Starting, Self::Running, Self::Paused, Self::Interrupted];

    /// Tells whether a worker holds the task.
    #[must_use]
    pub fn is_active(self) -> bool {
        Self::ACTIVE.contains(&self)
    }

    /// Tells whether the task has come to its end.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        Self::TERMINAL.contains(&self)
    }

    /// Tells whether the task waits for a person, who may also leave it so for ever.
    #[must_use]
    pub fn is_held(self) -> bool {
        Self::HELD.contains(&self)
    }

    /// Tells whether a task may move from `self` to `next`, restarts left out: those are told by their name.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => matches!(next, Self::Queued | Self::Failed | Self::Cancelled),
            Self::Queued => matches!(next, Self::Starting | Self::Cancelled),
            Self::Starting => {
                matches!(next, Self::Running | Self::Pending | Self::Queued | Self::Failed | Self::Cancelled)
            }
            Self::Running => {
                matches!(
                    next,
                    Self::Done
                        | Self::Merged
                        | Self::Pending
                        | Self::Queued
                        | Self::Failed
                        | Self::Cancelled
                        | Self::Paused
                        | Self::Interrupted
                )
            }
            Self::Paused | Self::Interrupted => {
                matches!(next, Self::Pending | Self::Queued | Self::Cancelled)
            }
            Self::Done | Self::Merged | Self::Failed | Self::Cancelled => false,
        }
    }

    /// Returns the word used in SQL, JSON and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Interrupted => "interrupted",
            Self::Done => "done",
            Self::Merged => "merged",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Says that a word is no status, and which words are.
#[derive(Debug, thiserror::Error)]
#[error(
    "'{0}' is no task status: use pending, queued, starting, running, paused, interrupted, done, merged, failed or cancelled"
)]
pub struct UnknownStatus(String);

impl FromStr for TaskStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_statuses_lead_nowhere() {
        for from in TaskStatus::TERMINAL {
            for to in TaskStatus::ALL {
                assert!(!from.may_become(to), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn whatever_is_not_terminal_may_be_cancelled() {
        for status in TaskStatus::ALL {
            assert_eq!(status.may_become(TaskStatus::Cancelled), !status.is_terminal());
            assert_eq!(TaskStatus::CANCELLABLE.contains(&status), !status.is_terminal());
        }
    }

    #[test]
    fn every_status_is_read_back_from_its_word() {
        for status in TaskStatus::ALL {
            assert_eq!(status.as_str().parse::<TaskStatus>().unwrap(), status);
        }
        assert!("runing".parse::<TaskStatus>().is_err());
    }
}
