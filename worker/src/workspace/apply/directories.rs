//! Finds files in a tree, one after the other in the order of their paths.
//!
//! libgit2 reads each directory on the way to a path again for every path: that of 10,000 files would be read 10,000 times.

use git2::{Oid, Repository, Tree};

use super::Entry;
use super::tree::DIRECTORY;

pub(in crate::workspace) struct Directories<'a> {
    repository: &'a Repository,
    root: Tree<'a>,
    /// The directories on the way to the last path, each with its own path.
    open: Vec<(Vec<u8>, Tree<'a>)>,
}

impl<'a> Directories<'a> {
    pub(in crate::workspace) fn of(repository: &'a Repository, tree: Oid) -> Result<Self, git2::Error> {
        Ok(Self { repository, root: repository.find_tree(tree)?, open: Vec::new() })
    }

    /// Returns what stands at `path`, by a mode that git knows.
    pub(in crate::workspace) fn find(&mut self, path: &[u8]) -> Result<Option<Entry>, git2::Error> {
        let leads_to =
            |above: &[u8]| path.strip_prefix(above).is_some_and(|rest| rest.first() == Some(&b'/'));
        while self.open.last().is_some_and(|(above, _)| !leads_to(above)) {
            self.open.pop();
        }
        let mut begin = self.open.last().map_or(0, |(above, _)| above.len() + 1);
        while let Some(length) = path[begin..].iter().position(|byte| *byte == b'/') {
            let directory = match self.entry(&path[begin..begin + length]) {
                Some((DIRECTORY, id)) => self.repository.find_tree(id)?,
                Some(_) | None => return Ok(None),
            };
            self.open.push((path[..begin + length].to_vec(), directory));
            begin += length + 1;
        }
        Ok(self.entry(&path[begin..]))
    }

    fn entry(&self, name: &[u8]) -> Option<Entry> {
        let entry = self.open.last().map_or(&self.root, |(_, tree)| tree).get_name_bytes(name)?;
        Some((u32::try_from(entry.filemode()).ok()?, entry.id()))
    }
}
