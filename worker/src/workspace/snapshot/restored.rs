//! Tells the next snapshot what a restore brought into the tree, and a later life of the worker what this one took last.
//!
//! A restore leaves the worker's index as it is, because reading and writing that takes longer the larger the repository is.
//! It notes the tree in the worker's git directory instead, and the next snapshot, which reads the index anyway, enters what
//! differs from the base: so files that are ignored count as they did, and what cannot be read keeps the state it had. A
//! snapshot that leaves the index as it is ([`super::unwritten`]) notes its tree as well.

use std::fs;
use std::io::{ErrorKind, Result};
use std::path::PathBuf;

use git2::{Delta, DiffOptions, ErrorClass, Index, IndexEntry, Oid, Repository};

use super::super::Workspace;
use super::{path_of, stat_data, store};

/// Notes that the files of the workspace, which are those of its base, become those of `tree`.
pub(in crate::workspace) fn note(workspace: &Workspace, tree: Oid) -> Result<()> {
    workspace.last_look.set(None);
    note_taken(workspace, tree)
}

/// Notes that the files were taken as `tree`, which the index lags behind.
pub(super) fn note_taken(workspace: &Workspace, tree: Oid) -> Result<()> {
    let (file, new) = (file(workspace), workspace.host_git().join("restored.lock"));
    fs::write(&new, tree.to_string())?;
    fs::rename(new, file)
}

/// Forgets it: the files are those of the base again, or the index knows of them.
pub(in crate::workspace) fn forget(workspace: &Workspace) -> Result<()> {
    match fs::remove_file(file(workspace)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Enters what was noted, if anything was, without stat data where the index has something else: those files are read again.
/// Tells whether there was something.
pub(super) fn enter(
    workspace: &Workspace,
    repository: &Repository,
    index: &mut Index,
) -> std::result::Result<bool, git2::Error> {
    let noted = match fs::read_to_string(file(workspace)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        noted => noted.map_err(|error| git2::Error::from_str(&format!("a note cannot be read: {error}")))?,
    };
    let base = repository.find_commit(workspace.base_commit)?.tree()?;
    let restored = repository.find_tree(noted.trim().parse()?)?;
    let mut options = DiffOptions::new();
    options.include_typechange(true).skip_binary_check(true);
    let diff = repository.diff_tree_to_tree(Some(&base), Some(&restored), Some(&mut options))?;
    for delta in diff.deltas().filter(|delta| matches!(delta.status(), Delta::Deleted | Delta::Typechange)) {
        store::remove(index, delta.old_file().path_bytes().unwrap_or_default())?;
    }
    for delta in diff.deltas().filter(|delta| delta.status() != Delta::Deleted) {
        let file = delta.new_file();
        let entry = stat_data::entry_of_submodule(file.path_bytes().unwrap_or_default(), file.id());
        let entry = IndexEntry { mode: file.mode().into(), ..entry };
        let known = index.get_path(path_of(&entry.path), 0);
        if known.is_some_and(|known| (known.mode, known.id) == (entry.mode, entry.id)) {
            continue;
        }
        match index.add(&entry) {
            // A name that no index takes: the snapshot names it as left out.
            Err(error) if error.class() == ErrorClass::Index => {}
            added => added?,
        }
    }
    Ok(true)
}

fn file(workspace: &Workspace) -> PathBuf {
    workspace.host_git().join("restored")
}
