//! The directory that a demo takes place in. It is gone when the demo is over, unless it is needed to see what failed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::directories::remove_persistently;
use anyhow::Context;
use nix::unistd::geteuid;
use tempfile::TempDir;

/// The longest parent below which the sockets of the servers still have room in a socket address.
const LONGEST_PARENT: usize = 60;

/// A directory of the demo's own.
pub(crate) struct Stage {
    dir: TempDir,
    path: PathBuf,
}

impl Stage {
    /// Makes the directory, below `$TMPDIR` if the servers can work there.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let candidates = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
        let parent =
            candidates.iter().filter_map(|parent| parent.canonicalize().ok()).find(|parent| fits(parent));
        let parent = parent.with_context(|| {
            format!(
                "{} is no place for the demo: set TMPDIR to a directory with a short path",
                candidates[0].display()
            )
        })?;
        let dir = tempfile::Builder::new().prefix("makima-demo-").tempdir_in(&parent);
        let dir = dir.with_context(|| format!("cannot make a directory in {}", parent.display()))?;
        // The servers of root run as another user, who has to pass through.
        let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
        fs::set_permissions(dir.path(), Permissions::from_mode(mode))?;
        let stage = Self { path: dir.path().to_owned(), dir };
        fs::create_dir(stage.home())?;
        Ok(stage)
    }

    /// The directory itself, without links in its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The data directory of `makima up`.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("up")
    }

    /// What `makima up` says.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("up.log")
    }

    /// The repository that results are pushed to.
    pub(crate) fn origin(&self) -> PathBuf {
        self.path.join("origin.git")
    }

    /// Where the content of the repository is made.
    pub(crate) fn checkout(&self) -> PathBuf {
        self.path.join("checkout")
    }

    /// An empty home, so that nobody's git configuration plays a part.
    pub(crate) fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    /// Removes the directory and tells whether it is gone.
    pub(crate) async fn remove(self) -> bool {
        remove_persistently(&self.dir.keep()).await
    }

    /// Leaves the directory where it is and returns its path.
    pub(crate) fn keep(self) -> PathBuf {
        self.dir.keep()
    }
}

/// Tells whether the servers can work below a directory.
fn fits(parent: &Path) -> bool {
    let open = |dir: &Path| fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0);
    let passable = !geteuid().is_root() || parent.ancestors().all(open);
    passable && parent.as_os_str().len() <= LONGEST_PARENT && parent.to_str().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_room_for_sockets_is_no_place() {
        assert!(!fits(Path::new(&format!("/tmp/{}", "x".repeat(60)))));
    }

    #[tokio::test]
    async fn the_directory_is_gone_afterwards() {
        let stage = Stage::make().unwrap();
        let path = stage.path().to_owned();
        fs::write(stage.log(), "words").unwrap();
        assert!(stage.remove().await && !path.exists());
    }
}
