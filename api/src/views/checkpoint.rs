//! Checkpoints, as clients see them.

use makima_shared::domain::Checkpoint;
use serde::Serialize;
use utoipa::ToSchema;

/// A task's checkpoints, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckpointsView {
    /// The checkpoints.
    pub(crate) checkpoints: Vec<Checkpoint>,
}
