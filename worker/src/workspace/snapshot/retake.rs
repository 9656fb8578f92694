//! Takes the files again that changed, and nothing else: without the index ([`super::unwritten`]).

use git2::Oid;

use super::super::Workspace;
use super::super::tree_reader::TreeReader;
use super::last_look::Seen;
use super::stat_data::is_file;
use super::store::{Store, Taken};
use super::unwritten::Unwritten;
use super::{Change, Skipped, Snapshot, SnapshotError, Taking, index_written, updated_tree};

/// Takes a snapshot of the tree that `last` is of and in which these `files` changed. If one of them is no file any more, or
/// cannot be stored, the tree has to be looked at as a whole: all that is left of `last` then is what its index lacks.
pub(super) fn retake(
    workspace: &Workspace,
    reader: &mut TreeReader,
    last: Seen,
    files: &[Change],
) -> Result<Result<Seen, Unwritten>, SnapshotError> {
    let last = if last.unwritten().is_full() { write_index(workspace, last)? } else { last };
    let repository = workspace.host_repository()?;
    let mut store = Store::new(&repository, reader, &workspace.secrets)?;
    let mut entries = Vec::with_capacity(files.len());
    for path in files.iter().map(Change::path) {
        match store.store(path)? {
            // A link cannot change where it stands: it is another one.
            Taken::Entry(entry) if is_file(&entry) => entries.push(entry),
            Taken::Entry(_)
            | Taken::Nothing
            | Taken::Special
            | Taken::Skipped(_)
            | Taken::Secret(_)
            | Taken::SecretInName(_) => return Ok(Err(last.into_unwritten())),
        }
    }
    let stored_bytes = store.stored_bytes();
    let before = Oid::from_str(&last.snapshot().tree_id)?;
    let Some(tree) = updated_tree(&repository, before, &entries)? else {
        return Ok(Err(last.into_unwritten()));
    };
    let base_tree = repository.find_commit(workspace.base_commit)?.tree_id();
    let snapshot =
        Snapshot { tree_id: tree.to_string(), changed: tree != base_tree, skipped: Skipped::default() };
    Ok(Ok(last.with(entries, stored_bytes, snapshot)))
}

/// Writes the index, if the snapshots since have taken what it does not have.
pub(super) fn write_index(workspace: &Workspace, last: Seen) -> Result<Seen, SnapshotError> {
    if last.unwritten().is_empty() {
        return Ok(last);
    }
    let reader = TreeReader::open(&workspace.tree()).map_err(SnapshotError::TreeGone)?;
    let mut taking = Taking::begin(workspace, reader)?;
    taking.enter(last.unwritten())?;
    taking.write_index(Oid::from_str(&last.snapshot().tree_id)?)?;
    Ok(last.as_written(index_written(workspace)?))
}
