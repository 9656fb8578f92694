//! Reads a git patch as it streams by: counts what it changes, and how much the binary files in it would unfold to.
//!
//! **Invariant:** whatever the bytes are, what git would make room for is counted. Where this reader and git might not agree
//! (a header that git would pass over, a size that is cut off), it counts too much and never too little.

mod delta_head;

use delta_head::DeltaHead;
pub(super) use delta_head::number as number_in_delta;

/// A reader of patches, fed in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct PatchScan {
    pub(super) files_changed: u64,
    pub(super) lines_added: u64,
    pub(super) lines_removed: u64,
    /// Sum of the sizes that binary hunks declare, and of what comes of those that are deltas: what git will make room for
    /// when it applies them.
    pub(super) binary_bytes: u64,
    line: Vec<u8>,
    in_line: bool,
    /// Whether there is more of the line than is kept.
    is_cut: bool,
    hunk: Hunk,
    binary: Binary,
}

/// Where in a binary patch the reader is.
#[derive(Debug, Default)]
enum Binary {
    /// Nowhere, or where nothing has to be known.
    #[default]
    Other,
    /// Before the hunk that will be applied. The one behind it leads back, and is only unfolded.
    Begun,
    /// In the lines of a delta that will be applied.
    Delta(Box<DeltaHead>),
}

/// Lines that are left of the hunk at hand.
#[derive(Debug, Default)]
struct Hunk {
    old_lines: u64,
    new_lines: u64,
}

/// As much of a line as tells what it is, and more than a line of a binary hunk has.
const PREFIX: usize = 96;

impl PatchScan {
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            let room = PREFIX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            self.is_cut |= piece.len() > room;
            self.in_line = true;
            let Some(end) = end else { return };
            self.end_line();
            bytes = &bytes[end + 1..];
        }
    }

    /// Takes a last line without its end.
    pub(super) fn finish(&mut self) {
        if self.in_line {
            self.end_line();
        }
        self.end_delta();
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.in_line = false;
        self.read_line(&line);
        // Keeps the buffer for the next line.
        self.line = line;
        self.line.clear();
        self.is_cut = false;
    }

    fn read_line(&mut self, line: &[u8]) {
        // No line of a hunk of text begins like this, however long the hunk says it is.
        if let Some(size) = line.strip_prefix(b"literal ") {
            self.begin_binary(size, Binary::Other);
        } else if let Some(size) = line.strip_prefix(b"delta ") {
            let is_applied = matches!(self.binary, Binary::Begun);
            self.begin_binary(size, if is_applied { Binary::Delta(Box::default()) } else { Binary::Other });
        } else if let Binary::Delta(delta) = &mut self.binary {
            if line.is_empty() {
                self.end_delta();
            } else if self.is_cut || delta.push(line).is_none() {
                self.add_binary(u64::MAX);
            }
        } else if (self.hunk.old_lines > 0 || self.hunk.new_lines > 0)
            && matches!(line.first(), None | Some(b' ' | b'+' | b'-' | b'\\'))
        {
            self.hunk_line(line);
        } else {
            self.header(line);
        }
    }

    fn header(&mut self, line: &[u8]) {
        self.hunk = Hunk::default();
        self.binary = if line == b"GIT binary patch" { Binary::Begun } else { Binary::Other };
        if line.starts_with(b"diff --git ") {
            self.files_changed += 1;
        } else if let Some(range) = line.strip_prefix(b"@@ -") {
            self.hunk = Hunk::parse(range).unwrap_or_default();
        }
    }

    fn begin_binary(&mut self, size: &[u8], binary: Binary) {
        self.end_delta();
        self.hunk = Hunk::default();
        self.binary = binary;
        self.add_binary(number(size).filter(|_| !self.is_cut).unwrap_or(u64::MAX));
    }

    fn end_delta(&mut self) {
        if let Binary::Delta(delta) = std::mem::take(&mut self.binary) {
            self.add_binary(delta.result_bytes().unwrap_or(u64::MAX));
        }
    }

    fn add_binary(&mut self, bytes: u64) {
        self.binary_bytes = self.binary_bytes.saturating_add(bytes);
    }

    fn hunk_line(&mut self, line: &[u8]) {
        match line.first() {
            Some(b'+') => {
                self.lines_added += 1;
                self.hunk.new_lines = self.hunk.new_lines.saturating_sub(1);
            }
            Some(b'-') => {
                self.lines_removed += 1;
                self.hunk.old_lines = self.hunk.old_lines.saturating_sub(1);
            }
            Some(b'\\') => {}
            _ => {
                self.hunk.old_lines = self.hunk.old_lines.saturating_sub(1);
                self.hunk.new_lines = self.hunk.new_lines.saturating_sub(1);
            }
        }
    }
}

impl Hunk {
    /// Reads `12,3 +12,4 @@`; a count that is not there is 1.
    fn parse(range: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(range);
        let mut ranges = text.split(' ');
        let count = |range: &str| match range.split_once(',') {
            Some((_, count)) => number(count.as_bytes()),
            None => Some(1),
        };
        let old_lines = count(ranges.next()?)?;
        let new_lines = count(ranges.next()?.strip_prefix('+')?)?;
        Some(Self { old_lines, new_lines })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzzing::{DEFAULT_CASES, fuzz};

    const PATCH: &[u8] =
        b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@ diff --git\n a\n--- b\n+++ c\n+literal 9\n\
        diff --git a/y b/y\nGIT binary patch\nliteral 1000\nzcmV\n\ndelta 17\nzc\n\n\
        diff --git a/z b/z\n@@ -1 +0,0 @@\n-diff --git q\n\\ No newline at end of file";

    #[test]
    fn counts_are_those_of_the_patch_in_pieces_of_any_size() {
        for size in 1..PATCH.len() {
            let mut scan = PatchScan::default();
            PATCH.chunks(size).for_each(|piece| scan.push(piece));
            scan.finish();
            assert_eq!((scan.files_changed, scan.lines_added, scan.lines_removed), (3, 2, 2), "{size}");
            assert_eq!(scan.binary_bytes, 1017);
        }
    }

    /// What git would read as a number (`strtoul`), which passes over line ends.
    fn as_git_reads(text: &[u8]) -> u64 {
        let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
        let text = &text[text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len())..];
        let (is_negative, text) = match text.first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits
            .fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
        if is_negative { number.wrapping_neg() } else { number }
    }

    /// The least that must be counted: every size that stands where git may read one.
    fn declared(bytes: &[u8]) -> u64 {
        let begins =
            std::iter::once(0).chain((0..bytes.len()).filter(|at| bytes[*at] == b'\n').map(|at| at + 1));
        begins
            .filter_map(|at| {
                bytes[at..].strip_prefix(b"literal ").or_else(|| bytes[at..].strip_prefix(b"delta "))
            })
            .fold(0, |sum, size| sum.saturating_add(as_git_reads(size)))
    }

    fn scanned(bytes: &[u8], piece_bytes: usize) -> PatchScan {
        let mut scan = PatchScan::default();
        for piece in bytes.chunks(piece_bytes) {
            scan.push(piece);
            assert!(scan.line.len() <= PREFIX);
        }
        scan.finish();
        scan
    }

    #[test]
    fn no_patch_declares_more_than_is_counted() {
        const WORDS: &[&str] = &[
            "diff --git a/x b/x\n",
            "@@ -1,99 +1,99 @@\n",
            "@@ -x,99 +x,99\n",
            "GIT binary patch\n",
            "literal ",
            "delta ",
            "\nliteral 1073741824\n",
            "\ndelta 7\n",
            "+",
            "-",
            "zcmV",
            "\n\n",
            "\n",
        ];
        fuzz("patch_scan", DEFAULT_CASES, WORDS, |bytes| {
            let whole = scanned(bytes, bytes.len().max(1));
            let counts = |scan: &PatchScan| {
                (scan.files_changed, scan.lines_added, scan.lines_removed, scan.binary_bytes)
            };
            prop_assert!(whole.binary_bytes >= declared(bytes), "{} are counted", whole.binary_bytes);
            for piece_bytes in [1, 7, 97] {
                prop_assert_eq!(counts(&scanned(bytes, piece_bytes)), counts(&whole));
            }
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            prop_assert!(whole.files_changed + whole.lines_added + whole.lines_removed <= lines);
            Ok(())
        });
    }
}
