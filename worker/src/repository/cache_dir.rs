//! One bare copy on disk: where it is, its lock, its configuration.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::in_use::CopyInUse;
use super::{RepositoryError, shallow};
use crate::git::{Cancel, forget_common_dir};
use crate::private_dir::create_private;

/// The first and the longest pause between two looks at a lock. A file lock cannot be waited for together with a
/// cancellation.
const LOCK_PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

const CONFIG: &str = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n\
                      [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n";
/// A branch that nobody can have: the copy's own HEAD means nothing.
const HEAD: &str = "ref: refs/makima/none\n";

/// A file of the copy could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub(super) struct CacheError {
    path: PathBuf,
    source: std::io::Error,
}

/// A copy that this process alone may change for as long as the value lives.
pub(super) struct CacheDir {
    git_dir: PathBuf,
    _in_use: CopyInUse,
    _lock: File,
}

impl CacheDir {
    /// Waits for the lock of the copy of `url` and makes the copy ready for use, empty if it is new.
    pub(super) fn locked(root: &Path, url: &str, cancel: &Cancel) -> Result<Self, RepositoryError> {
        let git_dir = path(root, url);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CacheError { path, source }
        };
        create_private(root).map_err(failed(root))?;
        let lock_path = lock_path(&git_dir);
        let lock = open_lock(&lock_path).map_err(failed(&lock_path))?;
        let mut pause = LOCK_PAUSES.0;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(failed(&lock_path)(error).into()),
                Err(TryLockError::WouldBlock) => {
                    cancel.pause(pause).map_err(|_| RepositoryError::Cancelled)?
                }
            }
            pause = (pause * 2).min(LOCK_PAUSES.1);
        }
        prepare(&git_dir).map_err(failed(&git_dir))?;
        let in_use = CopyInUse::of(&git_dir).map_err(failed(&git_dir))?;
        Ok(Self { git_dir, _in_use: in_use, _lock: lock })
    }

    /// Takes the lock of the copy at `git_dir` as it stands; none if somebody has it.
    pub(super) fn try_lock(git_dir: &Path) -> std::io::Result<Option<File>> {
        let lock = open_lock(&lock_path(git_dir))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(super) fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Returns the commit that a ref of ours holds. Refs of a copy are never packed.
    pub(super) fn read_reference(&self, reference: &str) -> Option<String> {
        let id = std::fs::read_to_string(self.git_dir.join(reference)).ok()?;
        Some(id.trim().to_owned())
    }
}

fn lock_path(git_dir: &Path) -> PathBuf {
    git_dir.with_extension("lock")
}

fn open_lock(path: &Path) -> std::io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(path)
}

/// Returns where the copy of `url` is, whether it exists or not.
pub(super) fn path(root: &Path, url: &str) -> PathBuf {
    root.join(format!("{}.git", hex(&Sha256::digest(url.as_bytes()))))
}

/// Returns the ref of the copy that holds what `reference` of the remote was when it was last fetched.
pub(super) fn base_reference(reference: &str) -> String {
    format!("refs/makima/base/{}", hex(&Sha256::digest(reference.as_bytes())[..16]))
}

/// Tells whether the copy has `commit` with all that belongs to it. Needs no lock: packs appear whole, and where a history
/// ends is known once a copy is settled, which is looked at last.
pub(super) fn has_commit(git_dir: &Path, commit: &str) -> bool {
    let Ok(id) = git2::Oid::from_str(commit) else { return false };
    let repository = git2::Repository::open_bare(git_dir);
    repository.is_ok_and(|repository| repository.find_commit(id).is_ok()) && shallow::is_settled(git_dir)
}

fn prepare(git_dir: &Path) -> std::io::Result<()> {
    for directory in ["objects/info", "objects/pack", "refs"] {
        std::fs::create_dir_all(git_dir.join(directory))?;
    }
    forget_common_dir(git_dir)?;
    for (name, content) in [("config", CONFIG), ("HEAD", HEAD)] {
        let file = git_dir.join(name);
        if std::fs::read_to_string(&file).ok().as_deref() != Some(content) {
            std::fs::write(file, content)?;
        }
    }
    remove_unfinished_packs(&git_dir.join("objects/pack"))?;
    shallow::mend(git_dir)
}

/// Removes what fetches left behind that were killed; nobody else writes while the lock is held.
fn remove_unfinished_packs(packs: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(packs)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b"tmp_") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
