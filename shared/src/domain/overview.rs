//! How much there is to do, who waits for it, and what runs: what a person looks at while makima works.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Epoch, TaskId, TaskStatus, Worker, WorkerId};

/// The queued tasks of one priority, of all owners.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueLoad {
    /// 0 to 100; higher goes first.
    pub priority: i16,
    /// How many there are.
    pub depth: i64,
    /// How long the oldest of them has been queued, in seconds.
    pub oldest_age_secs: f64,
}

/// The live tasks of one owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnerLoad {
    /// What the owner is called.
    pub name: String,
    /// How many wait for dependencies, a time or a back-off.
    pub pending: i64,
    /// How many may be claimed.
    pub queued: i64,
    /// How many have a worker that prepares their workspace.
    pub starting: i64,
    /// How many have an agent that runs.
    pub running: i64,
}

impl OwnerLoad {
    /// Returns how many tasks stand in a status; 0 for those that are not live.
    #[must_use]
    pub fn count(&self, status: TaskStatus) -> i64 {
        self.clone().count_mut(status).map_or(0, |count| *count)
    }

    /// Returns the place where a live status is counted.
    pub(crate) fn count_mut(&mut self, status: TaskStatus) -> Option<&mut i64> {
        match status {
            TaskStatus::Pending => Some(&mut self.pending),
            TaskStatus::Queued => Some(&mut self.queued),
            TaskStatus::Starting => Some(&mut self.starting),
            TaskStatus::Running => Some(&mut self.running),
            TaskStatus::Paused
            | TaskStatus::Interrupted
            | TaskStatus::Done
            | TaskStatus::Merged
            | TaskStatus::Failed
            | TaskStatus::Cancelled => None,
        }
    }
}

/// The workers that are alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetSize {
    /// How many there are.
    pub workers: i64,
    /// How many tasks they run at once.
    pub slots: i64,
    /// How many of their slots hold a task, of whatever owner.
    pub slots_busy: i64,
}

/// How the newest tasks of an owner ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecentEnds {
    /// How many of the newest tasks were looked at, 1,000 at most.
    pub looked_at: i64,
    /// How many of them ended well.
    pub done: i64,
    /// How many gave up.
    pub failed: i64,
    /// How many were stopped by request.
    pub cancelled: i64,
}

/// A task that a worker holds.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunningTask {
    /// The task's id.
    pub id: TaskId,
    /// The short form of the id.
    pub short_id: String,
    /// What people call it.
    pub name: String,
    /// `starting` or `running`.
    pub status: TaskStatus,
    /// Which attempt it is.
    pub epoch: Epoch,
    /// The worker that holds it.
    pub worker_id: WorkerId,
    /// What people call that worker.
    pub worker_name: String,
    /// Since when its agent runs, or since when it is being prepared.
    pub since: DateTime<Utc>,
    /// How long nothing has happened to it, in seconds: neither output nor anything else.
    pub last_event_age_secs: f64,
}

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// When this was answered.
    pub at: DateTime<Utc>,
    /// When `queue`, `own`, `owners`, `fleet` and `workers` were measured. A moment ago, and longer where measuring them takes long.
    pub measured_at: DateTime<Utc>,
    /// What is queued, of all owners, the highest priority first.
    pub queue: Vec<QueueLoad>,
    /// The caller's own tasks.
    pub own: OwnerLoad,
    /// How the caller's newest tasks ended.
    pub recent: RecentEnds,
    /// The owners with the most to do, 100 at most, for an operator's key; for any other the caller alone.
    pub owners: Vec<OwnerLoad>,
    /// How many owners have something to do, where `owners` may tell of all.
    pub active_owners: Option<i64>,
    /// The workers that are alive, in numbers.
    pub fleet: FleetSize,
    /// The workers that have not ended, oldest first, 1,000 at most.
    pub workers: Vec<Worker>,
    /// The caller's tasks that workers hold, 100 at most, the oldest first.
    pub running_tasks: Vec<RunningTask>,
}
