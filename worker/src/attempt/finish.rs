//! After an agent that ended well: its work becomes a commit, and the commit goes where it was asked to go.

use std::sync::Arc;
use std::time::Duration;

use makima_shared::domain::{AttemptOutcome, CompletionAction, TaskResult};
use tokio::time::sleep;
use tracing::{info, warn};

use super::prepare::{Prepared, accepted, chain};
use super::threads::Threads;
use super::{Attempt, End};
use crate::workspace::{Author, PushError, Workspace, branch_name, commit_result, push, snapshot};

/// The waits between tries to push to a remote that cannot be reached.
const PUSH_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// How long a draining worker goes on to deliver a result, before it hands the task back for another one to do so.
const DRAIN_PATIENCE: Duration = Duration::from_secs(20);

/// Commits, pushes if asked to, and says what came of it. A push that fails does not fail the task: its work is in its
/// last checkpoint, unless `is_saved` says that it is not. If the attempt ends meanwhile, the git commands are killed and
/// gone before this returns.
pub(super) async fn run(attempt: &Attempt<'_>, prepared: &Prepared, is_saved: bool) -> End {
    let threads = Threads::default();
    let workspace = prepared.workspace.cancelled_by(threads.cancel());
    let steps = async {
        let commit = commit(attempt, &threads, &workspace).await?;
        let mut result = TaskResult { commit, ..TaskResult::default() };
        if attempt.task.completion_action == CompletionAction::Push
            && let Some(commit) = result.commit.clone()
        {
            match deliver(attempt, &threads, &workspace, commit).await? {
                Ok(branch) => result.branch = Some(branch),
                Err(message) => result.completion_error = Some(message),
            }
        }
        if !is_saved && result.commit.is_some() && result.branch.is_none() {
            let problem = "RESULT_NOT_KEPT: the work could not be saved, and is on no branch";
            let earlier = result.completion_error.take().map(|earlier| format!("; {earlier}"));
            result.completion_error = Some(problem.to_owned() + &earlier.unwrap_or_default());
        }
        Ok(End::Completed(result))
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

async fn commit(
    attempt: &Attempt<'_>,
    threads: &Threads,
    workspace: &Workspace,
) -> Result<Option<String>, End> {
    let workspace = workspace.clone();
    let task = attempt.task;
    let message = format!("{}\n\n{}\n\nMakima-Task: {}\n", task.name, first_lines(&task.plan), task.id);
    let committing = threads.run(move || {
        let tree = snapshot(&workspace).map_err(|error| chain(&error))?.tree_id;
        commit_result(&workspace, &tree, &message, Author::default()).map_err(|error| chain(&error))
    });
    let committed = committing.await?;
    committed
        .map_err(|message| End::failed_here(attempt, AttemptOutcome::WorkspaceLost, "RESULT_FAILED", message))
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

/// Pushes the commit to the task's branch: the branch, or in words why not.
async fn deliver(
    attempt: &Attempt<'_>,
    threads: &Threads,
    workspace: &Workspace,
    commit: String,
) -> Result<Result<String, String>, End> {
    let task = attempt.task;
    let branch = task.target_branch.clone().unwrap_or_else(|| branch_name(&task.id.short(), &task.name));
    // Noted before the push, so that whatever happens now, the next attempt knows the commit as its own task's.
    let store = &attempt.context().store;
    let ours = accepted(attempt.insist(|| store.attempt_pushing(attempt.key(), &commit)).await)?;
    let mut pauses = PUSH_PAUSES.iter();
    loop {
        let (repositories, workspace) = (Arc::clone(&attempt.context().repositories), workspace.clone());
        let (url, commit, to, ours) =
            (task.repository_url.clone(), commit.clone(), branch.clone(), ours.clone());
        let pushing = threads.run(move || {
            let remote = repositories.remote(&url).map_err(PushError::Repository)?;
            push(&workspace, &remote, &commit, &to, &ours)
        });
        let pushed = pushing.await?;
        match (pushed, pauses.next()) {
            (Ok(_pushed), _) => {
                info!(branch, "pushed");
                return Ok(Ok(branch));
            }
            (Err(error), Some(pause)) if !error.is_permanent() => {
                warn!(error = &error as &dyn std::error::Error, "the push failed, trying again");
                sleep(*pause).await; // why: back-off before the next try
            }
            (Err(error), _) => return Ok(Err(describe(&error))),
        }
    }
}

fn describe(error: &PushError) -> String {
    warn!(error = error as &dyn std::error::Error, "the result was not pushed");
    format!("{}: {}", error.code(), chain(error))
}
