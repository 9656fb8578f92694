//! Brings the files of a workspace from one tree to another, while no agent runs in it.

use std::fs::File;
use std::io::Write;

use git2::{Delta, DiffFile, DiffOptions, FileMode, Oid, Repository};

use super::snapshot::{Change, Taking};
use super::tree_reader::TreeReader;
use super::tree_writer::TreeWriter;
use super::{RestoreError, SnapshotError, Workspace};

/// Up to this size a file is unfolded in memory; beyond, by git, as a stream.
const WHOLE_FILE_BYTES: usize = 16 << 20;

/// Writes the files in which a tree differs from the base, at which the workspace is, and reads them back; if they are
/// another tree then, the workspace is brought to its base again.
pub(super) fn switch_to(workspace: &Workspace, tree_id: &str) -> Result<(), RestoreError> {
    let tree = Oid::from_str(tree_id)?;
    let base = workspace.host_repository()?.find_commit(workspace.base_commit)?.tree_id();
    let found = switch(workspace, base, tree)?;
    if found != tree_id {
        switch(workspace, tree, base)?;
        return Err(RestoreError::TreeMismatch { expected: tree_id.to_owned(), found });
    }
    Ok(())
}

/// Returns the tree that comes of it.
fn switch(workspace: &Workspace, before: Oid, after: Oid) -> Result<String, RestoreError> {
    let reader = TreeReader::open(&workspace.tree()).map_err(SnapshotError::TreeGone)?;
    let mut taking = Taking::begin(workspace, reader)?;
    let repository = &taking.repository;
    let trees = (repository.find_tree(before)?, repository.find_tree(after)?);
    let mut options = DiffOptions::new();
    options.include_typechange(true);
    let diff = repository.diff_tree_to_tree(Some(&trees.0), Some(&trees.1), Some(&mut options))?;
    let writer = TreeWriter::open(&workspace.tree()).map_err(|source| failed(b"", source))?;
    // First all that goes: a directory may have the place of a file, or the other way round.
    for delta in diff.deltas().filter(|delta| delta.status() != Delta::Added) {
        let path = path_of(&delta.old_file());
        writer.remove(&path).map_err(|errno| failed(&path, errno.into()))?;
    }
    let (mut changes, mut submodules) = (Vec::new(), Vec::new());
    for delta in diff.deltas() {
        if delta.status() == Delta::Deleted {
            changes.push(Change::Remove(path_of(&delta.old_file())));
            continue;
        }
        let file = delta.new_file();
        write(workspace, repository, &writer, &file)?;
        if file.mode() == FileMode::Commit {
            submodules.push((path_of(&file), file.id()));
        } else {
            changes.push(Change::Take(path_of(&file)));
        }
    }
    // They borrow from the repository, and what follows needs all of it.
    drop((diff, trees));
    let is_of_files = submodules.is_empty();
    for (path, commit) in submodules {
        taking.submodule(&path, commit)?;
    }
    let before = is_of_files.then_some(before);
    Ok(taking.finish(workspace, &changes, before)?.tree_id)
}

fn write(
    workspace: &Workspace,
    repository: &Repository,
    writer: &TreeWriter,
    file: &DiffFile<'_>,
) -> Result<(), RestoreError> {
    let path = path_of(file);
    let because = |errno: nix::errno::Errno| failed(&path, errno.into());
    match file.mode() {
        FileMode::Commit => writer.directory(&path).map_err(because),
        FileMode::Link => writer.link(&path, repository.find_blob(file.id())?.content()).map_err(because),
        FileMode::Unreadable
        | FileMode::Tree
        | FileMode::Blob
        | FileMode::BlobGroupWritable
        | FileMode::BlobExecutable => {
            let made = writer.file(&path, file.mode() == FileMode::BlobExecutable).map_err(because)?;
            fill(workspace, repository, file.id(), made, &path)
        }
    }
}

fn fill(
    workspace: &Workspace,
    repository: &Repository,
    id: Oid,
    mut file: File,
    path: &[u8],
) -> Result<(), RestoreError> {
    let (length, _) = repository.odb()?.read_header(id)?;
    if length > WHOLE_FILE_BYTES {
        let id = id.to_string();
        let unfolding = workspace.host_command("cat-file")?.args(["blob", id.as_str()]).stream(&mut file);
        return unfolding.map_err(RestoreError::Git);
    }
    file.write_all(repository.find_blob(id)?.content()).map_err(|source| failed(path, source))
}

fn path_of(file: &DiffFile<'_>) -> Vec<u8> {
    file.path_bytes().unwrap_or_default().to_vec()
}

fn failed(path: &[u8], source: std::io::Error) -> RestoreError {
    RestoreError::Write { path: String::from_utf8_lossy(path).into_owned(), source }
}
