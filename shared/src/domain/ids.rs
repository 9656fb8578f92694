//! Newtypes for ids, so that a task's id is never taken for a worker's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Declares a newtype over a version 7 UUID.
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type,
            utoipa::ToSchema,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a fresh id that sorts after the earlier ones.
            #[must_use]
            #[allow(clippy::new_without_default, reason = "a default that is never the same twice would surprise")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Returns the bare UUID.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id_type!(
    /// Names an owner: the tenant that tasks and keys belong to.
    OwnerId
);
id_type!(
    /// Names an API key (not the secret itself).
    ApiKeyId
);
id_type!(
    /// Names a task.
    TaskId
);
id_type!(
    /// Names a contract: a group of tasks.
    ContractId
);
id_type!(
    /// Names a cron schedule.
    ScheduleId
);
id_type!(
    /// Names one life of a worker process. A worker that lost its lease comes back under a new id.
    WorkerId
);

id_type!(
    /// Names a message to a task's agent.
    MessageId
);

impl TaskId {
    /// Returns the short form that people type: the last eight hexadecimal digits, which are random (the first ones
    /// are a clock and the same for all tasks of a minute).
    #[must_use]
    pub fn short(self) -> String {
        last_digits(self.0)
    }
}

impl ScheduleId {
    /// Returns the short form that people type, as [`TaskId::short`] does.
    #[must_use]
    pub fn short(self) -> String {
        last_digits(self.0)
    }
}

fn last_digits(id: Uuid) -> String {
    let text = id.simple().to_string();
    text[text.len() - 8..].to_owned()
}

/// Counts the claims of a task. Every write of an attempt carries the epoch that it was claimed with, and the store
/// takes it only while that is still the task's newest.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    sqlx::Type,
    utoipa::ToSchema,
)]
#[serde(transparent)]
#[sqlx(transparent)]
#[schema(value_type = i64)]
pub struct Epoch(i64);

impl Epoch {
    /// Returns the bare number: 0 for a task that was never claimed.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl From<i64> for Epoch {
    fn from(number: i64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
