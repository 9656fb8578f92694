//! Spares reading the agent's index where that could tell nothing new.
//!
//! What the agent's index is asked for are paths that a scan does not see. Once a snapshot finds that all of its paths are
//! known and nothing has changed, they stay known for as long as nothing changes and the index is the same file.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::SystemTime;

use super::super::tree_reader::{Found, TreeReader};
use super::stat_data::Stamp;

/// The agent's index all of whose paths are known.
#[derive(Debug, Default)]
pub(in crate::workspace) struct AgentIndexSeen(Mutex<Option<Stamp>>);

impl AgentIndexSeen {
    /// Tells whether the agent's index is the one whose paths are all known.
    pub(super) fn is(&self, stamp: Option<Stamp>) -> bool {
        stamp.is_some() && *self.0.lock().unwrap_or_else(PoisonError::into_inner) == stamp
    }

    /// Remembers the index, or none.
    pub(super) fn set(&self, stamp: Option<Stamp>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
    }
}

/// Tells the agent's index from any other that it was or will be; none if it may change without a sign of it.
pub(super) fn stamp(reader: &mut TreeReader) -> Option<Stamp> {
    let looked = SystemTime::now();
    let Found::File(_, stat) = reader.find(b".git/index") else { return None };
    Stamp::settled(&stat, looked)
}
