//! The work of another task, for one that goes on from it: all of it, or some of its files.
//!
//! It is looked for only as long as the task has no checkpoint of its own. What is found is a patch against a commit
//! that the remote has, or such a commit; where all of the work is wanted that commit becomes the task's own base, so
//! that its checkpoints are worth something without the other task.

use makima_shared::domain::{StoredPatch, TaskId};
use makima_shared::store::Fenced;
use tracing::{info, warn};

use super::{Prepared, accepted, chain, here, notify, restore_blocking, unusable};
use crate::attempt::{Attempt, End, Threads};
use crate::workspace::{CopyError, CopySource, PatchLimits, RestoreError, SavedPatch, copy_files};

/// What another task has saved.
pub(super) struct Source {
    task: TaskId,
    state: State,
}

enum State {
    /// A checkpoint.
    Patch(StoredPatch),
    /// A commit: the one that the task pushed, or its base where it has changed nothing.
    Commit(String),
}

impl Source {
    /// Returns the commit that the state is, or applies to.
    pub(super) fn commit(&self) -> &str {
        match &self.state {
            State::Patch(patch) => &patch.base_commit,
            State::Commit(commit) => commit,
        }
    }

    fn describe(&self) -> String {
        match &self.state {
            State::Patch(patch) => format!("checkpoint {} of task {}", patch.number, self.task),
            State::Commit(commit) => format!("commit {commit} of task {}", self.task),
        }
    }
}

/// Looks for what the task goes on from; none if it goes on from no other task's work, or from a checkpoint of its own.
pub(super) async fn find(attempt: &Attempt<'_>) -> Result<Option<Source>, End> {
    let Some(source) = attempt.task.start.task_id else { return Ok(None) };
    if attempt.task.base_commit.is_some() && super::patch_before(attempt, i32::MAX).await?.is_some() {
        return Ok(None);
    }
    look_up(attempt, source).await.map(Some)
}

/// Looks for what the other task has saved.
pub(super) async fn look_up(attempt: &Attempt<'_>, source: TaskId) -> Result<Source, End> {
    let (store, task) = (&attempt.context().store, attempt.task.id);
    let asking = || async { Ok(Fenced::Accepted(store.source_task(task, source).await?)) };
    let Some(found) = accepted(attempt.insist(asking).await)? else {
        return Err(not_available(source, "it was deleted"));
    };
    if let Some(patch) = patch_before(attempt, source, i32::MAX).await? {
        return Ok(Source { task: source, state: State::Patch(patch) });
    }
    let commit = match (found.pushed_commit, found.base_commit) {
        _ if attempt.task.start.sha.is_some() => {
            return Err(not_available(source, "the checkpoint that was asked for has expired"));
        }
        (Some(pushed), _) => pushed,
        (None, Some(base)) if !found.has_checkpoints => base,
        (None, Some(_)) => {
            return Err(not_available(
                source,
                "its checkpoints have expired, and its result is on no branch",
            ));
        }
        (None, None) => return Err(not_available(source, "it has not begun yet")),
    };
    Ok(Source { task: source, state: State::Commit(commit) })
}

async fn patch_before(
    attempt: &Attempt<'_>,
    source: TaskId,
    before: i32,
) -> Result<Option<StoredPatch>, End> {
    let (store, task) = (&attempt.context().store, attempt.task.id);
    let tree = attempt.task.start.sha.as_deref();
    let asking =
        || async { Ok(Fenced::Accepted(store.source_patch_before(task, source, tree, before).await?)) };
    accepted(attempt.insist(asking).await)
}

/// Takes over what is asked for of the other task's work, into a workspace at its base. A checkpoint that turns out to be
/// bad is passed over for the one before it.
pub(super) async fn take_over(
    attempt: &Attempt<'_>,
    threads: &Threads,
    mut prepared: Prepared,
    mut source: Source,
) -> Result<Prepared, End> {
    loop {
        let words = source.describe();
        let Source { task, state } = source;
        let number = match &state {
            State::Patch(patch) => Some(patch.number),
            State::Commit(_) => None,
        };
        let (back, outcome) = take_over_once(attempt, threads, prepared, state).await?;
        prepared = back;
        match outcome {
            Ok(()) => {
                info!(source = words, "goes on from another task's work");
                notify(attempt, "CONTINUED", format!("the work goes on from {words}")).await?;
                return Ok(prepared);
            }
            Err(error @ CopyError::NotFound { .. }) => {
                let message = format!("copyFiles cannot be brought over from {words}: {error}");
                return Err(unusable("COPY_FILE_NOT_FOUND", message, true));
            }
            Err(CopyError::Restore(error)) if !error.is_bad_checkpoint() => {
                return Err(here("RESTORE_FAILED", chain(&error), attempt));
            }
            Err(CopyError::Restore(error)) => {
                warn!(
                    source = words,
                    error = &error as &dyn std::error::Error,
                    "a bad checkpoint is passed over"
                );
                notify(attempt, "CHECKPOINT_BAD", format!("{words} cannot be restored: {error}")).await?;
            }
        }
        source = match patch_before(attempt, task, number.unwrap_or_default()).await? {
            Some(patch) => Source { task, state: State::Patch(patch) },
            None => return Err(not_available(task, "none of its checkpoints can be restored")),
        };
    }
}

async fn take_over_once(
    attempt: &Attempt<'_>,
    threads: &Threads,
    prepared: Prepared,
    state: State,
) -> Result<(Prepared, Result<(), CopyError>), End> {
    let paths = attempt.task.start.copy_files.clone();
    match state {
        State::Patch(patch) if paths.is_empty() => {
            let (prepared, outcome) = restore_blocking(attempt, threads, prepared, patch).await?;
            // Commits that cannot be had are left out: the files are there.
            Ok((prepared, outcome.map(|_commits_left_out| ()).map_err(CopyError::from)))
        }
        // The workspace was made at it, unless the task has a base from an attempt before.
        State::Commit(commit) if paths.is_empty() && commit == prepared.workspace.base_commit() => {
            Ok((prepared, Ok(())))
        }
        State::Commit(_) if paths.is_empty() => Ok((prepared, Err(RestoreError::ChecksumMismatch.into()))),
        State::Patch(_) | State::Commit(_) => {
            let copying = threads.run(move || {
                let outcome = copy(&prepared, &state, &paths);
                (prepared, outcome)
            });
            copying.await
        }
    }
}

fn copy(prepared: &Prepared, state: &State, paths: &[String]) -> Result<(), CopyError> {
    let source = match state {
        State::Patch(patch) => CopySource::Checkpoint {
            base_commit: &patch.base_commit,
            saved: SavedPatch { gzip: &patch.patch_gzip, sha256: &patch.sha256, tree_id: &patch.tree_id },
        },
        State::Commit(commit) => CopySource::Commit(commit),
    };
    copy_files(&prepared.workspace, &source, paths, PatchLimits::default())
}

fn not_available(source: TaskId, why: &str) -> End {
    let message = format!("the work of task {source}, which this one goes on from, is not to be had: {why}");
    unusable("SOURCE_NOT_AVAILABLE", message, true)
}
