//! The agent runs: its output goes to the store, its work is saved by and by, and it ends in time.

use std::time::Duration;

use makima_shared::domain::{AttemptOutcome, CheckpointTrigger, Transition};
use makima_shared::telemetry::names;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::prepare::{Prepared, accepted, chain, here};
use super::{Attempt, End, record, save};
use crate::agent;
use crate::checkpoint::{Checkpointer, Taken};
use crate::checkpoint_request::Desk;
use crate::output::{Batch, PumpReport, pump};
use crate::process::{AgentEnd, AgentProcess, KillReason, Signal};

/// How many batches of output wait for the store before the agent is held back.
const OUTPUT_BATCHES: usize = 16;

/// How long the output may stay open after the agent's tree has ended.
const PIPE_PATIENCE: Duration = Duration::from_secs(2);
/// How far a signal to a whole control group may be ahead of the worker's own notice of it.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

/// How an agent ended that decided its attempt by itself.
pub(super) struct Outcome {
    pub(super) agent_end: AgentEnd,
    /// Whether its last work is in a checkpoint.
    pub(super) is_saved: bool,
}

/// What makes a worker end an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopCause {
    /// The attempt is over, or the lease is lost.
    Revoked,
    /// The worker drains.
    Drain,
    /// The task's time is over.
    Timeout,
    /// The workspace has vanished.
    WorkspaceGone,
}

/// Runs the agent to its end and saves what it leaves. `Err` if something else than the agent decides the attempt.
pub(super) async fn run(attempt: &Attempt<'_>, prepared: &Prepared) -> Result<Outcome, End> {
    let desk = open_desk(prepared);
    let mut process = start(attempt, prepared, desk.as_ref()).await?;
    let streams = process.stdout().zip(process.stderr());
    let (batch_sink, batches) = mpsc::channel(OUTPUT_BATCHES);
    let limit = attempt.context().config.worker.max_output_bytes;
    let (ended, activity) = (CancellationToken::new(), Notify::new());
    let output = async {
        if let Some((stdout, stderr)) = streams {
            let waiting = batch_sink.downgrade();
            let secrets = prepared.workspace.secrets();
            let reading = pump(secrets.reader(stdout), secrets.reader(stderr), limit, batch_sink);
            let recording = record::run(attempt, batches, &activity);
            tokio::join!(read_output(attempt, reading, waiting, &ended), recording);
        }
    };
    let (ask_sink, asks) = mpsc::channel(1);
    let desk = async {
        if let Some(desk) = &desk {
            desk.serve(ask_sink, &ended).await;
        }
    };
    let mut checkpointer = Checkpointer::new(attempt, &prepared.workspace, prepared.restored_tree.clone());
    let (verdict_sink, verdict) = oneshot::channel();
    let agent = async {
        let end = watch(attempt, &mut process, verdict).await;
        ended.cancel();
        end
    };
    // The output ends when the last process of the tree has ended, and so before or soon after the agent's end is known.
    let saving = save::run(attempt, &mut checkpointer, &activity, asks, &ended, verdict_sink);
    let ((agent_end, cause), (), (), ()) = tokio::join!(agent, output, desk, saving);
    info!(end = ?agent_end, ?cause, "the agent ended");
    settle(attempt, agent_end, cause, &mut checkpointer).await
}

/// Reads the agent's output to its end. The pipes close with the last process that has them; one that lives on outside of
/// the agent's tree, as another user's, holds nobody up: once the agent has ended and what it left in the pipes was read,
/// they are left.
async fn read_output(
    attempt: &Attempt<'_>,
    reading: impl Future<Output = PumpReport>,
    waiting: mpsc::WeakSender<Batch>,
    ended: &CancellationToken,
) {
    let abandoned = async {
        ended.cancelled().await;
        loop {
            sleep(PIPE_PATIENCE).await; // why: nothing tells that a pipe stays open and silent
            let held_up = waiting.upgrade().is_some_and(|sink| sink.capacity() == 0);
            if !held_up {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        _report = reading => {}
        () = abandoned => {
            warn!("the agent has ended, and something holds its output open");
            record::note_cut(attempt, "something outside of the agent held its output open").await;
        }
    }
}

/// Opens the desk where the agent asks for checkpoints. An agent can do without.
fn open_desk(prepared: &Prepared) -> Option<Desk> {
    Desk::open(prepared.workspace.root())
        .inspect_err(|error| warn!(%error, "the agent cannot ask for checkpoints"))
        .ok()
}

async fn start(attempt: &Attempt<'_>, prepared: &Prepared, desk: Option<&Desk>) -> Result<AgentProcess, End> {
    let (context, task) = (attempt.context(), attempt.task);
    let failed = |message| here(AgentEnd::NOT_STARTABLE, message, attempt);
    let command = agent::prepare(
        task,
        &prepared.workspace,
        desk,
        &context.executable,
        &context.config.worker.agent_env,
    )
    .map_err(|error| failed(error.to_string()))?;
    // The move comes first: once it is taken, nobody else has the task, and the agent may start.
    accepted(attempt.transition(Transition::started(task.epoch)).await)?;
    metrics::histogram!(names::PREPARE_SECONDS).record(attempt.begun.elapsed());
    let lease = &attempt.life.lease;
    AgentProcess::start(&command, &lease.switches).await.map_err(|error| failed(chain(&error)))
}

/// Waits for the agent's end, and stops the agent when there is cause. A checkpoint's verdict may be one.
async fn watch(
    attempt: &Attempt<'_>,
    process: &mut AgentProcess,
    verdict: oneshot::Receiver<StopCause>,
) -> (AgentEnd, Option<StopCause>) {
    let cause = tokio::select! {
        agent_end = process.wait() => return (agent_end, None),
        cause = stop_causes(attempt) => cause,
        Ok(cause) = verdict => cause,
    };
    let grace = match cause {
        // Nothing that it still does can be kept.
        StopCause::Revoked | StopCause::WorkspaceGone => Duration::ZERO,
        StopCause::Drain | StopCause::Timeout => attempt.context().config.worker.stop_grace,
    };
    warn!(?cause, "stopping the agent");
    process.stop(agent::stop_signal(&attempt.task.agent), grace);
    let agent_end = tokio::select! {
        agent_end = process.wait() => agent_end,
        () = attempt.revoked(), if cause != StopCause::Revoked => {
            process.stop(agent::stop_signal(&attempt.task.agent), Duration::ZERO);
            return (process.wait().await, Some(StopCause::Revoked));
        }
    };
    (agent_end, Some(cause))
}

async fn stop_causes(attempt: &Attempt<'_>) -> StopCause {
    let timeout = async {
        match attempt.task.timeout_secs {
            Some(secs) => sleep(Duration::from_secs(secs.unsigned_abs().into())).await, // why: the task's time limit
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = attempt.revoked() => StopCause::Revoked,
        () = attempt.life.drain.cancelled() => StopCause::Drain,
        () = timeout => StopCause::Timeout,
    }
}

/// Saves the last of the work, and tells what the end means where the agent did not decide it.
async fn settle(
    attempt: &Attempt<'_>,
    agent_end: AgentEnd,
    cause: Option<StopCause>,
    checkpointer: &mut Checkpointer<'_>,
) -> Result<Outcome, End> {
    let dead_man = matches!(agent_end.killed_because(), Some(KillReason::Lease | KillReason::WorkerGone));
    if cause == Some(StopCause::Revoked) || dead_man {
        return Err(End::Over);
    }
    let cause = match cause {
        None if signalled_with_worker(attempt, &agent_end).await => Some(StopCause::Drain),
        cause => cause,
    };
    let trigger = if cause == Some(StopCause::Drain) {
        CheckpointTrigger::Drain
    } else {
        CheckpointTrigger::AgentEnded
    };
    let saved = match cause {
        // Nothing is there to read, or the reader of before still hangs in it.
        Some(StopCause::WorkspaceGone) => Taken::WorkspaceGone,
        Some(StopCause::Revoked | StopCause::Drain | StopCause::Timeout) | None => {
            checkpointer.take(trigger, None).await
        }
    };
    let is_saved = match saved {
        Taken::Saved(_) => true,
        Taken::NotStored(_) => false,
        Taken::Over => return Err(End::Over),
        Taken::WorkspaceGone => {
            let message = "the workspace vanished or became unreadable while the agent ran";
            return Err(End::failed_here(attempt, AttemptOutcome::WorkspaceLost, "WORKSPACE_LOST", message));
        }
    };
    match cause {
        Some(StopCause::Drain) => Err(End::HandedBack),
        Some(StopCause::Timeout) => {
            let secs = attempt.task.timeout_secs.unwrap_or_default();
            Err(End::failed(
                AttemptOutcome::TimedOut,
                "TIMED_OUT",
                format!("the agent ran longer than {secs} s"),
            ))
        }
        Some(StopCause::Revoked | StopCause::WorkspaceGone) | None => Ok(Outcome { agent_end, is_saved }),
    }
}

/// Tells whether the agent was ended by a signal that meant its worker: service managers signal a whole control group, and
/// so the agent and its shim, when they stop a worker.
async fn signalled_with_worker(attempt: &Attempt<'_>, agent_end: &AgentEnd) -> bool {
    let drain = &attempt.life.drain;
    match agent_end {
        AgentEnd::Exited { code: 0, .. } | AgentEnd::NotStarted { .. } | AgentEnd::Lost { .. } => false,
        // The worker's own notice may be a moment behind.
        end if ended_by_manager(end) => timeout(DRAIN_PATIENCE, drain.cancelled()).await.is_ok(),
        AgentEnd::Exited { .. } | AgentEnd::Signaled { .. } => drain.is_cancelled(),
    }
}

/// Tells whether a signal that service managers and terminals send began the end, by what a shell would say of it too.
fn ended_by_manager(agent_end: &AgentEnd) -> bool {
    let signals = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].map(|signal| signal as i32);
    let is_named = match agent_end {
        AgentEnd::Signaled { signal, .. } => signals.contains(signal),
        AgentEnd::Exited { code, .. } => signals.contains(&(code - 128)),
        AgentEnd::NotStarted { .. } | AgentEnd::Lost { .. } => false,
    };
    is_named || agent_end.killed_because() == Some(KillReason::Signal)
}
