//! The passing directory of one `makima services`, and the clearing up of those whose owner was killed.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::directories::remove_persistently;
use crate::services::data_dir::{lock, passage_mode};
use crate::services::error::ServicesError;
use crate::services::orphan::{self, Traces};
use crate::services::owned::set_mode;

const PREFIX: &str = "makima-svc-";
/// A directory is made first and locked then; younger ones than this are left alone.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// A directory that is locked while it is in use.
pub(super) struct Scratch {
    dir: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes the directory, after removing what killed processes of ours have left.
    pub(super) async fn make() -> Result<Self, ServicesError> {
        let parent = std::env::temp_dir();
        remove_abandoned(&parent).await;
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&parent);
        let dir = dir.map_err(ServicesError::io("create a directory in", &parent))?;
        // As root the servers' user has to pass through.
        set_mode(dir.path(), passage_mode()).map_err(ServicesError::io("open", dir.path()))?;
        let lock = lock(dir.path())?;
        Ok(Self { dir, _lock: lock })
    }

    /// Where the template goes.
    pub(super) fn template(&self) -> PathBuf {
        self.dir.path().join("template")
    }

    /// Where the servers of the command live.
    pub(super) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Removes the directory. What resists is left to the next process.
    pub(super) async fn remove(self) {
        remove(self.dir.path()).await;
    }
}

async fn remove(dir: &Path) {
    if !remove_persistently(dir).await {
        tracing::warn!(dir = %dir.display(), "cannot be removed");
    }
}

async fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for dir in entries.flatten().filter(is_old_and_ours).map(|entry| entry.path()) {
        let Ok(_lock) = lock(&dir) else { continue };
        tracing::info!(dir = %dir.display(), "clearing up after a makima that was killed");
        for data_dir in [dir.join("data"), dir.join("template")] {
            let _ = orphan::stop(&Traces::postgres(&data_dir.join("postgres"))).await;
            let _ = orphan::stop(&Traces::redis(&data_dir.join("redis"))).await;
        }
        remove(&dir).await;
    }
}

fn is_old_and_ours(entry: &fs::DirEntry) -> bool {
    let Ok(meta) = fs::symlink_metadata(entry.path()) else { return false };
    let age = meta.modified().ok().and_then(|modified| modified.elapsed().ok());
    entry.file_name().to_string_lossy().starts_with(PREFIX)
        && meta.is_dir()
        && meta.uid() == geteuid().as_raw()
        && age.is_some_and(|age| age > ABANDONED_AFTER)
}
