//! A task's history, as clients see it.

use makima_shared::domain::{TaskEvent, TaskStatus};
use serde::Serialize;
use utoipa::ToSchema;

/// A part of a task's history.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventsView {
    /// The events, in order.
    events: Vec<TaskEvent>,
    /// What to send as `after` to go on: the number of the last event here, or what was sent if there is none.
    next_after: i64,
}

impl EventsView {
    pub(crate) fn new(events: Vec<TaskEvent>, after: i64) -> Self {
        Self { next_after: events.last().map_or(after, |event| event.sequence), events }
    }
}

/// The last message of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndView {
    /// Where the task ended.
    pub(crate) status: TaskStatus,
}
