//! The fleet.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::WorkerId;

/// A worker that registers.
#[derive(Clone, Debug)]
pub struct NewWorker {
    /// Names this life of the worker.
    pub id: WorkerId,
    /// What people call it.
    pub name: String,
    /// The machine it runs on.
    pub host: String,
    /// Its process id there.
    pub pid: i32,
    /// How many tasks it runs at once.
    pub slots: i32,
    /// What it offers to tasks that ask for it.
    pub labels: Vec<String>,
}

/// A time in which a worker gets no tasks, because it failed too many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// When it ends, by the database's clock.
    pub until: DateTime<Utc>,
    /// Why, in words.
    pub reason: String,
}

/// A worker as the fleet sees it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// Names this life of the worker.
    pub id: WorkerId,
    /// What people call it.
    pub name: String,
    /// The machine it runs on.
    pub host: String,
    /// Its process id there.
    pub pid: i32,
    /// The version of makima that it runs.
    pub version: String,
    /// How many tasks it runs at once.
    pub slots: i32,
    /// How many of its slots hold a task, of whatever owner.
    pub busy_slots: i64,
    /// What it offers to tasks that ask for it.
    pub labels: Vec<String>,
    /// When it came.
    pub registered_at: DateTime<Utc>,
    /// Until when it holds its tasks.
    pub lease_expires_at: DateTime<Utc>,
    /// It finishes what it has and takes nothing new.
    pub draining: bool,
    /// It failed too many tasks and takes nothing new until this time.
    pub quarantined_until: Option<DateTime<Utc>>,
    /// Why it is in quarantine, in words.
    pub quarantine_reason: Option<String>,
    /// Its lease holds.
    pub alive: bool,
    /// How many tasks it has claimed in its life, as of its last beat.
    pub claimed_count: i64,
    /// How many tasks it has brought to a good end in its life, as of its last beat.
    pub done_count: i64,
}
