//! The repository that workspaces are made of: text in directories, made on the spot.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use makima_shared::testing::files;

use super::CHANGED;
use crate::agents::repository;

/// How large it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree {
    pub(super) files: usize,
    pub(super) bytes: usize,
}

impl Tree {
    /// Makes the repository, with one commit.
    pub(super) fn make(&self, path: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(path)?;
        git(path, &["init", "--quiet", "--initial-branch=main"])?;
        files::write(path, self.files, self.bytes / self.files)?;
        git(path, &["add", "--all"])?;
        git(path, &["commit", "--quiet", "--message=First"])
    }
}

/// Changes files as an agent would, in the same way each time.
pub(super) fn change(tree: &Path) -> anyhow::Result<()> {
    for number in 0..CHANGED {
        let file = tree.join(files::name(number * 7));
        let text = fs::read_to_string(&file)?;
        let changed = text.lines().enumerate().map(|(line, words)| {
            if line % 10 == 3 { format!("changed {words}\n") } else { format!("{words}\n") }
        });
        fs::write(&file, changed.collect::<String>())?;
    }
    Ok(())
}

fn git(directory: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let status = repository::command(directory).args(arguments).status()?;
    ensure!(status.success(), "git {} failed", arguments.join(" "));
    Ok(())
}
