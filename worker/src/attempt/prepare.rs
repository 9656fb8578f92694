//! Before the agent: the repository, the workspace, and the work of the attempt before, or of another task.

mod conversation;
mod source;

mod take_up;

use std::sync::Arc;

use makima_shared::domain::{AttemptOutcome, EventKind, Failure, Reason, RepositoryUrl, StoredPatch};
use makima_shared::store::Fenced;
use tracing::{info, warn};

use self::source::Source;
use super::threads::Threads;
use super::{Attempt, End};
use crate::agent::Resumable;
use crate::git::Cancel;
use crate::kept;
use crate::ready::Beginning;
use crate::repository::{RepositoryCache, RepositoryError};
use crate::secrets::Secrets;
use crate::workspace::{
    BundleError, PatchLimits, RestoreError, SavedCommits, SavedPatch, Upstream, Workspace, remove_directory,
    restore,
};

/// A workspace that is ready for its agent. Dropping it removes the workspace.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) workspace: Workspace,
    /// The tree of the checkpoint that was restored; none if the work starts at the base.
    pub(crate) restored_tree: Option<String>,
    /// The checkpoint that the work goes on from.
    pub(crate) resumed_from: Option<i32>,
    /// The conversation that the agent goes on with.
    pub(crate) conversation: Option<Resumable>,
}

impl Prepared {
    fn new(workspace: Workspace) -> Self {
        Self { workspace, restored_tree: None, resumed_from: None, conversation: None }
    }

    /// Removes the workspace, away from the threads that serve other attempts.
    pub(super) async fn remove(self) {
        if let Err(error) = tokio::task::spawn_blocking(move || drop(self)).await {
            warn!(%error, "a workspace was not removed");
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Err(error) = self.workspace.clone().remove() {
            warn!(error = &error as &dyn std::error::Error, "a workspace was not removed");
        }
    }
}

/// Prepares the workspace, unless the attempt ends meanwhile. The git commands are then killed, and what was made so far is
/// gone before this returns.
pub(super) async fn run(attempt: &Attempt<'_>, secrets: &Secrets) -> Result<Prepared, End> {
    let threads = Threads::default();
    let steps = async {
        let mut prepared = match take_up::run(attempt, &threads, secrets).await? {
            Some(prepared) => prepared,
            None => {
                let source = source::find(attempt).await?;
                let base = fetch(attempt, &threads, source.as_ref()).await?;
                let prepared = create(attempt, &threads, base, secrets).await?;
                resume(attempt, &threads, prepared, source).await?
            }
        };
        prepared.conversation = conversation::run(attempt, &threads, &prepared).await?;
        let (prepared, noted) = threads
            .run(move || {
                let noted = prepared.workspace.note_whole();
                (prepared, noted)
            })
            .await?;
        noted.map_err(|error| here("WORKSPACE_FAILED", chain(&error), attempt))?;
        Ok(prepared)
    };
    let interrupted = async {
        tokio::select! {
            biased;
            () = attempt.revoked() => End::Over,
            () = attempt.life.drain.cancelled() => End::HandedBack,
        }
    };
    threads.guard(steps, interrupted).await
}

/// Fetches what the work is based on: what an attempt before found, the state that the task starts from, or its branch.
async fn fetch(attempt: &Attempt<'_>, threads: &Threads, source: Option<&Source>) -> Result<Beginning, End> {
    let task = attempt.task;
    let allow_local = attempt.context().config.worker.allow_local_repositories;
    if let Err(problem) = RepositoryUrl::parse(&task.repository_url, allow_local) {
        return Err(unusable(
            "REPOSITORY_REFUSED",
            format!("this worker does not take the repository: it {problem}"),
            true,
        ));
    }
    let repositories = Arc::clone(&attempt.context().repositories);
    let (url, branch) = (task.repository_url.clone(), task.base_branch.clone());
    let copies = !task.start.copy_files.is_empty();
    let source_commit = source.map(|source| source.commit().to_owned());
    let (pinned, beside) = match source_commit {
        Some(commit) if copies => (task.base_commit.clone(), Some(commit)),
        Some(commit) => (Some(commit), None),
        None if task.start.task_id.is_some() => (task.base_commit.clone(), None),
        None => (task.base_commit.clone().or_else(|| task.start.sha.clone()), None),
    };
    // The attempt before began at the tip of whatever branch it found, and its agent was on that.
    let began_on_default = branch.is_none()
        && task.base_commit.is_some()
        && task.start.sha.is_none()
        && (copies || task.start.task_id.is_none());
    let cancel = threads.cancel().clone();
    threads
        .run(move || {
            if let Some(commit) = beside {
                repositories.fetch_commit(&url, branch.as_deref(), &commit, &cancel)?;
            }
            let mut beginning = fetch_base(&repositories, &url, branch, pinned, &cancel)?;
            if began_on_default {
                beginning.branch = default_branch(&repositories, &url, &cancel);
            }
            Ok(beginning)
        })
        .await?
        .map_err(|error| not_fetched(attempt, &error))
}

fn not_fetched(attempt: &Attempt<'_>, error: &RepositoryError) -> End {
    match error {
        RepositoryError::Cache { .. } => here(error.code(), error.to_string(), attempt),
        RepositoryError::Unreachable { .. } => End::Unreachable(error.to_string()),
        RepositoryError::NotFound { .. }
        | RepositoryError::BranchNotFound { .. }
        | RepositoryError::Empty
        | RepositoryError::BaseLost { .. }
        | RepositoryError::Refused
        | RepositoryError::Cancelled => unusable(error.code(), error.to_string(), error.is_permanent()),
    }
}

/// Brings the branch, or the commit that an earlier attempt began from, to this machine. Blocks.
fn fetch_base(
    repositories: &RepositoryCache,
    url: &str,
    branch: Option<String>,
    pinned: Option<String>,
    cancel: &Cancel,
) -> Result<Beginning, RepositoryError> {
    let url = url.to_owned();
    match pinned {
        Some(commit) => {
            let git_dir = repositories.fetch_commit(&url, branch.as_deref(), &commit, cancel)?;
            Ok(Beginning { git_dir, commit, branch, url })
        }
        None => {
            let fetched = repositories.fetch(&url, branch.as_deref(), cancel)?;
            Ok(Beginning {
                git_dir: fetched.git_dir,
                commit: fetched.base_commit,
                branch: fetched.branch_name,
                url,
            })
        }
    }
}

/// Returns the branch on which an agent finds itself that was told none. Without an answer its HEAD is detached: the
/// work goes on all the same. Blocks.
fn default_branch(repositories: &RepositoryCache, url: &str, cancel: &Cancel) -> Option<String> {
    match repositories.default_branch(url, cancel) {
        Ok(branch) => branch,
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "the remote does not tell its default branch");
            None
        }
    }
}

async fn create(
    attempt: &Attempt<'_>,
    threads: &Threads,
    beginning: Beginning,
    secrets: &Secrets,
) -> Result<Prepared, End> {
    let root = attempt.life.work_dir.path().join(kept::name(attempt.task.id, attempt.task.epoch));
    let (keep_ignored, secrets) = (attempt.task.keep_ignored.clone(), secrets.clone());
    let cancel = threads.cancel().clone();
    let ready = Arc::clone(&attempt.life.ready);
    let making = threads.run(move || {
        let created = ready.workspace(&beginning, &root, &cancel);
        if created.is_err() {
            // What of it was made; the worker's next life removes it if this does not.
            let _ = remove_directory(&root);
        }
        let guarded = |workspace: Workspace| workspace.keeping(&keep_ignored).guarding(secrets);
        created.map(|workspace| Prepared::new(guarded(workspace)))
    });
    let created = making.await?;
    created.map_err(|error| here("WORKSPACE_FAILED", chain(&error), attempt))
}

/// Restores the newest checkpoint that proves good, or else what the task goes on from, and tells the store what the attempt
/// starts from.
async fn resume(
    attempt: &Attempt<'_>,
    threads: &Threads,
    mut prepared: Prepared,
    source: Option<Source>,
) -> Result<Prepared, End> {
    let mut before = i32::MAX;
    let mut resumed_from = None;
    while let Some(patch) = patch_before(attempt, before).await? {
        let (number, tree) = (patch.number, patch.tree_id.clone());
        let (back, outcome) = restore_blocking(attempt, threads, prepared, patch).await?;
        prepared = back;
        match outcome {
            Ok(commits_left_out) => {
                info!(checkpoint = number, "resumed");
                if let Some(error) = commits_left_out {
                    leave_commits_out(attempt, number, &error).await?;
                }
                prepared.restored_tree = Some(tree);
                resumed_from = Some(number);
                prepared.resumed_from = resumed_from;
                break;
            }
            // An older one is not the work that is to be delivered.
            Err(error) if error.is_bad_checkpoint() && attempt.task.completion_only => {
                return Err(unusable("CHECKPOINT_BAD", chain(&error), true));
            }
            Err(error) if error.is_bad_checkpoint() => pass_over(attempt, number, &error).await?,
            Err(error) => return Err(here("RESTORE_FAILED", chain(&error), attempt)),
        }
        before = number;
    }
    if attempt.task.completion_only && resumed_from.is_none() {
        let message = "the checkpoint with the work is no longer there".to_owned();
        return Err(unusable("CHECKPOINT_LOST", message, true));
    }
    if let (None, Some(task)) = (resumed_from, attempt.task.start.task_id) {
        let source = match source {
            Some(source) => source,
            // There are checkpoints of its own, and none is good.
            None => source::look_up(attempt, task).await?,
        };
        prepared = source::take_over(attempt, threads, prepared, source).await?;
    }
    let base_commit = prepared.workspace.base_commit();
    let store = &attempt.context().store;
    accepted(attempt.insist(|| store.attempt_prepared(attempt.key(), &base_commit, resumed_from)).await)?;
    Ok(prepared)
}

async fn patch_before(attempt: &Attempt<'_>, before: i32) -> Result<Option<StoredPatch>, End> {
    let store = &attempt.context().store;
    let found = attempt
        .insist(|| async {
            Ok(Fenced::Accepted(store.checkpoint_patch_before(attempt.task.id, before).await?))
        })
        .await;
    accepted(found)
}

/// Restores the tree, and then the agent's commits: an error of theirs is no reason not to go on.
async fn restore_blocking(
    attempt: &Attempt<'_>,
    threads: &Threads,
    prepared: Prepared,
    patch: StoredPatch,
) -> Result<(Prepared, Result<Option<BundleError>, RestoreError>), End> {
    let repositories = Arc::clone(&attempt.context().repositories);
    let (url, branch) = (attempt.task.repository_url.clone(), attempt.task.base_branch.clone());
    let restoring = threads.run(move || {
        let saved = SavedPatch { gzip: &patch.patch_gzip, sha256: &patch.sha256, tree_id: &patch.tree_id };
        let outcome = if patch.base_commit == prepared.workspace.base_commit() {
            restore(&prepared.workspace, &saved, PatchLimits::default())
        } else {
            Err(RestoreError::ChecksumMismatch)
        };
        let outcome = match (outcome, patch.commits.as_ref()) {
            (Ok(()), Some(commits)) => {
                let saved =
                    SavedCommits { pack: &commits.pack, refs: &commits.refs, sha256: &commits.sha256 };
                {
                    let upstream =
                        Upstream { repositories: &repositories, url: &url, branch: branch.as_deref() };
                    Ok(upstream.restore_commits(&prepared.workspace, &saved)?)
                }
            }
            (outcome, _) => outcome.map(|()| None),
        };
        Ok((prepared, outcome))
    });
    restoring.await?.map_err(|error| not_fetched(attempt, &error))
}

async fn pass_over(attempt: &Attempt<'_>, number: i32, error: &RestoreError) -> Result<(), End> {
    warn!(checkpoint = number, error = error as &dyn std::error::Error, "a bad checkpoint is passed over");
    let message = format!("checkpoint {number} cannot be restored, the one before is tried: {error}");
    notify(attempt, "CHECKPOINT_BAD", message).await
}

async fn leave_commits_out(attempt: &Attempt<'_>, number: i32, error: &BundleError) -> Result<(), End> {
    warn!(checkpoint = number, error = error as &dyn std::error::Error, "the agent's commits are left out");
    let problem = chain(error);
    let message = format!(
        "the files of checkpoint {number} are restored, the agent's own commits and branches are not: {problem}"
    );
    notify(attempt, "COMMITS_NOT_RESTORED", message).await
}

async fn notify(attempt: &Attempt<'_>, code: &'static str, message: String) -> Result<(), End> {
    let store = &attempt.context().store;
    let notices = [serde_json::json!({ "code": code, "message": message })];
    let (id, epoch) = (attempt.task.id, attempt.task.epoch);
    accepted(attempt.insist(|| store.events_append(id, epoch, EventKind::Notice, &notices)).await)?;
    Ok(())
}

/// Unwraps what the store accepted.
pub(super) fn accepted<T>(answer: Result<Fenced<T>, makima_shared::store::StoreError>) -> Result<T, End> {
    match answer {
        Ok(Fenced::Accepted(value)) => Ok(value),
        Ok(Fenced::Stale) => Err(End::Over),
        Err(error) => Err(End::failed(AttemptOutcome::PreparationFailed, "STORE_REFUSED", chain(&error))),
    }
}

pub(super) fn unusable(code: &'static str, message: String, permanent: bool) -> End {
    let reason = Reason::new(code, message);
    let outcome = AttemptOutcome::PreparationFailed;
    End::Failed(Failure { outcome, reason, exit_code: None, permanent, exclude: None })
}

/// A failure of this machine: another worker shall try next.
pub(super) fn here(code: &'static str, message: String, attempt: &Attempt<'_>) -> End {
    End::failed_here(attempt, AttemptOutcome::PreparationFailed, code, message)
}

/// Writes an error with its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
