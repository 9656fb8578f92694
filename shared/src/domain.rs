//! The words of makima: ids, states, transitions, what a task asks for and what comes of it.
//!
//! Pure data and rules. Nothing here performs input or output.

mod agent;
mod checkpoint;
mod event;
mod git_names;
mod hidden;
mod ids;
mod overview;
mod retry;
mod status;
mod submission;
mod task;
mod transition;
mod worker;

pub use agent::Agent;
pub use checkpoint::{Checkpoint, CheckpointTrigger, NewCheckpoint, StoredPatch};
pub use event::{EventKind, HistoryError, OutputStream, StatusChange, TaskEvent, fold_statuses};
pub use git_names::{BranchName, RepositoryUrl, RepositoryUrlError};
pub use hidden::is_hidden;
pub use ids::{ApiKeyId, Epoch, OwnerId, TaskId, WorkerId};
pub use overview::{FleetSize, Overview, OwnerLoad, QueueLoad, RecentEnds, RunningTask};
pub use retry::RetryPolicy;
pub use status::TaskStatus;
pub use submission::{FieldError, NewTask, SubmissionPolicy, TaskSubmission};
pub use task::{Attempt, AttemptOutcome, ClaimedTask, CompletionAction, DependencyState, Task, TaskSummary};
pub use transition::{AttemptEnd, Failure, Reason, TaskResult, Transition};
pub use worker::{NewWorker, Worker};
