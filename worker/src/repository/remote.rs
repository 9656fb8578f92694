//! The address of a repository that this worker may talk to, and how git talks to it.
//!
//! **Architecture invariant:** whoever fetches from or pushes to a repository needs a [`Remote`], and only
//! [`super::RepositoryCache::remote`] makes one, which refuses what lies in a worker's own directories. A repository on
//! this machine may be one that an agent has made, so its side of the talk runs no hook and no command of its
//! configuration, not even where it is the user's own.

use std::path::Path;
use std::time::Duration;

use super::{RepositoryError, local};
use crate::git::{Cancel, Git};

/// How git serves a repository on this machine. Settings of the calling command do not reach this process: git keeps
/// them from it.
const LOCAL_SERVER: &str = "GIT_ALLOW_PROTOCOL=none GIT_NO_LAZY_FETCH=1 git -c core.hooksPath=/dev/null \
    -c core.fsmonitor=false -c core.alternateRefsCommand=true -c receive.denyCurrentBranch=refuse \
    -c receive.autogc=false -c gc.auto=0 -c maintenance.auto=false -c protocol.allow=never";

/// A repository that this worker may talk to.
#[derive(Debug, Clone)]
pub struct Remote {
    url: String,
    is_local: bool,
}

impl Remote {
    /// Takes `url`, unless it leads into `data_dir` or into a workspace.
    pub(super) fn checked(url: &str, data_dir: &Path) -> Result<Self, RepositoryError> {
        let path = local::path_of(url);
        if path.as_ref().is_some_and(|path| local::is_of_a_worker(path, data_dir)) {
            return Err(RepositoryError::Refused);
        }
        Ok(Self { url: url.to_owned(), is_local: path.is_some() })
    }

    /// Returns the address as it was given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Begins `git ls-remote`, for `deadline` at most. Arguments follow, then `--` and the address.
    pub(super) fn ls_remote(&self, git_dir: &Path, deadline: Duration, cancel: &Cancel) -> Git {
        self.command(git_dir, "ls-remote", "upload-pack", deadline, cancel)
    }

    /// Begins `git fetch`.
    pub(super) fn fetch(&self, git_dir: &Path, deadline: Duration, cancel: &Cancel) -> Git {
        self.command(git_dir, "fetch", "upload-pack", deadline, cancel)
    }

    /// Begins `git push`.
    pub(crate) fn push(&self, git_dir: &Path, deadline: Duration, cancel: &Cancel) -> Git {
        self.command(git_dir, "push", "receive-pack", deadline, cancel)
    }

    fn command(
        &self,
        git_dir: &Path,
        subcommand: &'static str,
        service: &str,
        deadline: Duration,
        cancel: &Cancel,
    ) -> Git {
        let git = Git::network(git_dir, subcommand, deadline).cancelled_by(cancel);
        if self.is_local { git.arg(format!("--{service}={LOCAL_SERVER} {service}")) } else { git }
    }
}
