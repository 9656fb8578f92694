//! Brings a workspace that no agent has run in yet to the state of a checkpoint.
//!
//! The patch is applied to the tree of the base ([`super::apply`]), and the tree that comes of it must have the
//! recorded id before any file of the work tree changes: a bad patch leaves the workspace at its base. Then the files
//! that differ are written ([`super::switch`]) and read back. The agent's own git directory stays at the base, so that
//! the agent sees the work as uncommitted; [`super::restore_commits`] then brings its own commits back.
//!
//! No index is read or written, which would take longer the larger the repository is: the worker's learns of the files
//! with the next snapshot. What still grows with a repository are its directories, which are read whole.

use sha2::{Digest, Sha256};

use super::apply::apply;
use super::switch::switch_to;
use super::{PatchLimits, SnapshotError, Workspace};
use crate::git::GitError;

/// A patch as it was saved.
#[derive(Debug, Clone, Copy)]
pub struct SavedPatch<'a> {
    /// The compressed patch.
    pub gzip: &'a [u8],
    /// SHA-256 of `gzip`.
    pub sha256: &'a [u8],
    /// The tree that the patch leads to, 40 hex digits.
    pub tree_id: &'a str,
}

/// Why a checkpoint was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The bytes are not those that were saved.
    #[error("the patch does not have the checksum that was recorded")]
    ChecksumMismatch,
    /// It unfolds to more than is allowed.
    #[error("the patch unfolds to more than {limit_bytes} bytes")]
    TooLarge {
        /// How much is allowed.
        limit_bytes: u64,
    },
    /// It is no gzip.
    #[error("the patch cannot be unfolded")]
    Unreadable(#[source] std::io::Error),
    /// It is no patch, or does not apply.
    #[error("the patch is refused: {reason}")]
    Refused {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It leads to another tree than was recorded.
    #[error("the patch leads to tree {found} and not to {expected}")]
    TreeMismatch {
        /// The recorded tree.
        expected: String,
        /// What came of the patch.
        found: String,
    },
    /// git could not be run.
    #[error("the checkpoint could not be checked out")]
    Git(#[source] GitError),
    /// A file could not be written.
    #[error("`{path}` could not be written")]
    Write {
        /// Which one.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The worker's git directory could not be read or written.
    #[error("the git directory of the workspace is damaged")]
    Repository(#[from] git2::Error),
    /// The restored files could not be read back.
    #[error("the restored files could not be read back")]
    Snapshot(#[from] SnapshotError),
}

impl RestoreError {
    /// Tells whether the checkpoint itself is at fault, so that the one before it is to be tried. The workspace is at its
    /// base then. Any other error is one of this machine.
    pub fn is_bad_checkpoint(&self) -> bool {
        match self {
            Self::ChecksumMismatch
            | Self::TooLarge { .. }
            | Self::Unreadable(_)
            | Self::Refused { .. }
            | Self::TreeMismatch { .. } => true,
            Self::Git(_) | Self::Write { .. } | Self::Repository(_) | Self::Snapshot(_) => false,
        }
    }
}

/// Restores `saved` in a workspace that was just created.
pub fn restore(
    workspace: &Workspace,
    saved: &SavedPatch<'_>,
    limits: PatchLimits,
) -> Result<(), RestoreError> {
    check_sum(saved)?;
    let base = workspace.host_repository()?.find_commit(workspace.base_commit)?.tree_id();
    let tree = apply(workspace, base, saved, limits)?;
    switch_to(workspace, base, tree)
}

/// Compares the patch with the checksum that was recorded.
pub(super) fn check_sum(saved: &SavedPatch<'_>) -> Result<(), RestoreError> {
    let is_same = Sha256::digest(saved.gzip)[..] == *saved.sha256;
    is_same.then_some(()).ok_or(RestoreError::ChecksumMismatch)
}
