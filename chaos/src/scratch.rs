//! The passing directory of one run, and the removal of those whose run was killed.

use std::fs::{DirEntry, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::unistd::geteuid;
use tokio::time::sleep;

use crate::servers::end_abandoned;

/// Lies on a disk where `/tmp` may be memory, where a commit costs nothing.
const DISK: &str = "/var/tmp";
const LOCK: &str = "lock";
const PREFIX: &str = "makima-chaos-";
/// A directory is made first and locked then; younger ones than this are left alone.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);
/// A server that was just ended may still write for a moment.
const REMOVE_TRIES: u32 = 50;
const REMOVE_EVERY: Duration = Duration::from_millis(100);

/// A directory that is locked while it is in use.
pub(crate) struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes the directory in `parent`, or on a disk.
    pub(crate) async fn make(parent: Option<&Path>) -> anyhow::Result<Self> {
        let disk = Path::new(DISK);
        let parent = match parent {
            Some(dir) => std::path::absolute(dir)?,
            None if disk.is_dir() => disk.to_owned(),
            None => std::env::temp_dir(),
        };
        let failed = || format!("cannot make a directory in {}", parent.display());
        std::fs::create_dir_all(&parent).with_context(failed)?;
        remove_abandoned(&parent).await;
        let path = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&parent).with_context(failed)?.keep();
        // As root the servers run as another user, who has to pass through.
        std::fs::set_permissions(&path, Permissions::from_mode(0o711)).with_context(failed)?;
        let lock = File::create(path.join(LOCK)).with_context(failed)?;
        lock.try_lock().with_context(failed)?;
        for name in ["log", "links", "workers", "witness"] {
            std::fs::create_dir(path.join(name)).with_context(failed)?;
        }
        Ok(Self { path, _lock: lock })
    }

    /// Returns the directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where a process of the run says what it does.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.path().join("log").join(format!("{name}.log"))
    }

    /// Returns the directory of the sockets by which a role reaches the servers.
    pub(crate) fn links(&self, role: &str) -> PathBuf {
        self.path().join("links").join(role)
    }

    /// Returns a worker's data directory.
    pub(crate) fn worker(&self, role: &str) -> PathBuf {
        self.path().join("workers").join(role)
    }

    /// Returns the directory in which agents note what they do, out of reach of checkpoints.
    pub(crate) fn witness(&self) -> PathBuf {
        self.path().join("witness")
    }

    /// Leaves the directory to whoever wants to look at it: without a lock no later run removes it.
    pub(crate) fn keep(&self) -> &Path {
        let _ = std::fs::remove_file(self.path.join(LOCK));
        &self.path
    }

    /// Removes the directory with all that is in it. Whatever works in it must have ended.
    pub(crate) async fn remove(&self) {
        let path = &self.path;
        for _ in 0..REMOVE_TRIES {
            if std::fs::remove_dir_all(path).is_ok() || !path.exists() {
                return;
            }
            sleep(REMOVE_EVERY).await; // why: pause before the next try
        }
        eprintln!("chaos: {} could not be removed", path.display());
    }
}

/// Ends the servers and removes the directories of runs that were killed. Their roles end by themselves.
async fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for dir in entries.flatten().filter(is_old_and_ours).map(|entry| entry.path()) {
        // A directory without a lock was kept on purpose.
        let Ok(lock) = File::open(dir.join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            eprintln!("chaos: removing {}, left by a run that was killed", dir.display());
            end_abandoned(&dir).await;
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
