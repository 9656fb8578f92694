//! Tasks: how they come in, how they are read, and every way in which they move.
//!
//! Every move is one statement, for one task or for many: it locks the rows, checks the statuses that may be left and the
//! epochs, moves, closes or opens the attempts, and writes the events.

mod change;
mod claim;
mod delete;
mod exclusions;
mod graph;
mod news;
mod promote;
mod queued;
mod read;
mod ready;
mod rescue;
mod retry_completion;
mod settle;
mod slots;
mod start;
mod submit;
mod transition;
mod waiting;

pub use change::ChangeError;
pub use delete::{DeleteError, DeletedTask};
pub use news::TaskNews;
pub use promote::Promoted;
pub use read::{TaskFilter, TaskPage};
pub use ready::ReadyTask;
pub use rescue::LostAttempt;
pub use retry_completion::RetryCompletionOutcome;
pub use settle::Settled;
pub use start::StartOutcome;
pub(in crate::store) use submit::tasks_insert_in_txn;
pub use submit::{AcceptedTask, SubmitError, Submitted};
pub use transition::{Applied, AppliedAll, Move, Moved};
pub use waiting::WaitingFacts;
