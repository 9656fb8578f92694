//! Workers, as clients see them.

use makima_shared::domain::{TaskId, Worker};
use serde::Serialize;
use utoipa::ToSchema;

/// The fleet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkersView {
    /// The workers that have not ended, oldest first.
    pub(crate) workers: Vec<Worker>,
}

/// A worker, and what it runs for the caller.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkerDetailView {
    #[serde(flatten)]
    pub(crate) worker: Worker,
    /// Those of the caller's tasks that it holds.
    pub(crate) task_ids: Vec<TaskId>,
}
