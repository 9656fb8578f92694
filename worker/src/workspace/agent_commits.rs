//! Brings the commits that an agent made over into the worker's object store.
//!
//! Everything is measured before it is unfolded: [`History`] looks at the headers of all objects first, and only what fits
//! is copied, one object at a time. The agent may run meanwhile: its files are read through [`TreeReader`] into copies that
//! nobody else writes ([`objects`]).

mod history;
mod objects;
mod packs;

use std::collections::HashMap;

use git2::{ObjectType, Odb, Oid, Repository};

use super::Workspace;
use super::tree_reader::TreeReader;
use crate::secrets::Secrets;
use history::History;
use objects::AgentObjects;

/// How many paths the tree of a commit may have. Trees that hold the same tree many times over are small and unfold to
/// more than any machine holds.
const MAX_PATHS: u64 = 2_000_000;
/// How deep directories may lie in each other.
const MAX_DEPTH: usize = 512;
/// What a file may have, since a copy goes through memory. A snapshot, which does not, may have larger ones.
pub(super) const MAX_BLOB_BYTES: usize = 64 << 20;

/// Why commits of an agent are not kept.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// There is nothing to keep.
    #[error("its git directory has no HEAD that leads to a commit")]
    NoHead,
    /// There are links, pipes or the like where git has files.
    #[error("its objects are not where git puts them")]
    Objects,
    /// They are of another history.
    #[error("HEAD does not descend from the commit that the task began from")]
    Unrelated,
    /// More commits or files than a worker reads.
    #[error("there are too many of them")]
    TooMany,
    /// More bytes than a worker reads.
    #[error("object {0} is too large, or all together are")]
    TooLarge(Oid),
    /// They hold the secret of this name.
    #[error("object {0} holds the secret {1}")]
    Secret(Oid, String),
    /// It is of another kind, or holds what git never writes.
    #[error("object {0} is not what it should be")]
    Odd(Oid),
    /// An object is not there, or cannot be read.
    #[error("they are damaged: {0}")]
    Damaged(#[from] git2::Error),
    /// They could not be copied.
    #[error("they could not be copied: {0}")]
    Io(#[from] std::io::Error),
}

/// Brings over what `heads` need and the worker's store has not, if that is no more than `max_bytes`. Returns the commits
/// of the store that they build on.
pub(super) fn bring_over(
    workspace: &Workspace,
    repository: &Repository,
    reader: &mut TreeReader,
    heads: &[Oid],
    max_bytes: usize,
) -> Result<Vec<Oid>, Unusable> {
    let to = repository.odb()?;
    let mut source = AgentObjects::open(workspace, reader)?;
    let history = History::measure(&mut source, &to, heads, max_bytes)?;
    let from = source.into_repository();
    let from = from.odb()?;
    for id in history.children_first() {
        copy(&from, &to, id, &workspace.secrets)?;
    }
    Ok(history.known_commits)
}

/// Makes sure that `source` has all that `heads` need and `store` has not, and that none of it is odd or too much.
pub(super) fn verify(
    source: &mut Repository,
    store: &Repository,
    heads: &[Oid],
    max_bytes: usize,
) -> Result<(), Unusable> {
    History::measure(source, &store.odb()?, heads, max_bytes).map(drop)
}

fn copy(from: &Odb<'_>, to: &Odb<'_>, id: Oid, secrets: &Secrets) -> Result<(), Unusable> {
    let object = from.read(id)?;
    if let Some(name) = secrets.find_in(object.data()) {
        return Err(Unusable::Secret(id, name.to_owned()));
    }
    if to.write(object.kind(), object.data())? == id { Ok(()) } else { Err(Unusable::Odd(id)) }
}

/// Makes sure that a tree can be read into an index.
pub(super) fn measure_tree(repository: &Repository, tree: Oid) -> Result<(), Unusable> {
    let (paths, _) = Measured::default().tree(repository, tree, 0)?;
    if paths > MAX_PATHS { Err(Unusable::TooMany) } else { Ok(()) }
}

/// How many paths trees have, and how deep they are.
#[derive(Default)]
struct Measured(HashMap<Oid, (u64, usize)>);

impl Measured {
    fn tree(&mut self, repository: &Repository, id: Oid, depth: usize) -> Result<(u64, usize), Unusable> {
        if let Some((paths, height)) = self.0.get(&id).copied() {
            return if depth + height > MAX_DEPTH { Err(Unusable::TooMany) } else { Ok((paths, height)) };
        }
        if depth > MAX_DEPTH {
            return Err(Unusable::TooMany);
        }
        let (mut paths, mut height) = (0_u64, 0);
        for entry in &repository.find_tree(id)? {
            if entry.kind() == Some(ObjectType::Tree) {
                let below = self.tree(repository, entry.id(), depth + 1)?;
                paths = paths.saturating_add(below.0);
                height = height.max(below.1 + 1);
            } else {
                paths = paths.saturating_add(1);
            }
        }
        self.0.insert(id, (paths, height));
        Ok((paths, height))
    }
}
