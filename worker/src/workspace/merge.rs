//! Merges a result into the base branch as it stands now, in process and without a work tree.
//!
//! Invariant: the base branch is only ever moved from the commit that was merged onto, with a lease on it, so that what
//! somebody else brought in meanwhile is never lost.

use std::collections::BTreeSet;

use git2::{Commit, Index, MergeOptions, Oid, Repository, Signature};
use makima_shared::domain::MergeStrategy;

use super::Workspace;
use super::push::{PushError, send};
use super::result::Author;
use crate::repository::Remote;

/// How many conflicting files are named.
const MAX_CONFLICTS: usize = 100;

/// What is to be merged, and how.
#[derive(Debug, Clone, Copy)]
pub struct MergeRequest<'a> {
    /// The result, as [`super::commit_result`] made it.
    pub result: &'a str,
    /// The tip of the base branch, which the copy of the repository has, with enough of its history.
    pub onto: &'a str,
    /// Commits of which each would mean, were it in the base branch, that this very work is in.
    pub known: &'a [String],
    /// By a merge commit or as one commit.
    pub strategy: MergeStrategy,
    /// The message of the commit.
    pub message: &'a str,
    /// Who commits.
    pub author: Author<'a>,
}

/// What a merge came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// A commit on top of the base branch, which is still to be pushed.
    Made(String),
    /// The base branch has the work already, since this commit or an earlier one.
    AlreadyIn(String),
    /// Both changed the same places of these files, 100 at most.
    Conflicts(Vec<String>),
}

/// Merges a result onto a commit of the base branch. Moves nothing.
pub fn merge(workspace: &Workspace, request: &MergeRequest<'_>) -> Result<Merged, git2::Error> {
    let repository = workspace.host_repository()?;
    let onto = repository.find_commit(Oid::from_str(request.onto)?)?;
    if let Some(known) = request.known.iter().find(|known| contains(&repository, onto.id(), known)) {
        return Ok(Merged::AlreadyIn(known.clone()));
    }
    let result = repository.find_commit(Oid::from_str(request.result)?)?;
    let mut index = merged_index(workspace, &repository, &onto, &result)?;
    if index.has_conflicts() {
        return conflicts(&index).map(Merged::Conflicts);
    }
    let tree = index.write_tree_to(&repository)?;
    if tree == onto.tree_id() {
        return Ok(Merged::AlreadyIn(request.onto.to_owned()));
    }
    let tree = repository.find_tree(tree)?;
    let signature: Signature<'_> = request.author.signature()?;
    let parents: &[&Commit<'_>] = match request.strategy {
        MergeStrategy::Merge => &[&onto, &result],
        MergeStrategy::Squash => &[&onto],
    };
    let message = request.message.replace('\0', "");
    let commit = repository.commit(None, &signature, &signature, &message, &tree, parents)?;
    Ok(Merged::Made(commit.to_string()))
}

/// Moves `branch` of `remote` to a merge that was made `onto` its tip.
pub fn push_merge(
    workspace: &Workspace,
    remote: &Remote,
    commit: &str,
    branch: &str,
    onto: &str,
) -> Result<(), PushError> {
    let (commit, onto) = (Oid::from_str(commit)?.to_string(), Oid::from_str(onto)?.to_string());
    workspace.secure_host_git()?;
    send(workspace, remote, &commit, branch, &onto)
}

/// Tells whether the history of `tip` has a commit, as far as this machine has it: the caller sees to it that it has enough
/// ([`super::Upstream::merge`]).
fn contains(repository: &Repository, tip: Oid, commit: &str) -> bool {
    let Ok(commit) = Oid::from_str(commit) else { return false };
    tip == commit || repository.graph_descendant_of(tip, commit).unwrap_or(false)
}

/// Merges from where the two histories parted. Where that is not to be found (somebody wrote the base branch anew),
/// from where the work began.
fn merged_index(
    workspace: &Workspace,
    repository: &Repository,
    onto: &Commit<'_>,
    result: &Commit<'_>,
) -> Result<Index, git2::Error> {
    let parted = repository.merge_base(onto.id(), result.id()).unwrap_or(workspace.base_commit);
    let ancestor = repository.find_commit(parted)?.tree()?;
    let mut options = MergeOptions::new();
    options.find_renames(true);
    repository.merge_trees(&ancestor, &onto.tree()?, &result.tree()?, Some(&options))
}

fn conflicts(index: &Index) -> Result<Vec<String>, git2::Error> {
    let mut files = BTreeSet::new();
    for conflict in index.conflicts()? {
        let conflict = conflict?;
        // A rename has its names on different sides.
        let sides = [conflict.our, conflict.their, conflict.ancestor];
        if let Some(entry) = sides.into_iter().flatten().next() {
            files.insert(String::from_utf8_lossy(&entry.path).into_owned());
        }
        if files.len() == MAX_CONFLICTS {
            break;
        }
    }
    Ok(files.into_iter().collect())
}
