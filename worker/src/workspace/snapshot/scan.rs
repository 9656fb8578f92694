//! Finds what changed in a work tree since the worker's index was last written.
//!
//! A walk of our own over handles: whatever an agent puts in the place of a file or directory, nothing is opened that is
//! not a directory or a small plain `.gitignore`.

use git2::IndexEntry;
use nix::sys::stat::FileStat;

use super::super::ignore_rules::{IgnoreRules, RULES_FILE, join};
use super::super::tree_reader::{Kind, Listing, TreeReader};
use super::Skipped;
use super::known::Known;
use super::stat_data::{IndexWritten, SUBMODULE, is_unchanged};

/// Longer paths are left out, and so is what lies below them: no program could open them (Linux's `PATH_MAX`).
pub(super) const MAX_PATH_BYTES: usize = 4096;

/// What is to be done to the index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    Remove(Vec<u8>),
    Take(Vec<u8>),
}

/// Returns what differs between the index and the work tree, in the order of paths, removals first.
pub(super) fn scan(
    reader: &mut TreeReader,
    known: &mut Known,
    written: IndexWritten,
    skipped: &mut Skipped,
) -> Vec<Change> {
    let root = Directory { path: Vec::new(), rules: IgnoreRules::default(), is_excluded: false };
    let mut scan = Scan { reader, known, written, skipped, taken: Vec::new(), waiting: vec![root] };
    while let Some(directory) = scan.waiting.pop() {
        scan.look_into(directory);
    }
    let taken = std::mem::take(&mut scan.taken);
    let removed = known.missed().cloned().map(Change::Remove);
    let mut changes: Vec<_> = removed.chain(taken.into_iter().map(Change::Take)).collect();
    changes.sort_unstable();
    changes
}

struct Directory {
    path: Vec<u8>,
    /// The rules that hold for its own path.
    rules: IgnoreRules,
    /// Then only tracked files count.
    is_excluded: bool,
}

struct Scan<'a> {
    reader: &'a mut TreeReader,
    known: &'a mut Known,
    written: IndexWritten,
    skipped: &'a mut Skipped,
    taken: Vec<Vec<u8>>,
    waiting: Vec<Directory>,
}

impl Scan<'_> {
    fn look_into(&mut self, Directory { path, mut rules, is_excluded }: Directory) {
        let names = match self.reader.list(&path) {
            Listing::Names(names) => names,
            // It vanished, and what the index has below it with it.
            Listing::Gone => return,
            Listing::Unreadable(error) => {
                self.skipped.add(&path, error);
                return self.known.meet_below(&path);
            }
        };
        if !is_excluded && names.iter().any(|(name, stat)| name == RULES_FILE && Kind::of(stat) == Kind::File)
        {
            rules = rules.enter(self.reader, &path);
        }
        for (name, stat) in names {
            if name.eq_ignore_ascii_case(b".git") {
                continue;
            }
            let path = join(&path, &name);
            if path.len() > MAX_PATH_BYTES {
                self.skipped.add(&path[..MAX_PATH_BYTES], "its path is too long");
                continue;
            }
            match Kind::of(&stat) {
                Kind::Directory => self.directory(path, &rules, is_excluded),
                Kind::File | Kind::Link => self.file(path, &stat, &rules, is_excluded),
                Kind::Special if is_excluded || rules.exclude(&path, false) => {}
                Kind::Special => self.skipped.add(&path, "neither a file nor a link"),
            }
        }
    }

    fn directory(&mut self, path: Vec<u8>, rules: &IgnoreRules, is_excluded: bool) {
        if self.known.get(&path).is_some_and(is_submodule) && self.is_still_submodule(&path) {
            self.known.meet(&path);
            return;
        }
        let is_excluded = is_excluded || rules.exclude(&path, true);
        if !is_excluded || self.known.has_below(&path) {
            self.waiting.push(Directory { path, rules: rules.clone(), is_excluded });
        }
    }

    fn file(&mut self, path: Vec<u8>, stat: &FileStat, rules: &IgnoreRules, is_excluded: bool) {
        let written = self.written;
        let is_wanted = match self.known.meet(&path) {
            Some(entry) => !is_unchanged(entry, stat, written),
            None => !is_excluded && !rules.exclude(&path, false),
        };
        if is_wanted {
            self.taken.push(path);
        }
    }

    /// Tells a submodule from a directory that has files in its place but no repository.
    fn is_still_submodule(&mut self, path: &[u8]) -> bool {
        match self.reader.list(path) {
            Listing::Names(names) => names.is_empty() || names.iter().any(|(name, _)| name == b".git"),
            Listing::Gone | Listing::Unreadable(_) => true,
        }
    }
}

fn is_submodule(entry: &IndexEntry) -> bool {
    entry.mode == SUBMODULE
}
