//! The agent's own commits, as a checkpoint holds them: a git pack of what the base does not have, and where HEAD and the
//! branches are.
//!
//! The pack is thin: it builds on objects of the base, which every worker has, and may be empty. What is made here is read
//! from the worker's own object store, after [`agent_commits`] brought the agent's objects over.
//!
//! Left out: what is staged, a rebase or merge that is under way, reflogs, tags, the stash, and histories that the agent
//! fetched in part only (`--depth`).

mod pack_scan;
mod restore;

use std::time::Duration;

use git2::Oid;
use sha2::{Digest, Sha256};

use super::Workspace;
use super::agent_commits::{self, Unusable};
use super::agent_refs::AgentRefs;
use super::tree_reader::TreeReader;
use crate::git::GitError;

pub use restore::{SavedCommits, restore_commits};

/// How much the commits of a bundle may unfold to.
const MAX_UNPACKED_BYTES: usize = 256 << 20;
/// How long packing and unpacking may take. The tree is saved and restored without commits, too.
const DEADLINE: Duration = Duration::from_secs(60);
/// Keeps git's memory small: by itself it holds ten objects of any size to compare them. And nobody waits for a disk: no
/// workspace outlives a crash.
const SETTINGS: [&str; 5] = [
    "pack.threads=1",
    "pack.windowMemory=32m",
    "core.bigFileThreshold=8m",
    "core.deltaBaseCacheLimit=32m",
    "core.fsync=none",
];
/// How a pack begins: `PACK`, its version and the number of its objects, of four bytes each.
const PACK_HEADER_BYTES: usize = 12;

/// The agent's own commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitBundle {
    /// The pack; empty if the base has all commits that the refs lead to.
    pub pack: Vec<u8>,
    /// Where HEAD and the branches are.
    pub refs: AgentRefs,
    /// SHA-256 of both.
    pub sha256: [u8; 32],
}

/// Why commits were not saved, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// They are damaged, or nothing that a worker takes.
    #[error("the agent's commits cannot be used: {0}")]
    Commits(#[from] Unusable),
    /// They do not fit into the checkpoint.
    #[error("the agent's commits take more than the {limit_bytes} bytes that are left for them")]
    TooLarge {
        /// How much there may be.
        limit_bytes: u64,
    },
    /// The bytes are not those that were saved.
    #[error("the commits do not have the checksum that was recorded")]
    ChecksumMismatch,
    /// The name of a branch holds the secret of this name.
    #[error("the name of a branch holds the secret {0}")]
    SecretName(String),
    /// Its refs are none that git could have.
    #[error("the refs are none that git could have")]
    BadRefs,
    /// It is no pack, or one that unfolds to too much.
    #[error("the pack cannot be used: {0}")]
    BadPack(&'static str),
    /// git could not pack or unpack them.
    #[error("git could not pack or unpack the commits")]
    Git(#[from] GitError),
    /// The worker's git directory could not be read or written.
    #[error("the git directory of the workspace is damaged")]
    Repository(#[from] git2::Error),
    /// A file could not be read or written.
    #[error("the commits could not be written")]
    Io(#[from] std::io::Error),
}

impl BundleError {
    /// Tells whether another try comes to the same, as long as the refs stay as they are.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Commits(unusable) => {
                matches!(
                    unusable,
                    Unusable::TooMany | Unusable::TooLarge(_) | Unusable::Odd(_) | Unusable::Secret(..)
                )
            }
            Self::TooLarge { .. }
            | Self::SecretName(_)
            | Self::ChecksumMismatch
            | Self::BadRefs
            | Self::BadPack(_) => true,
            Self::Git(_) | Self::Repository(_) | Self::Io(_) => false,
        }
    }
}

/// Packs what `refs` of the agent lead to and the base does not have, in `limit_bytes` at most. The agent may run meanwhile.
pub fn make_bundle(
    workspace: &Workspace,
    refs: &AgentRefs,
    limit_bytes: u64,
) -> Result<CommitBundle, BundleError> {
    if let Some(name) = workspace.secrets.find_in(&as_json(refs)) {
        return Err(BundleError::SecretName(name.to_owned()));
    }
    let heads = refs.commits();
    let mut reader = TreeReader::open(&workspace.tree())?;
    let repository = workspace.host_repository()?;
    agent_commits::bring_over(workspace, &repository, &mut reader, &heads, MAX_UNPACKED_BYTES)?;
    // What is a commit to the agent may be a file to us.
    heads.iter().try_for_each(|head| repository.find_commit(*head).map(drop))?;
    let pack = pack(workspace, &heads, limit_bytes)?;
    Ok(CommitBundle { sha256: digest(&pack, refs), pack, refs: refs.clone() })
}

fn pack(workspace: &Workspace, heads: &[Oid], limit_bytes: u64) -> Result<Vec<u8>, BundleError> {
    let mut wanted: String = heads.iter().map(|head| format!("{head}\n")).collect();
    wanted += &format!("^{}\n", workspace.base_commit());
    let mut command = workspace.host_command("pack-objects")?.within(DEADLINE);
    for setting in SETTINGS {
        command = command.setting(setting);
    }
    let packed = command
        .args(["--revs", "--thin", "--stdout", "--delta-base-offset", "-q"])
        .feed(&mut wanted.as_bytes());
    let pack = match packed {
        Err(GitError::OutputTooLong { .. }) => return Err(BundleError::TooLarge { limit_bytes }),
        packed => packed?,
    };
    if pack.get(..PACK_HEADER_BYTES).is_some_and(|header| header.ends_with(&[0; 4])) {
        return Ok(Vec::new());
    }
    if pack.len() as u64 > limit_bytes {
        return Err(BundleError::TooLarge { limit_bytes });
    }
    // What a restore would refuse is better known now.
    pack_scan::scan(&pack).map_err(BundleError::BadPack)?;
    Ok(pack)
}

/// Writes refs as they are stored.
fn as_json(refs: &AgentRefs) -> Vec<u8> {
    // A map of strings can always be written.
    serde_json::to_vec(refs).unwrap_or_default()
}

/// Returns the checksum of a bundle. The refs are written anew for it: a store may keep them in another order.
fn digest(pack: &[u8], refs: &AgentRefs) -> [u8; 32] {
    let mut sha256 = Sha256::new();
    sha256.update(as_json(refs));
    sha256.update([0]);
    sha256.update(pack);
    sha256.finalize().into()
}
