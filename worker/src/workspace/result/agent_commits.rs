//! Brings the commits that an agent made over into the worker's object store.
//!
//! Everything is measured before it is unfolded: [`AgentHistory`] looks at the headers of all objects first, and only what
//! fits is copied, one object at a time.

use std::collections::HashMap;

use git2::{ObjectType, Odb, Oid, Repository};

use super::super::Workspace;
use super::super::agent_repository::{head_commit, open_objects};
use super::super::tree_reader::TreeReader;
use super::agent_history::AgentHistory;
use super::agent_packs::check_packs;

/// How many paths the tree of a commit may have. Trees that hold the same tree many times over are small and unfold to
/// more than any machine holds.
const MAX_PATHS: u64 = 2_000_000;
/// How deep directories may lie in each other.
const MAX_DEPTH: usize = 512;

/// Why commits of an agent are not kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("its git directory has no HEAD that leads to a commit")]
    NoHead,
    #[error("its objects are not where git puts them")]
    Objects,
    #[error("HEAD does not descend from the commit that the task began from")]
    Unrelated,
    #[error("there are too many of them")]
    TooMany,
    #[error("object {0} is too large, or all together are")]
    TooLarge(Oid),
    #[error("object {0} is not what it should be")]
    Odd(Oid),
    #[error("they are damaged: {0}")]
    Damaged(#[from] git2::Error),
}

/// Brings over what HEAD of the agent has beyond the base, and returns HEAD; none if HEAD is the base.
pub(super) fn bring_over(
    workspace: &Workspace,
    repository: &Repository,
    reader: &mut TreeReader,
) -> Result<Option<Oid>, Unusable> {
    let head = head_commit(reader).ok_or(Unusable::NoHead)?;
    if head == workspace.base_commit {
        return Ok(None);
    }
    let source = open_objects(workspace).ok_or(Unusable::Objects)?;
    let (from, to) = (source.odb()?, repository.odb()?);
    check_packs(&from, reader)?;
    let history = AgentHistory::measure(&source, &from, &to, head)?;
    let base = workspace.base_commit;
    let mut roots = history.known_commits.iter();
    if !roots.any(|root| *root == base || repository.graph_descendant_of(*root, base).unwrap_or(false)) {
        return Err(Unusable::Unrelated);
    }
    for id in history.children_first() {
        copy(&from, &to, id)?;
    }
    measure_tree(repository, repository.find_commit(head)?.tree_id())?;
    Ok(Some(head))
}

fn copy(from: &Odb<'_>, to: &Odb<'_>, id: Oid) -> Result<(), Unusable> {
    let object = from.read(id)?;
    if to.write(object.kind(), object.data())? == id { Ok(()) } else { Err(Unusable::Odd(id)) }
}

/// Makes sure that a tree can be read into an index.
fn measure_tree(repository: &Repository, tree: Oid) -> Result<(), Unusable> {
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
