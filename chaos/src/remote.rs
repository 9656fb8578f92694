//! The git remote of every task: a bare repository on this machine that keeps a log of each branch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;
use tokio::sync::Mutex;

/// Where the remote is while it is down.
const AWAY: &str = "remote.away";

/// A bare repository.
pub(crate) struct Remote {
    path: PathBuf,
    /// Held while the remote is away.
    pub(crate) outage: Mutex<()>,
}

/// One move of one branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Push {
    pub(crate) branch: String,
    pub(crate) to: String,
    /// When, in seconds of the Unix epoch.
    pub(crate) at_secs: i64,
}

impl Remote {
    /// Makes the repository with one commit.
    pub(crate) async fn make(root: &Path) -> anyhow::Result<Self> {
        let (seed, path) = (root.join("seed"), root.join("remote.git"));
        std::fs::create_dir(&seed)?;
        git(&seed, &["init", "--quiet", "--initial-branch=main"]).await?;
        std::fs::write(seed.join("README"), "What every task begins from.\n")?;
        git(&seed, &["add", "--all"]).await?;
        git(&seed, &["commit", "--quiet", "--message=First"]).await?;
        let (from, to) = seed.to_str().zip(path.to_str()).context("a path is not UTF-8")?;
        git(&seed, &["clone", "--quiet", "--bare", "--template=", from, to]).await?;
        git(&path, &["config", "core.logAllRefUpdates", "always"]).await?;
        Ok(Self { path, outage: Mutex::default() })
    }

    /// Makes a copy of a repository that shares nothing with it.
    pub(crate) async fn copy(root: &Path, from: &Path) -> anyhow::Result<Self> {
        let path = root.join("copy.git");
        let (source, to) = from.to_str().zip(path.to_str()).context("a path is not UTF-8")?;
        let arguments = ["clone", "--quiet", "--bare", "--no-hardlinks", "--template=", "--", source, to];
        git(root, &arguments).await?;
        Ok(Self { path, outage: Mutex::default() })
    }

    /// Runs git in it, and returns what that prints.
    pub(crate) async fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        git(&self.path, arguments).await
    }

    /// Returns what tasks name as their repository.
    pub(crate) fn url(&self) -> String {
        self.path.display().to_string()
    }

    /// Takes the remote away, or brings it back.
    pub(crate) fn set_away(&self, away: bool) -> std::io::Result<()> {
        let elsewhere = self.path.with_file_name(AWAY);
        if away { std::fs::rename(&self.path, elsewhere) } else { std::fs::rename(elsewhere, &self.path) }
    }

    /// Lists all refs but the branch that everything begins from, with their commits.
    pub(crate) async fn refs(&self) -> anyhow::Result<BTreeMap<String, String>> {
        refs(&self.path).await
    }

    /// Returns every move of every branch, in order for each.
    pub(crate) fn pushes(&self) -> anyhow::Result<Vec<Push>> {
        let logs = self.path.join("logs/refs/heads");
        let mut pushes = Vec::new();
        let mut directories = vec![logs.clone()];
        while let Some(directory) = directories.pop() {
            let Ok(entries) = std::fs::read_dir(&directory) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let branch = path.strip_prefix(&logs)?.display().to_string();
                let text = std::fs::read_to_string(&path)?;
                pushes.extend(text.lines().filter_map(|line| parse_push(&branch, line)));
            }
        }
        pushes.retain(|push| push.branch != "main");
        Ok(pushes)
    }

    /// Reads a file of a branch.
    pub(crate) async fn file(&self, branch: &str, file: &str) -> anyhow::Result<String> {
        git(&self.path, &["show", &format!("refs/heads/{branch}:{file}")]).await
    }
}

/// Lists the refs of a bare repository.
pub(crate) async fn refs(git_dir: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let list = git(git_dir, &["for-each-ref", "--format=%(refname) %(objectname)"]).await?;
    let pairs = list.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs
        .filter(|(name, _)| *name != "refs/heads/main")
        .map(|(name, commit)| (name.to_owned(), commit.to_owned()))
        .collect())
}

/// Reads `<old> <new> <who> <<mail>> <seconds> <zone>\t<message>`.
fn parse_push(branch: &str, line: &str) -> Option<Push> {
    let (_old, rest) = line.split_once(' ')?;
    let (to, rest) = rest.split_once(' ')?;
    let at_secs = rest.split_once("> ")?.1.split_whitespace().next()?.parse().ok()?;
    Some(Push { branch: branch.to_owned(), to: to.to_owned(), at_secs })
}

/// Runs git, which no configuration of this user touches, and returns what it prints.
pub(crate) async fn git(dir: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("git");
    command.current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
    command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
    command.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1"), ("LC_ALL", "C")]);
    let settings = ["user.name=chaos", "user.email=chaos@localhost", "gc.auto=0", "maintenance.auto=false"];
    command.args(settings.iter().flat_map(|setting| ["-c", setting])).args(arguments);
    let output = command.output().await.context("git cannot be run")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {} failed: {}", arguments.join(" "), words.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_of_a_branch_is_read_from_its_log() {
        let line = format!("{} {} A B <a@b> 1700000000 +0000\tpush", "0".repeat(40), "1".repeat(40));
        let push = parse_push("makima/x", &line).unwrap();
        assert_eq!((push.to.as_str(), push.at_secs), ("1".repeat(40).as_str(), 1_700_000_000));
    }
}
