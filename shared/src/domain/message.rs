//! What people say to a task's agent while the task goes on.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Epoch, FieldError, MessageId};

/// A message to a task's agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskMessage {
    /// Its place among the task's messages: 1, 2, 3 .. in the order in which the agent gets them.
    pub number: i32,
    /// Names it. Where the agent's client keeps names of messages, it keeps this one.
    pub id: MessageId,
    /// What is said.
    pub text: String,
    /// When it came in.
    pub created_at: DateTime<Utc>,
    /// When the agent took it up; none while it waits. An agent that goes on from a conversation of before that takes it up
    /// again, and this becomes later.
    pub delivered_at: Option<DateTime<Utc>>,
    /// The attempt in which the agent took it up.
    pub delivered_epoch: Option<Epoch>,
}

/// The text of a message, which an agent can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageText(String);

impl MessageText {
    /// The longest text.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Takes a text.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(text: String) -> Result<Self, FieldError> {
        let problem = if text.trim().is_empty() {
            "is empty"
        } else if text.len() > Self::MAX_BYTES {
            "is longer than 64 KiB"
        } else if text.contains('\0') {
            "holds a NUL byte"
        } else {
            return Ok(Self(text));
        };
        Err(FieldError::new("text", problem))
    }

    /// Returns the bare text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_something_and_bounded() {
        for bad in ["", " \n", "a\0b", &"x".repeat(MessageText::MAX_BYTES + 1)] {
            assert!(MessageText::new(bad.to_owned()).is_err(), "{} bytes", bad.len());
        }
        for good in ["x", "-", &"x".repeat(MessageText::MAX_BYTES)] {
            assert_eq!(MessageText::new(good.to_owned()).unwrap().as_str(), good);
        }
    }
}
