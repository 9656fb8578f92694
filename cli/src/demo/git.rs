//! The git program, as the demo uses it: without anybody's configuration.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::process::Command;

/// A directory to run git in.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    dir: PathBuf,
    home: PathBuf,
}

impl Git {
    /// Takes the directory, and an empty one to be git's home.
    pub(crate) fn new(dir: &Path, home: &Path) -> Self {
        Self { dir: dir.to_owned(), home: home.to_owned() }
    }

    /// Runs git and returns what it writes.
    pub(crate) async fn bytes(&self, args: &[&str]) -> anyhow::Result<Vec<u8>> {
        let mut command = Command::new("git");
        // A demo started from a git hook must not touch the repository of the hook.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GIT_"))
        {
            command.env_remove(name);
        }
        command.env("HOME", &self.home).env("XDG_CONFIG_HOME", &self.home).env("GIT_CONFIG_NOSYSTEM", "1");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Makima Demo");
            command.env(format!("GIT_{role}_EMAIL"), "demo@example.invalid");
        }
        command.env("LC_ALL", "C").current_dir(&self.dir).args(args).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.context("cannot run git")?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            bail!("git {} failed: {}", args.join(" "), words.trim());
        }
        Ok(output.stdout)
    }

    /// Runs git and returns what it writes as text, without the last line end.
    pub(crate) async fn text(&self, args: &[&str]) -> anyhow::Result<String> {
        let bytes = self.bytes(args).await?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }
}
