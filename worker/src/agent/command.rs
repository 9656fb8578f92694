//! The agent that is any command: its plan on stdin, its end told by its exit code.

use crate::process::Signal;

/// What programs expect that are asked to end.
pub(super) const STOP_SIGNAL: Signal = Signal::SIGTERM;
