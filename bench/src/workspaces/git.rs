//! The floors: what git's own commands take on the same files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{SETTLED, Times, tree};
use crate::agents::repository;

/// A bare copy, and the worktrees made of it.
pub(super) struct Git {
    directory: PathBuf,
    copy: PathBuf,
    made: usize,
}

impl Git {
    /// Makes the copy.
    pub(super) fn of(directory: &Path) -> anyhow::Result<Self> {
        let copy = directory.join("copy.git");
        let mut clone = repository::command(directory);
        clone.args(["clone", "--quiet", "--bare", "--template=", "repository", "copy.git"]);
        run(&mut clone)?;
        Ok(Self { directory: directory.to_owned(), copy, made: 0 })
    }

    /// Measures each command once, and returns how large the patch was.
    pub(super) fn round(&mut self, times: &mut Times) -> anyhow::Result<u64> {
        let (worktree, took) = self.worktree()?;
        times.worktree.push(took);
        settle(&worktree)?;
        times.status.push(run(&mut status(&worktree))?);
        tree::change(&worktree)?;
        let patch = self.directory.join(format!("{}.patch.gz", self.made));
        times.snapshot.push(snapshot(&worktree, &patch)?);
        let (other, _) = self.worktree()?;
        settle(&other)?;
        let unpacked = patch.with_extension("");
        run(Command::new("sh").arg("-c").arg("gzip -dc \"$0\" > \"$1\"").arg(&patch).arg(&unpacked))?;
        let mut apply = repository::command(&other);
        times.apply.push(run(apply.args(["apply", "--binary", "--whitespace=nowarn"]).arg(&unpacked))?);
        Ok(fs::metadata(&patch)?.len())
    }

    fn worktree(&mut self) -> anyhow::Result<(PathBuf, Duration)> {
        self.made += 1;
        let worktree = self.directory.join(format!("worktree-{}", self.made));
        let mut add = repository::command(&self.copy);
        let took = run(add.args(["worktree", "add", "--quiet", "--detach"]).arg(&worktree))?;
        Ok((worktree, took))
    }
}

/// Writes the index anew, a second later: git reads files again whose index is not younger by a second than they are.
fn settle(worktree: &Path) -> anyhow::Result<()> {
    std::thread::sleep(SETTLED);
    let mut command = repository::command(worktree);
    run(command.args(["update-index", "-q", "--refresh", "--force-write-index"]))?;
    run(&mut status(worktree)).map(drop)
}

fn status(worktree: &Path) -> Command {
    let mut command = repository::command(worktree);
    command.args(["status", "--porcelain"]);
    command
}

/// A snapshot with a second index, as a patch.
fn snapshot(worktree: &Path, patch: &Path) -> anyhow::Result<Duration> {
    let index = worktree.join("../second.index");
    let mut own = repository::command(worktree);
    let own = own.args(["rev-parse", "--git-path", "index"]).stdout(Stdio::piped()).output()?;
    fs::copy(String::from_utf8(own.stdout)?.trim(), &index)?;
    let script = "git add -A && tree=$(git write-tree) && git diff --binary HEAD \"$tree\" | gzip > \"$0\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(patch).current_dir(worktree).env("GIT_INDEX_FILE", &index);
    command.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1"), ("LC_ALL", "C")]);
    run(&mut command)
}

fn run(command: &mut Command) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let took = start.elapsed();
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(took)
}
