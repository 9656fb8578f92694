//! What the agent works on: a copy of a repository of the machine, or one made on the spot.

use std::path::Path;

use anyhow::Context;
use makima_shared::testing::files;

use crate::options::Kills;
use crate::remote::{Remote, git};

/// About as much as a file of source code has.
const BYTES_PER_FILE: usize = 1300;

/// Makes the copy below `root`.
pub(super) async fn copy(root: &Path, asked: &Kills) -> anyhow::Result<Remote> {
    if let Some(repository) = &asked.repository {
        let failed = || format!("{} cannot be copied", repository.display());
        let repository = std::fs::canonicalize(repository).with_context(failed)?;
        return Remote::copy(root, &repository).await.with_context(failed);
    }
    let count = asked.files.context("neither a repository nor a number of files is named")?.get();
    let made = root.join("made");
    git(root, &["init", "--quiet", "--initial-branch=main", "made"]).await?;
    let writing = made.clone();
    tokio::task::spawn_blocking(move || files::write(&writing, count, BYTES_PER_FILE)).await??;
    // What counts as large goes into one pack, and not into a file for each.
    git(&made, &["-c", "core.bigFileThreshold=1", "add", "--all"]).await?;
    git(&made, &["commit", "--quiet", "--message=First"]).await?;
    Remote::copy(root, &made).await
}
