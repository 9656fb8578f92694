//! The small repository that every task works on.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::scratch::Scratch;

/// How many files it has.
pub(crate) const FILES: usize = 20;
const LINES_PER_FILE: usize = 40;

/// Makes the repository, unless another part has, and returns its path.
pub(crate) async fn make(scratch: &Scratch) -> anyhow::Result<PathBuf> {
    let path = scratch.path().join("repository");
    if path.exists() {
        return Ok(path);
    }
    std::fs::create_dir(&path)?;
    git(&path, &["init", "--quiet", "--initial-branch=main"]).await?;
    for number in 0..FILES {
        let lines = (0..LINES_PER_FILE).map(|line| format!("file {number}, line {line}\n"));
        std::fs::write(path.join(format!("file-{number:02}.txt")), lines.collect::<String>())?;
    }
    git(&path, &["add", "--all"]).await?;
    git(&path, &["commit", "--quiet", "--message=First"]).await?;
    Ok(path)
}

/// Makes a bare copy of the repository.
pub(crate) async fn copy(repository: &Path, copy: &Path) -> anyhow::Result<()> {
    let (from, to) = (repository.to_str(), copy.to_str());
    let (from, to) = from.zip(to).context("a path is not UTF-8")?;
    git(repository, &["clone", "--quiet", "--bare", "--template=", from, to]).await
}

/// Returns a git command that no configuration of this user touches.
pub(crate) fn command(dir: &Path) -> std::process::Command {
    let mut command = std::process::Command::new("git");
    command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null());
    command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
    command.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1"), ("LC_ALL", "C")]);
    let identity = ["user.name=bench", "user.email=bench@localhost", "gc.auto=0", "maintenance.auto=false"];
    command.args(identity.iter().flat_map(|setting| ["-c", setting]));
    command
}

async fn git(dir: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::from(command(dir)).args(arguments).kill_on_drop(true).output().await;
    let output = output.context("git cannot be run")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {} failed: {}", arguments.join(" "), words.trim());
    Ok(())
}
