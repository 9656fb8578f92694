//! Checkpoints: what of an attempt outlives its worker.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Epoch;

/// The longest message of a checkpoint, in characters.
pub const MAX_MESSAGE_CHARS: usize = 2000;

/// What made the worker take a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "checkpoint_trigger", rename_all = "snake_case")]
pub enum CheckpointTrigger {
    /// The task's interval went by.
    Interval,
    /// The agent's output fell silent after it had said something.
    Quiet,
    /// The agent asked for it.
    Asked,
    /// The agent ended, well or not.
    AgentEnded,
    /// The worker shuts down and hands the task back.
    Drain,
}

/// A stored checkpoint, without its patch.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// Counts the task's checkpoints from 1.
    pub number: i32,
    /// The attempt that took it.
    pub epoch: Epoch,
    /// What made the worker take it.
    pub trigger: CheckpointTrigger,
    /// What the agent said about it when it asked for it.
    pub message: Option<String>,
    /// The commit that the patch applies to; the remote has it.
    pub base_commit: String,
    /// The git tree that base and patch give.
    pub tree_id: String,
    /// How many files differ from the base.
    pub files_changed: i32,
    /// Lines added against the base.
    pub lines_added: i64,
    /// Lines removed against the base.
    pub lines_removed: i64,
    /// The stored size of the patch in bytes; none once it has expired.
    pub patch_bytes: Option<i64>,
    /// How long it took to take, in milliseconds.
    pub duration_ms: i32,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
}

/// A checkpoint to store.
#[derive(Clone, Debug)]
pub struct NewCheckpoint {
    /// What made the worker take it.
    pub trigger: CheckpointTrigger,
    /// What the agent said about it: up to [`MAX_MESSAGE_CHARS`] characters.
    pub message: Option<String>,
    /// The commit that the patch applies to.
    pub base_commit: String,
    /// The git tree that base and patch give.
    pub tree_id: String,
    /// How many files differ from the base.
    pub files_changed: i32,
    /// Lines added against the base.
    pub lines_added: i64,
    /// Lines removed against the base.
    pub lines_removed: i64,
    /// The patch, compressed with gzip.
    pub patch_gzip: Vec<u8>,
    /// The size of the patch before compression, in bytes.
    pub unpacked_bytes: i64,
    /// SHA-256 of the compressed patch.
    pub sha256: [u8; 32],
    /// The commits that the agent made; none if it made none.
    pub commits: Option<StoredCommits>,
    /// How long it took to take, in milliseconds.
    pub duration_ms: i32,
}

/// What a restore needs of a checkpoint.
#[derive(Clone, Debug)]
pub struct StoredPatch {
    /// The checkpoint's number.
    pub number: i32,
    /// The commit that the patch applies to.
    pub base_commit: String,
    /// The git tree that must come out.
    pub tree_id: String,
    /// The patch, compressed with gzip.
    pub patch_gzip: Vec<u8>,
    /// SHA-256 of the compressed patch.
    pub sha256: Vec<u8>,
    /// The commits that the agent made; none if it made none, or if they were left out.
    pub commits: Option<StoredCommits>,
}

/// The commits that an agent made, as a checkpoint holds them. Workers write and read them; to everybody else they are bytes.
#[derive(Clone, Debug)]
pub struct StoredCommits {
    /// A git pack of those that the base does not have; empty if it has them all.
    pub pack: Vec<u8>,
    /// Where HEAD and the local branches are.
    pub refs: serde_json::Value,
    /// SHA-256 of both.
    pub sha256: Vec<u8>,
}

impl StoredCommits {
    /// Puts together what a row has; none if anything is missing.
    pub(crate) fn from_columns(
        pack: Option<Vec<u8>>,
        refs: Option<serde_json::Value>,
        sha256: Option<Vec<u8>>,
    ) -> Option<Self> {
        Some(Self { pack: pack?, refs: refs?, sha256: sha256? })
    }
}
