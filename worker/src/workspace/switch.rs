//! Brings the files of a workspace from one tree to another, while no agent runs in it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;

use git2::{Delta, Diff, DiffDelta, DiffFile, DiffOptions, FileMode, Oid, Repository};

use super::apply::{Entry, Hashed, Kind, Modes, SUBMODULE, Update, updated};
use super::snapshot::restored;
use super::tree_reader::{Found, TreeReader, size_of};
use super::tree_writer::TreeWriter;
use super::{RestoreError, SnapshotError, Workspace};
use crate::secrets::Secrets;

/// Up to this size a file is unfolded in memory; beyond, by git, as a stream.
const WHOLE_FILE_BYTES: usize = 4 << 20;

/// Writes the files in which `tree` differs from `base`, the tree at which the workspace is, and reads them back; if
/// they are another tree then, the workspace is brought to its base again.
pub(super) fn switch_to(workspace: &Workspace, base: Oid, tree: Oid) -> Result<(), RestoreError> {
    let noted = |source| failed(b"host.git", source);
    restored::note(workspace, tree).map_err(noted)?;
    let found = switch(workspace, base, tree)?;
    if found != tree {
        switch(workspace, tree, base)?;
        restored::forget(workspace).map_err(noted)?;
        let (expected, found) = (tree.to_string(), found.to_string());
        return Err(RestoreError::TreeMismatch { expected, found });
    }
    Ok(())
}

/// Returns the tree that comes of it.
fn switch(workspace: &Workspace, before: Oid, after: Oid) -> Result<Oid, RestoreError> {
    let repository = workspace.host_repository()?;
    let trees = (repository.find_tree(before)?, repository.find_tree(after)?);
    let mut options = DiffOptions::new();
    options.include_typechange(true).skip_binary_check(true);
    let diff = repository.diff_tree_to_tree(Some(&trees.0), Some(&trees.1), Some(&mut options))?;
    let writer = TreeWriter::open(&workspace.tree()).map_err(|source| failed(b"", source))?;
    // First all that goes: a directory may have the place of a file, or the other way round.
    for delta in diff.deltas().filter(|delta| delta.status() != Delta::Added) {
        let path = path_of(&delta.old_file());
        writer.remove(&path).map_err(|errno| failed(&path, errno.into()))?;
    }
    for delta in diff.deltas().filter(|delta| delta.status() != Delta::Deleted) {
        write(workspace, &repository, &writer, &delta.new_file())?;
    }
    let updates = read_back(workspace, &diff)?;
    let wanted = diff.deltas().map(|delta| wanted(&delta));
    if updates.iter().map(|update| update.entry).eq(wanted) {
        return Ok(after);
    }
    updated(&repository, before, Modes::AsTheyAre, &updates, &mut |tree| {
        let mut hashed = Hashed::begin(Kind::Tree, tree.len() as u64);
        hashed.write_all(tree).and_then(|()| hashed.finish()).map_err(|source| failed(b"", source))
    })
}

/// Returns what there is to be where `delta` says.
fn wanted(delta: &DiffDelta<'_>) -> Option<Entry> {
    let file = delta.new_file();
    (delta.status() != Delta::Deleted).then(|| (file.mode().into(), file.id()))
}

/// Returns what there is where `diff` says.
fn read_back(workspace: &Workspace, diff: &Diff<'_>) -> Result<Vec<Update>, RestoreError> {
    let mut reader = TreeReader::open(&workspace.tree()).map_err(SnapshotError::TreeGone)?;
    let look = |delta: DiffDelta<'_>| {
        let path = path_of(&delta.new_file());
        let entry = match wanted(&delta) {
            // A directory that is never looked into.
            Some(submodule @ (SUBMODULE, _)) => Some(submodule),
            _ => found(&mut reader, &path, &workspace.secrets).map_err(|source| failed(&path, source))?,
        };
        Ok(Update { path, was_there: delta.status() != Delta::Added, entry })
    };
    diff.deltas().map(look).collect()
}

/// Returns the mode and the id of the file or link at `path`; none if there is none, and none if it holds a secret, which no
/// snapshot may hold.
fn found(reader: &mut TreeReader, path: &[u8], secrets: &Secrets) -> std::io::Result<Option<Entry>> {
    if secrets.find_in(path).is_some() {
        return Ok(None);
    }
    match reader.find(path) {
        Found::File(file, stat) => {
            let length = size_of(&stat);
            let mut hashed = Hashed::begin(Kind::Blob, length);
            if secrets.copy(&mut file.take(length), &mut hashed)?.is_some() {
                return Ok(None);
            }
            let mode = if stat.st_mode & 0o100 == 0 { FileMode::Blob } else { FileMode::BlobExecutable };
            Ok(Some((mode.into(), hashed.finish()?)))
        }
        Found::Link(target, _) if secrets.find_in(target.as_bytes()).is_some() => Ok(None),
        Found::Link(target, _) => {
            let mut hashed = Hashed::begin(Kind::Blob, target.len() as u64);
            hashed.write_all(target.as_bytes())?;
            Ok(Some((FileMode::Link.into(), hashed.finish()?)))
        }
        Found::Directory | Found::Special | Found::Gone => Ok(None),
        Found::Unreadable(error) => Err(error),
    }
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
        return workspace.blob_to(id, &mut file);
    }
    file.write_all(repository.find_blob(id)?.content()).map_err(|source| failed(path, source))
}

fn path_of(file: &DiffFile<'_>) -> Vec<u8> {
    file.path_bytes().unwrap_or_default().to_vec()
}

fn failed(path: &[u8], source: std::io::Error) -> RestoreError {
    RestoreError::Write { path: String::from_utf8_lossy(path).into_owned(), source }
}
