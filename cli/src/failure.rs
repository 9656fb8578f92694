//! How the process ends: exit codes, and errors in words.
//!
//! 0 for success, 1 for a failure, 2 for a wrong use of the command line, 3 for a task that waits for a person, 128 + n for the
//! end by signal n.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use nix::sys::signal::Signal;

use crate::render::plain;

/// The exit code for a task that was waited for and that now waits for a person: it has neither ended well nor failed.
pub(crate) const HELD: u8 = 3;

/// What was asked for cannot be, whatever the state of the servers.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Returns the exit code that shells give for the end by a signal.
pub(crate) fn ended_by(signal: Signal) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal as i32).unwrap_or(1))
}

/// Says what went wrong on standard error and returns the exit code for it.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if reader_went_away(error) {
        return ended_by(Signal::SIGPIPE);
    }
    // Standard error may be closed as well; there is nobody left to tell then.
    let _ = io::Write::write_all(
        &mut io::stderr(),
        format!("makima: {}\n", plain(&chain(error.as_ref()))).as_bytes(),
    );
    if error.is::<UsageError>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// Tells whether whoever read our output has had enough (`makima tasks | head`).
fn reader_went_away(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Renders an error and its causes in one line. A cause that the error's own words repeat already is left out.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_in_one_line_without_repeats() {
        let inner = io::Error::other("connection refused");
        let error = anyhow::Error::new(inner).context("PostgreSQL is unavailable").context("cannot migrate");
        assert_eq!(chain(error.as_ref()), "cannot migrate: PostgreSQL is unavailable: connection refused");
        let repeated = anyhow::anyhow!("no route").context("cannot connect: no route");
        assert_eq!(chain(repeated.as_ref()), "cannot connect: no route");
    }
}
