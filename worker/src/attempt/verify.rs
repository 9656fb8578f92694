//! The command of a task's that tells whether it is finished: run as the agent is, in its workspace, bounded in time
//! and output.

use std::time::Duration;

use makima_shared::domain::CheckpointTrigger;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tracing::{info, warn};

use super::prepare::here;
use super::run_agent::{Rounds, StopCause, start_process, stop_causes, timed_out};
use super::{End, record};
use crate::agent::{self, Launching};
use crate::checkpoint::Taken;
use crate::output::{Listener, OutputLine, pump_heard};
use crate::process::{AgentEnd, Signal};

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(600);
/// How much of its output is kept in the log.
const MAX_OUTPUT_BYTES: u64 = 1024 * 1024;
/// How much of its last words the agent is told.
const MAX_TAIL_BYTES: usize = 2048;
/// How many batches of its output wait for the store.
const OUTPUT_BATCHES: usize = 4;

/// What came of it.
pub(super) enum Verified {
    Passed,
    /// How it ended, and its last lines.
    Failed(String),
}

/// Runs it to its end. `Err` if something else decides the attempt meanwhile.
pub(super) async fn run(rounds: &mut Rounds<'_>, argv: &[String]) -> Result<Verified, End> {
    let attempt = rounds.attempt;
    let config = &attempt.context().config.worker;
    let launching = Launching {
        workspace: &rounds.prepared.workspace,
        desk: None,
        executable: &attempt.context().executable,
        allowed_env: &config.agent_env,
    };
    let command = agent::prepare_verify(&launching, attempt.task, argv)
        .map_err(|error| here(AgentEnd::NOT_STARTABLE, error.to_string(), attempt))?;
    let mut process = start_process(attempt, rounds.prepared, None, command).await?;
    let (sink, batches) = mpsc::channel(OUTPUT_BATCHES);
    let (mut tail, activity, streams) =
        (Tail::default(), Notify::new(), process.stdout().zip(process.stderr()));
    let limit = rounds.output_left.min(MAX_OUTPUT_BYTES);
    let (written, secrets) = (&mut rounds.batches_written, rounds.prepared.workspace.secrets());
    let output = async {
        let (stdout, stderr) = streams?;
        let reading = pump_heard(secrets.reader(stdout), secrets.reader(stderr), limit, &mut tail, sink);
        Some(tokio::join!(reading, record::run(attempt, batches, &activity, written)).0)
    };
    let deadline = rounds.deadline;
    let end = async {
        let cause = tokio::select! {
            end = process.wait() => return (end, None),
            cause = stop_causes(attempt, deadline) => Some(cause),
            () = sleep(LIMIT) => None, // why: it is bounded in time
        };
        warn!(?cause, "stopping the verify command");
        process.stop(
            Signal::SIGTERM,
            if cause == Some(StopCause::Revoked) { Duration::ZERO } else { config.stop_grace },
        );
        (process.wait().await, Some(cause))
    };
    let (report, (end, stopped)) = tokio::join!(output, end);
    rounds.output_left -= report.map_or(0, |report| report.kept_bytes).min(rounds.output_left);
    info!(?end, ?stopped, "the verify command ended");
    match stopped {
        Some(Some(StopCause::Revoked)) => return Err(End::Over),
        Some(Some(StopCause::Drain)) => return Err(End::HandedBack),
        Some(Some(StopCause::Timeout)) => return Err(timed_out(attempt)),
        Some(Some(StopCause::Budget | StopCause::WorkspaceGone) | None) | None => {}
    }
    // What it left in the tree is none of the next round's doing.
    if matches!(rounds.checkpointer.take(CheckpointTrigger::AgentEnded, None).await, Taken::Over) {
        return Err(End::Over);
    }
    Ok(judge(&end, stopped.is_some(), &tail.words()))
}

fn judge(end: &AgentEnd, is_overdue: bool, tail: &str) -> Verified {
    let how = match end {
        _ if is_overdue => format!("it took longer than {} s", LIMIT.as_secs()),
        AgentEnd::Exited { code: 0, .. } => return Verified::Passed,
        AgentEnd::Exited { code, .. } => format!("it ended with exit code {code}"),
        AgentEnd::Signaled { signal, .. } => format!("it was ended by signal {signal}"),
        AgentEnd::NotStarted { error } => format!("it cannot be started: {error}"),
        AgentEnd::Lost { detail } => format!("its end is not known: {detail}"),
    };
    Verified::Failed(if tail.is_empty() { how } else { format!("{how}; its last lines:\n{tail}") })
}

/// Keeps the last lines.
#[derive(Default)]
struct Tail(String);

impl Tail {
    fn words(&self) -> String {
        self.0.trim().to_owned()
    }
}

impl Listener for Tail {
    fn hear(&mut self, line: &mut OutputLine) {
        self.0.push_str(&line.text);
        if !line.partial {
            self.0.push('\n');
        }
        let surplus = self.0.len().saturating_sub(MAX_TAIL_BYTES);
        self.0.drain(..self.0.ceil_char_boundary(surplus));
    }

    fn hears_to_the_end(&self) -> bool {
        true
    }
}
