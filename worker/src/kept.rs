//! Workspaces of an earlier life of this machine's worker, whose tasks may come back to it.
//!
//! A worker that was killed leaves its workspaces behind, with more in them than the last checkpoint has. Its next life
//! takes them over ([`crate::work_dir`]) and keeps those whose task has not been given to anybody since: an attempt at
//! such a task that comes right after the one that the workspace was made for goes on in it. All others are removed,
//! now and every few seconds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use makima_shared::domain::{Epoch, TaskId};
use makima_shared::store::{OpenAttempt, answered};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::pool::Life;
use crate::workspace::remove_directory;

/// How often it is looked whose task has gone elsewhere.
const PERIOD: Duration = Duration::from_secs(5);

/// The kept workspaces of one life, by task and epoch.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<BTreeMap<TaskId, (Epoch, PathBuf)>>);

impl Kept {
    /// Takes up what stands in a directory, named after tasks and epochs; of each task the newest alone.
    pub(crate) fn of(directory: &Path) -> Self {
        let mut kept: BTreeMap<TaskId, (Epoch, PathBuf)> = BTreeMap::new();
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let Some((task, epoch)) = entry.file_name().to_str().and_then(parse) else {
                discard(&path);
                continue;
            };
            match kept.get(&task) {
                Some((newer, _)) if *newer > epoch => discard(&path),
                Some(_) | None => {
                    if let Some((_, older)) = kept.insert(task, (epoch, path)) {
                        discard(&older);
                    }
                }
            }
        }
        Self(Mutex::new(kept))
    }

    /// Hands out the workspace of the attempt before `epoch`, if it is there. One of an older attempt is removed.
    pub(crate) fn take(&self, task: TaskId, epoch: Epoch) -> Option<PathBuf> {
        let (had, path) = self.lock().remove(&task)?;
        if had.number() + 1 == epoch.number() {
            return Some(path);
        }
        discard(&path);
        None
    }

    /// Removes all of them, to give their room back. Blocks.
    pub(crate) fn clear(&self) {
        let all = std::mem::take(&mut *self.lock());
        all.values().for_each(|(_, path)| discard(path));
    }

    fn attempts(&self) -> Vec<OpenAttempt> {
        let attempt =
            |(task, (epoch, _)): (&TaskId, &(Epoch, PathBuf))| OpenAttempt { task_id: *task, epoch: *epoch };
        self.lock().iter().map(attempt).collect()
    }

    /// Removes those that are not among `wanted`. Blocks.
    fn retain(&self, asked: &[OpenAttempt], wanted: &[OpenAttempt]) {
        for gone in asked.iter().filter(|attempt| !wanted.contains(attempt)) {
            let path = {
                let mut kept = self.lock();
                match kept.get(&gone.task_id) {
                    Some((epoch, _)) if *epoch == gone.epoch => kept.remove(&gone.task_id),
                    Some(_) | None => None,
                }
            };
            path.iter().for_each(|(_, path)| discard(path));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskId, (Epoch, PathBuf)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes, now and then, those whose tasks have ended or gone to others, until none is left or the token is cancelled.
pub(crate) async fn weed(life: &std::sync::Arc<Life>, over: &CancellationToken) {
    over.run_until_cancelled(async {
        loop {
            let asked = life.kept.attempts();
            if asked.is_empty() {
                return;
            }
            match answered(life.context.store.attempts_unfinished(&asked)).await {
                Ok(wanted) => {
                    info!(found = asked.len(), kept = wanted.len(), "workspaces of an earlier life");
                    let life = std::sync::Arc::clone(life);
                    let removing = tokio::task::spawn_blocking(move || life.kept.retain(&asked, &wanted));
                    if let Err(error) = removing.await {
                        warn!(%error, "old workspaces were not removed");
                    }
                }
                Err(error) => debug!(error = &error as &dyn std::error::Error, "not told which are wanted"),
            }
            sleep(PERIOD).await; // why: nothing tells that a task went elsewhere
        }
    })
    .await;
}

/// Returns the name of an attempt's workspace.
pub(crate) fn name(task: TaskId, epoch: Epoch) -> String {
    format!("{task}-{epoch}")
}

fn parse(name: &str) -> Option<(TaskId, Epoch)> {
    let (task, epoch) = name.rsplit_once('-')?;
    Some((task.parse().ok()?, Epoch::from(epoch.parse::<i64>().ok()?)))
}

fn discard(path: &Path) {
    if let Err(error) = remove_directory(path) {
        warn!(path = %path.display(), %error, "an old workspace was not removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_of(names: &[String]) -> (tempfile::TempDir, Kept) {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::create_dir_all(dir.path().join(name).join("tree")).unwrap();
        }
        let kept = Kept::of(dir.path());
        (dir, kept)
    }

    #[test]
    fn only_the_next_attempt_goes_on_in_a_workspace() {
        let (one, two) = (TaskId::new(), TaskId::new());
        let (dir, kept) = kept_of(&[name(one, 3.into()), name(two, 1.into()), "nonsense".to_owned()]);
        assert!(!dir.path().join("nonsense").exists());
        assert_eq!(kept.take(one, 4.into()), Some(dir.path().join(name(one, 3.into()))));
        assert_eq!(kept.take(one, 4.into()), None);
        assert_eq!(kept.take(two, 3.into()), None, "somebody else had it in between");
        assert!(!dir.path().join(name(two, 1.into())).exists());
    }

    #[test]
    fn of_two_attempts_the_newer_one_is_kept_and_unwanted_ones_are_removed() {
        let task = TaskId::new();
        let (dir, kept) = kept_of(&[name(task, 9.into()), name(task, 10.into())]);
        assert!(!dir.path().join(name(task, 9.into())).exists());
        let asked = kept.attempts();
        assert_eq!(asked.len(), 1);
        kept.retain(&asked, &asked);
        assert!(dir.path().join(name(task, 10.into())).exists());
        kept.retain(&asked, &[]);
        assert!(!dir.path().join(name(task, 10.into())).exists() && kept.attempts().is_empty());
    }
}
