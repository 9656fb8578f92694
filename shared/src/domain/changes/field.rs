//! The parts of a task that may be changed, and while it stands where.

use std::fmt;

use crate::domain::TaskStatus;

/// A part of a task that may be changed at some time of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskField {
    /// `name`
    Name,
    /// `plan`
    Plan,
    /// `description`
    Description,
    /// `baseBranch`
    BaseBranch,
    /// `targetBranch`
    TargetBranch,
    /// `agent`
    Agent,
    /// `priority`
    Priority,
    /// `dependsOn`
    DependsOn,
    /// `contractId`
    ContractId,
    /// `labels`
    Labels,
    /// `maxRetries`
    MaxRetries,
    /// `timeoutSecs`
    TimeoutSecs,
    /// `checkpointIntervalSecs`
    CheckpointIntervalSecs,
    /// `maxCostUsd`
    MaxCostUsd,
    /// `maxTokens`
    MaxTokens,
    /// `runAt`
    RunAt,
    /// `env`
    Env,
    /// `secrets`
    Secrets,
    /// `completionAction`
    CompletionAction,
    /// `mergeStrategy`
    MergeStrategy,
}

impl TaskField {
    /// Tells whether the field may change while the task stands at `status`.
    ///
    /// What an attempt gets with its claim stays as it is while that lasts, `maxRetries` included, by which the worker judges a
    /// failure. What a task waited for is history once it was released. A task that has ended keeps what it was asked for.
    #[must_use]
    pub fn may_change_while(self, status: TaskStatus) -> bool {
        match self {
            Self::Name | Self::Description => true,
            Self::Priority | Self::Labels | Self::ContractId => !status.is_terminal(),
            Self::Plan
            | Self::BaseBranch
            | Self::TargetBranch
            | Self::Agent
            | Self::MaxRetries
            | Self::TimeoutSecs
            | Self::CheckpointIntervalSecs
            | Self::MaxCostUsd
            | Self::MaxTokens
            | Self::Env
            | Self::Secrets
            | Self::CompletionAction
            | Self::MergeStrategy => !status.is_terminal() && !status.is_active(),
            Self::DependsOn | Self::RunAt => status == TaskStatus::Pending,
        }
    }

    /// Returns the name that JSON has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Plan => "plan",
            Self::Description => "description",
            Self::BaseBranch => "baseBranch",
            Self::TargetBranch => "targetBranch",
            Self::Agent => "agent",
            Self::Priority => "priority",
            Self::DependsOn => "dependsOn",
            Self::ContractId => "contractId",
            Self::Labels => "labels",
            Self::MaxRetries => "maxRetries",
            Self::TimeoutSecs => "timeoutSecs",
            Self::CheckpointIntervalSecs => "checkpointIntervalSecs",
            Self::MaxCostUsd => "maxCostUsd",
            Self::MaxTokens => "maxTokens",
            Self::RunAt => "runAt",
            Self::Env => "env",
            Self::Secrets => "secrets",
            Self::CompletionAction => "completionAction",
            Self::MergeStrategy => "mergeStrategy",
        }
    }
}

impl fmt::Display for TaskField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_may_change_the_further_a_task_has_come() {
        let changeable = |field: TaskField| {
            [TaskStatus::Pending, TaskStatus::Queued, TaskStatus::Running, TaskStatus::Done]
                .map(|status| field.may_change_while(status))
        };
        assert_eq!(changeable(TaskField::Name), [true, true, true, true]);
        assert_eq!(changeable(TaskField::Priority), [true, true, true, false]);
        assert_eq!(changeable(TaskField::Plan), [true, true, false, false]);
        assert_eq!(changeable(TaskField::DependsOn), [true, false, false, false]);
    }
}
