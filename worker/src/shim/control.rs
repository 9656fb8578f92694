//! What reaches the shim from outside: the worker's lines on stdin, of which the first is the environment, and signals.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::mpsc::Sender;
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use super::environment;
use super::line::read_line;
use super::supervise::Event;

/// How long a control line may be: twice what a worker writes.
const MAX_LINE_BYTES: usize = 100;

/// One line of the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlLine {
    /// `lease <deadline>`: the lease is good until then, in milliseconds of [`super::boottime_ms`].
    Lease {
        /// The absolute deadline.
        until_ms: u64,
    },
    /// `stop <SIGNAL> <grace_ms>`: signal every process of the tree, kill what still lives after the grace.
    Stop {
        /// What the processes get first.
        signal: Signal,
        /// How long they may take.
        grace_ms: u64,
    },
}

impl fmt::Display for ControlLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease { until_ms } => write!(f, "lease {until_ms}"),
            Self::Stop { signal, grace_ms } => write!(f, "stop {signal} {grace_ms}"),
        }
    }
}

/// A line that is no [`ControlLine`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a control line")]
pub struct UnknownLine;

impl FromStr for ControlLine {
    type Err = UnknownLine;

    fn from_str(line: &str) -> Result<Self, UnknownLine> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let number = |word: &str| word.parse().map_err(|_| UnknownLine);
        match words[..] {
            ["lease", until] => Ok(Self::Lease { until_ms: number(until)? }),
            ["stop", signal, grace] => {
                let signal = signal.parse().map_err(|_| UnknownLine)?;
                Ok(Self::Stop { signal, grace_ms: number(grace)? })
            }
            _ => Err(UnknownLine),
        }
    }
}

/// Reads the agent's environment, which comes before all else. Fails if the worker goes before it has said all of it.
pub(super) fn read_environment() -> io::Result<Vec<u8>> {
    read_line(&mut io::stdin().lock(), environment::MAX_LINE_BYTES)
}

/// Reports the worker's lines until the socket closes, and then that the worker is gone. Skips unknown lines.
pub(super) fn watch_stdin(events: Sender<Event>) -> io::Result<()> {
    let watch = move || {
        let mut worker = io::stdin().lock();
        while let Ok(line) = read_line(&mut worker, MAX_LINE_BYTES) {
            if let Some(line) = str::from_utf8(&line).ok().and_then(|line| line.parse().ok()) {
                // A supervisor that no longer listens is about to exit, here and below.
                let _ = events.send(Event::Control(line));
            }
        }
        let _ = events.send(Event::WorkerGone);
    };
    thread::Builder::new().name("control".into()).spawn(watch).map(drop)
}

/// Reports each signal of the set, which every thread blocks.
pub(super) fn watch_signals(signals: SigSet, events: Sender<Event>) -> io::Result<()> {
    let watch = move || {
        while signals.wait().is_ok() && events.send(Event::Signalled).is_ok() {}
    };
    thread::Builder::new().name("signals".into()).spawn(watch).map(drop)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzzing::{DEFAULT_CASES, fuzz};

    #[test]
    fn control_lines_read_back_as_written() {
        let lines = [
            ControlLine::Lease { until_ms: 123_456 },
            ControlLine::Stop { signal: Signal::SIGINT, grace_ms: 5_000 },
            ControlLine::Stop { signal: Signal::SIGKILL, grace_ms: 0 },
        ];
        for line in lines {
            assert_eq!(line.to_string().parse(), Ok(line));
        }
    }

    #[test]
    fn other_lines_are_no_control_lines() {
        for line in ["", "lease", "lease soon", "stop 5000", "stop SIGNONE 1", "lease 1 2"] {
            assert_eq!(line.parse::<ControlLine>(), Err(UnknownLine), "{line:?}");
        }
    }

    #[test]
    fn whatever_comes_is_a_line_that_reads_back_or_none() {
        const WORDS: &[&str] = &[
            "lease ",
            "stop ",
            "SIGTERM",
            "SIGKILL",
            "SIGNONE",
            "\n",
            " ",
            "\t",
            "-",
            "18446744073709551616",
        ];
        fuzz("control_line", DEFAULT_CASES, WORDS, |bytes| {
            let mut rest = bytes;
            // As the shim does: until a line is too long, or cut off.
            while let Ok(line) = read_line(&mut rest, MAX_LINE_BYTES) {
                prop_assert!(line.len() <= MAX_LINE_BYTES && !line.contains(&b'\n'));
                let Some(line) = str::from_utf8(&line).ok().and_then(|line| line.parse::<ControlLine>().ok())
                else {
                    continue;
                };
                prop_assert!(line.to_string().len() < MAX_LINE_BYTES);
                prop_assert_eq!(line.to_string().parse(), Ok(line));
            }
            Ok(())
        });
    }
}
