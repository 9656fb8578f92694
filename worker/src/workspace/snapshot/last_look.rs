//! What the last snapshot saw, so that the next one has to look at stat data alone.
//!
//! A directory holds the same names for as long as its own stat data stays the same, and a file the same bytes. While all
//! of them stand as they did, the tree is still the one of the last snapshot; where only files differ, these are all that
//! has to be read. Whatever else is found sends the caller to a whole scan. The trust is the one that an index gets
//! ([`super::stat_data`]): nothing is remembered that may have changed without a sign of it.

mod directory;

use std::collections::HashMap;
use std::path::Path;
use std::slice::Chunks;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{available_parallelism, scope};
use std::time::SystemTime;

use git2::{Index, IndexEntry};
use nix::sys::stat::FileStat;

use super::super::tree_reader::TreeReader;
use super::stat_data::{FileStamp, IndexWritten, SUBMODULE, Stamp};
use super::unwritten::Unwritten;
use super::{Change, Snapshot};
use directory::Directory;

/// Trees with more files are scanned as a whole each time: what is remembered of one takes some 80 bytes.
const MAX_FILES: usize = 200_000;
/// With fewer files a second thread costs more than it saves.
const FILES_PER_THREAD: usize = 1000;
const MAX_THREADS: usize = 4;
/// In how many blocks a thread takes its share: few, since neighbours on two processors contend for the directories
/// above them.
const BLOCKS_PER_THREAD: usize = 2;

/// The directories that a scan went through, and the files with ignore rules in them.
#[derive(Default)]
pub(super) struct Places {
    directories: Vec<(Vec<u8>, Stamp)>,
    rules: Vec<(Vec<u8>, Stamp)>,
    is_unsure: bool,
}

impl Places {
    /// Notes a directory as it stood before its names were read, after `looked`.
    pub(super) fn directory(&mut self, path: &[u8], stat: &FileStat, looked: SystemTime) {
        match Stamp::settled(stat, looked) {
            Some(stamp) => self.directories.push((path.to_vec(), stamp)),
            None => self.is_unsure = true,
        }
    }

    /// Notes a file with ignore rules as it stood before they were read, after `looked`.
    pub(super) fn rules(&mut self, path: Vec<u8>, stat: &FileStat, looked: SystemTime) {
        match Stamp::settled(stat, looked) {
            Some(stamp) => self.rules.push((path, stamp)),
            None => self.is_unsure = true,
        }
    }
}

/// How a tree compares with what was seen of it.
pub(super) enum Look {
    /// Nothing has changed.
    Same,
    /// These files may have changed, and nothing else.
    Files(Vec<Change>),
    /// More than that.
    Other,
}

/// What the last snapshot of a workspace saw, if it can be told from anything else.
#[derive(Default)]
pub(in crate::workspace) struct LastLook(Mutex<Option<Seen>>);

impl std::fmt::Debug for LastLook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("LastLook")
    }
}

impl LastLook {
    /// Takes it out, if it is of the worker's index as that was written at `written`.
    pub(super) fn take(&self, written: IndexWritten) -> Option<Seen> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        seen.filter(|seen| seen.written == written)
    }

    pub(super) fn set(&self, seen: Option<Seen>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

/// What a scan or a snapshot has seen of a tree. Each file is the one that its stamp is of: a scan has compared it with the
/// index, or it was read since.
pub(super) struct Seen {
    directories: Vec<Directory>,
    rules: Vec<(Vec<u8>, Stamp)>,
    /// The worker's index as it stands.
    written: IndexWritten,
    unwritten: Unwritten,
    snapshot: Snapshot,
}

impl Seen {
    /// Remembers a snapshot and what it went through; none if something could change without being noticed.
    pub(super) fn of(
        index: &Index,
        written: IndexWritten,
        places: Places,
        snapshot: &Snapshot,
    ) -> Option<Self> {
        // What could not be stored is in no index, and may be such as can be stored the next time.
        if places.is_unsure || snapshot.skipped.count > 0 || index.len() > MAX_FILES {
            return None;
        }
        let directories = places.directories.into_iter();
        let mut directories: Vec<_> = directories.map(|(path, stamp)| Directory::new(path, stamp)).collect();
        // In this order the least has to be opened.
        directories.sort_unstable_by(|a, b| a.path().cmp(b.path()));
        let at: HashMap<_, _> =
            directories.iter().enumerate().map(|(at, found)| (found.path().to_vec(), at)).collect();
        for entry in index.iter().filter(|entry| entry.mode != SUBMODULE) {
            let (parent, name) = split(&entry.path);
            directories[*at.get(parent)?].add(name, FileStamp::of_entry(&entry));
        }
        let (unwritten, snapshot) = (Unwritten::default(), snapshot.clone());
        Some(Self { directories, rules: places.rules, written, unwritten, snapshot })
    }

    /// The same, after files were taken again as these `entries`, which made it the tree of `snapshot`.
    pub(super) fn with(mut self, entries: Vec<IndexEntry>, stored_bytes: u64, snapshot: Snapshot) -> Self {
        for entry in &entries {
            let (parent, name) = split(&entry.path);
            if let Ok(at) = self.directories.binary_search_by(|found| found.path().cmp(parent)) {
                self.directories[at].replace(name, FileStamp::of_entry(entry));
            }
        }
        self.unwritten.add(entries, stored_bytes);
        Self { snapshot, ..self }
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(super) fn unwritten(&self) -> &Unwritten {
        &self.unwritten
    }

    /// Returns what the index does not have.
    pub(super) fn into_unwritten(self) -> Unwritten {
        self.unwritten
    }

    /// The same, once the index has it all, as it was written at `written`.
    pub(super) fn once_written(self, written: IndexWritten) -> Self {
        Self { written, unwritten: Unwritten::default(), ..self }
    }

    /// Compares the tree with what was seen of it.
    pub(super) fn compare(&self, tree: &Path, reader: &mut TreeReader) -> Look {
        let is_same_rules =
            |(path, stamp): &(Vec<u8>, Stamp)| reader.stat(path).is_ok_and(|stat| stamp.is_of(&stat));
        if !self.rules.iter().all(is_same_rules) {
            return Look::Other;
        }
        let threads = self.threads();
        let block = self.directories.len().div_ceil(threads * BLOCKS_PER_THREAD).max(1);
        let blocks = Blocks { left: Mutex::new(self.directories.chunks(block)), is_other: false.into() };
        let changed: Vec<_> = scope(|scope| {
            let others = (1..threads).map(|_| scope.spawn(|| blocks.look_through(tree)));
            let others: Vec<_> = others.collect();
            let own = blocks.look_through(tree);
            others.into_iter().map(|part| part.join().unwrap_or_default()).chain([own]).collect()
        });
        if changed.iter().any(Option::is_none) {
            return Look::Other;
        }
        let mut changed: Vec<_> = changed.into_iter().flatten().flatten().collect();
        if changed.is_empty() {
            return Look::Same;
        }
        changed.sort_unstable();
        Look::Files(changed)
    }

    fn threads(&self) -> usize {
        let files: usize = self.directories.iter().map(Directory::len).sum();
        let threads = available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        files.div_ceil(FILES_PER_THREAD).clamp(1, threads)
    }
}

/// The directories that nobody has looked at yet. Each thread takes some at a time, so that none waits for one that is
/// held up.
struct Blocks<'a> {
    left: Mutex<Chunks<'a, Directory>>,
    /// More than files has changed: nobody has to look any further.
    is_other: AtomicBool,
}

impl Blocks<'_> {
    /// Returns the files that may have changed in the directories that it took; none if more than files has.
    fn look_through(&self, tree: &Path) -> Option<Vec<Change>> {
        let mut reader = TreeReader::open(tree).ok()?;
        let mut changed = Vec::new();
        while let Some(block) = self.next() {
            let mut directories = block.iter();
            if !directories.all(|directory| directory.look(&mut reader, &mut changed)) {
                self.is_other.store(true, Ordering::Release);
                return None;
            }
        }
        Some(changed)
    }

    fn next(&self) -> Option<&[Directory]> {
        if self.is_other.load(Ordering::Acquire) {
            return None;
        }
        self.left.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

/// Splits a path into its directory and its name there.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    path.iter().rposition(|byte| *byte == b'/').map_or((&[], path), |at| (&path[..at], &path[at + 1..]))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::scene::{Scene, git};
    use super::*;
    use crate::workspace::snapshot;

    #[test]
    fn files_that_are_written_where_they_stand_are_all_that_is_read_again() {
        let scene = Scene::new();
        std::fs::write(scene.at("a/b/two"), "two").unwrap();
        std::fs::set_permissions(scene.at("three"), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(scene.files(), [&b"a/b/two"[..], b"three"]);
        let taken = snapshot(&scene.workspace).unwrap();
        assert!(taken.changed);
        scene.rest();
        assert_eq!(snapshot(&scene.workspace).unwrap(), taken);
        assert_eq!(snapshot(&scene.workspace.clone().keeping(&[])).unwrap(), taken);
    }

    #[test]
    fn a_change_of_names_rules_or_index_needs_a_whole_scan() {
        type Step = fn(&Scene);
        let changes: [(&str, Step); 7] = [
            ("new file", |scene| std::fs::write(scene.at("a/b/new"), "").unwrap()),
            ("removed file", |scene| std::fs::remove_file(scene.at("a/one")).unwrap()),
            ("renamed directory", |scene| std::fs::rename(scene.at("a/b"), scene.at("a/c")).unwrap()),
            ("replaced file", |scene| std::fs::rename(scene.at("three"), scene.at("a/one")).unwrap()),
            ("rules", |scene| std::fs::write(scene.at("a/.gitignore"), "*.txt\n").unwrap()),
            ("rights of a directory", |scene| {
                std::fs::set_permissions(scene.at("a/b"), std::fs::Permissions::from_mode(0o700)).unwrap();
            }),
            ("the worker's index", |scene| {
                let index = scene.workspace.host_git().join("index");
                std::fs::write(&index, std::fs::read(&index).unwrap()).unwrap();
            }),
        ];
        for (name, change) in changes {
            let scene = Scene::new();
            change(&scene);
            assert!(matches!(scene.look(), Look::Other), "{name}");
        }
    }

    #[test]
    fn what_the_agent_stages_although_it_is_ignored_is_seen() {
        let scene = Scene::new();
        std::fs::write(scene.at("a/kept.log"), "kept").unwrap();
        scene.rest();
        git(&scene.workspace.tree(), &["add", "-f", "a/kept.log"]);
        assert!(matches!(scene.look(), Look::Same), "the agent's index is looked at by itself");
        assert!(snapshot(&scene.workspace).unwrap().changed);
    }

    #[test]
    fn what_the_agent_has_staged_and_removed_is_seen_when_it_comes_back() {
        let scene = Scene::new();
        std::fs::write(scene.at("a/kept.log"), "kept").unwrap();
        git(&scene.workspace.tree(), &["add", "-f", "a/kept.log"]);
        scene.rest();
        std::fs::remove_file(scene.at("a/kept.log")).unwrap();
        scene.rest();
        assert!(!snapshot(&scene.workspace).unwrap().changed);
        std::fs::write(scene.at("a/kept.log"), "kept").unwrap();
        assert!(snapshot(&scene.workspace).unwrap().changed);
    }
}
