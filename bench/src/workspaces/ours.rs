//! makima's own: the functions that its worker calls, on directories as it lays them out.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use makima_shared::domain::{
    Agent, CheckpointTrigger, ClaimedTask, NewCheckpoint, NewWorker, SubmissionPolicy, TaskSubmission,
    WorkerId,
};
use makima_shared::store::{Fenced, Store, Submitted};
use makima_worker::git::Cancel;
use makima_worker::repository::{Fetched, RepositoryCache};
use makima_worker::workspace::{
    Base, Patch, PatchLimits, SavedPatch, Workspace, make_patch, restore, snapshot,
};

use super::{SETTLED, Times, tree};
use crate::stack::Servers;

/// Longer than the measurement takes.
const LEASE: Duration = Duration::from_secs(3600);

/// A worker's copy of the repository, and workspaces over it.
pub(super) struct Ours {
    directory: PathBuf,
    url: String,
    fetched: Fetched,
    made: usize,
}

/// A checkpoint that waits to be stored.
pub(super) struct Checkpoint {
    base_commit: String,
    patch: Patch,
}

impl Ours {
    /// Fetches the copy.
    pub(super) fn of(directory: &Path) -> anyhow::Result<Self> {
        let url = directory.join("repository").to_str().context("a path is not UTF-8")?.to_owned();
        let cache = RepositoryCache::new(directory.join("worker"));
        let fetched = cache.fetch(&url, None, &Cancel::default())?;
        Ok(Self { directory: directory.join("attempts"), url, fetched, made: 0 })
    }

    /// Measures each step once.
    pub(super) fn round(&mut self, times: &mut Times) -> anyhow::Result<Checkpoint> {
        let spare =
            self.timed(&mut times.made, |base, root| Ok(Workspace::create(root, base, &Cancel::default())?))?;
        let workspace = self.timed(&mut times.ready, |base, root| {
            Ok(Workspace::take_over(spare, base, root, base, &Cancel::default())?)
        })?;
        snapshot(&workspace)?;
        // As git's worktrees are: neither trusts what is as new as a tick of the file system's clock.
        std::thread::sleep(SETTLED);
        snapshot(&workspace)?;
        let start = Instant::now();
        let unchanged = snapshot(&workspace)?;
        times.unchanged.push(start.elapsed());
        ensure!(!unchanged.changed, "nothing was changed");
        tree::change(&workspace.tree())?;
        let start = Instant::now();
        let taken = snapshot(&workspace)?;
        let patch = make_patch(&workspace, &taken.tree_id, PatchLimits::default())?;
        times.changed.push(start.elapsed());
        let mut unmeasured = Vec::new();
        let other =
            self.timed(&mut unmeasured, |base, root| Ok(Workspace::create(root, base, &Cancel::default())?))?;
        let start = Instant::now();
        let saved = SavedPatch { gzip: &patch.gzip, sha256: &patch.sha256, tree_id: &patch.tree_id };
        restore(&other, &saved, PatchLimits::default())?;
        times.restored.push(start.elapsed());
        Ok(Checkpoint { base_commit: workspace.base_commit(), patch })
    }

    fn timed(
        &mut self,
        times: &mut Vec<Duration>,
        make: impl FnOnce(&Base<'_>, &Path) -> anyhow::Result<Workspace>,
    ) -> anyhow::Result<Workspace> {
        self.made += 1;
        let base = Base {
            cache_git_dir: &self.fetched.git_dir,
            commit: &self.fetched.base_commit,
            branch_name: self.fetched.branch_name.as_deref(),
            url: Some(&self.url),
        };
        let root = self.directory.join(self.made.to_string());
        let start = Instant::now();
        let workspace = make(&base, &root)?;
        times.push(start.elapsed());
        Ok(workspace)
    }
}

/// A task that was claimed, which checkpoints are stored for.
pub(super) struct Sink {
    store: Store,
    task: ClaimedTask,
}

impl Sink {
    /// Submits a task and claims it for a worker of its own, past the queue.
    pub(super) async fn open(servers: &Servers) -> anyhow::Result<Self> {
        let store = servers.store()?;
        let owner = store.owner_ensure("default").await?;
        let (name, url) = ("bench".to_owned(), "https://example.invalid/bench.git".to_owned());
        let agent = Agent::command(vec!["true".to_owned()]);
        let labels = vec!["bench".to_owned()];
        let submission = TaskSubmission {
            labels: labels.clone(),
            ..TaskSubmission::new(name.clone(), "Store.".to_owned(), url, agent)
        };
        let policy = SubmissionPolicy { allow_local_repositories: false };
        let task = submission.check(&policy).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let Submitted::Created(created) = store.task_submit(owner, &task, None).await? else {
            anyhow::bail!("there is no new task");
        };
        let worker = WorkerId::new();
        let host = "localhost".to_owned();
        store.worker_register(&NewWorker { id: worker, name, host, pid: 1, slots: 1, labels }, LEASE).await?;
        let ids: Vec<_> = created.iter().map(|task| task.id).collect();
        let task = store.tasks_claim(worker, &ids).await?.pop().context("nothing was claimed")?;
        Ok(Self { store, task })
    }

    /// Stores a checkpoint and returns how long that took.
    pub(super) async fn store(&mut self, checkpoint: Checkpoint) -> anyhow::Result<Duration> {
        let Checkpoint { base_commit, patch } = checkpoint;
        let new = NewCheckpoint {
            trigger: CheckpointTrigger::Interval,
            base_commit,
            tree_id: patch.tree_id,
            files_changed: i32::try_from(patch.files_changed)?,
            lines_added: i64::try_from(patch.lines_added)?,
            lines_removed: i64::try_from(patch.lines_removed)?,
            unpacked_bytes: i64::try_from(patch.unpacked_bytes)?,
            patch_gzip: patch.gzip,
            sha256: patch.sha256,
            duration_ms: 0,
            message: None,
            commits: None,
        };
        let start = Instant::now();
        let written = self.store.checkpoint_create(self.task.id, self.task.epoch, &new, LEASE).await?;
        ensure!(matches!(written, Fenced::Accepted(_)), "the checkpoint was refused");
        Ok(start.elapsed())
    }
}
