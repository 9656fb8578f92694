//! The lines of a `.gitignore`, as git's `dir.c` reads them.

use super::glob::Glob;

/// One line that may match something.
#[derive(Debug)]
pub(super) struct Pattern {
    is_negated: bool,
    directories_only: bool,
    matcher: Matcher,
}

#[derive(Debug)]
enum Matcher {
    /// A name, in any directory.
    Name(Vec<u8>),
    /// `*` and the end of a name, in any directory.
    NameEnd(Vec<u8>),
    /// A name with wildcards, in any directory.
    NameGlob(Glob),
    /// A path from the directory of the rules on.
    Path(Vec<u8>),
    /// The plain beginning of a path, and a glob for what follows.
    PathGlob(Vec<u8>, Glob),
}

/// Reads the lines of a file. Those that can match nothing are left out.
pub(super) fn parse(text: &[u8]) -> Vec<Pattern> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Pattern> {
    if line.is_empty() || line.starts_with(b"#") {
        return None;
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let line = without_trailing_spaces(line);
    let (is_negated, line) = match line.strip_prefix(b"!") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (directories_only, text) = match line.strip_suffix(b"/") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    if text.is_empty() {
        return None;
    }
    let matcher = if text.contains(&b'/') { path_matcher(text)? } else { name_matcher(text)? };
    Some(Pattern { is_negated, directories_only, matcher })
}

/// Spaces at the end do not count, but for one behind a backslash and those before it.
fn without_trailing_spaces(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        match byte {
            b' ' => at += 1,
            b'\\' if at + 1 == line.len() => return line,
            b'\\' => {
                at += 2;
                end = at;
            }
            _ => {
                at += 1;
                end = at;
            }
        }
    }
    &line[..end]
}

fn name_matcher(text: &[u8]) -> Option<Matcher> {
    let plain = plain_length(text);
    if plain == text.len() {
        return Some(Matcher::Name(text.to_vec()));
    }
    if let Some(end) = text.strip_prefix(b"*")
        && plain_length(end) == end.len()
    {
        return Some(Matcher::NameEnd(end.to_vec()));
    }
    Glob::of_name(text).map(Matcher::NameGlob)
}

fn path_matcher(text: &[u8]) -> Option<Matcher> {
    let text = text.strip_prefix(b"/").unwrap_or(text);
    let (plain, rest) = text.split_at(plain_length(text));
    if rest.is_empty() {
        return Some(Matcher::Path(plain.to_vec()));
    }
    // As in git, the glob begins here: `a/b**` matches across slashes where `a/b?**` does not.
    Glob::of_path(rest).map(|glob| Matcher::PathGlob(plain.to_vec(), glob))
}

/// Returns how long the part is before the first special character.
fn plain_length(text: &[u8]) -> usize {
    text.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\')).unwrap_or(text.len())
}

impl Pattern {
    pub(super) fn is_negated(&self) -> bool {
        self.is_negated
    }

    /// Tells whether something below `directory` may match.
    pub(super) fn may_match_below(&self, directory: &[u8]) -> bool {
        let below = [directory, b"/"].concat();
        match &self.matcher {
            Matcher::Name(_) | Matcher::NameEnd(_) | Matcher::NameGlob(_) => true,
            Matcher::Path(wanted) => wanted.starts_with(&below),
            Matcher::PathGlob(plain, _) => plain.starts_with(&below) || below.starts_with(plain),
        }
    }

    /// Tells whether the pattern matches `path`, which begins in the directory of the rules.
    pub(super) fn matches(&self, path: &[u8], is_directory: bool) -> bool {
        if self.directories_only && !is_directory {
            return false;
        }
        let name = || path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        match &self.matcher {
            Matcher::Name(wanted) => name() == wanted,
            Matcher::NameEnd(end) => name().ends_with(end),
            Matcher::NameGlob(glob) => glob.matches(name()),
            Matcher::Path(wanted) => path == wanted,
            Matcher::PathGlob(plain, glob) => {
                path.strip_prefix(plain.as_slice()).is_some_and(|rest| glob.matches(rest))
            }
        }
    }
}
