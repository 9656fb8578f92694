//! How much of a repository's history a workspace sees, and how it gets the rest.
//!
//! A copy may hold the last commits of a branch alone. Each git directory over its objects must know where they end: the
//! agent's from when it is made, the worker's at every use, since a copy may get more of a history, and other ends with other
//! branches. What a copy has shown once it shows for good, so that the agent's stays true.

use git2::Oid;

use super::{Workspace, WorkspaceError};
use crate::repository::{RepositoryCache, RepositoryError, shallow};

use std::io::Result;
use std::path::Path;

/// Lets a git directory's history end where that of the copy does.
pub(super) fn end_as_copy_does(copy: &Path, git_dir: &Path) -> Result<()> {
    shallow::write(git_dir, shallow::read(copy)?.as_deref())
}

/// Lets the history of the worker's git directory end where that of the copy does now. While a fetch is under way, what was
/// true before is true.
pub(super) fn follow_copy(workspace: &Workspace) -> Result<()> {
    let (copy, own) = (&workspace.copy.git_dir, workspace.host_git());
    let is_settled = shallow::is_settled(copy);
    let ends = shallow::read(copy)?;
    if !is_settled || ends == shallow::read(&own)? {
        return Ok(());
    }
    shallow::write(&own, ends.as_deref())
}

/// Makes sure that the copy still shows all that a workspace of an earlier life has seen of it: it may have been made anew
/// since, with less.
pub(super) fn check_old(workspace: &Workspace) -> std::result::Result<(), WorkspaceError> {
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

impl Workspace {
    /// Brings all of the history of `branch` and of the base to the copy that the workspace borrows from, if it has only a
    /// part. Tells whether the workspace sees more of it than before.
    pub fn deepen(
        &self,
        repositories: &RepositoryCache,
        url: &str,
        branch: Option<&str>,
    ) -> std::result::Result<bool, RepositoryError> {
        let own = self.host_git();
        let failed = |error: &dyn std::fmt::Display| RepositoryError::Cache { reason: error.to_string() };
        let Some(before) = shallow::read(&own).map_err(|error| failed(&error))? else { return Ok(false) };
        repositories.fetch_history(url, branch, &self.base_commit(), &self.cancel)?;
        follow_copy(self).map_err(|error| failed(&error))?;
        Ok(shallow::read(&own).map_err(|error| failed(&error))?.as_ref() != Some(&before))
    }

    /// The same, for a workspace in which no agent has run yet: the agent sees it, too.
    pub fn deepen_before_agent(
        &self,
        repositories: &RepositoryCache,
        url: &str,
        branch: Option<&str>,
    ) -> std::result::Result<bool, RepositoryError> {
        let is_deeper = self.deepen(repositories, url, branch)?;
        let shown = end_as_copy_does(&self.copy.git_dir, &self.agent_git());
        shown.map_err(|error| RepositoryError::Cache { reason: error.to_string() })?;
        Ok(is_deeper)
    }

    /// Tells whether enough of the history is here to say where two commits parted, and whether one has what is in the other.
    ///
    /// It is where both end at the same commits: what the two have in common and nobody sees lies before those.
    pub fn sees_common_history(&self, one: &str, other: &str) -> std::result::Result<bool, git2::Error> {
        let repository = self.host_repository()?;
        let ends =
            shallow::ends(&self.host_git()).map_err(|error| git2::Error::from_str(&error.to_string()))?;
        if ends.is_empty() {
            return Ok(true);
        }
        let ends_of = |commit| shallow::ends_of(&repository, Oid::from_str(commit)?, &ends);
        Ok(ends_of(one)? == ends_of(other)?)
    }
}
