//! The passing directory of one run, and the removal of those whose run was killed.

use std::fs::{DirEntry, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::options::Options;

/// Lies on a disk where `/tmp` may be memory, where a commit costs nothing.
const DISK: &str = "/var/tmp";
const LOCK: &str = "lock";
const DATA_DIR: &str = "up";
const PREFIX: &str = "makima-bench-";
/// A directory is made first and locked then; younger ones than this are left alone.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);
/// A server that was just ended may still write for a moment.
const REMOVE_TRIES: u32 = 50;
const REMOVE_EVERY: Duration = Duration::from_millis(100);

/// A directory that is locked while it is in use, and removed at the end.
pub(crate) struct Scratch {
    dir: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes the directory.
    pub(crate) fn make(options: &Options) -> anyhow::Result<Self> {
        let disk = Path::new(DISK);
        let parent = match &options.dir {
            Some(dir) => std::path::absolute(dir)?,
            None if disk.is_dir() => disk.to_owned(),
            None => std::env::temp_dir(),
        };
        let failed = || format!("cannot make a directory in {}", parent.display());
        std::fs::create_dir_all(&parent).with_context(failed)?;
        remove_abandoned(&parent);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&parent).with_context(failed)?;
        // As root the servers run as another user, who has to pass through.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).with_context(failed)?;
        let lock = File::create(dir.path().join(LOCK)).with_context(failed)?;
        lock.try_lock().with_context(failed)?;
        Ok(Self { dir, _lock: lock })
    }

    /// Returns the directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the data directory of the stack.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join(DATA_DIR)
    }

    /// Returns where the stack says what it does.
    pub(crate) fn stack_log(&self) -> PathBuf {
        self.dir.path().join("up.log")
    }

    /// Removes the directory with all that is in it.
    pub(crate) async fn remove(self) {
        let path = self.dir.path();
        for _ in 0..REMOVE_TRIES {
            if std::fs::remove_dir_all(path).is_ok() || !path.exists() {
                return;
            }
            tokio::time::sleep(REMOVE_EVERY).await; // why: pause before the next try
        }
        eprintln!("bench: {} could not be removed", path.display());
    }
}

/// Removes the directories of runs that were killed, once their stacks, too, have let go of them.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for dir in entries.flatten().filter(is_old_and_ours).map(|entry| entry.path()) {
        let locks = [dir.join(LOCK), dir.join(DATA_DIR).join(LOCK)];
        // A file that is not there locks nothing; one that cannot be locked is in use.
        let taken: Vec<_> = locks.iter().filter_map(|lock| File::open(lock).ok()).collect();
        if taken.iter().all(|lock| lock.try_lock().is_ok()) {
            eprintln!("bench: removing {}, left by a run that was killed", dir.display());
            let _ = std::fs::remove_dir_all(&dir);
        }
    }
}

fn is_old_and_ours(entry: &DirEntry) -> bool {
    let Ok(meta) = std::fs::symlink_metadata(entry.path()) else { return false };
    let age = meta.modified().ok().and_then(|modified| modified.elapsed().ok());
    entry.file_name().to_string_lossy().starts_with(PREFIX)
        && meta.is_dir()
        && meta.uid() == geteuid().as_raw()
        && age.is_some_and(|age| age > ABANDONED_AFTER)
}
