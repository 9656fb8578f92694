//! What the worker's index knows of a tree, and what of it a scan has met.

use git2::{Index, IndexEntry};

/// The entries of an index, in the order of their paths.
pub(super) struct Known {
    entries: Vec<IndexEntry>,
    met: Vec<bool>,
}

impl Known {
    pub(super) fn of(index: &Index) -> Self {
        let entries: Vec<_> = index.iter().collect();
        let met = vec![false; entries.len()];
        Self { entries, met }
    }

    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.find(path).is_some()
    }

    pub(super) fn get(&self, path: &[u8]) -> Option<&IndexEntry> {
        self.find(path).map(|at| &self.entries[at])
    }

    /// Notes that what the index has at `path` is still there, and returns it.
    pub(super) fn meet(&mut self, path: &[u8]) -> Option<&IndexEntry> {
        let at = self.find(path)?;
        self.met[at] = true;
        Some(&self.entries[at])
    }

    /// Tells whether the index has anything below `directory`.
    pub(super) fn has_below(&self, directory: &[u8]) -> bool {
        !self.below(directory).is_empty()
    }

    /// Notes that all that the index has below `directory` may still be there.
    pub(super) fn meet_below(&mut self, directory: &[u8]) {
        let below = self.below(directory);
        self.met[below].fill(true);
    }

    /// Returns the paths that were not met.
    pub(super) fn missed(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.entries.iter().zip(&self.met).filter(|(_, met)| !**met).map(|(entry, _)| &entry.path)
    }

    fn find(&self, path: &[u8]) -> Option<usize> {
        self.entries.binary_search_by(|entry| entry.path.as_slice().cmp(path)).ok()
    }

    fn below(&self, directory: &[u8]) -> std::ops::Range<usize> {
        if directory.is_empty() {
            return 0..self.entries.len();
        }
        let prefix = [directory, b"/"].concat();
        let begin = self.entries.partition_point(|entry| entry.path < prefix);
        let count = self.entries[begin..].partition_point(|entry| entry.path.starts_with(&prefix));
        begin..begin + count
    }
}
