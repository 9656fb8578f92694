//! Reads how large a file a delta in a git patch makes: a few bytes of it may say "that piece again" any number of times.
//!
//! The lines are git's base 85 (`base85.c`) of a zlib stream, which begins with the sizes of the file before and after.

use flate2::{Decompress, FlushDecompress};

const DIGITS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
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
        let bytes = decode(line)?;
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
fn number(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
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

/// Decodes a line: a letter for its length, and five digits for each four bytes.
fn decode(line: &[u8]) -> Option<Vec<u8>> {
    let (letter, digits) = line.split_first()?;
    let length = match letter {
        b'A'..=b'Z' => letter - b'A' + 1,
        b'a'..=b'z' => letter - b'a' + 27,
        _ => return None,
    };
    let length = usize::from(length);
    if digits.len() != length.div_ceil(4) * 5 {
        return None;
    }
    let mut bytes = Vec::with_capacity(length + 3);
    for group in digits.chunks(5) {
        let mut word = 0_u32;
        for digit in group {
            let value = DIGITS.iter().position(|known| known == digit)?;
            word = word.checked_mul(85)?.checked_add(u32::try_from(value).ok()?)?;
        }
        bytes.extend(word.to_be_bytes());
    }
    bytes.truncate(length);
    Some(bytes)
}
