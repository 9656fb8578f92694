//! What the shim tells the worker about an agent's end: the one line that it says on the control socket.

use std::io::{self, BufRead, Write};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::line::read_line;

/// How long the line may be: several times what a shim says.
const MAX_LINE_BYTES: usize = 64 << 10;

/// How the agent's main process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It exited by itself.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal ended it.
    Signaled {
        /// The signal's number; 0 for a real-time signal.
        signal: i32,
    },
    /// It never ran.
    NotStarted {
        /// Why, for people.
        error: String,
    },
}

/// Why the shim ended the tree before the agent had ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillReason {
    /// The worker asked for it.
    Stop,
    /// The lease's deadline passed without a renewal.
    Lease,
    /// The control socket closed: the worker died or let go.
    WorkerGone,
    /// Somebody sent a terminating signal to the shim.
    Signal,
}

/// The content of the line:
/// `{"outcome":"exited","code":0,"killedBecause":null,"leftovers":0,"survivors":0}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShimStatus {
    /// How the agent's main process ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What began the end; a `stop` that the agent obeyed counts, so this may go with `exited`.
    pub killed_because: Option<KillReason>,
    /// How many descendants beside the main process had to be killed.
    pub leftovers: usize,
    /// How many descendants could not be killed in bounded time; all of them have SIGKILL pending or another owner.
    pub survivors: usize,
}

impl ShimStatus {
    /// Says that the agent never ran.
    pub fn not_started(error: String) -> Self {
        Self { outcome: Outcome::NotStarted { error }, killed_because: None, leftovers: 0, survivors: 0 }
    }

    /// Says that the agent was not let start, because the lease was over: for the worker the same as one that was killed
    /// for that reason.
    pub(super) fn overdue() -> Self {
        let outcome = Outcome::Signaled { signal: Signal::SIGKILL as i32 };
        Self { outcome, killed_because: Some(KillReason::Lease), leftovers: 0, survivors: 0 }
    }

    /// Reads the line.
    pub(crate) fn receive(from: &mut impl BufRead) -> io::Result<Self> {
        Ok(serde_json::from_slice(&read_line(from, MAX_LINE_BYTES)?)?)
    }

    /// Writes the line at once, so that a reader finds all of it or none.
    pub(super) fn send(&self, to: &mut impl Write) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        to.write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzzing::{DEFAULT_CASES, fuzz};

    #[test]
    fn status_has_the_documented_shape() {
        let status = ShimStatus {
            outcome: Outcome::Exited { code: 3 },
            killed_because: Some(KillReason::WorkerGone),
            leftovers: 2,
            survivors: 0,
        };
        let json =
            r#"{"outcome":"exited","code":3,"killedBecause":"worker_gone","leftovers":2,"survivors":0}"#;
        assert_eq!(serde_json::to_string(&status).unwrap(), json);
        assert_eq!(serde_json::from_str::<ShimStatus>(json).unwrap(), status);
    }

    #[test]
    fn status_that_was_sent_is_received() {
        let status = ShimStatus::not_started("no such\nfile".into());
        let mut said = Vec::new();
        status.send(&mut said).unwrap();
        assert_eq!(ShimStatus::receive(&mut &said[..]).unwrap(), status);
        said.pop();
        assert!(ShimStatus::receive(&mut &said[..]).is_err());
    }

    #[test]
    fn longest_failure_fits() {
        let error = "\u{1}".repeat(usize::try_from(super::super::exec::MAX_FAILURE_BYTES).unwrap());
        let mut said = Vec::new();
        ShimStatus::not_started(error).send(&mut said).unwrap();
        assert!(said.len() < MAX_LINE_BYTES);
    }

    #[test]
    fn whatever_a_shim_says_is_a_status_that_reads_back_or_none() {
        const WORDS: &[&str] = &[
            "{",
            "}",
            "\"outcome\":",
            "\"exited\"",
            "\"signaled\"",
            "\"not_started\"",
            "\"error\":",
            "\"code\":",
            "\"signal\":",
            "\"killedBecause\":",
            "null",
            "\"lease\"",
            "\"leftovers\":",
            "\"survivors\":",
            ",",
            "\n",
            "[[[[[[[[",
            "\\u0000",
            "1e999",
        ];
        fuzz("shim_status", DEFAULT_CASES, WORDS, |bytes| {
            let Ok(status) = ShimStatus::receive(&mut &bytes[..]) else { return Ok(()) };
            let mut said = Vec::new();
            status.send(&mut said).unwrap();
            prop_assert_eq!(ShimStatus::receive(&mut &said[..]).unwrap(), status);
            Ok(())
        });
    }
}
