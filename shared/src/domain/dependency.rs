//! What a submission names as the tasks to wait for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::TaskId;

/// One task to wait for: by its id, or by the `ref` that another task of the same request carries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Dependency {
    /// A task that exists.
    Task(TaskId),
    /// A task of the same bulk submission.
    Ref(String),
}

impl From<String> for Dependency {
    fn from(text: String) -> Self {
        match text.parse() {
            Ok(id) => Self::Task(id),
            Err(_no_id) => Self::Ref(text),
        }
    }
}

impl From<Dependency> for String {
    fn from(dependency: Dependency) -> Self {
        dependency.to_string()
    }
}

impl From<TaskId> for Dependency {
    fn from(id: TaskId) -> Self {
        Self::Task(id)
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(id) => id.fmt(formatter),
            Self::Ref(name) => name.fmt(formatter),
        }
    }
}

impl utoipa::PartialSchema for Dependency {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

impl utoipa::ToSchema for Dependency {}
