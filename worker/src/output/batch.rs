//! Batches by size or age: few round trips to the store without holding a line back for long.

use std::time::Duration;

use tokio::time::Instant;

use super::line::OutputLine;

/// A batch is sent once it holds this many lines.
pub const BATCH_LINES: usize = 256;
/// A batch is sent once it holds this many bytes.
pub const BATCH_BYTES: u64 = 256 * 1024;
/// A batch is sent once its first line is this old: below what a person notices in live output.
pub const BATCH_AGE: Duration = Duration::from_millis(50);

/// Lines of both streams, in order of arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The lines.
    pub lines: Vec<OutputLine>,
    /// Set on the batch after whose lines the output was cut, and with the final count on the last batch.
    pub truncated: Option<Truncated>,
}

/// Says that output was dropped past the attempt's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// How many bytes so far.
    pub dropped_bytes: u64,
}

/// The batch in the making.
#[derive(Debug, Default)]
pub(super) struct Batcher {
    lines: Vec<OutputLine>,
    bytes: u64,
    since: Option<Instant>,
}

impl Batcher {
    /// Adds a line that stands for so many bytes; says whether the batch is full.
    pub(super) fn push(&mut self, line: OutputLine, bytes: u64) -> bool {
        self.since.get_or_insert_with(Instant::now);
        self.lines.push(line);
        self.bytes += bytes;
        self.lines.len() >= BATCH_LINES || self.bytes >= BATCH_BYTES
    }

    /// Says when the batch is old enough to go; now if it is empty.
    pub(super) fn due(&self) -> Instant {
        self.since.map_or_else(Instant::now, |since| since + BATCH_AGE)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Takes the batch and its byte count out.
    pub(super) fn take(&mut self, truncated: Option<Truncated>) -> (Batch, u64) {
        let Self { lines, bytes, .. } = std::mem::take(self);
        (Batch { lines, truncated }, bytes)
    }
}
