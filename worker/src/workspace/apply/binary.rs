//! Applies a binary change: a new content, or a delta, in base 85 of zlib (git's `base85.c` and `apply.c`).

use std::io::Write;

use flate2::{Decompress, FlushDecompress, Status};

use super::super::RestoreError;
use super::super::base85;
use super::content::{Content, Spool};
use super::delta::Delta;
use super::input::Input;
use super::{failed, refused};

/// How much is unfolded at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Applies what follows `GIT binary patch`. The hunk behind it, which leads back, is passed over.
pub(super) fn apply(input: &mut Input<'_>, base: &mut Content, made: &mut Spool) -> Result<(), RestoreError> {
    if input.is_next(b"delta ")? {
        let bytes = size(input.line_after(b"delta ")?)?;
        input.count_binary(bytes)?;
        let mut delta = Delta::new(base, made);
        unfold(input, bytes, |input, piece| delta.push(input, piece))?;
        delta.finish()?;
    } else {
        let bytes = size(input.line_after(b"literal ")?)?;
        input.count_binary(bytes)?;
        unfold(input, bytes, |_, piece| made.write_all(piece).map_err(failed))?;
    }
    if input.is_next(b"delta ")? || input.is_next(b"literal ")? {
        while !input.line()?.is_empty() {}
    }
    Ok(())
}

fn size(digits: &[u8]) -> Result<u64, RestoreError> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits)
        .ok()
        .filter(|_| is_number)
        .map(|digits| digits.parse().unwrap_or(u64::MAX));
    number.ok_or_else(|| refused("a size in it is no number"))
}

/// Unfolds the lines up to an empty one, which must make so many bytes.
fn unfold(
    input: &mut Input<'_>,
    bytes: u64,
    mut sink: impl FnMut(&mut Input<'_>, &[u8]) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    let mut inflate = Decompress::new(true);
    let mut room = vec![0; PIECE_BYTES];
    let (mut decoded, mut is_at_end) = (Vec::new(), false);
    loop {
        let line = input.line()?;
        if line.is_empty() {
            break;
        }
        decoded.clear();
        base85::decode(line, &mut decoded).ok_or_else(|| refused("a binary line of it is none"))?;
        let mut rest = decoded.as_slice();
        loop {
            let before = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(rest, &mut room, FlushDecompress::None);
            let status = status.map_err(|_| refused("a binary file in it cannot be unfolded"))?;
            let taken = usize::try_from(inflate.total_in() - before.0).unwrap_or_default();
            let unfolded = usize::try_from(inflate.total_out() - before.1).unwrap_or_default();
            rest = &rest[taken..];
            if inflate.total_out() > bytes || is_at_end && !rest.is_empty() {
                return Err(wrong_size());
            }
            sink(input, &room[..unfolded])?;
            is_at_end |= status == Status::StreamEnd;
            if is_at_end || unfolded < room.len() && rest.is_empty() || (taken, unfolded) == (0, 0) {
                break;
            }
        }
        if !rest.is_empty() {
            return Err(wrong_size());
        }
    }
    if is_at_end && inflate.total_out() == bytes { Ok(()) } else { Err(wrong_size()) }
}

fn wrong_size() -> RestoreError {
    refused("a binary file in it is not as large as it says")
}
