//! The worker's copies of repositories: one bare copy per URL, shared by all tasks of the machine.
//!
//! Invariants: a copy is changed only under its exclusive file lock, and its configuration is written anew before each
//! use. Only the branches that tasks ask for are fetched, without tags or submodules, and of their history no more than the
//! last commits ([`fetch`], [`shallow`]) until somebody needs the rest. **Nothing ever deletes an object of a copy that is
//! in use** ([`in_use`]): workspaces borrow its objects. Refs are named after the hash of the branch, so that branches whose
//! names collide over time (`a`, later `a/b`) can live side by side.
//!
//! Repositories below the worker's own directory are refused ([`Remote`]): an agent could have made them.
//!
//! Left out: packing old copies anew.

mod cache_dir;
mod fetch;
mod in_use;
mod listing;
mod local;
mod remote;
pub(crate) mod shallow;
mod trim;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::git::Cancel;
use cache_dir::CacheDir;
use fetch::{Fetching, Reach};
use listing::Asked;

pub(crate) use in_use::CopyInUse;
pub(crate) use listing::{branch_commit, classify};
pub use remote::Remote;
pub use trim::Trimmed;

const LISTING_DEADLINE: Duration = Duration::from_secs(60);
/// How often it is looked whether the copies have become too large together.
const TRIM_PERIOD: Duration = Duration::from_secs(60);
/// How many finished fetches are remembered for those who waited for the lock.
const REMEMBERED_FETCHES: usize = 1024;

/// Why a repository could not be brought to this machine.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RepositoryError {
    /// There is no such repository.
    #[error("the repository does not exist or may not be read: {stderr}")]
    NotFound {
        /// What git said, without credentials.
        stderr: String,
    },
    /// The repository has no such branch.
    #[error("the repository has no branch `{branch}`")]
    BranchNotFound {
        /// The branch that was asked for.
        branch: String,
    },
    /// The repository has no commits.
    #[error("the repository has no commits")]
    Empty,
    /// The remote gave no answer, or none that tells more.
    #[error("the repository could not be reached: {stderr}")]
    Unreachable {
        /// What git said, without credentials.
        stderr: String,
    },
    /// The remote no longer has the commit that a task began from.
    #[error("commit {commit}, which the task began from, is no longer in the repository")]
    BaseLost {
        /// The missing commit.
        commit: String,
    },
    /// It lies in a directory of a worker, where agents write.
    #[error("this worker does not take the repository: it lies in a directory of a worker's own")]
    Refused,
    /// Nobody wants it any more.
    #[error("the transfer was cancelled")]
    Cancelled,
    /// The copy on this machine could not be written.
    #[error("the copy of the repository on this worker failed: {reason}")]
    Cache {
        /// What went wrong.
        reason: String,
    },
}

impl RepositoryError {
    /// Returns the stable code for clients.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "REPOSITORY_NOT_FOUND",
            Self::BranchNotFound { .. } => "BRANCH_NOT_FOUND",
            Self::Empty => "REPOSITORY_EMPTY",
            Self::Unreachable { .. } => "REPOSITORY_UNREACHABLE",
            Self::BaseLost { .. } => "BASE_LOST",
            Self::Refused => "REPOSITORY_REFUSED",
            Self::Cancelled => "CANCELLED",
            Self::Cache { .. } => "REPOSITORY_CACHE_FAILED",
        }
    }

    /// Tells whether another try, here or on another worker, is pointless.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::NotFound { .. }
            | Self::BranchNotFound { .. }
            | Self::Empty
            | Self::BaseLost { .. }
            | Self::Refused => true,
            Self::Unreachable { .. } | Self::Cancelled | Self::Cache { .. } => false,
        }
    }
}

/// A branch of a repository as it stands on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The commit at the tip of the branch, 40 hex digits.
    pub base_commit: String,
    /// The branch; none if the remote's HEAD is detached.
    pub branch_name: Option<String>,
    /// The bare copy that holds the commit.
    pub git_dir: PathBuf,
}

type FetchKey = (String, Option<String>);

struct FinishedFetch {
    began: Instant,
    result: Result<Fetched, RepositoryError>,
}

/// The copies of one worker's directory. Cheap to share (`Arc`); every method blocks.
pub struct RepositoryCache {
    data_dir: PathBuf,
    root: PathBuf,
    limit_bytes: u64,
    reach: Reach,
    trimmed: Mutex<Option<Instant>>,
    finished: Mutex<HashMap<FetchKey, FinishedFetch>>,
}

impl std::fmt::Debug for RepositoryCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RepositoryCache").field("root", &self.root).finish_non_exhaustive()
    }
}

impl RepositoryCache {
    /// Uses the copies in `data_dir/cache`, which is made on first use. Several processes may share it.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self {
            root: data_dir.join("cache"),
            data_dir,
            limit_bytes: u64::MAX,
            reach: Reach::Whole,
            trimmed: Mutex::default(),
            finished: Mutex::default(),
        }
    }

    /// Keeps the copies within so many bytes, as far as nobody uses them.
    #[must_use]
    pub fn limited_to(self, limit_bytes: u64) -> Self {
        Self { limit_bytes, ..self }
    }

    /// Fetches the last `depth` generations of commits at first (0: all of them).
    #[must_use]
    pub fn with_depth(self, depth: u32) -> Self {
        Self { reach: Reach::of_depth(depth), ..self }
    }

    /// Takes an address to talk to, unless it leads into a worker's own directories.
    pub fn remote(&self, url: &str) -> Result<Remote, RepositoryError> {
        Remote::checked(url, &self.data_dir)
    }

    /// Brings `branch` of `url` (none: the branch that the remote's HEAD names) to this machine, as it stands now.
    ///
    /// Callers that wait for the same branch at the same time share one fetch: a result is taken over if its fetch began
    /// after the caller asked.
    pub fn fetch(
        &self,
        url: &str,
        branch: Option<&str>,
        cancel: &Cancel,
    ) -> Result<Fetched, RepositoryError> {
        let asked = Instant::now();
        let key = (url.to_owned(), branch.map(str::to_owned));
        let cache = CacheDir::locked(&self.root, url, cancel)?;
        if let Some(finished) = self.finished().get(&key).filter(|finished| finished.began >= asked) {
            return finished.result.clone();
        }
        let began = Instant::now();
        let result = self.remote(url).and_then(|remote| {
            Fetching { cache: &cache, remote: &remote, reach: self.reach, cancel }.branch(branch)
        });
        drop(cache);
        self.keep_within_limit();
        if matches!(result, Err(RepositoryError::Cancelled)) {
            // Only this caller gave up.
            return result;
        }
        let mut remembered = self.finished();
        if remembered.len() >= REMEMBERED_FETCHES {
            remembered.clear();
        }
        remembered.insert(key, FinishedFetch { began, result: result.clone() });
        result
    }

    /// Returns the branch that the remote's HEAD names, which was asked before or is asked now; none if HEAD is detached.
    /// There must be a copy of `url` on this machine.
    pub fn default_branch(&self, url: &str, cancel: &Cancel) -> Result<Option<String>, RepositoryError> {
        if let Some(FinishedFetch { result: Ok(fetched), .. }) = self.finished().get(&(url.to_owned(), None))
        {
            return Ok(fetched.branch_name.clone());
        }
        let (remote, git_dir) = (self.remote(url)?, cache_dir::path(&self.root, url));
        Ok(listing::tip(Asked { remote: &remote, git_dir: &git_dir, cancel }, None)?.branch)
    }

    /// Returns the copy of `url` on this machine, if it has `commit`.
    pub fn copy_with(&self, url: &str, commit: &str) -> Option<PathBuf> {
        let git_dir = cache_dir::path(&self.root, url);
        cache_dir::has_commit(&git_dir, commit).then_some(git_dir)
    }

    /// Makes sure that this machine has `commit`, on which an earlier attempt based its work, and returns the copy that
    /// holds it. The branch is tried first, then the commit by its id, which some servers refuse, then all of the branch.
    pub fn fetch_commit(
        &self,
        url: &str,
        branch: Option<&str>,
        commit: &str,
        cancel: &Cancel,
    ) -> Result<PathBuf, RepositoryError> {
        let remote = self.remote(url)?;
        let git_dir = cache_dir::path(&self.root, url);
        if git_dir.exists() {
            let in_use = CopyInUse::of(&git_dir);
            if in_use.is_ok() && cache_dir::has_commit(&git_dir, commit) {
                return Ok(git_dir);
            }
        }
        match self.fetch(url, branch, cancel) {
            // A branch that is gone may have left its commits behind.
            Ok(_) | Err(RepositoryError::BranchNotFound { .. } | RepositoryError::Empty) => {}
            Err(error) => return Err(error),
        }
        if !cache_dir::has_commit(&git_dir, commit) {
            let cache = CacheDir::locked(&self.root, url, cancel)?;
            Fetching { cache: &cache, remote: &remote, reach: self.reach, cancel }.pinned(branch, commit)?;
        }
        Ok(git_dir)
    }

    /// Brings all of the history of `branch` and of `commit` to this machine, as far as the remote has it, if its copy has
    /// only a part.
    pub fn fetch_history(
        &self,
        url: &str,
        branch: Option<&str>,
        commit: &str,
        cancel: &Cancel,
    ) -> Result<(), RepositoryError> {
        let remote = self.remote(url)?;
        let cache = CacheDir::locked(&self.root, url, cancel)?;
        Fetching { cache: &cache, remote: &remote, reach: Reach::Whole, cancel }.history(branch, commit)
    }

    /// Trims the copies, now and then.
    fn keep_within_limit(&self) {
        if self.limit_bytes == u64::MAX {
            return;
        }
        {
            let mut trimmed = self.trimmed.lock().unwrap_or_else(PoisonError::into_inner);
            if trimmed.is_some_and(|last| last.elapsed() < TRIM_PERIOD) {
                return;
            }
            *trimmed = Some(Instant::now());
        }
        if let Err(error) = self.trim(self.limit_bytes) {
            tracing::warn!(%error, "copies of repositories cannot be removed");
        }
    }

    fn finished(&self) -> MutexGuard<'_, HashMap<FetchKey, FinishedFetch>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<cache_dir::CacheError> for RepositoryError {
    fn from(error: cache_dir::CacheError) -> Self {
        Self::Cache { reason: error.to_string() }
    }
}

/// Returns the directory of the objects of the copy at `git_dir`.
pub(crate) fn objects_dir(git_dir: &Path) -> PathBuf {
    git_dir.join("objects")
}
