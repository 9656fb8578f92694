//! Makes the tree of a result: what `git add -A` and `git commit` on the agent's HEAD would hold.
//!
//! A snapshot stores bytes as they are; a result is for people, so the files that changed are converted as
//! `.gitattributes` asks. No external filter runs: the worker's git directory defines none.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use git2::{Commit, Delta, DiffOptions, FileMode, Index, IndexEntry, IndexTime, Oid, Repository};

use super::super::Workspace;
use super::super::agent_repository::AgentIndex;
use super::super::ignore_rules::IgnoreLookup;
use super::super::tree_reader::TreeReader;
use super::ResultError;
use super::convert::convert;
use crate::git::GitError;

/// Returns the tree that a commit on `parent` has after everything in `snapshot_tree` was added.
pub(super) fn result_tree(
    workspace: &Workspace,
    repository: &Repository,
    reader: &mut TreeReader,
    parent: &Commit<'_>,
    snapshot_tree: Oid,
    agent_index: Option<&AgentIndex>,
) -> Result<Oid, ResultError> {
    let index_file = workspace.host_git().join("result.index");
    if index_file.symlink_metadata().is_ok() {
        std::fs::remove_file(&index_file)?;
    }
    let mut index = Index::open(&index_file)?;
    index.read_tree(&parent.tree()?)?;
    let plan = Plan::new(repository, &index, parent, snapshot_tree, agent_index, reader)?;
    for path in &plan.absent {
        index.remove(as_path(path), 0)?;
    }
    let tree = match add(workspace, reader, index, &plan.changed) {
        Ok(mut index) => index.write_tree_to(repository)?,
        Err(ResultError::Git(error @ GitError::Failed { .. })) => {
            tracing::warn!(%error, "files cannot be converted as their attributes ask; they are committed as they are");
            snapshot_tree
        }
        Err(error) => return Err(error),
    };
    if index_file.exists() {
        std::fs::remove_file(&index_file)?;
    }
    Ok(tree)
}

/// Adds what changed to the index: converted where there are attributes at all, as it is where there are none.
fn add(
    workspace: &Workspace,
    reader: &mut TreeReader,
    mut index: Index,
    changed: &[Changed],
) -> Result<Index, ResultError> {
    let has_attributes = index.iter().any(|entry| is_attributes(&entry.path))
        || changed.iter().any(|file| is_attributes(&file.path));
    let converted =
        if has_attributes { convert(workspace, reader, &mut index, changed)? } else { HashSet::new() };
    for file in changed.iter().filter(|file| !converted.contains(file.path.as_slice())) {
        index.add(&file.entry())?;
    }
    Ok(index)
}

fn is_attributes(path: &[u8]) -> bool {
    path.rsplit(|byte| *byte == b'/').next() == Some(b".gitattributes")
}

/// A file as a snapshot has it.
pub(super) struct Changed {
    pub(super) path: Vec<u8>,
    pub(super) mode: FileMode,
    id: Oid,
}

impl Changed {
    fn entry(&self) -> IndexEntry {
        let nothing = IndexTime::new(0, 0);
        IndexEntry {
            ctime: nothing,
            mtime: nothing,
            dev: 0,
            ino: 0,
            mode: u32::from(self.mode),
            uid: 0,
            gid: 0,
            file_size: 0,
            id: self.id,
            flags: 0,
            flags_extended: 0,
            path: self.path.clone(),
        }
    }
}

#[derive(Default)]
struct Plan {
    /// Files that the parent does not have like this.
    changed: Vec<Changed>,
    /// What the parent has and the result has not.
    absent: Vec<Vec<u8>>,
}

impl Plan {
    /// Compares `parent`, which `index` holds, with the snapshot. Where the agent's index is known, an ignored file counts
    /// only if it is in there: an agent that took it out has stopped tracking it, though the file is still there.
    fn new(
        repository: &Repository,
        index: &Index,
        parent: &Commit<'_>,
        snapshot_tree: Oid,
        agent_index: Option<&AgentIndex>,
        reader: &mut TreeReader,
    ) -> Result<Self, git2::Error> {
        let mut rules = IgnoreLookup::new(reader);
        let mut is_unwanted =
            |path: &[u8]| agent_index.is_some_and(|index| !index.has(path)) && rules.is_ignored(path);
        let (before, after) = (parent.tree()?, repository.find_tree(snapshot_tree)?);
        let mut options = DiffOptions::new();
        options.include_typechange(true).skip_binary_check(true);
        let diff = repository.diff_tree_to_tree(Some(&before), Some(&after), Some(&mut options))?;
        let mut plan = Self::default();
        for delta in diff.deltas() {
            let (file, Some(path)) = (delta.new_file(), delta.new_file().path_bytes()) else { continue };
            if delta.status() == Delta::Deleted {
                plan.absent.push(path.to_vec());
            // Submodules stay as the agent's commits have them.
            } else if file.mode() != FileMode::Commit && !is_unwanted(path) {
                plan.changed.push(Changed { path: path.to_vec(), mode: file.mode(), id: file.id() });
            }
        }
        let files = index.iter().filter(|entry| entry.mode != u32::from(FileMode::Commit));
        let untracked = files.map(|entry| entry.path).filter(|path| is_unwanted(path));
        plan.absent.extend(untracked);
        plan.absent.sort();
        plan.absent.dedup();
        Ok(plan)
    }
}

pub(super) fn as_path(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}
