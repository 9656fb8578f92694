//! The directory that the worker finds its client in: this program under the client's name, and the stand-in beside it.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::client_stamp::{NAME, STAND_IN};
use crate::scratch::Scratch;

/// Makes it and returns its path. Copies, not links: a sandbox shows the directories of `PATH`, not where a link leads.
pub(super) fn make(scratch: &Scratch) -> anyhow::Result<PathBuf> {
    let directory = scratch.path().join("programs");
    std::fs::create_dir_all(&directory)?;
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let stand_in = own.with_file_name(STAND_IN);
    copy(&own, &directory.join(NAME))?;
    copy(&stand_in, &directory.join(STAND_IN))
        .with_context(|| format!("`cargo build -p makima-scripted-model` makes {STAND_IN}"))?;
    Ok(directory)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
