//! How much of a repository's history a workspace sees, and how it gets the rest.
//!
//! A copy may hold the last commits of a branch alone. Each git directory over its objects must know where they end:
//! the agent's from when it is made, the worker's at every use, since a copy may get more of a history, and other ends
//! with other branches. What a copy has shown once it shows for good, so that the agent's stays true.
//!
//! Nothing fails for want of history: what needs more of it gets all of it, once ([`Upstream`]). A remote that cannot be
//! asked for it is an error of its own.
//!
//! Left out: an agent that fetches old history by itself and builds on that. It counts as the agent's own work then.

use std::io::Result as IoResult;
use std::path::Path;

use git2::Oid;

use super::bundle::{BundleError, SavedCommits, restore_commits};
use super::merge::{MergeRequest, Merged, merge};
use super::push::PushError;
use super::{Workspace, WorkspaceError};
use crate::repository::{RepositoryCache, RepositoryError, shallow};

/// Where the rest of a history is to be had.
#[derive(Debug, Clone, Copy)]
pub struct Upstream<'a> {
    /// The copies of this machine.
    pub repositories: &'a RepositoryCache,
    /// The repository.
    pub url: &'a str,
    /// The branch that the work began from; none for the one that the remote's HEAD names.
    pub branch: Option<&'a str>,
}

/// Lets a git directory's history end where that of the copy does.
pub(super) fn end_as_copy_does(copy: &Path, git_dir: &Path) -> IoResult<()> {
    shallow::write(git_dir, shallow::read(copy)?.as_deref())
}

/// Lets the history of the worker's git directory end where that of the copy does now. While a fetch ends it may seem to end
/// earlier than it does, but nothing is missing of what it shows.
pub(super) fn follow_copy(workspace: &Workspace) -> IoResult<()> {
    let own = workspace.host_git();
    let ends = shallow::read(&workspace.copy.git_dir)?;
    if ends == shallow::read(&own)? {
        return Ok(());
    }
    shallow::write(&own, ends.as_deref())
}

/// Makes sure that the copy still shows all that a workspace of an earlier life has seen of it: it may have been made anew
/// since, with less.
pub(super) fn check_old(workspace: &Workspace) -> Result<(), WorkspaceError> {
    let own = workspace.host_git();
    let failed = |source| WorkspaceError::Io { path: own.clone(), source };
    let copy = shallow::read(&workspace.copy.git_dir).map_err(failed)?;
    if copy.is_none() || copy == shallow::read(&own).map_err(failed)? {
        return Ok(());
    }
    let ends = shallow::ends(&own).map_err(failed)?;
    let repository = shallow::open(&own)?;
    shallow::ends_of(&repository, workspace.base_commit, &ends)?;
    Ok(())
}

impl Upstream<'_> {
    /// Brings all of the history of the branch and of the base to the copy that `workspace` borrows from, if it has only a
    /// part. Tells whether the workspace sees more of it than before.
    pub fn deepen(&self, workspace: &Workspace) -> Result<bool, RepositoryError> {
        let own = workspace.host_git();
        let Some(before) = shallow::read(&own).map_err(failed)? else { return Ok(false) };
        let base = workspace.base_commit();
        self.repositories.fetch_history(self.url, self.branch, &base, &workspace.cancel)?;
        follow_copy(workspace).map_err(failed)?;
        Ok(shallow::read(&own).map_err(failed)?.as_ref() != Some(&before))
    }

    /// Restores commits in a workspace that no agent has had. They may build on more of the history than is here: the worker
    /// that saved them may have had it. Returns why they are left out, if they are.
    pub fn restore_commits(
        &self,
        workspace: &Workspace,
        saved: &SavedCommits<'_>,
    ) -> Result<Option<BundleError>, RepositoryError> {
        match restore_commits(workspace, saved) {
            Err(error) if !error.is_permanent() && self.deepen(workspace)? => {
                tracing::info!(
                    error = &error as &dyn std::error::Error,
                    "the agent's commits want more history"
                );
                end_as_copy_does(&workspace.copy.git_dir, &workspace.agent_git()).map_err(failed)?;
                Ok(restore_commits(workspace, saved).err())
            }
            restored => Ok(restored.err()),
        }
    }

    /// Merges, with as much of the history as it takes to say where the work began.
    pub fn merge(&self, workspace: &Workspace, request: &MergeRequest<'_>) -> Result<Merged, PushError> {
        if !sees_what_is_common(workspace, request.onto, request.result)? {
            self.deepen(workspace).map_err(PushError::Repository)?;
        }
        Ok(merge(workspace, request)?)
    }

    /// Pushes, and once more with all of the history if the remote wants more of it than is here.
    pub fn push<T>(
        &self,
        workspace: &Workspace,
        push: impl Fn() -> Result<T, PushError>,
    ) -> Result<T, PushError> {
        match push() {
            Err(error)
                if error.is_cut_short() && self.deepen(workspace).map_err(PushError::Repository)? =>
            {
                push()
            }
            pushed => pushed,
        }
    }
}

/// Tells whether enough of the history is here to say where two commits parted, and whether one has what is in the other.
///
/// It is where both end at the same commits: what else the two have in common lies before those, unseen, and is older.
fn sees_what_is_common(workspace: &Workspace, one: &str, other: &str) -> Result<bool, git2::Error> {
    let repository = workspace.host_repository()?;
    let ends = shallow::ends(&workspace.host_git());
    let ends = ends.map_err(|error| git2::Error::from_str(&error.to_string()))?;
    if ends.is_empty() {
        return Ok(true);
    }
    let ends_of = |commit| shallow::ends_of(&repository, Oid::from_str(commit)?, &ends);
    Ok(ends_of(one)? == ends_of(other)?)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: std::io::Error) -> RepositoryError {
    RepositoryError::Cache { reason: error.to_string() }
}
