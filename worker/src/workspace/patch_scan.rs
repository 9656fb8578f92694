//! Reads a git patch as it streams by: counts what it changes, and how much the binary files in it would unfold to.

/// A reader of patches, fed in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct PatchScan {
    pub(super) files_changed: u64,
    pub(super) lines_added: u64,
    pub(super) lines_removed: u64,
    /// Sum of the sizes that binary hunks declare: what git will make room for when it applies them.
    pub(super) binary_bytes: u64,
    line: Vec<u8>,
    in_line: bool,
    hunk: Hunk,
}

/// Lines that are left of the hunk at hand.
#[derive(Debug, Default)]
struct Hunk {
    old_lines: u64,
    new_lines: u64,
}

/// As much of a line as tells what it is.
const PREFIX: usize = 96;

impl PatchScan {
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            let room = PREFIX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
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
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.in_line = false;
        if self.hunk.old_lines > 0 || self.hunk.new_lines > 0 {
            self.hunk_line(&line);
        } else if line.starts_with(b"diff --git ") {
            self.files_changed += 1;
        } else if let Some(range) = line.strip_prefix(b"@@ -") {
            self.hunk = Hunk::parse(range).unwrap_or_default();
        } else if let Some(size) = line.strip_prefix(b"literal ").or_else(|| line.strip_prefix(b"delta ")) {
            self.binary_bytes = self.binary_bytes.saturating_add(number(size).unwrap_or(u64::MAX));
        }
        // Keeps the buffer for the next line.
        self.line = line;
        self.line.clear();
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
    use super::*;

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
}
