//! The agent runs, for one round: its output goes to the store, its work is saved by and by, and it ends in time.

mod spending;
mod start;

use std::time::Duration;

use makima_shared::domain::{AttemptOutcome, CheckpointTrigger, EventKind, Spend, TokenUsage};
use serde_json::json;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::mailbox::Mailbox;
use super::prepare::Prepared;
use super::{Attempt, End, record, save};
use crate::agent::{self, Heard, Hearing, Resumable};
use crate::checkpoint::{Checkpointer, Taken};
use crate::checkpoint_request::Desk;
use crate::output::{Batch, PumpReport, pump_heard};
use crate::process::{AgentEnd, AgentProcess, KillReason, Signal};
use spending::Budget;
pub(super) use start::start_process;
use start::{open_desk, start};

/// How many batches of output wait for the store before the agent is held back.
const OUTPUT_BATCHES: usize = 16;

/// How long the output may stay open after the agent's tree has ended.
const PIPE_PATIENCE: Duration = Duration::from_secs(2);
/// How far a signal to a whole control group may be ahead of the worker's own notice of it.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

/// How an agent ended that decided its attempt by itself.
pub(super) struct Outcome {
    pub(super) agent_end: AgentEnd,
    pub(super) heard: Heard,
    /// Whether its last work is in a checkpoint.
    pub(super) is_saved: bool,
}

/// The same, with its last work saved if it can be.
struct Settled {
    agent_end: AgentEnd,
    is_saved: bool,
    stopped_by_budget: bool,
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
    /// What the task may spend is spent.
    Budget,
    /// The workspace has vanished.
    WorkspaceGone,
}

/// What the rounds of an attempt share.
pub(super) struct Rounds<'a> {
    pub(super) attempt: &'a Attempt<'a>,
    pub(super) prepared: &'a Prepared,
    /// How many were begun.
    pub(super) begun: u32,
    pub(super) mailbox: Mailbox<'a>,
    pub(super) checkpointer: Checkpointer<'a>,
    /// The conversation to go on with.
    pub(super) session: Option<Resumable>,
    /// What the agent is told in this round; none in the first one.
    pub(super) prompt: Option<String>,
    /// The number of this one over all attempts, where the agent is run again until the task is finished.
    pub(super) loop_round: Option<u32>,
    /// What they have spent.
    pub(super) spent: Spend,
    desk: Option<Desk>,
    budget: Budget,
    /// When the task's time is over.
    pub(super) deadline: Option<Instant>,
    /// How many batches of output the store has taken.
    pub(super) batches_written: i64,
    /// How many bytes of output may still be kept.
    pub(super) output_left: u64,
}

impl<'a> Rounds<'a> {
    /// Gets ready for the first one.
    pub(super) async fn open(attempt: &'a Attempt<'a>, prepared: &'a Prepared) -> Result<Self, End> {
        let (workspace, resumed_from) = (&prepared.workspace, prepared.resumed_from);
        let timeout = attempt.task.timeout_secs.map(|secs| Duration::from_secs(secs.unsigned_abs().into()));
        Ok(Self {
            attempt,
            prepared,
            begun: 0,
            mailbox: Mailbox::open(attempt, prepared).await?,
            checkpointer: Checkpointer::new(attempt, workspace, prepared.restored_tree.clone(), resumed_from),
            session: prepared.conversation.clone(),
            prompt: None,
            loop_round: None,
            spent: Spend::default(),
            desk: open_desk(prepared),
            budget: Budget::of(attempt).await?,
            deadline: timeout.map(|timeout| Instant::now() + timeout),
            batches_written: 0,
            output_left: attempt.context().config.worker.max_output_bytes,
        })
    }
}

/// Runs the agent to its end and saves what it leaves. `Err` if something else than the agent decides the attempt.
pub(super) async fn run(rounds: &mut Rounds<'_>) -> Result<Outcome, End> {
    rounds.begun += 1;
    let budget = rounds.budget.behind(&rounds.spent);
    let messages = rounds.mailbox.tell().await?;
    let (mut process, line) = start(rounds, &budget, &messages).await?;
    let Rounds { attempt, checkpointer, mailbox, session, spent: spent_before, deadline, .. } = rounds;
    let (attempt, spent_before, deadline, is_resumed) =
        (*attempt, *spent_before, *deadline, session.is_some());
    let (desk, batches_written) = (&rounds.desk, &mut rounds.batches_written);
    let secrets = rounds.prepared.workspace.secrets();
    let streams = process.stdout().zip(process.stderr());
    let (batch_sink, batches) = mpsc::channel(OUTPUT_BATCHES);
    let limit = rounds.output_left;
    let (ended, activity) = (CancellationToken::new(), Notify::new());
    let used_before = session.as_ref().map_or_else(TokenUsage::default, |resumed| resumed.used);
    let asks_for_gate = attempt.task.agent.loop_mode().is_some();
    let mut hearing = Hearing::new(agent::adapter(&attempt.task.agent), used_before).with_gate(asks_for_gate);
    let (spent, counted) = (hearing.spent(), hearing.spent());
    let talk = mailbox.serve(line, hearing.turn(), hearing.taken_up(), &ended);
    let output = async {
        let (stdout, stderr) = streams?;
        let waiting = batch_sink.downgrade();
        let reading =
            pump_heard(secrets.reader(stdout), secrets.reader(stderr), limit, &mut hearing, batch_sink);
        let recording = record::run(attempt, batches, &activity, batches_written);
        tokio::join!(read_output(attempt, reading, waiting, &ended), recording).0
    };
    let (ask_sink, asks) = mpsc::channel(1);
    let desk = async {
        if let Some(desk) = desk {
            desk.serve(ask_sink, &ended).await;
        }
    };
    let (verdict_sink, verdict) = oneshot::channel();
    let agent = async {
        let end = watch(attempt, &mut process, deadline, verdict, budget.spent(spent)).await;
        ended.cancel();
        end
    };
    // The output ends when the last process of the tree has ended, and so before or soon after the agent's end is known.
    let saving = save::run(attempt, checkpointer, &activity, asks, &ended, verdict_sink);
    let account = spending::keep_account(attempt, &spent_before, counted, &ended);
    let ((agent_end, cause), report, (), (), (), ()) =
        tokio::join!(agent, output, desk, saving, account, talk);
    info!(end = ?agent_end, ?cause, "the agent ended");
    let heard = hearing.heard;
    rounds.spent = spent_before.plus(&heard.spend);
    rounds.output_left -= report.map_or(0, |report| report.kept_bytes).min(rounds.output_left);
    spending::note(attempt, &rounds.spent).await;
    let over_budget =
        || budget.reached(&heard.spend).unwrap_or_else(|| "what it may spend is spent".to_owned());
    let is_good = agent::judge(agent::adapter(&attempt.task.agent), &heard, &agent_end).is_ok();
    let is_refused = is_resumed
        && heard.session.is_none()
        && cause.is_none()
        // Those two are a shell's words for a program that is not there.
        && matches!(&agent_end, AgentEnd::Exited { code, .. } if !matches!(code, 0 | 126 | 127));
    let settled = settle(attempt, agent_end, cause, &mut rounds.checkpointer).await?;
    if is_refused {
        forget_conversation(attempt).await;
    }
    match settled {
        // It had just come to a good end by itself.
        Settled { stopped_by_budget: true, .. } if !is_good => Err(End::OverBudget(over_budget())),
        Settled { agent_end, is_saved, .. } if heard.over_budget && !is_good => {
            info!(end = ?agent_end, is_saved, "the client ended: its budget is spent");
            Err(End::OverBudget(over_budget()))
        }
        Settled { agent_end, is_saved, .. } => Ok(Outcome { agent_end, heard, is_saved }),
    }
}

/// The client ended before it said a word, so it does not take the conversation: the next attempt begins a new one.
async fn forget_conversation(attempt: &Attempt<'_>) {
    warn!("the client did not go on with the saved conversation");
    let store = &attempt.context().store;
    let message = "the client did not go on with the saved conversation: the next attempt begins a new one";
    let notices = [json!({ "code": "CONVERSATION_REFUSED", "message": message })];
    let (task, epoch) = (attempt.task.id, attempt.task.epoch);
    let forgotten = attempt.insist(|| store.conversations_forget(attempt.key())).await;
    let noted = attempt.insist(|| store.events_append(task, epoch, EventKind::Notice, &notices)).await;
    if let Err(error) = forgotten.map(drop).and(noted.map(drop)) {
        warn!(error = &error as &dyn std::error::Error, "the conversation is not forgotten");
    }
}

/// Reads the agent's output to its end. The pipes close with the last process that has them; one that lives on outside of
/// the agent's tree, as another user's, holds nobody up: once the agent has ended and what it left in the pipes was read,
/// they are left.
async fn read_output(
    attempt: &Attempt<'_>,
    reading: impl Future<Output = PumpReport>,
    waiting: mpsc::WeakSender<Batch>,
    ended: &CancellationToken,
) -> Option<PumpReport> {
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
        report = reading => Some(report),
        () = abandoned => {
            warn!("the agent has ended, and something holds its output open");
            record::note_cut(attempt, "something outside of the agent held its output open").await;
            None
        }
    }
}

/// Waits for the agent's end, and stops the agent when there is cause. A checkpoint's verdict may be one.
async fn watch(
    attempt: &Attempt<'_>,
    process: &mut AgentProcess,
    deadline: Option<Instant>,
    verdict: oneshot::Receiver<StopCause>,
    budget_spent: impl Future<Output = ()>,
) -> (AgentEnd, Option<StopCause>) {
    let cause = tokio::select! {
        agent_end = process.wait() => return (agent_end, None),
        cause = stop_causes(attempt, deadline) => cause,
        Ok(cause) = verdict => cause,
        () = budget_spent => StopCause::Budget,
    };
    let grace = match cause {
        // Nothing that it still does can be kept.
        StopCause::Revoked | StopCause::WorkspaceGone => Duration::ZERO,
        StopCause::Drain | StopCause::Timeout | StopCause::Budget => {
            attempt.context().config.worker.stop_grace
        }
    };
    warn!(?cause, "stopping the agent");
    process.stop(agent::adapter(&attempt.task.agent).stop_signal(), grace);
    let agent_end = tokio::select! {
        agent_end = process.wait() => agent_end,
        () = attempt.revoked(), if cause != StopCause::Revoked => {
            process.stop(agent::adapter(&attempt.task.agent).stop_signal(), Duration::ZERO);
            return (process.wait().await, Some(StopCause::Revoked));
        }
    };
    (agent_end, Some(cause))
}

pub(super) async fn stop_causes(attempt: &Attempt<'_>, deadline: Option<Instant>) -> StopCause {
    let timeout = async {
        match deadline {
            Some(at) => sleep_until(at).await, // why: the task's time limit
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
) -> Result<Settled, End> {
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
        Some(StopCause::Revoked | StopCause::Drain | StopCause::Timeout | StopCause::Budget) | None => {
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
        Some(StopCause::Timeout) => Err(timed_out(attempt)),
        Some(StopCause::Budget) => Ok(Settled { agent_end, is_saved, stopped_by_budget: true }),
        Some(StopCause::Revoked | StopCause::WorkspaceGone) | None => {
            Ok(Settled { agent_end, is_saved, stopped_by_budget: false })
        }
    }
}

/// Tells that the task's time is over.
pub(super) fn timed_out(attempt: &Attempt<'_>) -> End {
    let secs = attempt.task.timeout_secs.unwrap_or_default();
    End::failed(AttemptOutcome::TimedOut, "TIMED_OUT", format!("the agent ran longer than {secs} s"))
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
