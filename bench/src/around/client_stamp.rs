//! This program under the name of a client: it says when it began, runs the stand-in, and says when that had ended.
//!
//! It says so on standard error, which makima keeps in the task's output. All that it takes itself counts as the client's.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use makima_shared::domain::{EventKind, TaskEvent};

/// The name of the client.
pub(super) const NAME: &str = "claude";
/// The program that stands in for it.
pub(super) const STAND_IN: &str = "makima-stand-in";
const BEGAN: &str = "bench: client began ";
const ENDED: &str = "bench: client ended ";

/// Tells whether this process is to be the client.
pub(crate) fn is_requested() -> bool {
    let name = std::env::args_os().next().unwrap_or_default();
    Path::new(&name).file_name().is_some_and(|name| name == NAME)
}

/// Is the client.
pub(crate) fn run(began: SystemTime) -> ExitCode {
    say(BEGAN, began);
    let end = std::env::current_exe().and_then(|own| {
        let mut client = Command::new(own.with_file_name(STAND_IN));
        client.arg0(NAME).args(std::env::args_os().skip(1)).status()
    });
    say(ENDED, SystemTime::now());
    match end {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {STAND_IN} cannot be run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn say(what: &str, at: SystemTime) {
    eprintln!("{what}{}", at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos());
}

/// When a client began and when it had ended, as the output of its task tells.
pub(super) fn read(events: &[TaskEvent]) -> anyhow::Result<(SystemTime, SystemTime)> {
    let at = |what: &str| -> anyhow::Result<SystemTime> {
        let lines = events.iter().filter(|event| event.kind == EventKind::Output);
        let mut said = lines.filter_map(|event| event.data["text"].as_str()?.strip_prefix(what));
        let nanos = said.next().with_context(|| format!("the client did not say \"{what}\""))?;
        Ok(UNIX_EPOCH + Duration::from_nanos(nanos.trim().parse()?))
    };
    Ok((at(BEGAN)?, at(ENDED)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_times_are_found_in_the_output() {
        let line = |text: &str| {
            let data = json!({"stream": "stderr", "text": text});
            serde_json::from_value(json!({
                "sequence": 1, "epoch": 1, "kind": "output", "data": data, "createdAt": "2026-01-01T00:00:00Z"
            }))
            .unwrap()
        };
        let events = [line("bench: client began 5"), line("other"), line("bench: client ended 9")];
        let at = |nanos| UNIX_EPOCH + Duration::from_nanos(nanos);
        assert_eq!(read(&events).unwrap(), (at(5), at(9)));
        assert!(read(&events[..2]).is_err());
    }
}
