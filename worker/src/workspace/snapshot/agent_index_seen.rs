//! Spares reading the agent's index where that could tell nothing new.
//!
//! What the agent's index is asked for are paths that a scan does not see: files that are ignored and that the agent added
//! all the same. While it is the same file, it names nothing new; and of what it named, only that can become a file of the
//! tree which was none.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use git2::Index;

use super::super::tree_reader::{Found, Kind, TreeReader};
use super::stat_data::Stamp;
use super::{Change, path_of};

/// With more of them the index is read each time.
const MAX_ABSENT: usize = 1000;

/// The agent's index as it was last read.
#[derive(Debug, Default)]
pub(in crate::workspace) struct AgentIndexSeen(Mutex<Option<Seen>>);

#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    /// All paths that it may name and that the worker's index does not have.
    absent: Vec<Vec<u8>>,
}

impl AgentIndexSeen {
    /// Tells whether the agent's index, which has this stamp now, names nothing that is to be looked at.
    pub(super) fn is(&self, stamp: Option<Stamp>, reader: &mut TreeReader) -> bool {
        self.lock().as_ref().is_some_and(|seen| {
            let mut is_there =
                |path: &Vec<u8>| reader.stat(path).is_ok_and(|stat| Kind::of(&stat) != Kind::Directory);
            Some(seen.stamp) == stamp && !seen.absent.iter().any(&mut is_there)
        })
    }

    /// Remembers the agent's index, which was read, after `changes` were applied to the worker's.
    pub(super) fn set(&self, stamp: Option<Stamp>, changes: &[Change], index: &Index) {
        let seen = stamp.map(|stamp| Seen { stamp, absent: Vec::new() });
        *self.lock() = seen.and_then(|seen| seen.after(changes, index));
    }

    /// The same, where the agent's index did not have to be read.
    pub(super) fn keep(&self, changes: &[Change], index: &Index) {
        let mut seen = self.lock();
        *seen = seen.take().and_then(|seen| seen.after(changes, index));
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn after(mut self, changes: &[Change], index: &Index) -> Option<Self> {
        let paths = changes.iter().map(Change::path);
        self.absent
            .extend(paths.filter(|path| index.get_path(path_of(path), 0).is_none()).map(<[u8]>::to_vec));
        self.absent.sort_unstable();
        self.absent.dedup();
        (self.absent.len() <= MAX_ABSENT).then_some(self)
    }
}

/// Tells the agent's index from any other that it was or will be; none if it may change without a sign of it.
pub(super) fn stamp(reader: &mut TreeReader) -> Option<Stamp> {
    let looked = SystemTime::now();
    let Found::File(_, stat) = reader.find(b".git/index") else { return None };
    Stamp::settled(&stat, looked)
}
