//! Where a worker's life keeps its workspaces, and what earlier lives left there.
//!
//! Each life has a directory `work/<worker id>` and holds a lock in it. A directory whose lock is free belongs to the
//! dead: what still runs there is killed, its workspaces go to the new life (`kept/`), and it is removed. Several
//! workers of one machine may share the parent. Nobody but the worker's own user may look into any of it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use makima_shared::domain::WorkerId;
use nix::fcntl::OFlag;

use crate::private_dir::create_private;
use crate::process::kill_abandoned;
use crate::workspace::remove_directory;

const LOCK: &str = "lock";
const NEW_LOCK: &str = "lock.new";
const KEPT: &str = "kept";
/// How many workspaces of the dead are kept.
const MAX_KEPT: usize = 64;

/// The directory of one life of a worker. Dropping it gives the lock up and removes what is left.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
    _lock: File,
}

impl WorkDir {
    /// Clears what the dead left, and makes the directory of a new life. Blocks.
    pub(crate) fn open(data_dir: &Path, worker: WorkerId) -> io::Result<Self> {
        let parent = std::path::absolute(data_dir.join("work"))?;
        create_private(&parent)?;
        let path = parent.join(worker.to_string());
        create_private(&path)?;
        // Locked before it has its name: others take a lock that is free for a sign of death.
        let lock = File::create(path.join(NEW_LOCK))?;
        lock.try_lock()?;
        fs::rename(path.join(NEW_LOCK), path.join(LOCK))?;
        let dir = Self { path, _lock: lock };
        create_private(&dir.kept())?;
        for entry in fs::read_dir(&parent)?.flatten().filter(|entry| entry.path() != dir.path) {
            if let Err(error) = clear(&entry.path(), &dir.kept()) {
                tracing::warn!(path = %entry.path().display(), %error, "an old workspace cannot be removed");
            }
        }
        Ok(dir)
    }

    /// Returns the directory of the workspaces that the dead left.
    pub(crate) fn kept(&self) -> PathBuf {
        self.path.join(KEPT)
    }

    /// Returns the directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Err(error) = remove_directory(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the workspaces cannot be removed");
        }
    }
}

/// Returns the environment entry that every process of an agent in `work_dir` has, up to the workspace's name.
fn agent_mark(work_dir: &Path) -> String {
    format!("{}={}/", crate::agent::WORKSPACE_VARIABLE, work_dir.display())
}

fn clear(work_dir: &Path, kept: &Path) -> io::Result<()> {
    // Whatever stands there: a pipe holds nobody up, and no link is followed.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
    let lock = match File::options().read(true).custom_flags(flags.bits()).open(work_dir.join(LOCK)) {
        Ok(lock) => lock,
        // Made a moment ago by a worker that has not taken its lock yet, or no directory of a worker's at all.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match lock.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(()),
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    let killed = kill_abandoned(&agent_mark(work_dir));
    tracing::info!(path = %work_dir.display(), killed, "taking over from a worker that died");
    // Those that it had kept itself, and never got to, go too.
    keep_workspaces(work_dir, kept)?;
    keep_workspaces(&work_dir.join(KEPT), kept)?;
    remove_directory(work_dir)
}

/// Moves what looks like a workspace out of a directory.
fn keep_workspaces(from: &Path, kept: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut room = MAX_KEPT.saturating_sub(fs::read_dir(kept)?.count());
    for entry in entries.flatten() {
        let path = entry.path();
        let is_directory = |path: &Path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        if room > 0 && is_directory(&path) && is_directory(&path.join("tree")) {
            fs::rename(&path, kept.join(entry.file_name()))?;
            room -= 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_locks_hold_nobody_up_and_others_cannot_look_in() {
        use std::os::unix::fs::PermissionsExt;

        let data = tempfile::tempdir().unwrap();
        let odd = |name: &str| {
            let path = data.path().join("work").join(name);
            fs::create_dir_all(&path).unwrap();
            path.join(LOCK)
        };
        nix::unistd::mkfifo(&odd("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/dev/null", odd("link")).unwrap();
        fs::set_permissions(data.path().join("work"), fs::Permissions::from_mode(0o755)).unwrap();
        let dir = WorkDir::open(data.path(), WorkerId::new()).unwrap();
        for path in [dir.path(), dir.path().parent().unwrap()] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
        assert!(!data.path().join("work/pipe").exists() && data.path().join("work/link").exists());
    }

    #[test]
    fn workers_that_start_at_the_same_moment_leave_each_other_alone() {
        let data = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let dir = WorkDir::open(data.path(), WorkerId::new()).unwrap();
                        assert!(dir.path().join(LOCK).is_file());
                    }
                });
            }
        });
    }

    #[test]
    fn the_dead_are_cleared_and_the_living_left_alone() {
        let data = tempfile::tempdir().unwrap();
        let living = WorkDir::open(data.path(), WorkerId::new()).unwrap();
        let dead = data.path().join("work").join(WorkerId::new().to_string());
        fs::create_dir_all(dead.join("task/tree")).unwrap();
        File::create(dead.join(LOCK)).unwrap();
        fs::create_dir_all(dead.join("kept/older/tree")).unwrap();
        fs::create_dir_all(dead.join("half-made")).unwrap();
        let next = WorkDir::open(data.path(), WorkerId::new()).unwrap();
        assert!(living.path().is_dir() && next.path().is_dir() && !dead.exists());
        assert!(next.kept().join("task/tree").is_dir() && next.kept().join("older/tree").is_dir());
        assert_eq!(fs::read_dir(next.kept()).unwrap().count(), 2);
        let gone = living.path().to_owned();
        drop(living);
        assert!(!gone.exists());
    }
}
