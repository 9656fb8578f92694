//! What snapshots have taken since the worker's index was last written.
//!
//! Where only files have changed a snapshot needs no index: what the last one saw tells all that it has to know, and
//! reading and writing the index of a large tree would take longer than all the rest. So the index may lag behind,
//! within limits. It tells nothing wrong then: a file that changed since does not have the stat data any more that the
//! index keeps of it, and is read again by whoever starts from the index, be it after a crash.

use std::collections::BTreeMap;

use git2::{Index, IndexEntry};

/// How many files are kept.
const MAX_FILES: usize = 1000;
/// How much is stored before the sweep of the store hears of it.
const MAX_BYTES: u64 = 16 << 20;

#[derive(Default)]
pub(super) struct Unwritten {
    entries: BTreeMap<Vec<u8>, IndexEntry>,
    stored_bytes: u64,
}

impl Unwritten {
    pub(super) fn add(&mut self, entries: Vec<IndexEntry>, stored_bytes: u64) {
        self.entries.extend(entries.into_iter().map(|entry| (entry.path.clone(), entry)));
        self.stored_bytes += stored_bytes;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Tells whether the index has to be written before more is taken.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() > MAX_FILES || self.stored_bytes > MAX_BYTES
    }

    /// Brings the index up to date and returns how many bytes were stored meanwhile.
    pub(super) fn enter(&self, index: &mut Index) -> Result<u64, git2::Error> {
        for entry in self.entries.values() {
            index.add(entry)?;
        }
        Ok(self.stored_bytes)
    }
}
