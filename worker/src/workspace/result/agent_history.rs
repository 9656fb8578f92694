//! The objects of an agent that the worker's store has not, found and measured by their headers before any is unfolded.

use std::collections::HashSet;

use git2::{ObjectType, Odb, OdbLookupFlags, Oid, Repository};

use super::agent_commits::Unusable;

const MAX_OBJECTS: usize = 200_000;
const MAX_COMMIT_BYTES: usize = 1 << 20;
const MAX_TREE_BYTES: usize = 16 << 20;
/// What a file may have, since a copy goes through memory. A snapshot, which does not, may have larger ones.
pub(super) const MAX_BLOB_BYTES: usize = 64 << 20;
/// How much all of them may unfold to.
const MAX_BYTES: usize = 1 << 30;

/// How many commits of the worker's store the agent's may build on: each is followed back to the base.
const MAX_KNOWN_COMMITS: usize = 1000;

/// What HEAD of an agent needs beyond what the worker's store has.
#[derive(Default)]
pub(super) struct AgentHistory {
    commits: Vec<Oid>,
    trees: Vec<Oid>,
    blobs: Vec<Oid>,
    /// The commits of the worker's store that the agent's build on.
    pub(super) known_commits: Vec<Oid>,
}

impl AgentHistory {
    /// Measures what `from` has below `head` and `to` has not.
    pub(super) fn measure(
        source: &Repository,
        from: &Odb<'_>,
        to: &Odb<'_>,
        head: Oid,
    ) -> Result<Self, Unusable> {
        let mut walk = Walk { source, from, to, seen: HashSet::new(), bytes: 0, history: Self::default() };
        let roots = walk.commits(head)?;
        walk.trees(roots)?;
        Ok(walk.history)
    }

    /// Returns all objects to copy, so that a copy that breaks off leaves no commit without its files.
    pub(super) fn children_first(&self) -> impl Iterator<Item = Oid> {
        self.blobs.iter().chain(self.trees.iter().rev()).chain(self.commits.iter().rev()).copied()
    }
}

struct Walk<'a> {
    source: &'a Repository,
    from: &'a Odb<'a>,
    to: &'a Odb<'a>,
    seen: HashSet<Oid>,
    bytes: usize,
    history: AgentHistory,
}

impl Walk<'_> {
    /// Finds the commits, and returns their trees.
    fn commits(&mut self, head: Oid) -> Result<Vec<Oid>, Unusable> {
        let mut waiting = vec![head];
        let mut trees = Vec::new();
        while let Some(id) = waiting.pop() {
            if !self.seen.insert(id) {
                continue;
            }
            if self.is_known(id) {
                self.history.known_commits.push(id);
                if self.history.known_commits.len() > MAX_KNOWN_COMMITS {
                    return Err(Unusable::TooMany);
                }
                continue;
            }
            self.admit(id, ObjectType::Commit, MAX_COMMIT_BYTES)?;
            let commit = self.source.find_commit(id)?;
            trees.push(commit.tree_id());
            waiting.extend(commit.parent_ids());
            self.history.commits.push(id);
        }
        Ok(trees)
    }

    fn trees(&mut self, mut waiting: Vec<Oid>) -> Result<(), Unusable> {
        while let Some(id) = waiting.pop() {
            if self.is_known(id) || !self.seen.insert(id) {
                continue;
            }
            self.admit(id, ObjectType::Tree, MAX_TREE_BYTES)?;
            for entry in &self.source.find_tree(id)? {
                if !is_proper_name(entry.name_bytes()) {
                    return Err(Unusable::Odd(id));
                }
                match entry.kind() {
                    Some(ObjectType::Tree) => waiting.push(entry.id()),
                    Some(ObjectType::Blob) => self.blob(entry.id())?,
                    // A submodule: its commit is another repository's.
                    Some(ObjectType::Commit) => {}
                    Some(ObjectType::Any | ObjectType::Tag) | None => return Err(Unusable::Odd(id)),
                }
            }
            self.history.trees.push(id);
        }
        Ok(())
    }

    fn blob(&mut self, id: Oid) -> Result<(), Unusable> {
        if !self.is_known(id) && self.seen.insert(id) {
            self.admit(id, ObjectType::Blob, MAX_BLOB_BYTES)?;
            self.history.blobs.push(id);
        }
        Ok(())
    }

    fn is_known(&self, id: Oid) -> bool {
        self.to.exists_ext(id, OdbLookupFlags::NO_REFRESH)
    }

    /// Looks at the header of an object that is to be copied.
    fn admit(&mut self, id: Oid, kind: ObjectType, limit_bytes: usize) -> Result<(), Unusable> {
        let (bytes, found) = self.from.read_header(id)?;
        if found != kind {
            return Err(Unusable::Odd(id));
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if bytes > limit_bytes || self.bytes > MAX_BYTES {
            return Err(Unusable::TooLarge(id));
        }
        let history = &self.history;
        if history.commits.len() + history.trees.len() + history.blobs.len() >= MAX_OBJECTS {
            return Err(Unusable::TooMany);
        }
        Ok(())
    }
}

/// Tells a name that git takes from one that leads elsewhere.
fn is_proper_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.eq_ignore_ascii_case(b".git")
}
