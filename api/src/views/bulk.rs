//! The answer to a bulk submission.

use makima_shared::domain::TaskId;
use serde::Serialize;
use utoipa::ToSchema;

/// The tasks of a bulk submission.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkView {
    /// Their ids, in the order of the request.
    pub(crate) ids: Vec<TaskId>,
}
