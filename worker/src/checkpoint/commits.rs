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
    /// Refs with commits that could not be packed once: the agent may have been about to pack them itself. The second time
    /// they are refused.
    failed: Option<AgentRefs>,
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

    /// Returns what is known if no checkpoint is stored: the newest one is still that of `before`.
    pub(super) fn without_checkpoint(mut self, before: CommitsKept) -> Self {
        self.kept.stored = before.stored;
        self
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
                    let is_refused = error.is_permanent() || self.failed.as_ref() == Some(&refs);
                    self.refused = is_refused.then(|| refs.clone());
                    self.failed = Some(refs);
                    return CommitsTaken { bundle: None, left_out: Some(error), kept: self };
                }
            },
        };
        let room_bytes = max_bytes.saturating_sub(patch_bytes);
        if bundle.pack.len() as u64 <= room_bytes {
            let kept = Self { stored: Some(refs), bundle: Some(Arc::clone(&bundle)), ..Self::default() };
            return CommitsTaken { bundle: Some(bundle), left_out: None, kept };
        }
        let left_out = Some(BundleError::TooLarge { limit_bytes: room_bytes });
        let kept = Self { bundle: Some(bundle), refused: Some(refs), ..self };
        CommitsTaken { bundle: None, left_out, kept }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::git::Cancel;
    use crate::repository::RepositoryCache;
    use crate::workspace::{Base, agent_refs};

    const MAX_BYTES: u64 = 1 << 20;

    fn git(directory: &Path, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=A", "-c", "user.email=a@b"]).args(arguments).current_dir(directory);
        assert!(git.output().unwrap().status.success(), "git {arguments:?}");
    }

    fn workspace(directory: &Path) -> Workspace {
        let source = directory.join("source");
        std::fs::create_dir(&source).unwrap();
        git(&source, &["init", "-q", "-b", "main"]);
        git(&source, &["commit", "-q", "--allow-empty", "-m", "base"]);
        let cache = RepositoryCache::new(directory.join("data"));
        let fetched = cache.fetch(source.to_str().unwrap(), None, &Cancel::default()).unwrap();
        let base = Base {
            cache_git_dir: &fetched.git_dir,
            commit: &fetched.base_commit,
            branch_name: fetched.branch_name.as_deref(),
            url: None,
        };
        Workspace::create(&directory.join("task"), &base, &Cancel::default()).unwrap()
    }

    fn commit(workspace: &Workspace) -> Option<AgentRefs> {
        git(&workspace.tree(), &["commit", "-q", "--allow-empty", "-m", "own"]);
        agent_refs(workspace)
    }

    #[test]
    fn only_refs_that_changed_are_new() {
        let directory = tempfile::tempdir().unwrap();
        let workspace = workspace(directory.path());
        let kept = CommitsKept::default();
        assert!(!kept.are_new(&workspace, agent_refs(&workspace).as_ref()));
        assert!(kept.clone().take(&workspace, agent_refs(&workspace), MAX_BYTES, 0).to_store().is_none());
        let refs = commit(&workspace);
        assert!(kept.are_new(&workspace, refs.as_ref()));
        let taken = kept.take(&workspace, refs.clone(), MAX_BYTES, 0);
        assert!(taken.left_out.is_none() && taken.to_store().is_some());
        assert!(!taken.kept.are_new(&workspace, refs.as_ref()));
        // The next checkpoint, for the tree's sake, has the same pack.
        let again = taken.kept.clone().take(&workspace, refs, MAX_BYTES, 0);
        assert!(Arc::ptr_eq(again.bundle.as_ref().unwrap(), taken.bundle.as_ref().unwrap()));
        git(&workspace.tree(), &["reset", "-q", "--hard", &workspace.base_commit()]);
        assert!(again.kept.are_new(&workspace, agent_refs(&workspace).as_ref()));
        assert!(again.kept.take(&workspace, agent_refs(&workspace), MAX_BYTES, 0).to_store().is_none());
    }

    #[test]
    fn commits_that_cannot_be_packed_are_refused_until_the_refs_change() {
        let directory = tempfile::tempdir().unwrap();
        let workspace = workspace(directory.path());
        let refs = commit(&workspace);
        let too_large = CommitsKept::default().take(&workspace, refs.clone(), 10, 0);
        assert!(too_large.left_out.is_some() && too_large.kept.are_refused());
        assert!(!too_large.kept.are_new(&workspace, refs.as_ref()));
        assert!(too_large.kept.are_new(&workspace, commit(&workspace).as_ref()));
        // What may be a matter of the moment is tried twice.
        std::fs::rename(workspace.tree().join(".git/objects"), directory.path().join("away")).unwrap();
        let refs = agent_refs(&workspace);
        let once = CommitsKept::default().take(&workspace, refs.clone(), MAX_BYTES, 0);
        assert!(once.left_out.is_some() && once.kept.are_new(&workspace, refs.as_ref()));
        let twice = once.kept.take(&workspace, refs.clone(), MAX_BYTES, 0);
        assert!(twice.left_out.is_some() && !twice.kept.are_new(&workspace, refs.as_ref()));
    }

    #[test]
    fn commits_without_room_beside_the_patch_are_stored_once_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let workspace = workspace(directory.path());
        let refs = commit(&workspace);
        let taken = CommitsKept::default().take(&workspace, refs.clone(), MAX_BYTES, MAX_BYTES - 10);
        assert!(taken.to_store().is_none() && matches!(taken.left_out, Some(BundleError::TooLarge { .. })));
        assert!(!taken.kept.are_new(&workspace, refs.as_ref()), "the same patch would leave no room either");
        let taken = taken.kept.take(&workspace, refs, MAX_BYTES, 0);
        assert!(taken.to_store().is_some() && !taken.kept.are_refused());
    }
}
