//! Whether a file is still the one that an index knows, by the stat data that git keeps of it.
//!
//! A file may change without a change of its stat data if it does so within one tick of the file system's clock. So an
//! entry is trusted only if its file had not been touched for a while when it was read ([`is_settled`]), or was touched
//! before the index was written. The time that counts is the one of the inode's last change, which no program can set.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use git2::{FileMode, IndexEntry, IndexTime, Oid};
use nix::sys::stat::FileStat;

use super::super::tree_reader::Kind;

/// Clocks of file systems tick at 1 to 10 ms.
const CLOCK_TICK: Duration = Duration::from_millis(50);

/// The mode of a submodule in an index.
pub(super) const SUBMODULE: u32 = 0o160_000;

/// When an index was written, by the clock of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IndexWritten(Duration);

impl IndexWritten {
    pub(super) fn of(index: &Path) -> std::io::Result<Self> {
        let modified = fs::metadata(index)?.modified()?;
        Ok(Self(modified.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

/// Tells whether the file with `stat` is surely the one that `entry` was made of.
pub(super) fn is_unchanged(entry: &IndexEntry, stat: &FileStat, written: IndexWritten) -> bool {
    FileStamp::of_entry(entry) == FileStamp::of(stat) && changed_at(stat) < written.0
}

/// The stat data of a file, as much of them as an index keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    mode: u32,
    size: u32,
    inode: u32,
    owner: (u32, u32),
    modified: (i32, u32),
    changed: (i32, u32),
}

impl FileStamp {
    pub(super) fn of_entry(entry: &IndexEntry) -> Self {
        let time = |time: &IndexTime| (time.seconds(), time.nanoseconds());
        Self {
            mode: entry.mode,
            size: entry.file_size,
            inode: entry.ino,
            owner: (entry.uid, entry.gid),
            modified: time(&entry.mtime),
            changed: time(&entry.ctime),
        }
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index holds the low 32 bits of all stat data"
    )]
    pub(super) fn of(stat: &FileStat) -> Self {
        Self {
            mode: mode_of(stat),
            size: stat.st_size as u32,
            inode: stat.st_ino as u32,
            owner: (stat.st_uid, stat.st_gid),
            modified: (stat.st_mtime as i32, stat.st_mtime_nsec as u32),
            changed: (stat.st_ctime as i32, stat.st_ctime_nsec as u32),
        }
    }
}

/// The stat data of a directory or file, which change whenever it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    mode: u32,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Returns the stat data, which were looked at after `looked`; none if there may be a change that does not show.
    pub(super) fn settled(stat: &FileStat, looked: SystemTime) -> Option<Self> {
        is_settled(stat, looked).then(|| Self::of(stat))
    }

    /// Tells whether `stat` is the same.
    pub(super) fn is_of(&self, stat: &FileStat) -> bool {
        *self == Self::of(stat)
    }

    fn of(stat: &FileStat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            mode: stat.st_mode,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// Tells whether the file with `stat`, which was looked at after `looked`, cannot change any more without a change of its
/// stat data.
pub(super) fn is_settled(stat: &FileStat, looked: SystemTime) -> bool {
    let looked = looked.duration_since(UNIX_EPOCH).unwrap_or_default();
    looked.checked_sub(changed_at(stat)).is_some_and(|age| age > CLOCK_TICK)
}

/// Makes the index entry of a file.
#[allow(clippy::cast_possible_truncation, reason = "an index holds the low 32 bits of all stat data")]
pub(super) fn entry_of(path: &[u8], id: Oid, stat: &FileStat, is_settled: bool) -> IndexEntry {
    let FileStamp { mode, size, inode, owner, modified, changed } = FileStamp::of(stat);
    // What never was makes the next look read the file again: size 0 alone might be what it has by then.
    let (size, changed) = if is_settled { (size, changed) } else { (0, (0, 0)) };
    IndexEntry {
        ctime: IndexTime::new(changed.0, changed.1),
        mtime: IndexTime::new(modified.0, modified.1),
        dev: stat.st_dev as u32,
        ino: inode,
        mode,
        uid: owner.0,
        gid: owner.1,
        file_size: size,
        id,
        flags: 0,
        flags_extended: 0,
        path: path.to_vec(),
    }
}

/// Makes the index entry of a submodule.
pub(super) fn entry_of_submodule(path: &[u8], commit: Oid) -> IndexEntry {
    let nothing = IndexTime::new(0, 0);
    IndexEntry {
        ctime: nothing,
        mtime: nothing,
        dev: 0,
        ino: 0,
        mode: SUBMODULE,
        uid: 0,
        gid: 0,
        file_size: 0,
        id: commit,
        flags: 0,
        flags_extended: 0,
        path: path.to_vec(),
    }
}

/// Tells what an index entry is in a tree, if it is that of a plain file.
pub(super) fn file_kind(entry: &IndexEntry) -> Option<FileMode> {
    match entry.mode {
        0o100_644 => Some(FileMode::Blob),
        0o100_755 => Some(FileMode::BlobExecutable),
        _ => None,
    }
}

fn mode_of(stat: &FileStat) -> u32 {
    match Kind::of(stat) {
        Kind::Link => 0o120_000,
        Kind::Directory => SUBMODULE,
        Kind::File | Kind::Special if stat.st_mode & 0o100 == 0 => 0o100_644,
        Kind::File | Kind::Special => 0o100_755,
    }
}

fn changed_at(stat: &FileStat) -> Duration {
    let seconds = u64::try_from(stat.st_ctime).unwrap_or_default();
    Duration::new(seconds, u32::try_from(stat.st_ctime_nsec).unwrap_or_default())
}
