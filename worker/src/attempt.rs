//! One attempt at a task, from the claim to its end.
//!
//! ```text
//!  prepare: repository ▶ workspace ▶ last checkpoint ─▶ run: agent, output, checkpoints ─▶ finish: result ▶ push
//!      │                                                 │                                    │
//!      └──── failed / handed back / over ◀───────────────┴────────────────────────────────────┘
//! ```
//!
//! Each step may end the attempt; [`End`] says how, and one place tells the store. An attempt that is over by somebody
//! else's word, or whose worker lost its lease, writes nothing more: the store would refuse it.

mod completion_gate;
mod finish;
mod mailbox;
mod prepare;
mod record;
mod rounds;
mod run_agent;
mod save;
mod secrets;
mod threads;
mod verify;

pub(crate) use prepare::chain;
pub(crate) use threads::Threads;

use std::pin::Pin;
use std::time::{Duration, Instant};

use makima_shared::domain::{AttemptOutcome, ClaimedTask, Failure, TaskResult, TaskStatus, Transition};
use makima_shared::store::{Applied, Fenced, Moved, OpenAttempt, StoreError, answered};
use makima_shared::telemetry;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use prepare::Prepared;

use crate::Context;
use crate::agent::{self, Verdict};
use crate::pool::Life;
use crate::process::AgentEnd;
use crate::roster::Entry;
use crate::sandbox;
use crate::secrets::Secrets;
use crate::shim::NO_SANDBOX;

/// How long the store is left alone after it failed, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How an attempt ends.
#[derive(Debug)]
pub enum End {
    /// The agent ended well; this is what came of it.
    Completed(TaskResult),
    /// It failed.
    Failed(Failure),
    /// The remote gave no answer, in these words.
    Unreachable(String),
    /// The agent could not ask its model.
    Limited {
        /// Why, for programs.
        code: &'static str,
        /// Why, in the client's words.
        message: String,
        /// How long, if the client says so.
        wait: Option<Duration>,
    },
    /// What the task may spend is spent, in these words.
    OverBudget(String),
    /// The worker drains.
    HandedBack,
    /// Somebody else decided, or nobody may any more: there is nothing to tell.
    Over,
}

impl End {
    pub(crate) fn failed(outcome: AttemptOutcome, code: &'static str, message: impl Into<String>) -> Self {
        Self::Failed(Failure::new(outcome, code, message))
    }

    /// A failure of this worker: another one shall try next.
    fn failed_here(
        attempt: &Attempt<'_>,
        outcome: AttemptOutcome,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self::Failed(Failure::of_worker(attempt.life.id, outcome, code, message))
    }

    /// Takes the attempt's secrets out of all words: some are those of git, a server or an agent.
    fn scrubbed(self, secrets: &Secrets) -> Self {
        match self {
            Self::Completed(mut result) => {
                result.completion_error = result.completion_error.map(|words| secrets.scrub(&words));
                if let Some(error) = &mut result.completion.error {
                    error.message = secrets.scrub(&error.message);
                }
                Self::Completed(result)
            }
            Self::Failed(mut failure) => {
                failure.reason.message = secrets.scrub(&failure.reason.message);
                Self::Failed(failure)
            }
            Self::Unreachable(words) => Self::Unreachable(secrets.scrub(&words)),
            Self::Limited { code, message, wait } => {
                Self::Limited { code, message: secrets.scrub(&message), wait }
            }
            Self::OverBudget(words) => Self::OverBudget(secrets.scrub(&words)),
            Self::HandedBack => Self::HandedBack,
            Self::Over => Self::Over,
        }
    }
}

/// A task that was claimed, and what the steps of its attempt share.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    pub(crate) life: &'a Life,
    pub(crate) task: &'a ClaimedTask,
    over: &'a CancellationToken,
    /// The number of the newest message to its agent that the worker has heard of.
    newest_message: &'a watch::Receiver<i32>,
    /// When it was claimed.
    begun: Instant,
}

impl Attempt<'_> {
    /// Returns the task.
    #[must_use]
    pub fn task(&self) -> &ClaimedTask {
        self.task
    }

    pub(crate) fn context(&self) -> &Context {
        &self.life.context
    }

    pub(crate) fn key(&self) -> OpenAttempt {
        OpenAttempt { task_id: self.task.id, epoch: self.task.epoch }
    }

    /// Counts the end that the store took.
    fn count_end(&self, outcome: Option<AttemptOutcome>, to: TaskStatus) {
        if let Some(outcome) = outcome {
            telemetry::record::attempt_ended(self.begun, outcome);
        }
        if TaskStatus::SATISFIED.contains(&to) {
            self.life.tally.done();
        }
    }

    /// Waits until nothing more of this attempt may be written: it is over, or the lease is lost.
    pub(crate) async fn revoked(&self) {
        tokio::select! {
            () = self.over.cancelled() => {}
            () = self.life.lease.lost.cancelled() => {}
        }
    }

    /// Makes a move of this attempt.
    pub(crate) async fn transition(&self, transition: Transition) -> Result<Fenced<Moved>, StoreError> {
        let applied = tokio::select! {
            biased;
            () = self.revoked() => return Ok(Fenced::Stale),
            applied = self.life.moves.apply(self.task.id, transition) => applied?,
        };
        Ok(match applied {
            Applied::Moved(moved) => Fenced::Accepted(moved),
            Applied::Refused => Fenced::Stale,
        })
    }

    /// Asks the store until it answers. PostgreSQL being away is no reason to fail a task: the attempt waits for it, as
    /// long as its lease lasts.
    pub(crate) async fn insist<T, F>(&self, ask: impl Fn() -> F) -> Result<Fenced<T>, StoreError>
    where
        F: Future<Output = Result<Fenced<T>, StoreError>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = tokio::select! {
                biased;
                () = self.revoked() => return Ok(Fenced::Stale),
                answer = answered(ask()) => answer,
            };
            match answer {
                Err(error @ StoreError::Unavailable(_)) => {
                    warn!(error = &error as &dyn std::error::Error, "the store is away, trying again");
                    tokio::select! {
                        () = self.revoked() => return Ok(Fenced::Stale),
                        () = sleep(pause) => {} // why: back-off before the next try
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                answer => return answer,
            }
        }
    }
}

/// What carries attempts out, up to their end, which it returns. The store is told by whoever asked.
pub trait Runner: Send + Sync {
    /// Carries one attempt out.
    fn run<'a>(&'a self, attempt: &'a Attempt<'a>) -> Pin<Box<dyn Future<Output = End> + Send + 'a>>;

    /// Tells whether it starts agents, for which the worker needs a sandbox.
    fn runs_agents(&self) -> bool {
        true
    }
}

/// Runs the agent that each task asks for, in a workspace.
#[derive(Clone, Copy, Debug, Default)]
pub struct AgentRunner;

impl Runner for AgentRunner {
    fn run<'a>(&'a self, attempt: &'a Attempt<'a>) -> Pin<Box<dyn Future<Output = End> + Send + 'a>> {
        Box::pin(carry_out(attempt))
    }
}

/// Carries an attempt out, to whatever end, and tells the store.
pub(crate) async fn run(life: &Life, task: &ClaimedTask, entry: &Entry) {
    let span = info_span!("attempt", task.id = %task.id, attempt.epoch = %task.epoch);
    let Entry { over, newest_message, .. } = entry;
    let attempt = Attempt { life, task, over, newest_message, begun: Instant::now() };
    async {
        let end = life.context.runner.run(&attempt).await;
        conclude(&attempt, end).await;
    }
    .instrument(span)
    .await;
}

async fn carry_out(attempt: &Attempt<'_>) -> End {
    match secrets::open(attempt).await {
        Ok(secrets) => carry_out_with(attempt, &secrets).await.scrubbed(&secrets),
        Err(end) => end,
    }
}

async fn carry_out_with(attempt: &Attempt<'_>, secrets: &Secrets) -> End {
    let prepared = match prepare::run(attempt, secrets).await {
        Ok(prepared) => prepared,
        Err(end) => return end,
    };
    let end = if attempt.task.completion_only {
        // The agent has ended well in an attempt before, and its work is what was restored.
        finish::run(attempt, &prepared, true).await
    } else {
        run_and_finish(attempt, &prepared).await
    };
    // The workspace goes before the end is told, so that a task that has ended leaves nothing behind.
    prepared.remove().await;
    end
}

async fn run_and_finish(attempt: &Attempt<'_>, prepared: &Prepared) -> End {
    match rounds::run(attempt, prepared).await {
        Ok(outcome) => match judge(attempt, &outcome) {
            Ok(()) => finish::run(attempt, prepared, outcome.is_saved).await,
            Err(end) => end,
        },
        Err(end) => end,
    }
}

/// Tells a good end of an agent from a bad one.
fn judge(attempt: &Attempt<'_>, outcome: &run_agent::Outcome) -> Result<(), End> {
    if let AgentEnd::NotStarted { error } = &outcome.agent_end {
        // Another machine may have the program.
        return Err(End::failed_here(
            attempt,
            AttemptOutcome::PreparationFailed,
            if error.starts_with(NO_SANDBOX) { sandbox::UNAVAILABLE } else { AgentEnd::NOT_STARTABLE },
            format!("the agent could not be started: {error}"),
        ));
    }
    let adapter = agent::adapter(&attempt.task.agent);
    agent::judge(adapter, &outcome.heard, &outcome.agent_end).map_err(|verdict| match verdict {
        Verdict::Failed(failure) => End::Failed(failure),
        Verdict::Limited(limit) => End::Limited {
            code: limit.kind.code(),
            wait: limit.until.and_then(|until| (until - chrono::Utc::now()).to_std().ok()),
            message: limit.message,
        },
        Verdict::OverBudget => End::OverBudget("what it may spend is spent".to_owned()),
    })
}

/// Tells the store how the attempt ended, and whoever waits for that.
async fn conclude(attempt: &Attempt<'_>, end: End) {
    let task = attempt.task;
    let transition = match end {
        End::Completed(result) => Transition::completed(task.epoch, result),
        End::Failed(failure) => failed(attempt, failure),
        End::Unreachable(message) => {
            let streak = streak(attempt, AttemptOutcome::RepositoryUnreachable).await;
            Transition::repository_unreachable(
                task.epoch,
                message,
                streak,
                task.retry_count,
                task.max_retries,
            )
        }
        End::Limited { code, message, wait } => {
            let streak = streak(attempt, AttemptOutcome::AgentLimited).await;
            let (retries, max_retries) = (task.retry_count, task.max_retries);
            Transition::agent_limited(task.epoch, code, message, wait, streak, retries, max_retries)
        }
        End::OverBudget(message) => Transition::over_budget(task.epoch, message),
        End::HandedBack => {
            let streak = streak(attempt, AttemptOutcome::HandedBack).await;
            let policy = &attempt.context().config.worker.retry;
            Transition::handed_back_again(task.epoch, streak, task.retry_count, task.max_retries, policy)
        }
        End::Over => return info!("over: somebody else's word"),
    };
    if let Err(error) = apply(attempt, transition).await {
        // PostgreSQL takes no offence at a reason of our own, so the attempt ends all the same.
        tracing::error!(error = &error as &dyn std::error::Error, "the end cannot be stored as it is");
        let message = "the attempt's end could not be stored";
        let failure = Failure::new(AttemptOutcome::PreparationFailed, "STORE_REFUSED", message);
        let _ = apply(attempt, failed(attempt, failure)).await;
    }
}

/// Counts the attempts right before this one that ended in the same way. If that cannot be had, the task gets the benefit
/// of the doubt.
async fn streak(attempt: &Attempt<'_>, outcome: AttemptOutcome) -> u32 {
    let store = &attempt.context().store;
    let counting = attempt
        .insist(|| async { Ok(Fenced::Accepted(store.attempts_streak(attempt.task.id, outcome).await?)) });
    match counting.await {
        Ok(Fenced::Accepted(streak)) => streak,
        Ok(Fenced::Stale) | Err(_) => 0,
    }
}

fn failed(attempt: &Attempt<'_>, failure: Failure) -> Transition {
    let task = attempt.task;
    let policy = &attempt.context().config.worker.retry;
    Transition::attempt_failed(task.epoch, failure, task.retry_count, task.max_retries, policy)
}

/// Applies the last transition of an attempt.
async fn apply(attempt: &Attempt<'_>, transition: Transition) -> Result<(), StoreError> {
    let (to, outcome) = (transition.to(), transition.outcome());
    match attempt.transition(transition).await? {
        Fenced::Accepted(_moved) => {
            info!(status = %to, "ended");
            attempt.count_end(outcome, to);
        }
        Fenced::Stale => info!("over before its end could be told"),
    }
    Ok(())
}
