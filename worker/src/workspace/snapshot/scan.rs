//! Finds what changed in a work tree since the worker's index was last written.
//!
//! A walk of our own over handles: whatever an agent puts in the place of a file or directory, nothing is opened that is
//! not a directory or a small plain `.gitignore`.

use std::time::SystemTime;

use git2::IndexEntry;
use nix::sys::stat::FileStat;

use super::super::ignore_rules::{IgnoreRules, KeepRules, RULES_FILE, join};
use super::super::tree_reader::{Kind, Listing, TreeReader};
use super::Skipped;
use super::known::Known;
use super::last_look::Places;
use super::stat_data::{IndexWritten, SUBMODULE, is_unchanged};

/// Longer paths are left out, and so is what lies below them: no program could open them (Linux's `PATH_MAX`).
pub(super) const MAX_PATH_BYTES: usize = 4096;

/// What is to be done to the index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    Remove(Vec<u8>),
    Take(Vec<u8>),
}

impl Change {
    pub(super) fn path(&self) -> &[u8] {
        match self {
            Self::Remove(path) | Self::Take(path) => path,
        }
    }
}

/// Returns what differs between the index and the work tree, in the order of paths, removals first, and where it looked.
pub(super) fn scan(
    reader: &mut TreeReader,
    known: &mut Known,
    keep_ignored: &[String],
    written: IndexWritten,
    skipped: &mut Skipped,
) -> (Vec<Change>, Places) {
    let root =
        Directory { path: Vec::new(), rules: IgnoreRules::default(), is_excluded: false, is_kept: false };
    let keep = KeepRules::parse(keep_ignored);
    let (taken, places, waiting) = (Vec::new(), Places::default(), vec![root]);
    let mut scan = Scan { reader, known, keep, written, skipped, taken, places, waiting };
    while let Some(directory) = scan.waiting.pop() {
        scan.look_into(directory);
    }
    let Scan { taken, places, .. } = scan;
    let removed = known.missed().cloned().map(Change::Remove);
    let mut changes: Vec<_> = removed.chain(taken.into_iter().map(Change::Take)).collect();
    changes.sort_unstable();
    (changes, places)
}

struct Directory {
    path: Vec<u8>,
    /// The rules that hold for its own path.
    rules: IgnoreRules,
    /// Then only files count that are tracked, or kept all the same.
    is_excluded: bool,
    /// Then all count, but for those that a glob says are not kept.
    is_kept: bool,
}

impl Directory {
    /// Tells whether something that is not tracked counts here.
    fn wants(&self, keep: &KeepRules, path: &[u8], is_directory: bool) -> bool {
        let is_kept = keep.verdict(path, is_directory).unwrap_or(self.is_kept);
        is_kept || !(self.is_excluded || self.rules.exclude(path, is_directory))
    }
}

struct Scan<'a> {
    reader: &'a mut TreeReader,
    known: &'a mut Known,
    keep: KeepRules,
    written: IndexWritten,
    skipped: &'a mut Skipped,
    taken: Vec<Vec<u8>>,
    places: Places,
    waiting: Vec<Directory>,
}

impl Scan<'_> {
    fn look_into(&mut self, mut directory: Directory) {
        let looked = SystemTime::now();
        let names = match self.reader.list(&directory.path) {
            Listing::Names { names, directory: stat } => {
                self.places.directory(&directory.path, &stat, looked);
                names
            }
            // It vanished, and what the index has below it with it.
            Listing::Gone => return,
            Listing::Unreadable(error) => {
                self.skipped.add(&directory.path, error);
                return self.known.meet_below(&directory.path);
            }
        };
        let is_rules =
            |(name, stat): &(Vec<u8>, FileStat)| name == RULES_FILE && Kind::of(stat) == Kind::File;
        if let Some((_, stat)) = names.iter().find(|name| !directory.is_excluded && is_rules(name)) {
            self.places.rules(join(&directory.path, RULES_FILE), stat, looked);
            directory.rules = directory.rules.enter(self.reader, &directory.path);
        }
        for (name, stat) in names {
            if name.eq_ignore_ascii_case(b".git") {
                continue;
            }
            let path = join(&directory.path, &name);
            if path.len() > MAX_PATH_BYTES {
                self.skipped.add(&path[..MAX_PATH_BYTES], "its path is too long");
                continue;
            }
            match Kind::of(&stat) {
                Kind::Directory => self.directory(path, &directory),
                Kind::File | Kind::Link => self.file(path, &stat, &directory),
                Kind::Special if !directory.wants(&self.keep, &path, false) => {}
                Kind::Special => self.skipped.add(&path, "neither a file nor a link"),
            }
        }
    }

    fn directory(&mut self, path: Vec<u8>, above: &Directory) {
        if self.known.get(&path).is_some_and(is_submodule) && self.is_still_submodule(&path) {
            self.known.meet(&path);
            return;
        }
        let is_kept = self.keep.verdict(&path, true).unwrap_or(above.is_kept);
        let is_excluded = above.is_excluded || above.rules.exclude(&path, true);
        let is_wanted = is_kept || !is_excluded;
        if is_wanted || self.known.has_below(&path) || self.keep.may_keep_below(&path) {
            self.waiting.push(Directory { path, rules: above.rules.clone(), is_excluded, is_kept });
        }
    }

    fn file(&mut self, path: Vec<u8>, stat: &FileStat, directory: &Directory) {
        let written = self.written;
        let is_wanted = match self.known.meet(&path) {
            Some(entry) => !is_unchanged(entry, stat, written),
            None => directory.wants(&self.keep, &path, false),
        };
        if is_wanted {
            self.taken.push(path);
        }
    }

    /// Tells a submodule from a directory that has files in its place but no repository.
    fn is_still_submodule(&mut self, path: &[u8]) -> bool {
        let looked = SystemTime::now();
        match self.reader.list(path) {
            Listing::Names { names, directory } => {
                self.places.directory(path, &directory, looked);
                names.is_empty() || names.iter().any(|(name, _)| name == b".git")
            }
            Listing::Gone | Listing::Unreadable(_) => true,
        }
    }
}

fn is_submodule(entry: &IndexEntry) -> bool {
    entry.mode == SUBMODULE
}
