//! Takes checkpoints: what the agent has done since the base, as a patch with the id of the tree that it leads to, and the
//! commits that the agent made itself.
//!
//! An unchanged tree with unchanged branches stores nothing. Only one checkpoint of an attempt is taken at a time; the
//! steps that call this see to that.

mod commits;
mod conversation;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use makima_shared::domain::{CheckpointTrigger, EventKind, NewCheckpoint};
use makima_shared::store::{Fenced, StoreError};
use makima_shared::telemetry::record;
use serde_json::json;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::attempt::{Attempt, End, Threads};
use crate::hints;
use crate::workspace::{
    Patch, PatchError, PatchLimits, SnapshotError, Workspace, agent_refs, make_patch, snapshot,
};
use commits::{CommitsKept, CommitsTaken};
use conversation::ConversationKept;

/// How long reading a tree may take. The reader follows no link and waits at no pipe, but a disk or a network file system
/// may hang; the thread is then given up, and the workspace with it.
const READ_LIMIT: Duration = Duration::from_secs(300);

/// How many files with secrets in them an owner is told of.
const MAX_SECRET_WARNINGS: usize = 50;

/// Takes the checkpoints of one attempt.
pub(crate) struct Checkpointer<'a> {
    attempt: &'a Attempt<'a>,
    workspace: Workspace,
    /// The tree of the newest stored checkpoint.
    stored_tree: Option<String>,
    commits: CommitsKept,
    conversation: ConversationKept,
    warned: bool,
    /// The owner knows that commits are not saved.
    warned_of_commits: bool,
    /// The files with secrets that the owner knows of.
    warned_of_secrets: BTreeSet<String>,
}

/// Where the work stands after a checkpoint.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It is stored under this number, or there was nothing new.
    Saved(Option<i32>),
    /// It could not be stored this time, for this reason; the task goes on.
    NotStored(String),
    /// The attempt is over.
    Over,
    /// The workspace has vanished, or cannot be read to its end.
    WorkspaceGone,
}

/// Why a checkpoint was not taken.
#[derive(Debug, thiserror::Error)]
enum CheckpointError {
    #[error("the tree could not be read")]
    Snapshot(#[from] SnapshotError),
    #[error("no patch could be made")]
    Patch(#[from] PatchError),
    #[error("it could not be stored")]
    Store(#[from] StoreError),
    #[error("it panicked")]
    Panic,
    #[error("the tree cannot be read to its end")]
    Stuck(#[from] Elapsed),
}

impl CheckpointError {
    /// The work is larger than a checkpoint may be.
    fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Snapshot(SnapshotError::TooLarge { .. }) | Self::Patch(PatchError::TooLarge { .. })
        )
    }
}

impl<'a> Checkpointer<'a> {
    /// Starts from what was restored.
    pub(crate) fn new(
        attempt: &'a Attempt<'a>,
        workspace: &Workspace,
        restored_tree: Option<String>,
        resumed_from: Option<i32>,
    ) -> Self {
        Self {
            attempt,
            workspace: workspace.clone(),
            stored_tree: restored_tree,
            commits: CommitsKept::default(),
            conversation: ConversationKept::behind(resumed_from),
            warned: false,
            warned_of_commits: false,
            warned_of_secrets: BTreeSet::new(),
        }
    }

    /// Returns the tree of the newest stored checkpoint; none if the work stands at the base.
    pub(crate) fn tree(&self) -> Option<&str> {
        self.stored_tree.as_deref()
    }

    /// Takes a checkpoint if anything has changed since the last one, or if there is something to say about it.
    pub(crate) async fn take(&mut self, trigger: CheckpointTrigger, message: Option<String>) -> Taken {
        let conversation = ConversationKept::read(self.attempt, &self.workspace).await;
        let taken = self.take_tree(trigger, message).await;
        match self.conversation.store(self.attempt, conversation, &taken).await {
            Fenced::Accepted(()) => taken,
            Fenced::Stale => Taken::Over,
        }
    }

    async fn take_tree(&mut self, trigger: CheckpointTrigger, message: Option<String>) -> Taken {
        match self.try_take(trigger, message).await {
            Ok(taken) => taken,
            Err(CheckpointError::Snapshot(SnapshotError::TreeGone(_)) | CheckpointError::Stuck(_)) => {
                Taken::WorkspaceGone
            }
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "a checkpoint was not taken; the task goes on"
                );
                self.warn_owner(&error).await
            }
        }
    }

    /// Looks whether the workspace is still there, and at nothing in it.
    pub(crate) async fn look(&self) -> Taken {
        let workspace = self.workspace.clone();
        let looking = tokio::task::spawn_blocking(move || workspace.is_gone());
        match timeout(READ_LIMIT, looking).await {
            Ok(Ok(false)) | Ok(Err(_)) => Taken::Saved(None),
            Ok(Ok(true)) | Err(_) => Taken::WorkspaceGone,
        }
    }

    async fn try_take(
        &mut self,
        trigger: CheckpointTrigger,
        message: Option<String>,
    ) -> Result<Taken, CheckpointError> {
        let begun = Instant::now();
        let limits = PatchLimits {
            gzip_bytes: self.attempt.context().config.worker.max_patch_bytes,
            ..PatchLimits::default()
        };
        let Some(made) = self.make(limits, message.is_some()).await? else { return Ok(Taken::Over) };
        let (made, with_secrets) = made;
        if let Told::Over = self.warn_of_secrets(with_secrets).await {
            return Ok(Taken::Over);
        }
        let (patch, commits, tree_id) = match made {
            Made::Unchanged => return Ok(Taken::Saved(None)),
            Made::CommitsLeftOut(commits) => return Ok(self.keep_commits(commits, None).await),
            Made::Patch(patch, commits, tree_id) => (patch, commits, tree_id),
        };
        let checkpoint = self.describe(trigger, message, patch, &commits, begun);
        let (store, keep) =
            (&self.attempt.context().store, self.attempt.context().config.worker.keep_patches);
        let (task, epoch) = (self.attempt.task.id, self.attempt.task.epoch);
        match self.attempt.insist(|| store.checkpoint_create(task, epoch, &checkpoint, keep)).await? {
            Fenced::Stale => Ok(Taken::Over),
            Fenced::Accepted(written) => {
                debug!(checkpoint = written.number, bytes = checkpoint.patch_gzip.len(), "checkpoint");
                record::checkpoint_stored(begun);
                self.stored_tree = Some(tree_id);
                self.warned = false;
                hints::announce(&self.attempt.context().queue, task, written.sequence).await;
                Ok(self.keep_commits(commits, Some(written.number)).await)
            }
        }
    }

    /// Makes the patch away from the threads that serve other attempts; none if the attempt ends meanwhile. Its git
    /// commands are then killed, and gone before this returns.
    async fn make(
        &self,
        limits: PatchLimits,
        always: bool,
    ) -> Result<Option<(Made, Vec<String>)>, CheckpointError> {
        let threads = Threads::default();
        let workspace = self.workspace.cancelled_by(threads.cancel());
        let (stored, commits) = (self.stored_tree.clone(), self.commits.clone());
        let making = async {
            let make = move || make(&workspace, stored.as_deref(), commits, limits, always);
            Ok(timeout(READ_LIMIT, threads.run(make)).await)
        };
        let interrupted = async {
            self.attempt.revoked().await;
            End::Over
        };
        match threads.guard(making, interrupted).await {
            Ok(made) => Ok(Some(made?.map_err(|_panicked| CheckpointError::Panic)??)),
            Err(_over) => Ok(None),
        }
    }

    fn describe(
        &self,
        trigger: CheckpointTrigger,
        message: Option<String>,
        patch: Patch,
        commits: &CommitsTaken,
        begun: Instant,
    ) -> NewCheckpoint {
        NewCheckpoint {
            trigger,
            message: message.map(|words| self.workspace.secrets().scrub(&words)),
            base_commit: self.workspace.base_commit(),
            tree_id: patch.tree_id,
            files_changed: i32::try_from(patch.files_changed).unwrap_or(i32::MAX),
            lines_added: i64::try_from(patch.lines_added).unwrap_or(i64::MAX),
            lines_removed: i64::try_from(patch.lines_removed).unwrap_or(i64::MAX),
            patch_gzip: patch.gzip,
            unpacked_bytes: i64::try_from(patch.unpacked_bytes).unwrap_or(i64::MAX),
            sha256: patch.sha256,
            commits: commits.to_store(),
            duration_ms: i32::try_from(begun.elapsed().as_millis()).unwrap_or(i32::MAX),
        }
    }

    /// Remembers what became of the agent's commits, and tells the owner once if they are not saved, until they are again.
    async fn keep_commits(&mut self, taken: CommitsTaken, number: Option<i32>) -> Taken {
        let CommitsTaken { kept, left_out, .. } = taken;
        self.commits = kept;
        let Some(error) = left_out else {
            self.warned_of_commits &= self.commits.are_refused();
            return Taken::Saved(number);
        };
        warn!(error = &error as &dyn std::error::Error, "the agent's commits are not in its checkpoint");
        if std::mem::replace(&mut self.warned_of_commits, true) {
            return Taken::Saved(number);
        }
        let message = format!(
            "the agent's files are saved, its own commits and branches are not: {}",
            crate::attempt::chain(&error)
        );
        match self.notify("COMMITS_NOT_SAVED", message).await {
            Told::Over => Taken::Over,
            Told::Told => Taken::Saved(number),
        }
    }

    /// Tells the owner once that work is not being saved, until it is again.
    async fn warn_owner(&mut self, error: &CheckpointError) -> Taken {
        let not_stored = Taken::NotStored(crate::attempt::chain(error));
        if std::mem::replace(&mut self.warned, true) {
            return not_stored;
        }
        let code = if error.is_too_large() { "CHECKPOINT_TOO_LARGE" } else { "CHECKPOINT_FAILED" };
        let message =
            format!("the work since the last checkpoint is not saved: {}", crate::attempt::chain(error));
        match self.notify(code, message).await {
            Told::Over => Taken::Over,
            Told::Told => not_stored,
        }
    }

    /// Names the files to the owner that are left out because of secrets in them, each once.
    async fn warn_of_secrets(&mut self, files: Vec<String>) -> Told {
        let new: Vec<_> = files.into_iter().filter(|file| !self.warned_of_secrets.contains(file)).collect();
        if new.is_empty() || self.warned_of_secrets.len() >= MAX_SECRET_WARNINGS {
            return Told::Told;
        }
        let message = format!(
            "files that hold a secret are left out of checkpoints and of the result, as they were before they held it if \
             they were saved then: {}",
            new.join(", ")
        );
        self.warned_of_secrets.extend(new);
        self.notify("SECRET_LEFT_OUT", message).await
    }

    async fn notify(&self, code: &'static str, message: String) -> Told {
        let message = self.workspace.secrets().scrub(&message);
        let notices = [json!({ "code": code, "message": message })];
        let store = &self.attempt.context().store;
        let (task, epoch) = (self.attempt.task.id, self.attempt.task.epoch);
        match self.attempt.insist(|| store.events_append(task, epoch, EventKind::Notice, &notices)).await {
            Ok(Fenced::Stale) => Told::Over,
            Ok(Fenced::Accepted(_)) | Err(_) => Told::Told,
        }
    }
}

/// What came of a word to the owner.
enum Told {
    /// It was told, or could not be.
    Told,
    /// The attempt is over.
    Over,
}

enum Made {
    Unchanged,
    /// The tree is stored already, and the commits cannot be.
    CommitsLeftOut(CommitsTaken),
    /// With the tree of the snapshot.
    Patch(Patch, CommitsTaken, String),
}

/// Reads the tree and the refs, and makes the patch and the bundle, unless both are as they are stored, or the base's with
/// nothing stored; `always` makes them all the same. Names the files that hold secrets, too. Blocks.
fn make(
    workspace: &Workspace,
    stored_tree: Option<&str>,
    commits: CommitsKept,
    limits: PatchLimits,
    always: bool,
) -> Result<(Made, Vec<String>), CheckpointError> {
    // Before the tree: what is committed in between then looks uncommitted, and not undone.
    let refs = agent_refs(workspace);
    let snapshot = snapshot(workspace)?;
    if snapshot.skipped.count > 0 {
        let first = workspace.secrets().scrub(&snapshot.skipped.first.join(", "));
        debug!(skipped = snapshot.skipped.count, first, "left out of the checkpoint");
    }
    let with_secrets = snapshot.skipped.with_secrets;
    let is_known = match stored_tree {
        Some(tree) => tree == snapshot.tree_id,
        None => !snapshot.changed,
    };
    if is_known && !always && !commits.are_new(workspace, refs.as_ref()) {
        return Ok((Made::Unchanged, with_secrets));
    }
    let patch = make_patch(workspace, &snapshot.tree_id, limits)?;
    let before = commits.clone();
    let taken = commits.take(workspace, refs, limits.gzip_bytes, patch.gzip.len() as u64);
    let made = if is_known && taken.left_out.is_some() {
        Made::CommitsLeftOut(taken.without_checkpoint(before))
    } else {
        Made::Patch(patch, taken, snapshot.tree_id)
    };
    Ok((made, with_secrets))
}
