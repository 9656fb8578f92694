//! Brings single files of another task's work into a workspace that no agent has run in yet.
//!
//! Everything goes through git trees: the other task's tree is made in the worker's own git directory, the named files are
//! entered into a copy of the workspace's own tree, and that tree is checked out as a restored one is. So no path is
//! opened, and whatever is a link is a link afterwards.

use std::path::Path;

use git2::{ErrorCode, Index, IndexEntry, IndexTime, ObjectType, Oid, Repository, Tree, TreeEntry};

use super::apply::apply;
use super::restore::check_sum;
use super::switch::switch_to;
use super::{PatchLimits, RestoreError, SavedPatch, Workspace};

/// Where files are brought from. The copy of the repository has the commit.
#[derive(Debug, Clone, Copy)]
pub enum CopySource<'a> {
    /// A checkpoint: a commit and what leads on from it.
    Checkpoint {
        /// The commit that the patch applies to.
        base_commit: &'a str,
        /// The patch.
        saved: SavedPatch<'a>,
    },
    /// A commit as it is.
    Commit(&'a str),
}

/// Why files were not brought over.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source has no such file or directory.
    #[error("there is no `{path}` in what the other task has saved")]
    NotFound {
        /// The path that was asked for.
        path: String,
    },
    /// The source could not be made, or the files not be written.
    #[error("the files could not be brought over")]
    Restore(#[from] RestoreError),
}

impl From<git2::Error> for CopyError {
    fn from(error: git2::Error) -> Self {
        Self::Restore(error.into())
    }
}

/// Brings `paths`, files or whole directories, from `source` into a workspace that was just created. What else a directory
/// of the workspace holds stays.
pub fn copy_files(
    workspace: &Workspace,
    source: &CopySource<'_>,
    paths: &[String],
    limits: PatchLimits,
) -> Result<(), CopyError> {
    let source = match source {
        CopySource::Checkpoint { base_commit, saved } => {
            checkpoint_tree(workspace, base_commit, saved, limits)?
        }
        CopySource::Commit(commit) => {
            workspace.host_repository()?.find_commit(Oid::from_str(commit)?)?.tree_id()
        }
    };
    let repository = workspace.host_repository()?;
    let source = repository.find_tree(source)?;
    let base = repository.find_commit(workspace.base_commit)?.tree()?;
    let mut index = Index::new()?;
    index.read_tree(&base)?;
    for path in paths {
        enter(&repository, &mut index, &source, path)?;
    }
    let tree = index.write_tree_to(&repository)?;
    Ok(switch_to(workspace, base.id(), tree)?)
}

/// Makes the tree of a checkpoint in the worker's object store.
fn checkpoint_tree(
    workspace: &Workspace,
    base_commit: &str,
    saved: &SavedPatch<'_>,
    limits: PatchLimits,
) -> Result<Oid, RestoreError> {
    check_sum(saved)?;
    let base = workspace.host_repository()?.find_commit(Oid::from_str(base_commit)?)?.tree_id();
    apply(workspace, base, saved, limits)
}

/// Enters what stands at `path` in `source`.
fn enter(repository: &Repository, index: &mut Index, source: &Tree<'_>, path: &str) -> Result<(), CopyError> {
    let path = path.trim_end_matches('/');
    let found = source.get_path(Path::new(path)).map_err(|error| {
        let is_missing = error.code() == ErrorCode::NotFound;
        if is_missing { CopyError::NotFound { path: path.to_owned() } } else { error.into() }
    })?;
    let Some(directory) = found.to_object(repository).ok().and_then(|object| object.into_tree().ok()) else {
        return Ok(index.add(&entry_of(&found, path.as_bytes().to_vec()))?);
    };
    let mut waiting = vec![(directory, path.as_bytes().to_vec())];
    while let Some((directory, path)) = waiting.pop() {
        for entry in &directory {
            let path = [&path, &b"/"[..], entry.name_bytes()].concat();
            match entry.kind() {
                Some(ObjectType::Tree) => waiting.push((repository.find_tree(entry.id())?, path)),
                _ => index.add(&entry_of(&entry, path))?,
            }
        }
    }
    Ok(())
}

fn entry_of(entry: &TreeEntry<'_>, path: Vec<u8>) -> IndexEntry {
    let nothing = IndexTime::new(0, 0);
    IndexEntry {
        ctime: nothing,
        mtime: nothing,
        dev: 0,
        ino: 0,
        mode: u32::try_from(entry.filemode()).unwrap_or_default(),
        uid: 0,
        gid: 0,
        file_size: 0,
        id: entry.id(),
        flags: 0,
        flags_extended: 0,
        path,
    }
}
