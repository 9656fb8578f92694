//! Reads how large a file a delta in a git patch makes: a few bytes of it may say "that piece again" any number of times.
//!
//! The lines are base 85 of a zlib stream, which begins with the sizes of the file before and after.

use flate2::{Decompress, FlushDecompress};

use super::super::base85;

/// More than the two sizes take.
const HEAD_BYTES: usize = 20;

/// The first bytes of a delta, of which lines are still to come.
#[derive(Debug)]
pub(super) struct DeltaHead {
    inflate: Decompress,
    head: Vec<u8>,
}

impl Default for DeltaHead {
    fn default() -> Self {
        Self { inflate: Decompress::new(true), head: Vec::with_capacity(HEAD_BYTES) }
    }
}

impl DeltaHead {
    /// Takes the next line; none if it cannot be one.
    pub(super) fn push(&mut self, line: &[u8]) -> Option<()> {
        // All of it: a vector is filled up to its capacity.
        if self.head.len() == self.head.capacity() {
            return Some(());
        }
        let mut bytes = Vec::new();
        base85::decode(line, &mut bytes)?;
        self.inflate.decompress_vec(&bytes, &mut self.head, FlushDecompress::None).ok().map(drop)
    }

    /// Returns the size of the file that the delta makes; none if it does not say.
    pub(super) fn result_bytes(&self) -> Option<u64> {
        let mut bytes = self.head.iter().copied();
        number(&mut bytes)?;
        number(&mut bytes)
    }
}

/// Reads a number of seven bits a byte, the lowest first.
pub(in crate::workspace) fn number(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS - 7).step_by(7) {
        let byte = bytes.next()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
