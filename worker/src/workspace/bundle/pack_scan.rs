//! Measures a pack before git unfolds it: a few bytes of it may stand for gigabytes, by compression or as a change to
//! something large.
//!
//! Checks what bounds git's memory and disk, and nothing else: that all is well otherwise is for git to find out. The format
//! is git's `gitformat-pack`.

use flate2::{Decompress, FlushDecompress, Status};

use super::super::agent_commits::MAX_BLOB_BYTES;
use super::{MAX_UNPACKED_BYTES, PACK_HEADER_BYTES};

const OFS_DELTA: u8 = 6;
const REF_DELTA: u8 = 7;
const ID_BYTES: usize = 20;
/// The SHA-1 at the end.
const TRAILER_BYTES: usize = 20;
/// More than the two numbers that a delta begins with.
const DELTA_HEAD_BYTES: usize = 20;

/// Makes sure that no object of `pack` is larger than a worker reads, nor all of them together.
pub(super) fn scan(pack: &[u8]) -> Result<(), &'static str> {
    let body = pack.len().checked_sub(TRAILER_BYTES).ok_or("it is cut off")?;
    let header = pack[..body].get(..PACK_HEADER_BYTES).ok_or("it is cut off")?;
    if !header.starts_with(b"PACK\0\0\0\x02") {
        return Err("it is no pack of version 2");
    }
    let count = header[8..].iter().fold(0_usize, |count, byte| count << 8 | usize::from(*byte));
    let mut reader = PackReader { rest: &pack[PACK_HEADER_BYTES..body], left: MAX_UNPACKED_BYTES };
    for _ in 0..count {
        reader.object()?;
    }
    if reader.rest.is_empty() { Ok(()) } else { Err("it has more objects than it says") }
}

struct PackReader<'a> {
    rest: &'a [u8],
    left: usize,
}

impl PackReader<'_> {
    fn object(&mut self) -> Result<(), &'static str> {
        let first = self.byte()?;
        let kind = first >> 4 & 7;
        let mut length = usize::from(first & 15);
        if first & 0x80 != 0 {
            length |= number(|| self.byte())?.checked_shl(4).ok_or("a size is none")?;
        }
        match kind {
            // How far back its base is.
            OFS_DELTA => while self.byte()? & 0x80 != 0 {},
            REF_DELTA => self.rest = self.rest.get(ID_BYTES..).ok_or("it is cut off")?,
            _ => {}
        }
        self.admit(length)?;
        let head = self.inflate(length)?;
        if matches!(kind, OFS_DELTA | REF_DELTA) {
            let mut bytes = head.iter().copied();
            let mut next = || bytes.next().ok_or("a delta is cut off");
            let _base_bytes = number(&mut next)?;
            let result_bytes = number(&mut next)?;
            self.admit(result_bytes)?;
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        let (first, rest) = self.rest.split_first().ok_or("it is cut off")?;
        self.rest = rest;
        Ok(*first)
    }

    fn admit(&mut self, bytes: usize) -> Result<(), &'static str> {
        if bytes > MAX_BLOB_BYTES {
            return Err("an object is too large");
        }
        self.left = self.left.checked_sub(bytes).ok_or("it unfolds to too much")?;
        Ok(())
    }

    /// Goes over a compressed piece that unfolds to `length` bytes, and returns the first few of them.
    fn inflate(&mut self, length: usize) -> Result<Vec<u8>, &'static str> {
        let mut stream = Decompress::new(true);
        let mut head = Vec::new();
        let mut buffer = [0; 16 << 10];
        loop {
            let (read, written) = (stream.total_in(), stream.total_out());
            let status = stream
                .decompress(self.rest, &mut buffer, FlushDecompress::None)
                .map_err(|_| "an object cannot be unfolded")?;
            let read = usize::try_from(stream.total_in() - read).map_err(|_| "it is too long")?;
            let written = usize::try_from(stream.total_out() - written).map_err(|_| "it is too long")?;
            self.rest = &self.rest[read..];
            let room = DELTA_HEAD_BYTES.saturating_sub(head.len());
            head.extend_from_slice(&buffer[..written.min(room)]);
            if stream.total_out() > length as u64 {
                return Err("an object is larger than it says");
            }
            if status == Status::StreamEnd {
                let is_whole = stream.total_out() == length as u64;
                return if is_whole { Ok(head) } else { Err("an object is smaller than it says") };
            }
            if read == 0 && written == 0 {
                return Err("it is cut off");
            }
        }
    }
}

/// Reads a number of seven bits a byte, the lowest first.
fn number(mut next: impl FnMut() -> Result<u8, &'static str>) -> Result<usize, &'static str> {
    let mut number = 0_usize;
    for shift in (0..usize::BITS - 7).step_by(7) {
        let byte = next()?;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a size is none")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;
    use crate::fuzzing::{DEFAULT_CASES, fuzz};

    fn zlib(content: &[u8]) -> Vec<u8> {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(content).unwrap();
        zlib.finish().unwrap()
    }

    fn varint(mut number: usize, bits: u32, kind: u8) -> Vec<u8> {
        let mut bytes = vec![kind << 4 & 0x70 | (number & ((1 << bits) - 1)) as u8];
        number >>= bits;
        while number > 0 {
            *bytes.last_mut().unwrap() |= 0x80;
            bytes.push((number & 0x7f) as u8);
            number >>= 7;
        }
        bytes
    }

    fn pack(objects: &[Vec<u8>]) -> Vec<u8> {
        let mut pack = b"PACK\0\0\0\x02\0\0\0".to_vec();
        pack.push(objects.len() as u8);
        objects.iter().for_each(|object| pack.extend(object));
        pack.extend([0; TRAILER_BYTES]);
        pack
    }

    fn blob(says: usize, content: &[u8]) -> Vec<u8> {
        [varint(says, 4, 3), zlib(content)].concat()
    }

    fn delta(result_bytes: usize) -> Vec<u8> {
        let content = [varint(3, 7, 0), varint(result_bytes, 7, 0)].concat();
        [varint(content.len(), 4, REF_DELTA), vec![7; ID_BYTES], zlib(&content)].concat()
    }

    #[test]
    fn packs_that_unfold_to_little_pass() {
        for objects in [vec![], vec![blob(3, b"abc"), delta(300), blob(70_000, &[1; 70_000])]] {
            assert_eq!(scan(&pack(&objects)), Ok(()));
        }
    }

    #[test]
    fn bombs_and_nonsense_are_refused() {
        let bombs = [
            vec![delta(MAX_BLOB_BYTES + 1)],
            vec![delta(MAX_BLOB_BYTES); 5],
            vec![blob(MAX_BLOB_BYTES + 1, b"")],
            vec![blob(3, &[0; 100_000])],
            vec![blob(100, b"abc")],
            vec![b"\x33nonsense".to_vec()],
            vec![vec![0xff; 40]],
        ];
        for bomb in bombs {
            assert!(scan(&pack(&bomb)).is_err());
        }
        let good = pack(&[blob(3, b"abc"), delta(300)]);
        for cut in 0..good.len() {
            assert!(scan(&good[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn no_pack_that_passes_unfolds_to_more_than_a_worker_reads() {
        const WORDS: &[&str] = &["PACK\0\0\0\u{2}", "x", "\u{3}", "\0"];
        fuzz("pack_scan", DEFAULT_CASES, WORDS, |bytes| {
            let mut left = MAX_UNPACKED_BYTES;
            if scan(bytes).is_ok() {
                let body = &bytes[PACK_HEADER_BYTES..bytes.len() - TRAILER_BYTES];
                let mut reader = PackReader { rest: body, left };
                while !reader.rest.is_empty() {
                    reader.object().unwrap();
                    prop_assert!(reader.left <= left);
                    left = reader.left;
                }
            }
            Ok(())
        });
    }
}
