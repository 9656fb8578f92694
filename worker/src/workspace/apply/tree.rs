//! Makes the tree that a tree becomes by a change of files: only the directories on their way are read and made.
//!
//! libgit2's own (`TreeUpdateBuilder`) puts no directory in the place of a file, and no file in that of a submodule.

use std::collections::BTreeMap;

use git2::{Oid, Repository};

use super::super::RestoreError;
use super::refused;

/// The mode of a directory in a tree.
pub(super) const DIRECTORY: u32 = 0o040_000;

/// What stands at a name: a mode and an object.
pub(in crate::workspace) type Entry = (u32, Oid);

/// What becomes of the modes of other files in a directory that is made. Old programs left some that git reads as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::workspace) enum Modes {
    /// They stay, as where a tree is changed.
    AsTheyAre,
    /// They become those that git knows, as where a tree is made of an index.
    Plain,
}

/// What becomes of a path.
#[derive(Debug, Clone)]
pub(in crate::workspace) struct Update {
    pub(in crate::workspace) path: Vec<u8>,
    /// Whether something stands there before.
    pub(in crate::workspace) was_there: bool,
    /// What stands there afterwards.
    pub(in crate::workspace) entry: Option<Entry>,
}

/// Returns what `tree` becomes by `updates`, which stand in the order of their paths, each path once. Each directory that is
/// made goes to `store`, which returns its id.
pub(in crate::workspace) fn updated(
    repository: &Repository,
    tree: Oid,
    modes: Modes,
    updates: &[Update],
    store: &mut dyn FnMut(&[u8]) -> Result<Oid, RestoreError>,
) -> Result<Oid, RestoreError> {
    let root = Level::of(repository, modes, &[], Some(tree))?;
    let mut way = Way { repository, modes, store, levels: vec![root] };
    for update in updates {
        let mut names = update.path.split(|byte| *byte == b'/').peekable();
        let mut depth = 1;
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                way.close_to(depth)?;
                way.update(name, update)?;
                break;
            }
            if way.levels.get(depth).is_none_or(|level| level.name != name) {
                way.close_to(depth)?;
                way.open(name)?;
            }
            depth += 1;
        }
    }
    way.close_to(1)?;
    let root = way.levels.pop().map(|root| root.written()).transpose()?.flatten();
    (way.store)(&root.unwrap_or_default())
}

/// The directories that are open: the root, and each below the one before it.
struct Way<'a> {
    repository: &'a Repository,
    modes: Modes,
    store: &'a mut dyn FnMut(&[u8]) -> Result<Oid, RestoreError>,
    levels: Vec<Level>,
}

impl Way<'_> {
    /// Opens a directory below the last one.
    fn open(&mut self, name: &[u8]) -> Result<(), RestoreError> {
        let before = match self.levels.last().and_then(|level| level.entries.get(name)) {
            Some((DIRECTORY, id)) => Some(*id),
            Some(_) => return Err(refused("it puts a file below a file")),
            None => None,
        };
        self.levels.push(Level::of(self.repository, self.modes, name, before)?);
        Ok(())
    }

    /// Closes directories until so many are open.
    fn close_to(&mut self, depth: usize) -> Result<(), RestoreError> {
        while self.levels.len() > depth {
            let Some(mut closed) = self.levels.pop() else { return Ok(()) };
            let name = std::mem::take(&mut closed.name);
            let entry = closed.written()?.map(|tree| (self.store)(&tree)).transpose()?;
            let Some(above) = self.levels.last_mut() else { return Ok(()) };
            match entry {
                Some(id) => above.entries.insert(name, (DIRECTORY, id)),
                None => above.entries.remove(&name),
            };
        }
        Ok(())
    }

    fn update(&mut self, name: &[u8], update: &Update) -> Result<(), RestoreError> {
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let is_there = level.entries.get(name).is_some_and(|(mode, _)| *mode != DIRECTORY);
        if is_there != update.was_there {
            return Err(refused("it does not fit the files that there are"));
        }
        match update.entry {
            Some(entry) if is_there => drop(level.entries.insert(name.to_vec(), entry)),
            Some(entry) => level.new.push((name.to_vec(), entry)),
            None => drop(level.entries.remove(name)),
        }
        Ok(())
    }
}

/// A directory that is open.
struct Level {
    name: Vec<u8>,
    entries: BTreeMap<Vec<u8>, Entry>,
    /// What is new in it. It may come in the place of a directory that is still to be emptied.
    new: Vec<(Vec<u8>, Entry)>,
}

impl Level {
    fn of(
        repository: &Repository,
        modes: Modes,
        name: &[u8],
        before: Option<Oid>,
    ) -> Result<Self, git2::Error> {
        let mut entries = BTreeMap::new();
        if let Some(before) = before {
            for entry in &repository.find_tree(before)? {
                let mode = match modes {
                    Modes::AsTheyAre => entry.filemode_raw(),
                    Modes::Plain => entry.filemode(),
                };
                let mode = u32::try_from(mode).unwrap_or_default();
                entries.insert(entry.name_bytes().to_vec(), (mode, entry.id()));
            }
        }
        Ok(Self { name: name.to_vec(), entries, new: Vec::new() })
    }

    /// Writes it as git does; none if there is nothing in it.
    fn written(mut self) -> Result<Option<Vec<u8>>, RestoreError> {
        for (name, entry) in self.new {
            if self.entries.insert(name, entry).is_some() {
                return Err(refused("it puts a file in the place of a directory"));
            }
        }
        // A directory stands as if its name ended with a slash.
        let mut entries: Vec<_> = self.entries.into_iter().collect();
        let slash = |entry: &Entry| (entry.0 == DIRECTORY).then_some(b'/');
        entries.sort_unstable_by(|(a, of_a), (b, of_b)| {
            a.iter().copied().chain(slash(of_a)).cmp(b.iter().copied().chain(slash(of_b)))
        });
        let mut tree = Vec::new();
        for (name, (mode, id)) in &entries {
            tree.extend_from_slice(format!("{mode:o} ").as_bytes());
            tree.extend_from_slice(name);
            tree.push(0);
            tree.extend_from_slice(id.as_bytes());
        }
        Ok((!tree.is_empty()).then_some(tree))
    }
}
