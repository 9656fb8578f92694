//! The floors that processes set: a worktree, and a program that does nothing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{Bench, repository};
use crate::floors::repeat;
use crate::samples::Samples;

/// Samples of each, in one half.
const WORKTREES: usize = 50;
const SPAWNS: usize = 100;

/// Measures `git worktree add`, each in a fresh copy of the repository. Nothing is removed on the way: where many files
/// were just removed ext4 takes longer to make new ones.
pub(super) async fn worktrees(bench: &Bench<'_>) -> anyhow::Result<Samples> {
    let dir = tempfile::tempdir_in(bench.scratch.path())?.keep();
    let phase = bench.progress.phase("floor: git worktree add", WORKTREES);
    let mut copies = 0;
    repeat(&phase, WORKTREES, async || {
        copies += 1;
        let git_dir = dir.join(copies.to_string()).join("copy.git");
        std::fs::create_dir(dir.join(copies.to_string()))?;
        repository::copy(&bench.repository, &git_dir).await?;
        worktree_add(&git_dir).await
    })
    .await
}

/// Measures fork and exec.
pub(super) async fn spawns(bench: &Bench<'_>) -> anyhow::Result<Samples> {
    let phase = bench.progress.phase("floor: fork and exec", SPAWNS);
    repeat(&phase, SPAWNS, spawn).await
}

/// The worktree of a repository's copy lies beside the copy.
const WORKTREE: &str = "tree";

/// Makes the worktree and returns how long that took.
pub(super) async fn worktree_add(git_dir: &Path) -> anyhow::Result<Duration> {
    let mut command = repository::command(git_dir);
    command.args(["worktree", "add", "--quiet", "--detach"]).arg(git_dir.with_file_name(WORKTREE));
    time(command.stderr(Stdio::null())).await
}

/// Removes the worktree, by hand as that is quickest.
pub(super) fn worktree_remove(git_dir: &Path) -> anyhow::Result<()> {
    for dir in [git_dir.with_file_name(WORKTREE), git_dir.join("worktrees").join(WORKTREE)] {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    Ok(())
}

/// Runs `true` and returns how long that took.
pub(super) async fn spawn() -> anyhow::Result<Duration> {
    time(Command::new("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).await
}

/// Runs a command to its end. The clock runs on the thread that waits for it, so nothing else is in the figure.
async fn time(command: &mut Command) -> anyhow::Result<Duration> {
    let mut command = std::mem::replace(command, Command::new("true"));
    let timed = move || {
        let start = Instant::now();
        let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
        let took = start.elapsed();
        ensure!(status.success(), "{command:?} failed: {status}");
        Ok(took)
    };
    tokio::task::spawn_blocking(timed).await?
}
