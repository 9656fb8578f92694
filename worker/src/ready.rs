//! Workspaces that stand ready before a task asks for one: making one means writing every file of its repository, taking
//! one means renaming a directory.
//!
//! What was asked for last is made again in the background, one at a time, up to a limit; those of other repositories
//! go when there is no room, oldest first. A base that has moved on costs the writing of what differs.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::git::Cancel;
use crate::workspace::{Base, Workspace, WorkspaceError, remove_directory};

/// What a workspace begins from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub(crate) git_dir: PathBuf,
    pub(crate) commit: String,
    pub(crate) branch: Option<String>,
    pub(crate) url: String,
}

impl Beginning {
    /// Returns it as a workspace wants it.
    pub(crate) fn base(&self) -> Base<'_> {
        Base {
            cache_git_dir: &self.git_dir,
            commit: &self.commit,
            branch_name: self.branch.as_deref(),
            url: Some(&self.url),
        }
    }
}

/// The workspaces of one life that stand ready.
#[derive(Debug)]
pub(crate) struct Ready {
    directory: PathBuf,
    limit: usize,
    state: Mutex<State>,
    /// Something was asked for.
    asked: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first.
    spares: VecDeque<Spare>,
    /// What was asked for last.
    wanted: Option<Beginning>,
    made: u64,
}

#[derive(Debug)]
struct Spare {
    beginning: Beginning,
    workspace: Workspace,
}

impl Ready {
    /// Keeps up to `limit` of them below `directory`.
    pub(crate) fn new(directory: PathBuf, limit: usize) -> Self {
        Self { directory, limit, state: Mutex::default(), asked: Notify::new() }
    }

    /// Makes the workspace at `root`, out of one that stands ready if there is one. Blocks.
    pub(crate) fn workspace(
        &self,
        beginning: &Beginning,
        root: &Path,
        cancel: &Cancel,
    ) -> Result<Workspace, WorkspaceError> {
        let base = beginning.base();
        if let Some(Spare { beginning: had, workspace }) = self.take(beginning) {
            let place = workspace.root().to_owned();
            match Workspace::take_over(workspace, &had.base(), root, &base, cancel) {
                Ok(workspace) => return Ok(workspace),
                Err(error) => {
                    debug!(error = &error as &dyn std::error::Error, "a ready workspace was of no use");
                    // Wherever it stands now, it goes: here, or where the next one is made.
                    let _ = remove_directory(&place);
                }
            }
        }
        Workspace::create(root, &base, cancel)
    }

    /// Makes ready what was asked for, until the token is cancelled; nothing is being made any more when this returns.
    pub(crate) async fn keep_up(self: &std::sync::Arc<Self>, over: &CancellationToken) {
        loop {
            tokio::select! {
                () = over.cancelled() => return,
                () = self.asked.notified() => {}
            }
            while let Some((beginning, place)) = self.next() {
                let (ready, cancel) = (std::sync::Arc::clone(self), Cancel::default());
                let for_maker = cancel.clone();
                let mut making =
                    tokio::task::spawn_blocking(move || ready.make(beginning, &place, &for_maker));
                let made = tokio::select! {
                    made = &mut making => made,
                    () = over.cancelled() => {
                        cancel.cancel();
                        let _ = making.await;
                        return;
                    }
                };
                match made {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        debug!(error = &error as &dyn std::error::Error, "no workspace was made ready");
                        break;
                    }
                    Err(panicked) => {
                        debug!(%panicked, "no workspace was made ready");
                        break;
                    }
                }
            }
        }
    }

    /// Removes all of them, to give their room back. Blocks.
    pub(crate) fn clear(&self) {
        let spares = std::mem::take(&mut self.state().spares);
        for spare in spares {
            discard(spare);
        }
    }

    /// Takes the best one for a beginning, and notes that more of its kind are wanted.
    fn take(&self, beginning: &Beginning) -> Option<Spare> {
        if self.limit == 0 {
            return None;
        }
        let mut state = self.state();
        state.wanted = Some(beginning.clone());
        let exact = state.spares.iter().position(|spare| spare.beginning == *beginning);
        let near = || state.spares.iter().position(|spare| spare.beginning.git_dir == beginning.git_dir);
        let place = exact.or_else(near);
        let spare = place.and_then(|place| state.spares.remove(place));
        drop(state);
        self.asked.notify_one();
        spare
    }

    /// Returns what to make next, and where.
    fn next(&self) -> Option<(Beginning, PathBuf)> {
        let mut state = self.state();
        let wanted = state.wanted.clone()?;
        if state.spares.iter().filter(|spare| spare.beginning == wanted).count() >= self.limit {
            return None;
        }
        state.made += 1;
        Some((wanted, self.directory.join(state.made.to_string())))
    }

    fn make(&self, beginning: Beginning, place: &Path, cancel: &Cancel) -> Result<(), WorkspaceError> {
        let made = Workspace::create(place, &beginning.base(), cancel);
        let workspace = match made {
            Ok(workspace) => workspace,
            Err(error) => {
                let _ = remove_directory(place);
                return Err(error);
            }
        };
        let displaced = {
            let mut state = self.state();
            state.spares.push_back(Spare { beginning, workspace });
            if state.spares.len() > self.limit { state.displace() } else { None }
        };
        displaced.into_iter().for_each(discard);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes out the oldest that is not of what is wanted, else the oldest.
    fn displace(&mut self) -> Option<Spare> {
        let is_other = |spare: &Spare| Some(&spare.beginning) != self.wanted.as_ref();
        let place = self.spares.iter().position(is_other).unwrap_or(0);
        self.spares.remove(place)
    }
}

fn discard(spare: Spare) {
    if let Err(error) = spare.workspace.remove() {
        debug!(error = &error as &dyn std::error::Error, "a ready workspace was not removed");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::repository::RepositoryCache;

    struct Scene {
        dir: tempfile::TempDir,
        cache: RepositoryCache,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let scene = Self { cache: RepositoryCache::new(dir.path().join("data")), dir };
            std::fs::create_dir(scene.remote()).unwrap();
            scene.git(&["init", "-q", "-b", "main"]);
            scene.commit("one");
            scene
        }

        fn remote(&self) -> PathBuf {
            self.dir.path().join("remote")
        }

        fn git(&self, arguments: &[&str]) {
            let mut command = std::process::Command::new("git");
            command.args(["-c", "user.name=A", "-c", "user.email=a@b"]).args(arguments);
            assert!(command.current_dir(self.remote()).status().unwrap().success());
        }

        fn commit(&self, content: &str) {
            std::fs::write(self.remote().join(content), content).unwrap();
            self.git(&["add", "-A"]);
            self.git(&["commit", "-qm", content]);
        }

        fn beginning(&self) -> Beginning {
            let url = self.remote().display().to_string();
            let fetched = self.cache.fetch(&url, None, &Cancel::default()).unwrap();
            Beginning {
                git_dir: fetched.git_dir,
                commit: fetched.base_commit,
                branch: fetched.branch_name,
                url,
            }
        }

        fn ready(&self, limit: usize) -> Ready {
            Ready::new(self.dir.path().join("ready"), limit)
        }

        fn workspace(&self, ready: &Ready, beginning: &Beginning, name: &str) -> Workspace {
            ready.workspace(beginning, &self.dir.path().join(name), &Cancel::default()).unwrap()
        }
    }

    fn make_all(ready: &Ready) {
        while let Some((beginning, place)) = ready.next() {
            ready.make(beginning, &place, &Cancel::default()).unwrap();
        }
    }

    fn is_clean(workspace: &Workspace) -> bool {
        let snapshot = crate::workspace::snapshot(workspace).unwrap();
        let mut status = std::process::Command::new("git");
        let seen = status.args(["status", "--porcelain"]).current_dir(workspace.tree()).output().unwrap();
        !snapshot.changed && snapshot.skipped.count == 0 && seen.stdout.is_empty()
    }

    #[test]
    fn the_next_workspace_is_one_that_stood_ready() {
        let scene = Scene::new();
        let (ready, beginning) = (scene.ready(2), scene.beginning());
        assert!(is_clean(&scene.workspace(&ready, &beginning, "first")));
        make_all(&ready);
        assert_eq!(ready.state().spares.len(), 2);
        let second = scene.workspace(&ready, &beginning, "second");
        assert_eq!(ready.state().spares.len(), 1, "one was taken");
        assert!(is_clean(&second) && second.root().ends_with("second"));
        assert_eq!(std::fs::read_to_string(second.tree().join("one")).unwrap(), "one");
    }

    #[test]
    fn one_of_an_older_base_is_brought_up_to_date() {
        let scene = Scene::new();
        let (ready, before) = (scene.ready(1), scene.beginning());
        scene.workspace(&ready, &before, "first");
        make_all(&ready);
        scene.git(&["rm", "-q", "one"]);
        scene.commit("two");
        let now = scene.beginning();
        assert_ne!(before.commit, now.commit);
        let workspace = scene.workspace(&ready, &now, "second");
        assert!(ready.state().spares.is_empty(), "one was taken");
        assert!(!workspace.tree().join("one").exists() && workspace.tree().join("two").exists());
        assert_eq!(workspace.base_commit(), now.commit);
        assert!(is_clean(&workspace));
    }

    #[test]
    fn there_are_never_more_than_the_limit_and_other_repositories_go_first() {
        let scene = Scene::new();
        let (ready, beginning) = (scene.ready(1), scene.beginning());
        scene.workspace(&ready, &beginning, "first");
        make_all(&ready);
        let other = Beginning { branch: None, ..beginning };
        ready.state().wanted = Some(other.clone());
        make_all(&ready);
        let state = ready.state();
        assert!(state.spares.len() == 1 && state.spares[0].beginning == other);
        assert_eq!(std::fs::read_dir(scene.dir.path().join("ready")).unwrap().count(), 1);
    }

    #[test]
    fn a_limit_of_nothing_keeps_nothing() {
        let scene = Scene::new();
        let ready = scene.ready(0);
        scene.workspace(&ready, &scene.beginning(), "first");
        assert!(ready.next().is_none());
    }

    #[tokio::test]
    async fn what_is_asked_for_is_made_in_the_background_until_the_end() {
        let scene = Scene::new();
        let (ready, beginning) = (Arc::new(scene.ready(1)), scene.beginning());
        let over = CancellationToken::new();
        let keeping = tokio::spawn({
            let (ready, over) = (Arc::clone(&ready), over.clone());
            async move { ready.keep_up(&over).await }
        });
        scene.workspace(&ready, &beginning, "first");
        while ready.state().spares.is_empty() {
            tokio::task::yield_now().await;
        }
        over.cancel();
        keeping.await.unwrap();
        ready.clear();
        assert!(ready.state().spares.is_empty());
    }
}
