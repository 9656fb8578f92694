//! Takes the state of a work tree as a git tree, while its agent may be writing in it.
//!
//! Reads through handles into the worker's own index and object store, in process: no hook, filter or fsmonitor can
//! run, no pipe holds the scan up, no link leads it out, and the agent's index, HEAD and refs are not touched. Files
//! that changed since the last snapshot are read once; all others are trusted by their stat data. Nested repositories
//! are stored as the files they hold. Submodules that the base has stay as they are. What cannot be read or stored, and
//! what holds a secret of the attempt, is left out and named in [`Snapshot::skipped`]; of a file that was stored before
//! it held one the state of then stays.
//!
//! Left out, by design: what `.gitignore` excludes (unless the agent added it to its index, or the task keeps it),
//! empty directories, `.git` directories at any depth.

mod agent_index_seen;
mod known;
mod last_look;
pub(super) mod link_names;
mod loose;
pub(super) mod restored;
mod retake;
mod scan;
#[cfg(test)]
mod scene;
mod stat_data;
mod store;
mod sweep;
mod unwritten;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use git2::{Index, Oid, Repository};

use super::Workspace;
use super::agent_repository::AgentIndex;
use super::tree_reader::TreeReader;
use crate::secrets::Secrets;
pub(super) use agent_index_seen::AgentIndexSeen;
use agent_index_seen::stamp;
use known::Known;
pub(super) use last_look::LastLook;
use last_look::{Look, Seen};
use retake::retake;
use scan::{Change, MAX_PATH_BYTES, scan};
use stat_data::{IndexWritten, Stamp};
use store::Store;
use unwritten::Unwritten;

/// Why no snapshot could be taken.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The work tree is gone.
    #[error("the work tree is gone")]
    TreeGone(#[source] std::io::Error),
    /// More changed than a checkpoint can hold.
    #[error("more than {limit_bytes} bytes changed since the last snapshot")]
    TooLarge {
        /// How much may change.
        limit_bytes: u64,
    },
    /// The worker's git directory could not be read or written.
    #[error("the snapshot could not be stored")]
    Git(#[from] git2::Error),
    /// The worker's index is not there.
    #[error("the index of the last snapshot could not be read")]
    Index(#[source] std::io::Error),
    /// A file could not be written into the worker's store.
    #[error("the snapshot could not be stored")]
    Store(#[source] std::io::Error),
    /// What older snapshots left behind could not be removed.
    #[error("the objects of older snapshots could not be removed")]
    Sweep(#[source] std::io::Error),
}

/// The state of a work tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The tree in the worker's object store, 40 hex digits.
    pub tree_id: String,
    /// Whether the tree differs from that of the base commit.
    pub changed: bool,
    /// What was left out.
    pub skipped: Skipped,
}

/// Files that a snapshot left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// How many.
    pub count: usize,
    /// The first few, each with the reason.
    pub first: Vec<String>,
    /// The first few that hold a secret, in words for the owner.
    pub with_secrets: Vec<String>,
}

impl Skipped {
    const NAMED: usize = 10;

    fn add(&mut self, path: &[u8], reason: impl std::fmt::Display) {
        self.count += 1;
        if self.first.len() < Self::NAMED {
            self.first.push(format!("{}: {reason}", String::from_utf8_lossy(path)));
        }
    }

    /// Leaves a file out because of the secret of this name.
    fn add_secret(&mut self, path: &[u8], name: &str) {
        self.count += 1;
        if self.with_secrets.len() < Self::NAMED {
            self.with_secrets.push(format!("{} (secret {name})", String::from_utf8_lossy(path)));
        }
    }
}

/// Takes the state of the work tree. Only one call of this module family may run in a workspace at a time, and the tree of a
/// snapshot is sure to stay in the worker's store until the next one only.
pub fn snapshot(workspace: &Workspace) -> Result<Snapshot, SnapshotError> {
    let mut reader = TreeReader::open(&workspace.tree()).map_err(SnapshotError::TreeGone)?;
    let last = workspace.last_look.take(index_written(workspace)?);
    let agent_index = stamp(&mut reader);
    let names_nothing_new = workspace.agent_index_seen.is(agent_index, &mut reader);
    let look = match &last {
        Some(last) if names_nothing_new => last.compare(&workspace.tree(), &mut reader),
        Some(_) | None => Look::Other,
    };
    let seen = match (last, look) {
        (Some(last), Look::Same) => Ok(last),
        (Some(last), Look::Files(files)) => retake(workspace, &mut reader, last, &files)?,
        (Some(last), Look::Other) => Err(last.into_unwritten()),
        (None, _) => Err(Unwritten::default()),
    };
    let seen = match seen {
        Ok(seen) => seen,
        Err(unwritten) => {
            let agent_index = (!names_nothing_new).then_some(agent_index);
            let (snapshot, seen) = take_all(workspace, reader, unwritten, agent_index)?;
            workspace.last_look.set(seen);
            return Ok(snapshot);
        }
    };
    let snapshot = seen.snapshot().clone();
    workspace.last_look.set(Some(seen));
    Ok(snapshot)
}

/// Takes a snapshot by the worker's index, in which what is `unwritten` is missing, and by the agent's if it has to be read:
/// it has this stamp then.
fn take_all(
    workspace: &Workspace,
    reader: TreeReader,
    unwritten: Unwritten,
    agent_index: Option<Option<Stamp>>,
) -> Result<(Snapshot, Option<Seen>), SnapshotError> {
    let written = index_written(workspace)?;
    let mut taking = Taking::begin(workspace, reader)?;
    taking.enter(&unwritten)?;
    let mut known = Known::of(&taking.index);
    let (reader, skipped) = (&mut taking.reader, &mut taking.skipped);
    let (mut changes, places) = scan(reader, &mut known, &workspace.keep_ignored, written, skipped);
    if agent_index.is_some() {
        changes.extend(added_by_agent(workspace, reader, &known, &changes));
    }
    let snapshot = taking.finish(workspace, &changes)?;
    match agent_index {
        None => workspace.agent_index_seen.keep(&changes, &taking.index),
        Some(agent_index) => workspace.agent_index_seen.set(agent_index, &changes, &taking.index),
    }
    let seen = Seen::of(&taking.index, index_written(workspace)?, places, &snapshot);
    Ok((snapshot, seen))
}

fn index_written(workspace: &Workspace) -> Result<IndexWritten, SnapshotError> {
    IndexWritten::of(&workspace.host_git().join("index")).map_err(SnapshotError::Index)
}

/// A snapshot that is being taken.
struct Taking {
    repository: Repository,
    index: Index,
    /// Whether the index differs from its file.
    is_changed: bool,
    reader: TreeReader,
    skipped: Skipped,
    stored_bytes: u64,
}

impl Taking {
    fn begin(workspace: &Workspace, reader: TreeReader) -> Result<Self, git2::Error> {
        let repository = workspace.host_repository()?;
        let mut index = repository.index()?;
        let is_changed = restored::enter(workspace, &repository, &mut index)?;
        let (skipped, stored_bytes) = (Skipped::default(), 0);
        Ok(Self { repository, index, is_changed, reader, skipped, stored_bytes })
    }

    /// Enters what was taken since the index was written.
    fn enter(&mut self, unwritten: &Unwritten) -> Result<(), git2::Error> {
        self.is_changed |= !unwritten.is_empty();
        self.stored_bytes += unwritten.enter(&mut self.index)?;
        Ok(())
    }

    /// Brings the index to what stands in the tree at the paths of `changes`, and writes it as a tree.
    fn finish(&mut self, workspace: &Workspace, changes: &[Change]) -> Result<Snapshot, SnapshotError> {
        let Self { repository, index, reader, skipped, .. } = self;
        self.stored_bytes += apply(repository, index, reader, changes, &workspace.secrets, skipped)?;
        self.is_changed |= !changes.is_empty();
        let tree = index.write_tree_to(repository)?;
        let base_tree = repository.find_commit(workspace.base_commit)?.tree_id();
        let skipped = std::mem::take(skipped);
        // After the tree: the index is then written with the ids of directories, and the next tree takes what changed.
        self.write_index(workspace, tree)?;
        Ok(Snapshot { tree_id: tree.to_string(), changed: tree != base_tree, skipped })
    }

    /// Writes the index, which is that of `tree`, and keeps the store from growing.
    fn write_index(&mut self, workspace: &Workspace, tree: Oid) -> Result<(), SnapshotError> {
        if std::mem::take(&mut self.is_changed) {
            self.index.write()?;
            restored::forget(workspace).map_err(SnapshotError::Index)?;
        }
        let stored_bytes = std::mem::take(&mut self.stored_bytes);
        sweep::sweep_if_due(&self.repository, tree, stored_bytes).map_err(SnapshotError::Sweep)
    }
}

/// Returns the paths that the agent added to its own index and that a scan does not see, because they are ignored.
fn added_by_agent(
    workspace: &Workspace,
    reader: &mut TreeReader,
    known: &Known,
    changes: &[Change],
) -> Vec<Change> {
    let Some(agent_index) = AgentIndex::read(workspace, reader) else { return Vec::new() };
    let added = agent_index.into_paths().into_iter();
    let mut added: Vec<_> = added
        .filter(|path| !known.has(path) && path.len() <= MAX_PATH_BYTES)
        .map(Change::Take)
        .filter(|change| changes.binary_search(change).is_err())
        .collect();
    added.sort_unstable();
    added
}

fn path_of(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

/// Applies `changes` to the index and returns how many bytes were stored for that.
fn apply(
    repository: &Repository,
    index: &mut Index,
    reader: &mut TreeReader,
    changes: &[Change],
    secrets: &Secrets,
    skipped: &mut Skipped,
) -> Result<u64, SnapshotError> {
    if changes.is_empty() {
        return Ok(0);
    }
    for change in changes {
        if let Change::Remove(path) = change {
            store::remove(index, path)?;
        }
    }
    let mut store = Store::new(repository, reader, secrets)?;
    for change in changes {
        if let Change::Take(path) = change {
            store.take(index, path, skipped)?;
        }
    }
    Ok(store.stored_bytes())
}
