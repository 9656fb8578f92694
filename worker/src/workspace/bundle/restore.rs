//! Gives the agent's git directory its commits, branches and HEAD back, in a workspace whose tree was restored and in which
//! no agent has run yet.
//!
//! The pack is unfolded in a git directory of its own, looked through there, and moved over only if everything that the refs
//! need is in it or in the base. What fails before that leaves the workspace as it was: at its base, with all work
//! uncommitted.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{Index, Repository};

use super::super::agent_commits::{measure_tree, verify};
use super::super::agent_refs::{AgentRefs, Note};
use super::super::remove::remove_directory;
use super::super::{Workspace, git_dir};
use super::{BundleError, DEADLINE, MAX_UNPACKED_BYTES, SETTINGS, digest, pack_scan};
use crate::git::Git;

/// Commits as they were saved.
#[derive(Debug, Clone, Copy)]
pub struct SavedCommits<'a> {
    /// The pack, which may be empty.
    pub pack: &'a [u8],
    /// Where HEAD and the branches are: [`AgentRefs`] as JSON.
    pub refs: &'a serde_json::Value,
    /// SHA-256 of both.
    pub sha256: &'a [u8],
}

/// Restores `saved` in a workspace in which the tree of the same checkpoint was just restored.
pub fn restore_commits(workspace: &Workspace, saved: &SavedCommits<'_>) -> Result<(), BundleError> {
    let refs = AgentRefs::parse(saved.refs).ok_or(BundleError::BadRefs)?;
    if digest(saved.pack, &refs)[..] != *saved.sha256 {
        return Err(BundleError::ChecksumMismatch);
    }
    let incoming = workspace.root().join("incoming");
    let restored = restore_through(workspace, saved.pack, &refs, &incoming);
    remove_directory(&incoming)?;
    restored
}

fn restore_through(
    workspace: &Workspace,
    pack: &[u8],
    refs: &AgentRefs,
    incoming: &Path,
) -> Result<(), BundleError> {
    remove_directory(incoming)?;
    git_dir::create_for_host(incoming, &workspace.host_git().join("objects"))?;
    unpack(workspace, pack, incoming)?;
    let mut repository = Repository::open_bare(incoming)?;
    check(workspace, &mut repository, refs)?;
    let index = index_of_head(workspace, &repository, refs, incoming)?;
    let found = refs.clone();
    install_packs(workspace, incoming)?;
    let made = Note::read(workspace).map_or_else(|| refs.clone(), |note| note.made);
    let agent_git = workspace.agent_git();
    git_dir::replace_refs(&agent_git, refs)?;
    fs::rename(index, agent_git.join("index"))?;
    Ok(Note { made, found }.write(workspace)?)
}

/// Unfolds the pack, whose objects git names by what they hold.
fn unpack(workspace: &Workspace, pack: &[u8], incoming: &Path) -> Result<(), BundleError> {
    if pack.is_empty() {
        return Ok(());
    }
    pack_scan::scan(pack).map_err(BundleError::BadPack)?;
    let mut command = Git::local(incoming, "index-pack").cancelled_by(&workspace.cancel).within(DEADLINE);
    for setting in SETTINGS {
        command = command.setting(setting);
    }
    command.args(["--stdin", "--fix-thin"]).feed(&mut &*pack)?;
    Ok(())
}

/// Makes sure that all that the refs lead to is there, and is what git would have made.
fn check(workspace: &Workspace, repository: &mut Repository, refs: &AgentRefs) -> Result<(), BundleError> {
    let heads = refs.commits();
    verify(repository, &workspace.host_repository()?, &heads, MAX_UNPACKED_BYTES)?;
    heads.iter().try_for_each(|head| repository.find_commit(*head).map(drop))?;
    Ok(())
}

/// Writes the index of a tree in which nothing is staged: what HEAD has, with what the fresh checkout's index knows of files
/// that HEAD has like the base. Returns where it is.
fn index_of_head(
    workspace: &Workspace,
    repository: &Repository,
    refs: &AgentRefs,
    incoming: &Path,
) -> Result<PathBuf, BundleError> {
    let fresh = workspace.agent_git().join("index");
    let file = incoming.join("index");
    fs::copy(&fresh, &file)?;
    let mut index = Index::open(&file)?;
    match refs.head_commit() {
        Some(head) => {
            let tree = repository.find_commit(head)?.tree()?;
            measure_tree(repository, tree.id())?;
            index.read_tree(&tree)?;
        }
        None => index.clear()?,
    }
    index.write()?;
    // git trusts what it knows of a file only if the index is later: it is as old as what it knows.
    let written = fs::metadata(fresh)?.modified()?;
    fs::File::options().write(true).open(&file)?.set_modified(written)?;
    Ok(file)
}

/// Copies the packs to the agent, and moves them to the worker's own store, where the next checkpoint looks for them. No
/// file is shared: the agent could write in it.
fn install_packs(workspace: &Workspace, incoming: &Path) -> Result<(), BundleError> {
    let packs = |git_dir: &Path| git_dir.join("objects/pack");
    for entry in fs::read_dir(packs(incoming))? {
        let entry = entry?;
        fs::copy(entry.path(), packs(&workspace.agent_git()).join(entry.file_name()))?;
        fs::rename(entry.path(), packs(&workspace.host_git()).join(entry.file_name()))?;
    }
    Ok(())
}
