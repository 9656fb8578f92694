//! Fetches into a copy, under its lock.
//!
//! At first the last commits alone, one branch at a time. Whatever is asked for beyond is found by fetching the rest of the
//! history once: a copy with a part of it does nothing worse than a whole one, only later.

use std::collections::BTreeSet;
use std::io::Error;
use std::num::NonZeroU32;
use std::time::Duration;

use git2::Oid;

use super::cache_dir::{self, CacheDir, has_commit};
use super::listing::{self, Asked, Tip, classify};
use super::{Fetched, Remote, RepositoryError, shallow};
use crate::git::{Cancel, GitError};

const NETWORK_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// How much of a history is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// All of it.
    Whole,
    /// The last so many generations of commits.
    Last(NonZeroU32),
}

impl Reach {
    pub(super) fn of_depth(depth: u32) -> Self {
        NonZeroU32::new(depth).map_or(Self::Whole, Self::Last)
    }
}

/// A copy, the remote that it is of, and how to fetch.
#[derive(Clone, Copy)]
pub(super) struct Fetching<'a> {
    pub(super) cache: &'a CacheDir,
    pub(super) remote: &'a Remote,
    pub(super) reach: Reach,
    pub(super) cancel: &'a Cancel,
}

impl Fetching<'_> {
    /// Brings a branch, or what the remote's HEAD names, to where it stands now.
    pub(super) fn branch(&self, branch: Option<&str>) -> Result<Fetched, RepositoryError> {
        let tip = self.tip(branch)?;
        let reference = cache_dir::base_reference(tip.reference());
        let is_there = self.cache.read_reference(&reference).as_ref() == Some(&tip.commit);
        if !is_there || (self.reach == Reach::Whole && self.is_cut(&tip.commit)?) {
            self.run(tip.reference(), &reference)?.map_err(|error| classify(&error))?;
        }
        // The remote may have moved since it was asked.
        let base_commit = self.cache.read_reference(&reference).ok_or_else(|| RepositoryError::Cache {
            reason: format!("git fetched {} and did not store it", tip.reference()),
        })?;
        let Tip { branch: branch_name, .. } = tip;
        Ok(Fetched { base_commit, branch_name, git_dir: self.cache.git_dir().to_owned() })
    }

    /// Brings a commit: by its id, or with all of the branch where the remote does not give it out.
    pub(super) fn pinned(&self, branch: Option<&str>, commit: &str) -> Result<(), RepositoryError> {
        let is_there = || has_commit(self.cache.git_dir(), commit);
        if is_there() {
            return Ok(());
        }
        match self.by_id(commit) {
            Err(RepositoryError::BaseLost { .. }) if self.is_shallow()? => {}
            fetched => return fetched,
        }
        let whole = Self { reach: Reach::Whole, ..*self };
        match whole.branch(branch) {
            Ok(_) | Err(RepositoryError::BranchNotFound { .. } | RepositoryError::Empty) if !is_there() => {
                Err(RepositoryError::BaseLost { commit: commit.to_owned() })
            }
            fetched => fetched.map(drop),
        }
    }

    /// Brings all of the history of a branch and of a commit, as far as the remote has it.
    pub(super) fn history(&self, branch: Option<&str>, commit: &str) -> Result<(), RepositoryError> {
        if !self.is_shallow()? {
            return Ok(());
        }
        match self.branch(branch) {
            Ok(_) | Err(RepositoryError::BranchNotFound { .. } | RepositoryError::Empty) => {}
            Err(error) => return Err(error),
        }
        if !self.is_cut(commit)? {
            return Ok(());
        }
        match self.by_id(commit) {
            // Nobody has more of it.
            Err(RepositoryError::BaseLost { .. }) => Ok(()),
            fetched => fetched,
        }
    }

    fn tip(&self, branch: Option<&str>) -> Result<Tip, RepositoryError> {
        let Self { cache, remote, cancel, .. } = *self;
        listing::tip(Asked { remote, git_dir: cache.git_dir(), cancel }, branch)
    }

    fn by_id(&self, commit: &str) -> Result<(), RepositoryError> {
        let lost = || RepositoryError::BaseLost { commit: commit.to_owned() };
        Oid::from_str(commit).map_err(|_| lost())?;
        match self.run(commit, &format!("refs/makima/pinned/{commit}"))? {
            Ok(()) => Ok(()),
            Err(error) if listing::is_refused_commit(&error) => Err(lost()),
            Err(error) => Err(classify(&error)),
        }
    }

    /// Fetches, and settles the copy whatever came of it.
    fn run(&self, source: &str, target: &str) -> Result<Result<(), GitError>, RepositoryError> {
        let git_dir = self.cache.git_dir();
        let depth = match self.reach {
            Reach::Last(depth) => Some(format!("--depth={depth}")),
            Reach::Whole => self.is_shallow()?.then(|| "--unshallow".to_owned()),
        };
        let Some(depth) = depth else { return Ok(self.run_git(source, target, None)) };
        shallow::unsettle(git_dir).map_err(|error| failed(&error))?;
        let fetched = match self.run_git(source, target, Some(&depth)) {
            Err(error) if listing::is_without_depth(&error) => self.run_git(source, target, None),
            fetched => fetched,
        };
        let settled = if fetched.is_ok() { shallow::settle(git_dir) } else { shallow::mend(git_dir) };
        settled.map_err(|error| failed(&error))?;
        Ok(fetched)
    }

    fn run_git(&self, source: &str, target: &str, depth: Option<&str>) -> Result<(), GitError> {
        self.remote
            .fetch(self.cache.git_dir(), NETWORK_DEADLINE, self.cancel)
            // A pack appears whole or not at all; loose objects of a killed fetch would be a history with holes.
            .setting("fetch.unpackLimit=1")
            .args([
                "--quiet",
                "--no-tags",
                "--no-recurse-submodules",
                "--no-auto-gc",
                "--no-write-fetch-head",
            ])
            .args(["--no-show-forced-updates", "--force"])
            .args(depth)
            .arg("--")
            .arg(self.remote.url())
            .arg(format!("+{source}:{target}"))
            .output()
            .map(drop)
    }

    fn ends(&self) -> Result<BTreeSet<Oid>, RepositoryError> {
        shallow::ends(self.cache.git_dir()).map_err(|error| failed(&error))
    }

    fn is_shallow(&self) -> Result<bool, RepositoryError> {
        Ok(!self.ends()?.is_empty())
    }

    /// Tells whether a part of a commit's history is missing. One that is not here is no reason to fetch.
    fn is_cut(&self, commit: &str) -> Result<bool, RepositoryError> {
        let ends = self.ends()?;
        if ends.is_empty() {
            return Ok(false);
        }
        let looked = || -> Result<bool, git2::Error> {
            let repository = shallow::open(self.cache.git_dir())?;
            Ok(!shallow::ends_of(&repository, Oid::from_str(commit)?, &ends)?.is_empty())
        };
        looked().map_err(|error| RepositoryError::Cache { reason: error.message().to_owned() })
    }
}

fn failed(error: &Error) -> RepositoryError {
    RepositoryError::Cache { reason: error.to_string() }
}
