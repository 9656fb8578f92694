//! Brings a workspace that no agent has run in yet to the state of a checkpoint.
//!
//! The patch is applied to an index of its own, and the tree that comes of it must have the recorded id before any file of
//! the work tree changes: a bad patch leaves the workspace at its base. Then the files that differ are written
//! ([`super::switch`]) and read back. The agent's own git directory stays at the base, so that the agent sees the work as
//! uncommitted; [`super::restore_commits`] then brings its own commits back.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use git2::Index;
use sha2::{Digest, Sha256};

use super::patch_scan::PatchScan;
use super::switch::switch_to;
use super::{PatchLimits, SnapshotError, Workspace, git_dir};
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
    /// git does not take it.
    #[error("git refuses the patch: {stderr}")]
    Refused {
        /// What git said.
        stderr: String,
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
    let index = workspace.host_git().join("restore.index");
    let applied = std::fs::copy(workspace.host_git().join("index"), &index)
        .and_then(|_bytes| git_dir::postdate_index(&index))
        .map_err(|source| io_failed("apply", source))
        .and_then(|()| apply(workspace, saved.gzip, limits, &index));
    // Whether it is there or not, it is of no more use.
    let _ = std::fs::remove_file(&index);
    let found = applied?;
    if found != saved.tree_id {
        return Err(RestoreError::TreeMismatch { expected: saved.tree_id.to_owned(), found });
    }
    switch_to(workspace, &found)
}

/// Compares the patch with the checksum that was recorded.
pub(super) fn check_sum(saved: &SavedPatch<'_>) -> Result<(), RestoreError> {
    let is_same = Sha256::digest(saved.gzip)[..] == *saved.sha256;
    is_same.then_some(()).ok_or(RestoreError::ChecksumMismatch)
}

/// Applies the patch to an index of its base and returns the tree that comes of it.
pub(super) fn apply(
    workspace: &Workspace,
    gzip: &[u8],
    limits: PatchLimits,
    index: &Path,
) -> Result<String, RestoreError> {
    let mut guard = BufReader::new(Guard::new(gzip, limits));
    let applied = match guard.fill_buf() {
        // git takes an empty patch for an error.
        Ok([]) => Ok(Vec::new()),
        Ok(_) => workspace
            .host_command("apply")?
            .index_file(index)
            .args(["--cached", "--binary", "--whitespace=nowarn", "-p1"])
            .feed(&mut guard),
        Err(error) => Err(GitError::Data { command: "apply", source: error }),
    };
    let guard = guard.into_inner();
    if guard.passed_limit {
        return Err(RestoreError::TooLarge { limit_bytes: limits.text_bytes() });
    }
    applied.map_err(|error| match error {
        GitError::Failed { stderr, .. } => RestoreError::Refused { stderr },
        GitError::Data { source, .. } => RestoreError::Unreadable(source),
        GitError::NotFound
        | GitError::Spawn { .. }
        | GitError::TimedOut { .. }
        | GitError::Cancelled
        | GitError::OutputTooLong { .. } => RestoreError::Git(error),
    })?;
    let repository = workspace.host_repository()?;
    Ok(Index::open(index)?.write_tree_to(&repository)?.to_string())
}

fn io_failed(command: &'static str, source: std::io::Error) -> RestoreError {
    RestoreError::Git(GitError::Data { command, source })
}

/// Unfolds a patch up to a limit.
struct Guard<'a> {
    unfolded: GzDecoder<&'a [u8]>,
    scan: PatchScan,
    text_bytes: u64,
    limit_bytes: u64,
    passed_limit: bool,
}

impl<'a> Guard<'a> {
    fn new(gzip: &'a [u8], limits: PatchLimits) -> Self {
        let unfolded = GzDecoder::new(gzip);
        let limit_bytes = limits.text_bytes();
        Self { unfolded, scan: PatchScan::default(), text_bytes: 0, limit_bytes, passed_limit: false }
    }
}

impl Read for Guard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.unfolded.read(buffer)?;
        self.text_bytes += count as u64;
        self.scan.push(&buffer[..count]);
        if self.text_bytes.max(self.scan.binary_bytes) > self.limit_bytes {
            self.passed_limit = true;
            return Err(std::io::Error::other("the patch is too large"));
        }
        Ok(count)
    }
}
