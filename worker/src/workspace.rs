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
//! Both git directories borrow the objects of the repository's copy (`objects/info/alternates`), and know where its history
//! ends ([`history`]).
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
//! Left out: keeping agents from writing outside their directory, which is the sandbox's ([`crate::sandbox`]).

mod agent_commits;
pub(crate) mod agent_home;
mod agent_locks;
mod agent_refs;
mod agent_repository;
mod apply;
mod base85;
mod bundle;
mod copy_files;
mod git_dir;
mod history;
mod ignore_rules;
mod merge;
mod patch;
mod patch_scan;
mod push;
mod remove;
mod restore;
mod result;
mod snapshot;
mod switch;
mod tree_reader;
mod tree_writer;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use git2::{Oid, Repository};

use crate::git::{Cancel, Git, GitError};
use crate::repository::{CopyInUse, objects_dir, shallow};
use crate::secrets::Secrets;
use agent_refs::Note;

pub use agent_commits::Unusable;
pub use agent_refs::{AgentRefs, agent_refs, refs_at_start, refs_of_base};
pub use bundle::{BundleError, CommitBundle, SavedCommits, make_bundle, restore_commits};
pub use copy_files::{CopyError, CopySource, copy_files};
pub use history::Upstream;
pub use merge::{MergeRequest, Merged, merge, push_merge};
pub use patch::{Patch, PatchError, PatchLimits, make_patch};
pub use push::{PushError, Pushed, push};
pub use remove::remove_directory;
pub use restore::{RestoreError, SavedPatch, restore};
pub use result::{Author, ResultError, branch_name, commit_result};
use snapshot::{AgentIndexSeen, LastLook};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Globs of ignored files that snapshots keep.
    keep_ignored: Arc<[String]>,
    /// What no snapshot and no commit may hold.
    secrets: Secrets,
    agent_index_seen: Arc<AgentIndexSeen>,
    last_look: Arc<LastLook>,
    cancel: Cancel,
    copy: Arc<BorrowedCopy>,
}

/// Returns the file that says that the workspace at `root` is whole. The agent cannot write it.
fn whole(root: &Path) -> PathBuf {
    root.join("host.git/whole")
}

/// The copy of the repository that a workspace borrows from.
#[derive(Debug)]
struct BorrowedCopy {
    git_dir: PathBuf,
    _in_use: CopyInUse,
}

impl BorrowedCopy {
    fn of(git_dir: &Path) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self { git_dir: std::path::absolute(git_dir)?, _in_use: CopyInUse::of(git_dir)? }))
    }
}

impl Workspace {
    /// Nothing is known yet of what is at `root`.
    fn at(root: PathBuf, base_commit: Oid, copy: Arc<BorrowedCopy>, cancel: &Cancel) -> Self {
        Self {
            root,
            base_commit,
            keep_ignored: Arc::default(),
            secrets: Secrets::default(),
            agent_index_seen: Arc::default(),
            last_look: Arc::default(),
            cancel: cancel.clone(),
            copy,
        }
    }

    /// Makes the workspace at `root` (what is there already is removed) with the base checked out. One git process.
    ///
    /// All git processes of the workspace end when `cancel` is cancelled.
    pub fn create(root: &Path, base: &Base<'_>, cancel: &Cancel) -> Result<Self, WorkspaceError> {
        let failed = |source| WorkspaceError::Io { path: root.to_owned(), source };
        let root = std::path::absolute(root).map_err(failed)?;
        let copy = BorrowedCopy::of(base.cache_git_dir).map_err(failed)?;
        let base_commit = Oid::from_str(base.commit)?;
        let workspace = Self::at(root, base_commit, copy, cancel);
        remove_directory(&workspace.root).map_err(failed)?;
        for directory in [workspace.tree(), workspace.home(), workspace.tmp()] {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        let objects = std::path::absolute(objects_dir(base.cache_git_dir)).map_err(failed)?;
        let refs = git_dir::create_for_agent(&workspace.agent_git(), &objects, base).map_err(failed)?;
        git_dir::create_for_host(&workspace.host_git(), &objects).map_err(failed)?;
        for git_dir in [workspace.agent_git(), workspace.host_git()] {
            history::end_as_copy_does(&workspace.copy.git_dir, &git_dir).map_err(failed)?;
        }
        Note { made: refs.clone(), found: refs }.write(&workspace).map_err(failed)?;
        workspace.check_out(base.commit)?;
        git_dir::store_bytes_as_they_are(&workspace.host_git()).map_err(failed)?;
        Ok(workspace)
    }

    /// Makes the workspace at `root` (what is there already is removed) out of `spare`, which no agent has had and which
    /// was made on `had`, a base of the same copy. Where the bases are one this is the renaming of a directory; if not,
    /// only the files are written that differ.
    pub fn take_over(
        spare: Self,
        had: &Base<'_>,
        root: &Path,
        base: &Base<'_>,
        cancel: &Cancel,
    ) -> Result<Self, WorkspaceError> {
        let failed = |source| WorkspaceError::Io { path: root.to_owned(), source };
        let root = std::path::absolute(root).map_err(failed)?;
        remove_directory(&root).map_err(failed)?;
        std::fs::rename(&spare.root, &root).map_err(failed)?;
        let base_commit = Oid::from_str(base.commit)?;
        let workspace = Self { root, base_commit, cancel: cancel.clone(), ..spare };
        if had != base {
            let objects = std::path::absolute(objects_dir(base.cache_git_dir)).map_err(failed)?;
            let refs = git_dir::create_for_agent(&workspace.agent_git(), &objects, base).map_err(failed)?;
            history::end_as_copy_does(&workspace.copy.git_dir, &workspace.agent_git()).map_err(failed)?;
            Note { made: refs.clone(), found: refs }.write(&workspace).map_err(failed)?;
            workspace.check_out(base.commit)?;
        }
        Ok(workspace)
    }

    /// Notes that all is there that the agent is to find: only from here on may a later life take the workspace up. Until
    /// then the work of the attempt before may be missing in it, or be there in part.
    pub fn note_whole(&self) -> Result<(), WorkspaceError> {
        let path = whole(&self.root);
        std::fs::write(&path, "").map_err(|source| WorkspaceError::Io { path, source })
    }

    /// Takes up, at `root`, a workspace that an earlier life of the worker left at `place` when it was killed: an agent has
    /// worked in it, and may have left it in any state. It borrows from the copy at `cache_git_dir`, or is of no use.
    pub fn take_up(
        place: &Path,
        root: &Path,
        cache_git_dir: &Path,
        base_commit: &str,
        cancel: &Cancel,
    ) -> Result<Self, WorkspaceError> {
        let failed = |source| WorkspaceError::Io { path: place.to_owned(), source };
        if !whole(place).exists() {
            return Err(failed(std::io::Error::other("its worker was killed before it was whole")));
        }
        let copy = BorrowedCopy::of(cache_git_dir).map_err(failed)?;
        let root = std::path::absolute(root).map_err(failed)?;
        remove_directory(&root).map_err(failed)?;
        std::fs::rename(place, &root).map_err(failed)?;
        let base_commit = Oid::from_str(base_commit)?;
        let workspace = Self::at(root, base_commit, copy, cancel);
        let objects = std::path::absolute(objects_dir(cache_git_dir)).map_err(failed)?;
        git_dir::mend_host(&workspace.host_git(), &objects).map_err(failed)?;
        history::check_old(&workspace)?;
        workspace.remove_all_but_work().map_err(failed)?;
        let locks = agent_locks::remove(&workspace.root).map_err(failed)?;
        if locks > 0 {
            tracing::info!(locks, "git processes of the agent were killed in their work");
        }
        std::fs::create_dir_all(workspace.tmp()).map_err(failed)?;
        Ok(workspace)
    }

    /// Removes what belonged to the attempt before: temporary files, its plan, its socket, copies that it made.
    fn remove_all_but_work(&self) -> std::io::Result<()> {
        let work = [self.tree(), self.host_git(), self.home()];
        for entry in std::fs::read_dir(&self.root)? {
            let entry = entry?;
            if work.contains(&entry.path()) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                remove_directory(&entry.path())?;
            } else {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Returns the same workspace, whose git processes end when `cancel` is cancelled.
    #[must_use]
    pub fn cancelled_by(&self, cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), ..self.clone() }
    }

    /// Returns the same workspace, whose snapshots keep the ignored files that one of `globs` names, written as in a
    /// `.gitignore` at the root of the tree.
    #[must_use]
    pub fn keeping(self, globs: &[String]) -> Self {
        let (agent_index_seen, last_look) = (Arc::default(), Arc::default());
        Self { keep_ignored: globs.into(), agent_index_seen, last_look, ..self }
    }

    /// Returns the same workspace, whose snapshots and commits hold none of these secrets.
    #[must_use]
    pub fn guarding(self, secrets: Secrets) -> Self {
        let (agent_index_seen, last_look) = (Arc::default(), Arc::default());
        Self { secrets, agent_index_seen, last_look, ..self }
    }

    /// Returns the secrets that it keeps in.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
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

    /// Tells whether the work tree is gone, or something else has its place. Opens nothing.
    pub fn is_gone(&self) -> bool {
        match self.tree().symlink_metadata() {
            Ok(found) => !found.is_dir(),
            Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }

    /// Returns the agent's home directory.
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// Returns the agent's directory for temporary files.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Returns the objects that both git directories borrow. Not read from the tree, where the agent could name others.
    pub fn borrowed_objects(&self) -> PathBuf {
        objects_dir(&self.copy.git_dir)
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
    fn check_out(&self, commit: &str) -> Result<(), WorkspaceError> {
        let (fresh, own) = (self.agent_git().join("index"), self.host_git().join("index"));
        Git::local(&self.agent_git(), "read-tree")
            .cancelled_by(&self.cancel)
            .work_tree(&self.tree())
            .setting("checkout.workers=0")
            .args(["-m", "-u", commit])
            .output()?;
        git_dir::copy_index(&fresh, &own)
            .map_err(|source| WorkspaceError::Io { path: self.root.clone(), source })
    }

    /// Opens the git directory of the worker in process. It has no work tree: libgit2 must not know of one.
    fn host_repository(&self) -> Result<Repository, git2::Error> {
        self.secure_host_git()?;
        shallow::open(&self.host_git())
    }

    /// Begins a git command in the git directory of the worker.
    fn host_command(&self, subcommand: &'static str) -> Result<Git, git2::Error> {
        self.secure_host_git()?;
        Ok(Git::local(&self.host_git(), subcommand).cancelled_by(&self.cancel))
    }

    /// Copies a blob that is too large to be held in memory.
    fn blob_to(&self, id: Oid, sink: &mut dyn Write) -> Result<(), RestoreError> {
        let command = self.host_command("cat-file")?.setting("core.bigFileThreshold=8m");
        command.args(["blob", &id.to_string()]).stream(sink).map_err(RestoreError::Git)
    }

    fn secure_host_git(&self) -> Result<(), git2::Error> {
        let secured = git_dir::reset_host_config(&self.host_git()).and_then(|()| history::follow_copy(self));
        secured.map_err(|error| {
            git2::Error::from_str(&format!("the worker's git directory cannot be written: {error}"))
        })
    }
}
