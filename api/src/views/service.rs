//! The process's own state, as clients see it.

use serde::Serialize;
use utoipa::ToSchema;

/// How a part does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Condition {
    /// It answers.
    Ok,
    /// It does not.
    Away,
}

/// The process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthView {
    /// Always `ok`.
    pub(crate) status: Condition,
}

/// What the process needs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadyView {
    /// PostgreSQL, without which nothing works.
    pub(crate) postgresql: Condition,
    /// Redis, without which tasks start later.
    pub(crate) redis: Condition,
}
