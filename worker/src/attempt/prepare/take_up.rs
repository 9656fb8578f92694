//! Goes on in the workspace that the attempt before left on this machine when its worker was killed: it has more in it than
//! the last checkpoint.
//!
//! Whatever speaks against that leads to the other way, a fresh workspace and the checkpoint: the workspace is removed then.

use std::path::PathBuf;
use std::sync::Arc;

use makima_shared::domain::Epoch;
use makima_shared::store::Fenced;
use tracing::{info, warn};

use super::super::threads::Threads;
use super::super::{Attempt, End};
use super::{Prepared, accepted, chain, notify, patch_before};
use crate::git::Cancel;
use crate::kept;
use crate::repository::RepositoryCache;
use crate::secrets::Secrets;
use crate::workspace::{Workspace, remove_directory, snapshot};

/// Takes the workspace up, if there is one and it is whole.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    threads: &Threads,
    secrets: &Secrets,
) -> Result<Option<Prepared>, End> {
    let task = attempt.task;
    if task.completion_only {
        // What is to be delivered is the last checkpoint.
        return Ok(None);
    }
    let Some(place) = attempt.life.kept.take(task.id, task.epoch) else { return Ok(None) };
    let may_resume = may_resume(attempt).await?;
    let (Some(commit), true) = (task.base_commit.clone(), may_resume) else {
        threads.run(move || discard(&place)).await?;
        return Ok(None);
    };
    let last = patch_before(attempt, i32::MAX).await?;
    let repositories = Arc::clone(&attempt.context().repositories);
    let (url, cancel) = (task.repository_url.clone(), threads.cancel().clone());
    let secrets = secrets.clone();
    let root = attempt.life.work_dir.path().join(kept::name(task.id, task.epoch));
    let number = last.as_ref().map(|last| last.number);
    let (restored_tree, keep_ignored) = (last.map(|last| last.tree_id), task.keep_ignored.clone());
    // Made whole in there: if the attempt ends meanwhile, what is dropped unseen removes its workspace.
    let taking_up = threads.run(move || {
        let workspace = take_up(&repositories, &url, &commit, Place { place, root, secrets }, &cancel)?;
        let mut prepared = Prepared::new(workspace.keeping(&keep_ignored));
        (prepared.restored_tree, prepared.resumed_from) = (restored_tree, number);
        Ok::<_, String>(prepared)
    });
    let prepared = match taking_up.await? {
        Ok(prepared) => prepared,
        Err(reason) => {
            warn!(reason, "the workspace of the attempt before is of no use");
            return Ok(None);
        }
    };
    info!(checkpoint = number, "goes on in the workspace of the attempt before");
    tell(attempt, &prepared, number).await?;
    Ok(Some(prepared))
}

/// Asks whether the task is to go on from where it stood: it may have been started afresh since.
async fn may_resume(attempt: &Attempt<'_>) -> Result<bool, End> {
    let (store, task) = (&attempt.context().store, attempt.task);
    let before = Epoch::from(task.epoch.number() - 1);
    let asking =
        attempt.insist(|| async { Ok(Fenced::Accepted(store.attempt_may_resume(task.id, before).await?)) });
    accepted(asking.await)
}

/// Where the workspace is, where it belongs, and what it must not let out.
struct Place {
    place: PathBuf,
    root: PathBuf,
    secrets: Secrets,
}

/// Brings the workspace to its new place, and reads it once. Blocks.
fn take_up(
    repositories: &RepositoryCache,
    url: &str,
    commit: &str,
    Place { place, root, secrets }: Place,
    cancel: &Cancel,
) -> Result<Workspace, String> {
    let whole = repositories
        .copy_with(url, commit)
        .ok_or_else(|| "the copy that it borrows from is gone".to_owned())
        .and_then(|git_dir| {
            Workspace::take_up(&place, &root, &git_dir, commit, cancel).map_err(|error| chain(&error))
        })
        .map(|workspace| workspace.guarding(secrets))
        .and_then(|workspace| snapshot(&workspace).map_err(|error| chain(&error)).map(|_snapshot| workspace));
    if whole.is_err() {
        discard(&place);
        discard(&root);
    }
    whole
}

fn discard(path: &std::path::Path) {
    if let Err(error) = remove_directory(path) {
        warn!(path = %path.display(), %error, "an old workspace was not removed");
    }
}

/// Tells the store, and the owner, what the attempt starts from.
async fn tell(attempt: &Attempt<'_>, prepared: &Prepared, number: Option<i32>) -> Result<(), End> {
    let store = &attempt.context().store;
    let base_commit = prepared.workspace.base_commit();
    accepted(attempt.insist(|| store.attempt_prepared(attempt.key(), &base_commit, number)).await)?;
    let message = "the work goes on in the workspace that the attempt before left on this machine";
    notify(attempt, "WORKSPACE_TAKEN_UP", message.to_owned()).await
}
