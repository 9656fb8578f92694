//! The way out: everything is stopped, nothing is left, and the last words are said.

use std::process::ExitCode;
use std::time::Duration;

use console::style;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use super::leftovers::{self, Leftover};
use super::stack::{self, Stack};
use super::stage::Stage;
use super::verdict::Verdict;
use super::view::View;

/// The last processes may take a moment to go.
const LEFTOVER_LOOKS: u32 = 50;
const LEFTOVER_LOOK_EVERY: Duration = Duration::from_millis(100);
/// How much of the log is shown where something failed.
const LOG_LINES: usize = 40;

/// Stops the stack and makes sure that none of its processes is left.
pub(crate) async fn clear(
    stack: Option<Stack>,
    stage: &Stage,
    view: &View,
    verdict: Option<&mut Verdict<'_>>,
) {
    let Some(stack) = stack else { return };
    let ended = stack.stop().await;
    let left = wait_until_gone(stage).await;
    for Leftover { pid, .. } in &left {
        // It may have ended by itself in this moment.
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    let names: Vec<_> = left.iter().map(|Leftover { pid, command }| format!("{pid} ({command})")).collect();
    let Some(verdict) = verdict else {
        if !left.is_empty() {
            view.line(&format!("  killed what was left: {}", names.join(", ")));
        }
        return;
    };
    let in_order = ended.as_ref().is_ok_and(std::process::ExitStatus::success);
    let found = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
    verdict.check_or(in_order, "makima up ended in order", &found);
    verdict.check_or(left.is_empty(), "no process is left", &names.join(", "));
}

async fn wait_until_gone(stage: &Stage) -> Vec<Leftover> {
    for _ in 0..LEFTOVER_LOOKS {
        if leftovers::find(stage.path()).is_empty() {
            return Vec::new();
        }
        sleep(LEFTOVER_LOOK_EVERY).await; // why: they are not our children, so nothing tells of their end
    }
    leftovers::find(stage.path())
}

/// Removes the directory, or shows what it has to say.
pub(crate) async fn conclude(stage: Stage, view: &View, mut verdict: Verdict<'_>) -> ExitCode {
    if verdict.is_good() {
        verdict.check(stage.remove().await, "the directory is removed");
    } else {
        view.line(&format!("\n{}", style("The last lines of the log").bold()));
        for line in stack::tail(&stage.log(), LOG_LINES) {
            view.line(&format!("  {line}"));
        }
        view.line(&format!("\nEverything is kept in {}", stage.keep().display()));
    }
    let (made, failed) = verdict.counts();
    let seconds = view.seconds();
    if failed == 0 {
        let words = format!("\nThe demo succeeded: {made} checks hold, in {seconds} s.");
        view.line(&style(words).green().bold().to_string());
        ExitCode::SUCCESS
    } else {
        let words = format!("\nThe demo failed: {failed} of {made} checks do not hold, after {seconds} s.");
        view.line(&style(words).red().bold().to_string());
        ExitCode::FAILURE
    }
}
