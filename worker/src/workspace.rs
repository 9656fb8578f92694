//! The directory of one attempt, and the two git directories over its work tree.
//!
//! ```text
//! <root>/tree/       the agent's work tree; tree/.git is a full git directory of the agent's own
//! <root>/host.git/   the worker's git directory over the same tree: its own index, objects and configuration
//! <root>/home/       HOME of the agent
//! <root>/tmp/        TMPDIR of the agent
//! <root>/result/     copies of what changed, for as long as git converts them
//! <root>/incoming/   the agent's commits of a checkpoint, for as long as they are looked through
//! ```
//!
//! Both git directories borrow the objects of the repository's copy (`objects/info/alternates`).
//!
//! **Architecture invariant:** once an agent has run, the worker starts no git command with `tree/.git` as its git
//! directory and trusts no file in it: hooks, configuration, filters and pointers there are the agent's. Snapshots, patches
//! and results go through `host.git`, whose configuration is checked before each use. (While a checkpoint is restored no
//! agent has run: its refs, its index and its packs are then written by us.)
//!
//! **Architecture invariant:** from then on, too, neither git nor libgit2 opens anything in `tree/` by its path, where the
//! agent may have put a pipe or a link: `host.git` has no work tree, and all that is read goes through [`tree_reader`]. The
//! objects of the agent's own commits are copied that way first, and libgit2 unfolds the copies ([`agent_commits`]).
//!
//! **Bytes, not lines.** The first checkout converts line ends as `.gitattributes` asks. From then on `host.git` stores and
//! restores files byte for byte (its `info/attributes` outrank those of the tree), so that a checkpoint brings back what the
//! agent wrote; only [`commit_result`] converts what changed, as `git add` would.
//!
//! Left out: isolation of agents that run under the worker's own user and write outside their directory.

mod agent_commits;
mod agent_refs;
mod agent_repository;
mod bundle;
mod git_dir;
mod ignore_rules;
mod patch;
mod patch_scan;
mod push;
mod remove;
mod restore;
mod result;
mod snapshot;
mod tree_reader;

use std::path::{Path, PathBuf};

use git2::{Oid, Repository};

use crate::git::{Cancel, Git, GitError};
use crate::repository::objects_dir;
use agent_refs::Note;

pub use agent_commits::Unusable;
pub use agent_refs::{AgentRefs, agent_refs, refs_at_start, refs_of_base};
pub use bundle::{BundleError, CommitBundle, SavedCommits, make_bundle, restore_commits};
pub use patch::{Patch, PatchError, PatchLimits, make_patch};
pub use push::{PushError, Pushed, push};
pub use remove::remove_directory;
pub use restore::{RestoreError, SavedPatch, restore};
pub use result::{Author, ResultError, branch_name, commit_result};
pub use snapshot::{Skipped, Snapshot, SnapshotError, snapshot};

/// Why a workspace could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// A git command failed.
    #[error("the work tree could not be checked out")]
    Git(#[from] GitError),
    /// The git directory of the worker could not be read.
    #[error("the git directory of the workspace is damaged")]
    Repository(#[from] git2::Error),
    /// A file or directory could not be made.
    #[error("the workspace could not be written at {}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What a workspace begins from.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// The copy of the repository, as [`crate::repository::RepositoryCache`] returns it.
    pub cache_git_dir: &'a Path,
    /// The commit to check out, which the copy has.
    pub commit: &'a str,
    /// The branch that the agent finds itself on; without one its HEAD is detached.
    pub branch_name: Option<&'a str>,
    /// The URL of the repository, for the agent's remote `origin` (without its credentials).
    pub url: Option<&'a str>,
}

/// The directory of one attempt.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
    base_commit: Oid,
    cancel: Cancel,
}

impl Workspace {
    /// Makes the workspace at `root` (what is there already is removed) with the base checked out. One git process.
    ///
    /// All git processes of the workspace end when `cancel` is cancelled.
    pub fn create(root: &Path, base: &Base<'_>, cancel: &Cancel) -> Result<Self, WorkspaceError> {
        let failed = |source| WorkspaceError::Io { path: root.to_owned(), source };
        let root = std::path::absolute(root).map_err(failed)?;
        let workspace = Self { root, base_commit: Oid::from_str(base.commit)?, cancel: cancel.clone() };
        remove_directory(&workspace.root).map_err(failed)?;
        for directory in [workspace.tree(), workspace.home(), workspace.tmp()] {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        let objects = std::path::absolute(objects_dir(base.cache_git_dir)).map_err(failed)?;
        let refs = git_dir::create_for_agent(&workspace.agent_git(), &objects, base).map_err(failed)?;
        git_dir::create_for_host(&workspace.host_git(), &objects).map_err(failed)?;
        Note { made: refs.clone(), found: refs }.write(&workspace).map_err(failed)?;
        workspace.check_out(base.commit)?;
        let (fresh, own) = (workspace.agent_git().join("index"), workspace.host_git().join("index"));
        git_dir::copy_index(&fresh, &own).map_err(failed)?;
        git_dir::store_bytes_as_they_are(&workspace.host_git()).map_err(failed)?;
        Ok(workspace)
    }

    /// Returns the same workspace, whose git processes end when `cancel` is cancelled.
    #[must_use]
    pub fn cancelled_by(&self, cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), ..self.clone() }
    }

    /// Removes the workspace with all that is in it. The agent must have ended.
    pub fn remove(self) -> Result<(), WorkspaceError> {
        remove_directory(&self.root).map_err(|source| WorkspaceError::Io { path: self.root, source })
    }

    /// Returns the directory of the attempt.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the agent's work tree.
    pub fn tree(&self) -> PathBuf {
        self.root.join("tree")
    }

    /// Returns the agent's home directory.
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// Returns the agent's directory for temporary files.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Returns the git directory of the worker.
    pub fn host_git(&self) -> PathBuf {
        self.root.join("host.git")
    }

    /// Returns the commit that the work is measured against, 40 hex digits.
    pub fn base_commit(&self) -> String {
        self.base_commit.to_string()
    }

    fn agent_git(&self) -> PathBuf {
        self.tree().join(".git")
    }

    /// Checks the base out through the agent's git directory, in which nobody but us has written yet.
    fn check_out(&self, commit: &str) -> Result<(), GitError> {
        Git::local(&self.agent_git(), "read-tree")
            .cancelled_by(&self.cancel)
            .work_tree(&self.tree())
            .setting("checkout.workers=0")
            .args(["-m", "-u", commit])
            .output()
            .map(drop)
    }

    /// Opens the git directory of the worker in process. It has no work tree: libgit2 must not know of one.
    fn host_repository(&self) -> Result<Repository, git2::Error> {
        self.secure_host_git()?;
        Repository::open_bare(self.host_git())
    }

    /// Begins a git command in the git directory of the worker.
    fn host_command(&self, subcommand: &'static str) -> Result<Git, git2::Error> {
        self.secure_host_git()?;
        Ok(Git::local(&self.host_git(), subcommand).cancelled_by(&self.cancel))
    }

    fn secure_host_git(&self) -> Result<(), git2::Error> {
        git_dir::reset_host_config(&self.host_git()).map_err(|error| {
            git2::Error::from_str(&format!("the worker's git directory cannot be written: {error}"))
        })
    }
}
