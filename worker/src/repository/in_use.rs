//! Who uses a copy. Whoever does holds a shared lock on a file beside it, in whatever process; who removes the copy holds
//! the lock alone. The file's time says when the copy was last used.

use std::fs::File;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Keeps a copy from being removed. Clones of what holds it share it.
#[derive(Debug)]
pub(crate) struct CopyInUse {
    _lock: File,
}

impl CopyInUse {
    /// Uses the copy at `git_dir`. Waits while it is being put out of the way, which is the renaming of a directory.
    pub(crate) fn of(git_dir: &Path) -> Result<Self> {
        let lock = open(git_dir)?;
        lock.lock_shared()?;
        lock.set_modified(SystemTime::now())?;
        Ok(Self { _lock: lock })
    }

    /// Takes hold of a copy that nobody uses; none if somebody does.
    pub(super) fn alone(git_dir: &Path) -> Result<Option<Self>> {
        let lock = open(git_dir)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { _lock: lock })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Returns when the copy at `git_dir` was last used.
pub(super) fn last_used(git_dir: &Path) -> SystemTime {
    let modified = |path: PathBuf| path.metadata().and_then(|metadata| metadata.modified());
    modified(file(git_dir)).or_else(|_| modified(git_dir.to_owned())).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn open(git_dir: &Path) -> Result<File> {
    File::options().create(true).truncate(false).write(true).open(file(git_dir))
}

fn file(git_dir: &Path) -> PathBuf {
    git_dir.with_extension("use")
}
