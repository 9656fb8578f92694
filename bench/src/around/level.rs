//! What is around the client.

use std::process::Stdio;

use anyhow::Context;
use tokio::process::Command;

use crate::options::Options;

/// A level of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    None,
    Bubblewrap,
}

impl Level {
    /// Returns the value of `worker.sandbox`.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bubblewrap => "bubblewrap",
        }
    }

    /// Says it in the name of a row.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::None => "no sandbox",
            Self::Bubblewrap => "bubblewrap",
        }
    }
}

/// Returns the levels that hold on this machine, by the product's own word.
pub(super) async fn of_this_machine(options: &Options) -> anyhow::Result<Vec<Level>> {
    let directory = tempfile::tempdir()?;
    let mut check = Command::new(options.makima()?);
    check
        .args(["sandbox-check", "--sandbox", Level::Bubblewrap.setting(), "--data-dir"])
        .arg(directory.path());
    check.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let holds = check.status().await.context("makima sandbox-check cannot be run")?.success();
    Ok(if holds { vec![Level::None, Level::Bubblewrap] } else { vec![Level::None] })
}
