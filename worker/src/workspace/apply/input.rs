//! Unfolds a patch as it is read, piece by piece, and never more of it than is allowed.
//!
//! Invariant: what is held of it at a time is one buffer, however long its lines are.

use std::io::Read;

use flate2::read::GzDecoder;

use super::super::{PatchLimits, RestoreError};
use super::refused;

/// How much is held of a patch. A line of a header, with names as long as they may be, fits in.
const BUFFER_BYTES: usize = 64 << 10;

/// A patch that is being read.
pub(super) struct Input<'a> {
    unfolded: GzDecoder<&'a [u8]>,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    is_at_end: bool,
    left: u64,
    limit_bytes: u64,
    /// What the binary files may still make.
    binary_left: u64,
}

impl<'a> Input<'a> {
    pub(super) fn new(gzip: &'a [u8], limits: PatchLimits) -> Self {
        let limit_bytes = limits.text_bytes();
        Self {
            unfolded: GzDecoder::new(gzip),
            buffer: vec![0; BUFFER_BYTES],
            begin: 0,
            end: 0,
            is_at_end: false,
            left: limit_bytes,
            limit_bytes,
            binary_left: limit_bytes,
        }
    }

    /// Tells whether all of it was read.
    pub(super) fn is_empty(&mut self) -> Result<bool, RestoreError> {
        Ok(self.ahead(1)?.is_empty())
    }

    /// Tells whether it goes on with these words.
    pub(super) fn is_next(&mut self, words: &[u8]) -> Result<bool, RestoreError> {
        Ok(self.ahead(words.len())?.starts_with(words))
    }

    /// Reads a line, and returns it without its end.
    pub(super) fn line(&mut self) -> Result<&[u8], RestoreError> {
        let mut seen = 0;
        loop {
            let ahead = self.ahead(seen + 1)?;
            let length = ahead.len();
            if let Some(end) = ahead[seen.min(length)..].iter().position(|byte| *byte == b'\n') {
                let begin = self.begin;
                self.begin += seen + end + 1;
                return Ok(&self.buffer[begin..begin + seen + end]);
            }
            if length == BUFFER_BYTES || length == seen {
                return Err(refused("a line of it has no end"));
            }
            seen = length;
        }
    }

    /// Reads a line that goes on with `words`, and returns what comes behind them.
    pub(super) fn line_after(&mut self, words: &[u8]) -> Result<&[u8], RestoreError> {
        self.line()?.strip_prefix(words).ok_or_else(|| refused("a line of it is none that git writes"))
    }

    /// Reads on in a line of any length. Returns a piece of it, and whether that was the last.
    pub(super) fn piece(&mut self) -> Result<(&[u8], bool), RestoreError> {
        let ahead = self.ahead(1)?;
        let (length, is_last) = match ahead.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end, true),
            None if ahead.is_empty() => return Err(refused("it ends in a line")),
            None => (ahead.len(), false),
        };
        let begin = self.begin;
        self.begin += length + usize::from(is_last);
        Ok((&self.buffer[begin..begin + length], is_last))
    }

    /// Reads one byte.
    pub(super) fn byte(&mut self) -> Result<u8, RestoreError> {
        let first = self.ahead(1)?.first().copied();
        self.begin += 1;
        first.ok_or_else(|| refused("it ends too soon"))
    }

    /// Counts what a binary file would make.
    pub(super) fn count_binary(&mut self, bytes: u64) -> Result<(), RestoreError> {
        self.binary_left = self.binary_left.checked_sub(bytes).ok_or_else(|| self.too_large())?;
        Ok(())
    }

    /// Returns what comes next, `count` bytes at least if there are so many.
    fn ahead(&mut self, count: usize) -> Result<&[u8], RestoreError> {
        while self.end - self.begin < count && !self.is_at_end {
            if self.begin > 0 {
                self.buffer.copy_within(self.begin..self.end, 0);
                (self.begin, self.end) = (0, self.end - self.begin);
            }
            if self.end == self.buffer.len() {
                break;
            }
            let read = self.unfolded.read(&mut self.buffer[self.end..]).map_err(RestoreError::Unreadable)?;
            self.left = self.left.checked_sub(read as u64).ok_or_else(|| self.too_large())?;
            self.end += read;
            self.is_at_end = read == 0;
        }
        Ok(&self.buffer[self.begin..self.end])
    }

    fn too_large(&self) -> RestoreError {
        RestoreError::TooLarge { limit_bytes: self.limit_bytes }
    }
}
