//! Takes the state of a work tree as a git tree, while its agent may be writing in it.
//!
//! Reads through handles into the worker's own index and object store, in process: no hook, filter or fsmonitor can run,
//! no pipe holds the scan up, no link leads it out, and the agent's index, HEAD and refs are not touched. Files that changed since the last snapshot are read once; all others are
//! trusted by their stat data. Nested repositories are stored as the files they hold. Submodules that the base has stay as
//! they are. What cannot be read or stored, and what holds a secret of the attempt, is left out and named in
//! [`Snapshot::skipped`]; of a file that was stored before it held one the state of then stays.
//!
//! Left out, by design: what `.gitignore` excludes (unless the agent added it to its index, or the task keeps it), empty directories, `.git`
//! directories at any depth.

mod agent_index_seen;
mod known;
mod last_look;
pub(super) mod link_names;
pub(super) mod restored;
mod scan;
mod stat_data;
mod store;
mod sweep;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use git2::build::TreeUpdateBuilder;
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
use scan::{Change, MAX_PATH_BYTES, scan};
use stat_data::IndexWritten;
use store::Store;

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
    let index_file = workspace.host_git().join("index");
    let written = IndexWritten::of(&index_file).map_err(SnapshotError::Index)?;
    let agent_index = stamp(&mut reader);
    let names_nothing_new = workspace.agent_index_seen.is(agent_index, &mut reader);
    let last = workspace.last_look.take().filter(|_| names_nothing_new);
    let look =
        last.as_ref().map_or(Look::Other, |last| last.compare(&workspace.tree(), &mut reader, written));

    let (snapshot, seen) = match (last, look) {
        (Some(last), Look::Same) => (last.snapshot().clone(), Some(last)),
        (Some(last), Look::Files(files)) => {
            let mut taking = Taking::begin(workspace, reader)?;
            let snapshot = taking.finish(workspace, &files, Some(last.snapshot().tree_id.parse()?))?;
            workspace.agent_index_seen.keep(&files, &taking.index);
            let written = IndexWritten::of(&index_file).map_err(SnapshotError::Index)?;
            let seen = last.with(&files, &taking.index, written, &snapshot);
            (snapshot, seen)
        }
        (_, Look::Other) | (None, _) => {
            let mut taking = Taking::begin(workspace, reader)?;
            let mut known = Known::of(&taking.index);
            let (reader, skipped) = (&mut taking.reader, &mut taking.skipped);
            let (mut changes, places) = scan(reader, &mut known, &workspace.keep_ignored, written, skipped);
            if !names_nothing_new {
                changes.extend(added_by_agent(workspace, reader, &known, &changes));
            }
            let snapshot = taking.finish(workspace, &changes, None)?;
            if names_nothing_new {
                workspace.agent_index_seen.keep(&changes, &taking.index);
            } else {
                workspace.agent_index_seen.set(agent_index, &changes, &taking.index);
            }
            let written = IndexWritten::of(&index_file).map_err(SnapshotError::Index)?;
            let seen = Seen::of(&taking.index, written, places, &snapshot);
            (snapshot, seen)
        }
    };
    workspace.last_look.set(seen);
    Ok(snapshot)
}

/// A snapshot that is being taken.
struct Taking {
    repository: Repository,
    index: Index,
    /// Whether the index differs from its file.
    is_changed: bool,
    reader: TreeReader,
    skipped: Skipped,
}

impl Taking {
    fn begin(workspace: &Workspace, reader: TreeReader) -> Result<Self, git2::Error> {
        let repository = workspace.host_repository()?;
        let mut index = repository.index()?;
        let is_changed = restored::enter(workspace, &repository, &mut index)?;
        Ok(Self { repository, index, is_changed, reader, skipped: Skipped::default() })
    }

    /// Brings the index to what stands in the tree at the paths of `changes`, and writes it as a tree. What it was before may
    /// be known to be the tree `before`.
    fn finish(
        &mut self,
        workspace: &Workspace,
        changes: &[Change],
        before: Option<Oid>,
    ) -> Result<Snapshot, SnapshotError> {
        let Self { repository, index, is_changed, reader, skipped } = self;
        let stored_bytes = apply(repository, index, reader, changes, &workspace.secrets, skipped)?;
        let updated = match before {
            Some(before) => updated_tree(repository, index, before, changes)?,
            None => None,
        };
        let tree = match updated {
            Some(tree) => tree,
            None => index.write_tree_to(repository)?,
        };
        if *is_changed || !changes.is_empty() {
            // After the tree: the index is then written with the ids of directories, and the next tree takes what changed.
            index.write()?;
            restored::forget(workspace).map_err(SnapshotError::Index)?;
        }
        sweep::sweep_if_due(repository, tree, stored_bytes).map_err(SnapshotError::Sweep)?;
        let base_tree = repository.find_commit(workspace.base_commit)?.tree_id();
        let skipped = std::mem::take(skipped);
        Ok(Snapshot { tree_id: tree.to_string(), changed: tree != base_tree, skipped })
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

/// Writes the tree that `before` becomes by `changes`, which the index has: only the directories on their way, where a whole
/// index is read back from the object store. None if more than files with a new content came of them.
fn updated_tree(
    repository: &Repository,
    index: &Index,
    before: Oid,
    changes: &[Change],
) -> Result<Option<Oid>, git2::Error> {
    let mut update = TreeUpdateBuilder::new();
    for change in changes {
        let entry = index.get_path(path_of(change.path()), 0);
        let kind = entry.as_ref().and_then(stat_data::kind_of);
        let (Change::Take(path), Some(entry), Some(kind)) = (change, entry, kind) else { return Ok(None) };
        update.upsert(path.as_slice(), entry.id, kind);
    }
    update.create_updated(repository, &repository.find_tree(before)?).map(Some)
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
