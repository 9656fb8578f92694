//! After an agent that ended well: its work becomes a commit, and the commit goes where it was asked to go.
//!
//! A completion action that goes wrong does not fail the task: its work is in its last checkpoint, and the action can be
//! repeated from there.

mod merge;
mod pull_request;
mod push;

use std::time::Duration;

use makima_shared::domain::{
    AttemptOutcome, Completion, CompletionAction, CompletionError, CompletionStatus, TaskResult,
};
use tokio::time::sleep;
use tracing::warn;

use super::prepare::{Prepared, chain};
use super::threads::Threads;
use super::{Attempt, End};
use crate::workspace::{Author, PushError, Workspace, branch_name, commit_result, snapshot};

/// The waits between tries to talk to a remote that cannot be reached.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// How long a draining worker goes on to deliver a result, before it hands the task back for another one to do so.
const DRAIN_PATIENCE: Duration = Duration::from_secs(20);

/// A result on its way to where it was asked to go.
struct Delivery<'a> {
    attempt: &'a Attempt<'a>,
    threads: &'a Threads,
    workspace: &'a Workspace,
    /// The commit that holds the work.
    commit: String,
    /// Whether the work is in the last checkpoint.
    is_saved: bool,
}

/// Commits, delivers as asked to, and says what came of it. If the attempt ends meanwhile, the git commands are killed
/// and gone before this returns.
pub(super) async fn run(attempt: &Attempt<'_>, prepared: &Prepared, is_saved: bool) -> End {
    let threads = Threads::default();
    let workspace = prepared.workspace.cancelled_by(threads.cancel());
    let steps = async {
        let Some(commit) = commit(attempt, &threads, &workspace).await? else {
            return Ok(End::Completed(TaskResult::default()));
        };
        let delivery =
            Delivery { attempt, threads: &threads, workspace: &workspace, commit: commit.clone(), is_saved };
        let completion = match attempt.task.completion_action {
            CompletionAction::None => Completion { commit: Some(commit), ..Completion::default() },
            CompletionAction::Push => delivery.push().await?,
            CompletionAction::Merge => delivery.merge().await?,
            CompletionAction::Pr => delivery.open_pull_request().await?,
        };
        Ok(End::Completed(delivery.result(completion)))
    };
    let drained = async {
        attempt.life.drain.cancelled().await;
        sleep(DRAIN_PATIENCE).await; // why: a push that is nearly done is worth more than an agent's second run
    };
    let interrupted = async {
        tokio::select! {
            biased;
            () = attempt.revoked() => End::Over,
            () = drained => End::HandedBack,
        }
    };
    threads.guard(steps, interrupted).await.unwrap_or_else(|end| end)
}

impl Delivery<'_> {
    /// Returns the branch of the task's own.
    fn branch(&self) -> String {
        let task = self.attempt.task;
        task.target_branch.clone().unwrap_or_else(|| branch_name(&task.id.short(), &task.name))
    }

    /// Says what the task left behind, and what can be done about it.
    fn result(&self, mut completion: Completion) -> TaskResult {
        if !self.is_saved && completion.branch.is_none() {
            let problem = "the work could not be saved, and is on no branch".to_owned();
            let earlier = completion.error.take().map(|earlier| format!("; {}", line(&earlier)));
            completion.status = CompletionStatus::Failed;
            completion.error = Some(failure("RESULT_NOT_KEPT", problem + &earlier.unwrap_or_default()));
        }
        let went_wrong = matches!(completion.status, CompletionStatus::Conflict | CompletionStatus::Failed);
        completion.can_retry = went_wrong && self.is_saved;
        TaskResult {
            commit: completion.commit.clone().or_else(|| Some(self.commit.clone())),
            branch: completion.branch.clone(),
            completion_error: completion.error.as_ref().map(line),
            completion: Box::new(completion),
        }
    }
}

async fn commit(
    attempt: &Attempt<'_>,
    threads: &Threads,
    workspace: &Workspace,
) -> Result<Option<String>, End> {
    let workspace = workspace.clone();
    let message = message(attempt);
    let author = attempt.context().config.worker.commit_author.clone();
    let committing = threads.run(move || {
        let tree = snapshot(&workspace).map_err(|error| chain(&error))?.tree_id;
        let author = Author { name: &author.name, email: &author.email };
        commit_result(&workspace, &tree, &message, author).map_err(|error| chain(&error))
    });
    let committed = committing.await?;
    committed
        .map_err(|message| End::failed_here(attempt, AttemptOutcome::WorkspaceLost, "RESULT_FAILED", message))
}

/// Returns the message of a commit that holds the whole work.
fn message(attempt: &Attempt<'_>) -> String {
    let task = attempt.task;
    format!("{}\n\n{}\n\nMakima-Task: {}\n", task.name, first_lines(&task.plan), task.id)
}

/// Returns the part of a plan that a commit's message has room for.
fn first_lines(plan: &str) -> String {
    plan.trim()
        .lines()
        .take(20)
        .map(|line| line.chars().take(200).collect::<String>())
        .collect::<Vec<_>>()
        .join("\n")
}

fn failure(code: &str, message: impl Into<String>) -> CompletionError {
    CompletionError { code: code.to_owned(), message: message.into() }
}

/// Logs why git did not deliver the result, and returns it.
fn refused(error: &PushError) -> CompletionError {
    warn!(error = error as &dyn std::error::Error, "the result was not delivered");
    failure(error.code(), chain(error))
}

fn line(error: &CompletionError) -> String {
    format!("{}: {}", error.code, error.message)
}
