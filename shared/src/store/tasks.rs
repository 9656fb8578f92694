//! Tasks: how they come in, how they are read, and every way in which they move.
//!
//! The set-based moves (claim, release) and the single ones (`transition`) are one statement each: it locks the row,
//! checks the statuses that may be left and the epoch, moves, closes or opens the attempt, and writes the event.

mod claim;
mod exclusions;
mod read;
mod release;
mod rescue;
mod submit;
mod transition;
mod waiting;

pub use read::{TaskFilter, TaskPage};
pub use release::ReadyTask;
pub use rescue::LostAttempt;
pub use submit::{SubmitError, Submitted};
pub use transition::{Applied, Moved};
pub use waiting::WaitingFacts;
