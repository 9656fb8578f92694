//! Pushes a result to its task's branch, and to nothing else.
//!
//! Invariant: the branch is moved only from a value that this task gave it (or from nothing), and with a lease on that
//! value, so that neither the work of somebody else nor a later attempt's is ever lost.

use std::time::Duration;

use super::Workspace;
use crate::git::GitError;
use crate::repository::{Remote, RepositoryError, branch_commit, classify};

/// What git says of a branch that somebody else moves at this moment: an earlier attempt's last push, for one.
/// `builtin/receive-pack.c` has the words.
const LOCKED: &str = "failed to update ref";
/// What git says of commits whose parents neither it nor the sender has (`builtin/receive-pack.c`).
const CUT_SHORT: [&str; 2] = ["shallow update not allowed", "missing necessary objects"];
const PUSH_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// What a push came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The commit that the branch had before; none if there was no such branch.
    pub previous: Option<String>,
    /// The commit that the branch has now.
    pub commit: String,
}

/// Why a result was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The branch has commits that this task did not put there.
    #[error("the branch `{branch}` stands at {found}, which this task did not push")]
    BranchTaken {
        /// The branch.
        branch: String,
        /// The commit that it has.
        found: String,
    },
    /// The remote said no, or the branch moved in the meantime.
    #[error("the remote refused the push: {reason}")]
    Rejected {
        /// What the remote said.
        reason: String,
    },
    /// The remote could not be asked.
    #[error(transparent)]
    Repository(RepositoryError),
    /// The worker's git directory could not be read.
    #[error("the git directory of the workspace is damaged")]
    Workspace(#[from] git2::Error),
}

impl PushError {
    /// Returns the stable code for clients.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BranchTaken { .. } => "BRANCH_TAKEN",
            Self::Rejected { .. } => "PUSH_REJECTED",
            Self::Repository(error) => error.code(),
            Self::Workspace(_) => "WORKSPACE_DAMAGED",
        }
    }

    /// Tells whether the remote wants more of the history than it was sent.
    pub(super) fn is_cut_short(&self) -> bool {
        matches!(self, Self::Rejected { reason } if CUT_SHORT.iter().any(|words| reason.contains(words)))
    }

    /// Tells whether another try is pointless.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::BranchTaken { .. } => true,
            Self::Rejected { reason } => !reason.contains(LOCKED),
            Self::Repository(error) => error.is_permanent(),
            Self::Workspace(_) => false,
        }
    }
}

/// Moves `branch` of `remote` to `commit`, if the branch does not exist or stands at `commit` or at one of
/// `allowed_previous`: what earlier attempts of the same task pushed.
pub fn push(
    workspace: &Workspace,
    remote: &Remote,
    commit: &str,
    branch: &str,
    allowed_previous: &[String],
) -> Result<Pushed, PushError> {
    let commit = git2::Oid::from_str(commit)?.to_string();
    workspace.secure_host_git()?;
    let found = branch_commit(remote, &workspace.host_git(), branch, &workspace.cancel)
        .map_err(PushError::Repository)?;
    match &found {
        Some(found) if *found == commit => {}
        Some(found) if !allowed_previous.contains(found) => {
            return Err(PushError::BranchTaken { branch: branch.to_owned(), found: found.clone() });
        }
        Some(_) | None => send(workspace, remote, &commit, branch, found.as_deref().unwrap_or(""))?,
    }
    Ok(Pushed { previous: found, commit })
}

pub(super) fn send(
    workspace: &Workspace,
    remote: &Remote,
    commit: &str,
    branch: &str,
    lease: &str,
) -> Result<(), PushError> {
    let output = remote
        .push(&workspace.host_git(), PUSH_DEADLINE, &workspace.cancel)
        .args(["--porcelain", "--no-verify", "--no-follow-tags", "--no-signed", "--recurse-submodules=no"])
        .arg(format!("--force-with-lease=refs/heads/{branch}:{lease}"))
        .arg("--")
        .arg(remote.url())
        .arg(format!("{commit}:refs/heads/{branch}"))
        .run()
        .map_err(|error| PushError::Repository(classify(&error)))?;
    if output.status.success() {
        return Ok(());
    }
    if let Some(reason) = refusal(&String::from_utf8_lossy(&output.stdout)) {
        return Err(PushError::Rejected { reason });
    }
    let failed = GitError::Failed { command: "push", exit_code: output.status.code(), stderr: output.stderr };
    Err(PushError::Repository(classify(&failed)))
}

/// Finds the remote's reason in what `git push --porcelain` printed: `!<tab>from:to<tab>[rejected] (stale info)`.
fn refusal(porcelain: &str) -> Option<String> {
    let line = porcelain.lines().find(|line| line.starts_with("!\t"))?;
    line.rsplit('\t').next().map(str::to_owned)
}
