//! A git patch for people: in colours, without anything that could steer the terminal, and without the letters that
//! stand for binary data.

use console::Style;

use super::plain;

/// Longer lines are shown piece by piece, so that one endless line needs no more memory than any other.
const MAX_PIECE_BYTES: usize = 64 << 10;

/// Where in a patch a line stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// What leads a file's changes in.
    #[default]
    Header,
    /// Changed lines.
    Hunk,
    /// Binary data.
    Binary,
}

/// Paints a patch that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct DiffPainter {
    part: Part,
    /// The line that has begun, or what is not shown of it yet.
    line: Vec<u8>,
    /// How the line is shown that has been shown in part; none where it is left out.
    begun: Option<Option<Style>>,
}

impl DiffPainter {
    /// Returns what can be shown after these bytes.
    pub(crate) fn paint(&mut self, mut bytes: &[u8]) -> String {
        let mut text = String::new();
        while !bytes.is_empty() {
            let room = MAX_PIECE_BYTES - self.line.len();
            let end = bytes.iter().take(room).position(|byte| *byte == b'\n');
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len().min(room)));
            self.line.extend_from_slice(piece);
            bytes = rest;
            if end.is_some() {
                bytes = &bytes[1..];
                self.show_line(&mut text, true);
            } else if self.line.len() == MAX_PIECE_BYTES {
                self.show_line(&mut text, false);
            }
        }
        text
    }

    /// Returns what is left once all bytes are there.
    pub(crate) fn finish(&mut self) -> String {
        let mut text = String::new();
        if !self.line.is_empty() {
            self.show_line(&mut text, true);
        }
        text
    }

    fn show_line(&mut self, text: &mut String, is_end: bool) {
        let shown = match self.begun.take() {
            Some(shown) => shown,
            None => self.classify(),
        };
        let cut = if is_end { self.line.len() } else { whole_characters(&self.line) };
        let rest = self.line.split_off(cut);
        if let Some(shown) = &shown {
            let line = String::from_utf8_lossy(&self.line);
            text.push_str(&shown.apply_to(plain(&line)).to_string());
            if is_end {
                text.push('\n');
            }
        }
        self.line = rest;
        self.begun = (!is_end).then_some(shown);
    }

    /// Tells how the line looks, by where it stands and how it begins. A line of a hunk begins with one of ` +-\`.
    fn classify(&mut self) -> Option<Style> {
        let line = self.line.as_slice();
        if line.starts_with(b"diff --git ") {
            self.part = Part::Header;
        } else if line.starts_with(b"@@ ") {
            self.part = Part::Hunk;
            return Some(Style::new().cyan());
        } else if line == b"GIT binary patch" {
            self.part = Part::Binary;
            return Some(Style::new().bold());
        }
        match (self.part, line.first()) {
            (Part::Header, _) => Some(Style::new().bold()),
            (Part::Hunk, Some(b'+')) => Some(Style::new().green()),
            (Part::Hunk, Some(b'-')) => Some(Style::new().red()),
            (Part::Hunk, _) => Some(Style::new()),
            (Part::Binary, _) => is_size(line).then(|| Style::new().dim()),
        }
    }
}

/// Tells the line that says how much binary data follows: `literal 123`.
fn is_size(line: &[u8]) -> bool {
    let digits = line.strip_prefix(b"literal ").or_else(|| line.strip_prefix(b"delta "));
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
}

/// Returns how many bytes hold whole characters, where the last one may have been cut.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    let last = (tail..bytes.len()).rev().find(|at| !matches!(bytes[*at], 0x80..=0xbf));
    let length = |lead: u8| match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    match last {
        Some(at) if at + length(bytes[at]) > bytes.len() => at,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(patch: &[u8], piece: usize) -> String {
        let mut painter = DiffPainter::default();
        let mut text: String = patch.chunks(piece).map(|piece| painter.paint(piece)).collect();
        text.push_str(&painter.finish());
        text
    }

    #[test]
    fn pieces_make_no_difference_and_nothing_steers() {
        let patch = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n--- \u{1b}[2Jold\u{7}\r\n+r\u{e9}sum\u{e9}\u{202e}\n";
        let expected = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n--- old\n+r\u{e9}sum\u{e9}\n";
        for piece in [1, 2, 7, 1000] {
            assert_eq!(painted(patch.as_bytes(), piece), expected, "{piece}");
        }
    }

    #[test]
    fn binary_data_is_left_out_but_for_its_size() {
        let patch = b"diff --git a/b b/b\nGIT binary patch\nliteral 3\nKcmZQzWB>pF\n\nliteral 0\nHcmV\n\ndiff --git a/c b/c\n";
        let text = painted(patch, 5);
        assert_eq!(text, "diff --git a/b b/b\nGIT binary patch\nliteral 3\nliteral 0\ndiff --git a/c b/c\n");
    }

    #[test]
    fn an_endless_line_is_held_in_pieces() {
        let line = ["+".to_owned(), "\u{1f980}".repeat(100_000)].concat();
        let patch = format!("@@ -0,0 +1 @@\n{line}");
        let mut painter = DiffPainter::default();
        let mut text = painter.paint(patch.as_bytes());
        assert!(painter.line.len() <= MAX_PIECE_BYTES);
        text.push_str(&painter.finish());
        assert_eq!(text, patch + "\n");
    }

    #[test]
    fn lines_are_told_by_where_they_stand() {
        let mut painter = DiffPainter::default();
        let mut part_of = |line: &str| {
            painter.paint(format!("{line}\n").as_bytes());
            painter.part
        };
        assert_eq!(part_of("diff --git a/x b/x"), Part::Header);
        assert_eq!(part_of("--- a/x"), Part::Header);
        assert_eq!(part_of("@@ -1 +1 @@"), Part::Hunk);
        assert_eq!(part_of("-GIT binary patch"), Part::Hunk);
        assert_eq!(part_of(" diff --git a/x b/x"), Part::Hunk);
        assert_eq!(part_of("diff --git a/y b/y"), Part::Header);
    }
}
