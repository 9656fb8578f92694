//! What `.gitignore` files exclude, read from a tree that an agent may change at any moment.
//!
//! The rules are git's (`dir.c`), matched byte by byte, and checked against git itself by the tests. A library made for
//! searching reads braces, classes and backslashes in other ways than git does, and a file that is taken for ignored is
//! lost. Only plain files count, up to [`MAX_RULES_BYTES`]; what else bears the name excludes nothing.
//!
//! Left out, by design: `info/exclude` and `core.excludesFile`. The caller sees to it that tracked files are never asked
//! about, and that an excluded directory excludes all below it.

mod glob;
mod keep;
mod pattern;

use std::collections::HashMap;
use std::rc::Rc;

use super::tree_reader::TreeReader;
pub(super) use keep::KeepRules;
use pattern::Pattern;

/// The file that holds a directory's rules.
pub(super) const RULES_FILE: &[u8] = b".gitignore";
const MAX_RULES_BYTES: u64 = 1 << 20;

/// The rules that hold in one directory: its own, and below them those of the directories above.
#[derive(Debug, Clone, Default)]
pub(super) struct IgnoreRules(Option<Rc<Level>>);

#[derive(Debug)]
struct Level {
    above: IgnoreRules,
    /// Where the part of a path begins that this level's patterns are about.
    base: usize,
    patterns: Vec<Pattern>,
}

impl IgnoreRules {
    /// Returns the rules that hold in `directory`, which lies directly in the directory of these rules (or is the root).
    pub(super) fn enter(&self, reader: &mut TreeReader, directory: &[u8]) -> Self {
        let Some(text) = reader.read(&join(directory, RULES_FILE), MAX_RULES_BYTES) else {
            return self.clone();
        };
        let patterns = pattern::parse(&text);
        if patterns.is_empty() {
            return self.clone();
        }
        let base = if directory.is_empty() { 0 } else { directory.len() + 1 };
        Self(Some(Rc::new(Level { above: self.clone(), base, patterns })))
    }

    /// Tells whether the last rule that matches `path`, which lies directly in the directory of these rules, excludes it.
    pub(super) fn exclude(&self, path: &[u8], is_directory: bool) -> bool {
        let mut level = self.0.as_ref();
        while let Some(Level { above, base, patterns }) = level.map(Rc::as_ref) {
            let matching = |pattern: &&Pattern| pattern.matches(&path[*base..], is_directory);
            if let Some(pattern) = patterns.iter().rev().find(matching) {
                return !pattern.is_negated();
            }
            level = above.0.as_ref();
        }
        false
    }
}

/// Answers for single paths, in any order.
pub(super) struct IgnoreLookup<'a> {
    reader: &'a mut TreeReader,
    /// By directory; none for one that is excluded.
    directories: HashMap<Vec<u8>, Option<IgnoreRules>>,
}

impl<'a> IgnoreLookup<'a> {
    pub(super) fn new(reader: &'a mut TreeReader) -> Self {
        Self { reader, directories: HashMap::new() }
    }

    /// Tells whether the file `path` is excluded, by itself or with a directory above it.
    pub(super) fn is_ignored(&mut self, path: &[u8]) -> bool {
        let mut rules = Some(self.rules_in(b"", &IgnoreRules::default()));
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for directory in slashes.map(|(at, _)| &path[..at]) {
            let Some(above) = rules else { return true };
            rules = match self.directories.get(directory) {
                Some(known) => known.clone(),
                None if above.exclude(directory, true) => {
                    self.directories.insert(directory.to_vec(), None);
                    None
                }
                None => Some(self.rules_in(directory, &above)),
            };
        }
        rules.is_none_or(|rules| rules.exclude(path, false))
    }

    fn rules_in(&mut self, directory: &[u8], above: &IgnoreRules) -> IgnoreRules {
        if let Some(Some(known)) = self.directories.get(directory) {
            return known.clone();
        }
        let rules = above.enter(self.reader, directory);
        self.directories.insert(directory.to_vec(), Some(rules.clone()));
        rules
    }
}

/// Returns the path of `name` in `directory`; the root's path is empty.
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if !directory.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
