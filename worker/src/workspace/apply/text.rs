//! Applies the hunks of a text, each exactly where it says it belongs.

use std::io::Write;

use super::super::RestoreError;
use super::content::{Content, Spool};
use super::input::Input;
use super::{failed, refused};

/// What git writes behind a line that ends without a line end.
const NO_LINE_END: &[u8] = b"\\ No newline at end of file";

/// Applies what follows `---` and `+++`.
pub(super) fn apply(input: &mut Input<'_>, base: &mut Content, made: &mut Spool) -> Result<(), RestoreError> {
    let mut text = Text { base, made, at: 0, lines_read: 0, lines_made: 0 };
    while input.is_next(b"@@ ")? {
        let hunk = Hunk::parse(input.line()?).ok_or_else(|| refused("a hunk of it has no place"))?;
        text.hunk(input, hunk)?;
    }
    text.rest()
}

/// Where a hunk belongs: how many lines come before it, and how many it has, before and after.
#[derive(Clone, Copy)]
struct Hunk {
    old: (u64, u64),
    new: (u64, u64),
}

impl Hunk {
    /// Reads `@@ -1,2 +3,4 @@`, behind which git may show a line of the text.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|byte| *byte == b' ').skip(1);
        let old = range(words.next()?.strip_prefix(b"-")?)?;
        let new = range(words.next()?.strip_prefix(b"+")?)?;
        (words.next()? == b"@@").then_some(Self { old, new })
    }
}

/// Reads `first,count`, of which a count of 1 is left out. Where there are no lines, the first is the one before.
fn range(text: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let number = |digits: &str| {
        digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten()
    };
    let (first, count) = match text.split_once(',') {
        Some((first, count)) => (number(first)?, number(count)?),
        None => (number(text)?, 1),
    };
    Some((if count == 0 { first } else { first.checked_sub(1)? }, count))
}

struct Text<'a> {
    base: &'a mut Content,
    made: &'a mut Spool,
    /// How much of the base was read.
    at: u64,
    lines_read: u64,
    lines_made: u64,
}

impl Text<'_> {
    fn hunk(&mut self, input: &mut Input<'_>, hunk: Hunk) -> Result<(), RestoreError> {
        let skipped = hunk.old.0.checked_sub(self.lines_read).ok_or_else(out_of_place)?;
        self.keep_lines(skipped)?;
        if self.lines_made != hunk.new.0 {
            return Err(out_of_place());
        }
        let (mut old, mut new) = (hunk.old.1, hunk.new.1);
        while old > 0 || new > 0 {
            let (in_old, in_new) = match input.byte()? {
                b' ' => (true, true),
                b'-' => (true, false),
                b'+' => (false, true),
                _ => return Err(refused("a hunk of it ends too soon")),
            };
            let less = |left: u64, is_in| left.checked_sub(u64::from(is_in)).ok_or_else(out_of_place);
            (old, new) = (less(old, in_old)?, less(new, in_new)?);
            self.line(input, in_old, in_new)?;
        }
        Ok(())
    }

    fn line(&mut self, input: &mut Input<'_>, in_old: bool, in_new: bool) -> Result<(), RestoreError> {
        loop {
            let (piece, is_last) = input.piece()?;
            self.side(piece, in_old, in_new)?;
            if is_last {
                break;
            }
        }
        let has_end = !input.is_next(b"\\")?;
        if has_end {
            self.side(b"\n", in_old, in_new)?;
        } else if input.line()? != NO_LINE_END {
            return Err(refused("a line of it is none that git writes"));
        } else if in_old && self.at != self.base.length() {
            return Err(out_of_place());
        }
        self.lines_read += u64::from(in_old);
        self.lines_made += u64::from(in_new);
        Ok(())
    }

    /// Compares with the base, or makes, or both.
    fn side(&mut self, piece: &[u8], in_old: bool, in_new: bool) -> Result<(), RestoreError> {
        if in_old {
            self.expect(piece)?;
        }
        if in_new { self.made.write_all(piece).map_err(failed) } else { Ok(()) }
    }

    fn expect(&mut self, mut bytes: &[u8]) -> Result<(), RestoreError> {
        while !bytes.is_empty() {
            let piece = self.base.piece(self.at).map_err(failed)?;
            let length = piece.len().min(bytes.len());
            if length == 0 || piece[..length] != bytes[..length] {
                return Err(refused("it does not fit the content that it changes"));
            }
            bytes = &bytes[length..];
            self.at += length as u64;
        }
        Ok(())
    }

    /// Keeps so many lines of the base.
    fn keep_lines(&mut self, mut count: u64) -> Result<(), RestoreError> {
        while count > 0 {
            let piece = self.base.piece(self.at).map_err(failed)?;
            if piece.is_empty() {
                return Err(out_of_place());
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let kept = &piece[..end.map_or(piece.len(), |end| end + 1)];
            self.made.write_all(kept).map_err(failed)?;
            self.at += kept.len() as u64;
            if end.is_some() {
                count -= 1;
                self.lines_read += 1;
                self.lines_made += 1;
            }
        }
        Ok(())
    }

    /// Keeps what is left of the base.
    fn rest(&mut self) -> Result<(), RestoreError> {
        loop {
            let piece = self.base.piece(self.at).map_err(failed)?;
            if piece.is_empty() {
                return Ok(());
            }
            self.made.write_all(piece).map_err(failed)?;
            self.at += piece.len() as u64;
        }
    }
}

fn out_of_place() -> RestoreError {
    refused("a hunk of it is not where it says")
}
