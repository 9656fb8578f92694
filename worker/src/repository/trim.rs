//! Keeps the copies of a worker's directory within a size: those go first that were not used for longest.
//!
//! A copy that a workspace borrows objects from stays, and so does one that was used a moment ago, for which a workspace may
//! be in the making. What is left of a removal that was broken off is removed by the next.

use std::fs;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::RepositoryCache;
use super::cache_dir::CacheDir;
use super::in_use::{CopyInUse, last_used};
use crate::workspace::remove_directory;

/// How long a copy is left alone after each use.
const REST: Duration = Duration::from_secs(5 * 60);
const GONE: &str = "gone";

/// What a round of trimming left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// How many copies were removed.
    pub removed: usize,
    /// How many bytes the others take.
    pub left_bytes: u64,
}

struct Copy {
    git_dir: PathBuf,
    bytes: u64,
    last_used: SystemTime,
}

impl RepositoryCache {
    /// Removes copies until the others take no more than `limit_bytes`, as far as nobody uses them.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn trim(&self, limit_bytes: u64) -> Result<Trimmed> {
        self.trim_unused_for(REST, limit_bytes)
    }

    pub(super) fn trim_unused_for(&self, rest: Duration, limit_bytes: u64) -> Result<Trimmed> {
        let mut copies = self.copies()?;
        copies.sort_by_key(|copy| copy.last_used);
        let mut left_bytes: u64 = copies.iter().map(|copy| copy.bytes).sum();
        let mut removed = 0;
        for copy in &copies {
            let is_at_rest = copy.last_used.elapsed().is_ok_and(|since| since >= rest);
            if left_bytes <= limit_bytes || !is_at_rest {
                break;
            }
            if remove(&copy.git_dir)? {
                tracing::info!(path = %copy.git_dir.display(), bytes = copy.bytes, "a copy of a repository was removed");
                left_bytes -= copy.bytes;
                removed += 1;
            }
        }
        Ok(Trimmed { removed, left_bytes })
    }

    fn copies(&self) -> Result<Vec<Copy>> {
        let mut copies = Vec::new();
        if !self.root.exists() {
            return Ok(copies);
        }
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("git") => {
                    let (bytes, last_used) = (size_of(&path), last_used(&path));
                    copies.push(Copy { git_dir: path, bytes, last_used });
                }
                Some(GONE) => remove_directory(&path)?,
                Some(_) | None => {}
            }
        }
        Ok(copies)
    }
}

/// Removes a copy, unless it is in use.
fn remove(git_dir: &Path) -> Result<bool> {
    let gone = git_dir.with_extension(GONE);
    {
        let Some(_unused) = CopyInUse::alone(git_dir)? else { return Ok(false) };
        let Some(_unchanged) = CacheDir::try_lock(git_dir)? else { return Ok(false) };
        fs::rename(git_dir, &gone)?;
    }
    remove_directory(&gone)?;
    Ok(true)
}

/// Returns what a directory takes on the disk. What vanishes meanwhile counts for nothing.
fn size_of(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Cancel;

    struct Scene {
        dir: tempfile::TempDir,
        cache: RepositoryCache,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            Self { cache: RepositoryCache::new(dir.path().join("data")), dir }
        }

        /// Makes a repository and its copy, and returns where the copy lies.
        fn copy(&self, name: &str) -> PathBuf {
            let remote = self.dir.path().join(name);
            fs::create_dir(&remote).unwrap();
            fs::write(remote.join("file"), name.repeat(1000)).unwrap();
            for arguments in [&["init", "-q"][..], &["add", "-A"], &["commit", "-qm", "one"]] {
                let mut command = std::process::Command::new("git");
                command.args(["-c", "user.name=A", "-c", "user.email=a@b"]).args(arguments);
                assert!(command.current_dir(&remote).status().unwrap().success());
            }
            self.cache.fetch(remote.to_str().unwrap(), None, &Cancel::default()).unwrap().git_dir
        }
    }

    /// Trims until a copy was removed. A program that another test starts at this moment has every lock of this process
    /// until it begins to run.
    fn removing_one(cache: &RepositoryCache, limit_bytes: u64) -> Trimmed {
        loop {
            let trimmed = cache.trim_unused_for(Duration::ZERO, limit_bytes).unwrap();
            if trimmed.removed > 0 {
                return trimmed;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn those_go_first_that_were_not_used_for_longest() {
        let scene = Scene::new();
        let (first, second) = (scene.copy("first"), scene.copy("second"));
        drop(CopyInUse::of(&first).unwrap());
        let whole = scene.cache.trim_unused_for(Duration::ZERO, u64::MAX).unwrap();
        assert!(whole.removed == 0 && whole.left_bytes > 0);
        let trimmed = removing_one(&scene.cache, whole.left_bytes - 1);
        assert_eq!(trimmed.removed, 1);
        assert!(first.exists() && !second.exists());
        assert_eq!(trimmed.left_bytes, size_of(&first));
    }

    #[test]
    fn a_copy_in_use_or_used_a_moment_ago_stays() {
        let scene = Scene::new();
        let copy = scene.copy("one");
        assert_eq!(scene.cache.trim(0).unwrap().removed, 0, "used a moment ago");
        let in_use = CopyInUse::of(&copy).unwrap();
        assert_eq!(scene.cache.trim_unused_for(Duration::ZERO, 0).unwrap().removed, 0);
        drop(in_use);
        assert_eq!(removing_one(&scene.cache, 0).removed, 1);
        assert!(!copy.exists());
        let again =
            scene.cache.fetch(scene.dir.path().join("one").to_str().unwrap(), None, &Cancel::default());
        assert_eq!(again.unwrap().git_dir, copy, "a copy that is gone is made again");
    }

    #[test]
    fn what_a_broken_off_removal_left_is_removed() {
        let scene = Scene::new();
        let copy = scene.copy("one");
        let gone = copy.with_extension(GONE);
        fs::rename(&copy, &gone).unwrap();
        scene.cache.trim(u64::MAX).unwrap();
        assert!(!gone.exists());
    }
}
