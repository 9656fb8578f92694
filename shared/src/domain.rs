//! The words of makima: ids, states, transitions, what a task asks for and what comes of it.
//!
//! Pure data and rules. Nothing here performs input or output.

mod agent;
mod agent_event;
mod bulk;
mod changes;
mod checkpoint;
mod completion;
mod conversation;
mod dependency;
mod event;
mod git_names;
mod hidden;
mod ids;
mod labels;
mod limits;
mod loop_mode;
mod message;
mod overview;
mod owner;
mod retry;
mod schedule;
mod secret;
mod status;
mod streak;
mod submission;
mod task;
mod transition;
mod worker;

pub use agent::{Agent, AgentClient, SpendTold};
pub use agent_event::{AgentEvent, Caps, Spend, TokenUsage};
pub use bulk::BulkSubmission;
pub(crate) use changes::unfit;
pub use changes::{CheckedChanges, TaskChanges, TaskField};
pub use checkpoint::{
    Checkpoint, CheckpointTrigger, MAX_MESSAGE_CHARS, NewCheckpoint, StoredCommits, StoredPatch,
};
pub use completion::{Completion, CompletionAction, CompletionError, CompletionStatus, MergeStrategy};
pub use conversation::{ConversationMessage, ConversationRole, SavedConversation};
pub use dependency::Dependency;
pub use event::{EventKind, HistoryError, OutputStream, StatusChange, TaskEvent, fold_statuses};
pub use git_names::{BranchName, RepositoryUrl, RepositoryUrlError};
pub use hidden::is_hidden;
pub use ids::{ApiKeyId, ContractId, Epoch, MessageId, OwnerId, ScheduleId, TaskId, WorkerId};
pub use labels::{MAX_LABELS, is_label, sorted_labels};
pub use limits::{RunningLimits, SlotCandidate, SlotsHeld};
pub use loop_mode::LoopMode;
pub use message::{MessageText, TaskMessage};
pub use overview::{FleetSize, Overview, OwnerLoad, QueueLoad, RecentEnds, RunningTask};
pub use owner::{OwnerChanges, OwnerSettings};
pub use retry::RetryPolicy;
pub use schedule::{
    DuePlan, MissedRuns, NewSchedule, Recurrence, RunOutcome, Schedule, ScheduleRun, ScheduleSubmission,
    ScheduleSummary,
};
pub use secret::{
    MAX_SECRET_BYTES, MAX_SECRETS_OF_OWNER, MAX_SECRETS_OF_TASK, MIN_SECRET_BYTES, SecretSummary,
    SecretValue, SecretVariable, TaskSecret, is_secret_name,
};
pub use status::TaskStatus;
pub use submission::{FieldError, NewTask, SubmissionPolicy, TaskSubmission};
pub use task::{
    Attempt, AttemptOutcome, ClaimedTask, DependencyState, SourceTask, StartPoint, Task, TaskSummary,
};
pub use transition::{AttemptEnd, Failure, Reason, TaskResult, Transition};
pub use worker::{NewWorker, Quarantine, Worker};
