//! The objects of an agent that the worker's store has not, found and measured by their headers before any is unfolded.

use std::collections::HashSet;

use git2::{ObjectType, Odb, OdbLookupFlags, Oid};

use super::objects::Source;
use super::{MAX_BLOB_BYTES, Unusable};

const MAX_OBJECTS: usize = 200_000;
const MAX_COMMIT_BYTES: usize = 1 << 20;
const MAX_TREE_BYTES: usize = 16 << 20;
/// How many commits of the worker's store the agent's may build on: each is followed back to the base.
const MAX_KNOWN_COMMITS: usize = 1000;

/// What the heads of an agent need beyond what the worker's store has.
#[derive(Default)]
pub(super) struct History {
    commits: Vec<Oid>,
    trees: Vec<Oid>,
    blobs: Vec<Oid>,
    /// The commits of the worker's store that the agent's build on.
    pub(super) known_commits: Vec<Oid>,
}

impl History {
    /// Measures what `source` has below `heads` and `to` has not: no more than `max_bytes`, unfolded.
    pub(super) fn measure(
        source: &mut dyn Source,
        to: &Odb<'_>,
        heads: &[Oid],
        max_bytes: usize,
    ) -> Result<Self, Unusable> {
        let mut walk =
            Walk { source, to, seen: HashSet::new(), bytes_left: max_bytes, history: Self::default() };
        let roots = walk.commits(heads)?;
        walk.trees(roots)?;
        Ok(walk.history)
    }

    /// Returns all objects to copy, so that a copy that breaks off leaves no commit without its files.
    pub(super) fn children_first(&self) -> impl Iterator<Item = Oid> {
        self.blobs.iter().chain(self.trees.iter().rev()).chain(self.commits.iter().rev()).copied()
    }
}

struct Walk<'a> {
    source: &'a mut dyn Source,
    to: &'a Odb<'a>,
    seen: HashSet<Oid>,
    bytes_left: usize,
    history: History,
}

impl Walk<'_> {
    /// Finds the commits, and returns their trees.
    fn commits(&mut self, heads: &[Oid]) -> Result<Vec<Oid>, Unusable> {
        let mut waiting = heads.to_vec();
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
            let commit = self.source.repository().find_commit(id)?;
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
            for (kind, entry) in self.entries(id)? {
                match kind {
                    ObjectType::Tree => waiting.push(entry),
                    ObjectType::Blob => self.blob(entry)?,
                    // A submodule: its commit is another repository's.
                    ObjectType::Commit => {}
                    ObjectType::Any | ObjectType::Tag => return Err(Unusable::Odd(id)),
                }
            }
            self.history.trees.push(id);
        }
        Ok(())
    }

    fn entries(&self, tree: Oid) -> Result<Vec<(ObjectType, Oid)>, Unusable> {
        let content = self.source.repository().find_tree(tree)?;
        let entries = content.iter().map(|entry| {
            let kind = entry.kind().filter(|_| is_proper_name(entry.name_bytes()));
            Ok((kind.ok_or(Unusable::Odd(tree))?, entry.id()))
        });
        entries.collect()
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
        self.source.bring(id)?;
        let (bytes, found) = self.source.repository().odb()?.read_header(id)?;
        if found != kind {
            return Err(Unusable::Odd(id));
        }
        if bytes > limit_bytes {
            return Err(Unusable::TooLarge(id));
        }
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(Unusable::TooLarge(id))?;
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
