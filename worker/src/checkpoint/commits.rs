//! What an attempt's checkpoints know of the agent's commits from one to the next.
//!
//! A look at the refs tells whether there is anything new. What was packed is kept as long as the refs stay as they are.

use std::sync::Arc;

use makima_shared::domain::StoredCommits;

use crate::workspace::{
    AgentRefs, BundleError, CommitBundle, Workspace, make_bundle, refs_at_start, refs_of_base,
};

/// What is known of the agent's commits.
#[derive(Debug, Clone, Default)]
pub(super) struct CommitsKept {
    /// The refs in the newest checkpoint; none until this attempt has stored one.
    stored: Option<AgentRefs>,
    /// What was packed last.
    bundle: Option<Arc<CommitBundle>>,
    /// Refs with commits that cannot be packed or have no room beside the patch, so that nobody tries in vain every time.
    refused: Option<AgentRefs>,
}

/// The agent's commits for a checkpoint.
#[derive(Debug)]
pub(super) struct CommitsTaken {
    /// None if the agent made none, or if they are left out.
    bundle: Option<Arc<CommitBundle>>,
    /// Why they are left out.
    pub(super) left_out: Option<BundleError>,
    /// What is known once the checkpoint is stored.
    pub(super) kept: CommitsKept,
}

impl CommitsTaken {
    /// Returns what is to be stored.
    pub(super) fn to_store(&self) -> Option<StoredCommits> {
        let bundle = self.bundle.as_deref()?;
        // A map of strings can always be written.
        let refs = serde_json::to_value(&bundle.refs).ok()?;
        Some(StoredCommits { pack: bundle.pack.clone(), refs, sha256: bundle.sha256.to_vec() })
    }
}

impl CommitsKept {
    /// Tells whether `refs` differ from those that are stored. Refs that cannot be read, or whose commits cannot be packed,
    /// are nothing new.
    pub(super) fn are_new(&self, workspace: &Workspace, refs: Option<&AgentRefs>) -> bool {
        let Some(refs) = refs else { return false };
        if self.refused.as_ref() == Some(refs) {
            return false;
        }
        match &self.stored {
            Some(stored) => stored != refs,
            None => refs_at_start(workspace).as_ref() != Some(refs),
        }
    }

    /// Tells whether the commits of the last checkpoint could not be packed.
    pub(super) fn are_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// Packs what `refs` lead to, in `max_bytes` of which the patch takes `patch_bytes`. Blocks.
    pub(super) fn take(
        mut self,
        workspace: &Workspace,
        refs: Option<AgentRefs>,
        max_bytes: u64,
        patch_bytes: u64,
    ) -> CommitsTaken {
        let base = refs_of_base(workspace);
        let Some(refs) = refs.filter(|refs| base.as_ref() != Some(refs)) else {
            let kept = Self { stored: base, ..Self::default() };
            return CommitsTaken { bundle: None, left_out: None, kept };
        };
        // A checkpoint without commits brings the base's refs back.
        self.stored = base;
        let bundle = match self.bundle.take().filter(|bundle| bundle.refs == refs) {
            Some(bundle) => bundle,
            None if self.refused.as_ref() == Some(&refs) => {
                return CommitsTaken { bundle: None, left_out: None, kept: self };
            }
            None => match make_bundle(workspace, &refs, max_bytes) {
                Ok(bundle) => Arc::new(bundle),
                Err(error) => {
                    self.refused = error.is_permanent().then_some(refs);
                    return CommitsTaken { bundle: None, left_out: Some(error), kept: self };
                }
            },
        };
        let room_bytes = max_bytes.saturating_sub(patch_bytes);
        if bundle.pack.len() as u64 <= room_bytes {
            let kept = Self { stored: Some(refs), bundle: Some(Arc::clone(&bundle)), refused: None };
            return CommitsTaken { bundle: Some(bundle), left_out: None, kept };
        }
        let left_out = Some(BundleError::TooLarge { limit_bytes: room_bytes });
        let kept = Self { stored: self.stored, bundle: Some(bundle), refused: Some(refs) };
        CommitsTaken { bundle: None, left_out, kept }
    }
}
