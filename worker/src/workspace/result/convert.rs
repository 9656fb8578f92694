//! Adds files to an index as `git add` would, converted as their attributes ask.
//!
//! The git program opens whatever stands at a path, and waits for ever where that is a pipe. So it gets to see copies of
//! the files that changed, in a work tree that holds nothing else; the attributes that did not change it finds in the
//! index.

use std::collections::HashSet;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use git2::{FileMode, Index};

use super::super::Workspace;
use super::super::git_dir::{convert_as_attributes_ask, store_bytes_as_they_are};
use super::super::remove::remove_directory;
use super::super::tree_reader::{Found, TreeReader};
use super::ResultError;
use super::tree::{Changed, as_path};

/// How much of one file is copied; a snapshot holds none that is larger.
const MAX_FILE_BYTES: u64 = 512 << 20;

/// Adds the plain files among `changed` to the index, and returns their paths. What vanished meanwhile is not among them.
pub(super) fn convert<'a>(
    workspace: &Workspace,
    reader: &mut TreeReader,
    index: &mut Index,
    changed: &'a [Changed],
) -> Result<HashSet<&'a [u8]>, ResultError> {
    let copies = workspace.root().join("result");
    remove_directory(&copies)?;
    fs::create_dir(&copies)?;
    let mut copied = HashSet::new();
    for file in changed {
        if is_plain(file.mode) && copy(workspace, reader, &copies, file)? {
            copied.insert(file.path.as_slice());
        } else if index.get_path(as_path(&file.path), 0).is_some() {
            // A link, say, where the index has attributes.
            index.remove(as_path(&file.path), 0)?;
        }
    }
    index.write()?;
    let added = add(workspace, &copies, index, &copied);
    remove_directory(&copies)?;
    added.map(|()| copied)
}

fn is_plain(mode: FileMode) -> bool {
    matches!(mode, FileMode::Blob | FileMode::BlobExecutable)
}

/// Copies a file, and tells whether it was there and may be taken: one that holds a secret goes as the snapshot has it.
fn copy(
    workspace: &Workspace,
    reader: &mut TreeReader,
    copies: &Path,
    file: &Changed,
) -> std::io::Result<bool> {
    let Found::File(source, _) = reader.find(&file.path) else { return Ok(false) };
    let target = copies.join(as_path(&file.path));
    if let Some(directory) = target.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut copy = File::create_new(&target)?;
    if workspace.secrets().copy(&mut source.take(MAX_FILE_BYTES), &mut copy)?.is_some() {
        fs::remove_file(target)?;
        return Ok(false);
    }
    let mode = if file.mode == FileMode::BlobExecutable { 0o700 } else { 0o600 };
    copy.set_permissions(Permissions::from_mode(mode))?;
    Ok(true)
}

fn add(
    workspace: &Workspace,
    copies: &Path,
    index: &mut Index,
    paths: &HashSet<&[u8]>,
) -> Result<(), ResultError> {
    if paths.is_empty() {
        return Ok(());
    }
    let mut list = paths.iter().copied().collect::<Vec<_>>().join(&0);
    list.push(0);
    let file = index.path().map(Path::to_owned).unwrap_or_default();
    let command = workspace.host_command("update-index")?.work_tree(copies).index_file(&file).args([
        "--add",
        "--replace",
        "-z",
        "--stdin",
    ]);
    convert_as_attributes_ask(&workspace.host_git())?;
    let added = command.feed(&mut list.as_slice());
    store_bytes_as_they_are(&workspace.host_git())?;
    added?;
    index.read(true)?;
    Ok(())
}
