//! Keeps the worker's object store from growing with every snapshot of a long attempt.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid, Repository};

/// How much may be stored before what only older snapshots need is removed.
const SWEEP_BYTES: u64 = 256 << 20;

/// Notes that `stored_bytes` were stored, and removes the objects that `tree` does not need if they have become many.
pub(super) fn sweep_if_due(repository: &Repository, tree: Oid, stored_bytes: u64) -> std::io::Result<()> {
    if stored_bytes == 0 {
        return Ok(());
    }
    let counter = repository.path().join("unswept-bytes");
    let before = fs::read_to_string(&counter).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let unswept = stored_bytes.saturating_add(before);
    if unswept < SWEEP_BYTES {
        return fs::write(counter, unswept.to_string());
    }
    sweep(repository, tree)?;
    fs::write(counter, "0")
}

fn sweep(repository: &Repository, tree: Oid) -> std::io::Result<()> {
    let objects = repository.path().join("objects");
    let mut needed = HashSet::new();
    mark(repository, &objects, tree, &mut needed);
    for directory in fs::read_dir(&objects)? {
        let directory = directory?.path();
        // `info` and `pack` have longer names.
        if directory.file_name().is_none_or(|name| name.len() != 2) {
            continue;
        }
        for object in fs::read_dir(directory)? {
            let object = object?.path();
            if !needed.contains(&object) {
                fs::remove_file(object)?;
            }
        }
    }
    Ok(())
}

/// Collects the files of the objects below `tree`. What is not in this store is in the repository's copy, with all that it
/// refers to.
fn mark(repository: &Repository, objects: &Path, tree: Oid, needed: &mut HashSet<PathBuf>) {
    let file = file_of(objects, tree);
    if !file.exists() || !needed.insert(file) {
        return;
    }
    let Ok(content) = repository.find_tree(tree) else { return };
    for entry in &content {
        if entry.kind() == Some(ObjectType::Tree) {
            mark(repository, objects, entry.id(), needed);
        } else {
            needed.insert(file_of(objects, entry.id()));
        }
    }
}

fn file_of(objects: &Path, id: Oid) -> PathBuf {
    let id = id.to_string();
    objects.join(&id[..2]).join(&id[2..])
}
