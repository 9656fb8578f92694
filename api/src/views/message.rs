//! Messages to agents, as clients see them.

use makima_shared::domain::{MessageId, TaskMessage};
use serde::Serialize;
use utoipa::ToSchema;

/// A message that was taken.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageTakenView {
    /// Its place among the task's messages, from 1.
    pub(crate) number: i32,
    /// Its name.
    pub(crate) id: MessageId,
}

/// A part of a task's messages.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessagesView {
    /// The messages, in order.
    messages: Vec<TaskMessage>,
    /// What to send as `after` to go on: the number of the last message here, or what was sent if there is none.
    next_after: i64,
}

impl MessagesView {
    pub(crate) fn new(messages: Vec<TaskMessage>, after: i64) -> Self {
        Self { next_after: messages.last().map_or(after, |message| message.number.into()), messages }
    }
}
