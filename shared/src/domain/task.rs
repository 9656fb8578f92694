//! Tasks and attempts as they are stored.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Agent, Caps, Completion, CompletionAction, ContractId, Epoch, MergeStrategy, OwnerId, Spend, TaskId,
    TaskSecret, TaskStatus, WorkerId,
};

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "attempt_outcome", rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// The agent ended well.
    Completed,
    /// The agent ended with an error.
    AgentFailed,
    /// The task's time was over.
    TimedOut,
    /// The workspace could not be made, or the agent not be started.
    PreparationFailed,
    /// The remote of the repository gave no answer.
    RepositoryUnreachable,
    /// The worker's lease ran out.
    WorkerLost,
    /// The workspace vanished under the agent.
    WorkspaceLost,
    /// The worker shut down in order and gave the task back.
    HandedBack,
    /// Somebody stopped the task.
    Cancelled,
    /// The agent could not ask its model: a limit, no room at the vendor's, or a login that is no longer good.
    AgentLimited,
    /// What the task may spend is spent.
    OverBudget,
}

impl AttemptOutcome {
    /// Returns the word used in SQL, JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::AgentFailed => "agent_failed",
            Self::TimedOut => "timed_out",
            Self::PreparationFailed => "preparation_failed",
            Self::RepositoryUnreachable => "repository_unreachable",
            Self::WorkerLost => "worker_lost",
            Self::WorkspaceLost => "workspace_lost",
            Self::HandedBack => "handed_back",
            Self::Cancelled => "cancelled",
            Self::AgentLimited => "agent_limited",
            Self::OverBudget => "over_budget",
        }
    }
}

/// A task with everything that was asked for and where it stands.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The task's id.
    pub id: TaskId,
    /// The task that it is a part of.
    pub parent_task_id: Option<TaskId>,
    /// The contract that it is a part of.
    pub contract_id: Option<ContractId>,
    /// What people call it.
    pub name: String,
    /// What to do, in words.
    pub plan: String,
    /// Anything else about it.
    pub description: Option<String>,
    /// The repository it works on.
    pub repository_url: String,
    /// The branch it starts from; the remote's default if none.
    pub base_branch: Option<String>,
    /// The branch its result is pushed to, if it was asked for by name.
    pub target_branch: Option<String>,
    /// Who carries it out.
    pub agent: Agent,
    /// Environment variables for the agent.
    pub env: BTreeMap<String, String>,
    /// Secrets of the owner that the agent gets.
    #[serde(default)]
    pub secrets: Vec<TaskSecret>,
    /// 0 to 100; higher goes first.
    pub priority: i16,
    /// What a worker must offer to take it.
    pub labels: Vec<String>,
    /// How many retries it has in all.
    pub max_retries: i16,
    /// How many it has spent.
    pub retry_count: i16,
    /// How long an attempt may take, in seconds; no limit if none.
    pub timeout_secs: Option<i32>,
    /// How often its work is saved, in seconds.
    pub checkpoint_interval_secs: i32,
    /// What all attempts together may cost, in US dollars; no limit if none.
    #[serde(default)]
    pub max_cost_usd: Option<f64>,
    /// How many tokens all attempts together may use; no limit if none.
    #[serde(default)]
    pub max_tokens: Option<i64>,
    /// What all attempts together have spent.
    #[serde(default)]
    pub spent: Spend,
    /// Not before this time.
    pub run_at: Option<DateTime<Utc>>,
    /// The task whose work it goes on from.
    pub continue_from_task_id: Option<TaskId>,
    /// The checkpoint of that task, or the commit, that it starts from.
    pub checkpoint_sha: Option<String>,
    /// What alone is brought over from that task.
    pub copy_files: Vec<String>,
    /// Globs of ignored files that its checkpoints keep.
    pub keep_ignored: Vec<String>,
    /// What becomes of its result.
    pub completion_action: CompletionAction,
    /// How it is merged, where it is.
    #[serde(default)]
    pub merge_strategy: MergeStrategy,
    /// Where it stands.
    pub status: TaskStatus,
    /// How often it was claimed.
    pub epoch: Epoch,
    /// The worker that holds it.
    pub worker_id: Option<WorkerId>,
    /// When its back-off ends.
    pub not_before: Option<DateTime<Utc>>,
    /// Why it stands where it stands, for programs.
    pub status_code: Option<String>,
    /// Why it stands where it stands, in words.
    pub status_message: Option<String>,
    /// The commit that its work is based on.
    pub base_commit: Option<String>,
    /// The branch that its result was pushed to.
    pub result_branch: Option<String>,
    /// The commit that holds its result.
    pub result_commit: Option<String>,
    /// What went wrong with the completion action.
    pub completion_error: Option<String>,
    /// How the completion action went; none before the task's first good end.
    #[serde(default)]
    pub completion: Option<Completion>,
    /// The number of its newest event.
    pub last_sequence: i64,
    /// Rises with every change of its status, and with every change that its owner makes to it.
    pub version: i32,
    /// When it was submitted.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it came to its end.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A task in a list.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskSummary {
    /// The task's id.
    pub id: TaskId,
    /// The task that it is a part of.
    pub parent_task_id: Option<TaskId>,
    /// What people call it.
    pub name: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// Why it stands where it stands, for programs.
    pub status_code: Option<String>,
    /// 0 to 100; higher goes first.
    pub priority: i16,
    /// How often it was claimed.
    pub epoch: Epoch,
    /// The worker that holds it.
    pub worker_id: Option<WorkerId>,
    /// When it was submitted.
    pub created_at: DateTime<Utc>,
    /// When it came to its end.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A task that another one waits for.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DependencyState {
    /// The task waited for.
    pub id: TaskId,
    /// What people call it.
    pub name: String,
    /// Where it stands.
    pub status: TaskStatus,
}

/// One try at a task.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The epoch that the attempt's writes carry.
    pub epoch: Epoch,
    /// Who made it.
    pub worker_id: WorkerId,
    /// What people call that worker.
    pub worker_name: String,
    /// When the task was claimed.
    pub claimed_at: DateTime<Utc>,
    /// When the agent was started.
    pub started_at: Option<DateTime<Utc>>,
    /// The checkpoint that it went on from.
    pub resumed_from: Option<i32>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: Option<AttemptOutcome>,
    /// The agent's exit code.
    pub exit_code: Option<i32>,
    /// Why it ended so, for programs.
    pub error_code: Option<String>,
    /// Why it ended so, in words.
    pub error_message: Option<String>,
    /// What it has spent.
    #[serde(default)]
    pub spent: Spend,
}

/// Where a task's work starts that does not start at the tip of its branch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartPoint {
    /// The task whose work it goes on from.
    pub task_id: Option<TaskId>,
    /// The tree of that task's checkpoint; without such a task, a commit.
    pub sha: Option<String>,
    /// What alone is brought over from that task; all of its work if empty.
    pub copy_files: Vec<String>,
}

/// What another task has saved, for one that goes on from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTask {
    /// The commit that its work is based on, once an attempt has found it.
    pub base_commit: Option<String>,
    /// The commit that its result was pushed as.
    pub pushed_commit: Option<String>,
    /// Whether it has taken any checkpoint.
    pub has_checkpoints: bool,
}

/// What a worker gets with a claim.
#[derive(Clone, Debug)]
pub struct ClaimedTask {
    /// The task's id.
    pub id: TaskId,
    /// Whose task it is.
    pub owner_id: OwnerId,
    /// The epoch that this claim opened.
    pub epoch: Epoch,
    /// What people call it.
    pub name: String,
    /// What to do, in words.
    pub plan: String,
    /// The repository it works on.
    pub repository_url: String,
    /// The branch it starts from; the remote's default if none.
    pub base_branch: Option<String>,
    /// The branch its result goes to, if it was asked for by name.
    pub target_branch: Option<String>,
    /// Who carries it out.
    pub agent: Agent,
    /// Environment variables for the agent.
    pub env: BTreeMap<String, String>,
    /// Secrets of the owner that the agent gets.
    pub secrets: Vec<TaskSecret>,
    /// How many retries it has in all.
    pub max_retries: i16,
    /// How many it has spent.
    pub retry_count: i16,
    /// How long an attempt may take, in seconds.
    pub timeout_secs: Option<i32>,
    /// How often its work is saved, in seconds.
    pub checkpoint_interval_secs: i32,
    /// What all attempts together may spend.
    pub caps: Caps,
    /// Where its work starts, if not at the tip of its branch.
    pub start: StartPoint,
    /// Globs of ignored files that its checkpoints keep.
    pub keep_ignored: Vec<String>,
    /// What becomes of its result.
    pub completion_action: CompletionAction,
    /// How it is merged, where it is.
    pub merge_strategy: MergeStrategy,
    /// The work is done and in the last checkpoint: only the completion action is to be repeated.
    pub completion_only: bool,
    /// The commit that its work is based on, once an attempt has found it.
    pub base_commit: Option<String>,
}
