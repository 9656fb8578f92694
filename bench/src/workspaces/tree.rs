//! The repository that workspaces are made of: text in directories, made on the spot.

use std::fs;
use std::path::Path;

use anyhow::ensure;

use super::CHANGED;
use crate::agents::repository;

const FILES_PER_DIRECTORY: usize = 40;

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
        let mut words = Words(0x9e37_79b9_7f4a_7c15);
        for number in 0..self.files {
            let file = path.join(name(number));
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(file, words.text(self.bytes / self.files))?;
        }
        git(path, &["add", "--all"])?;
        git(path, &["commit", "--quiet", "--message=First"])
    }
}

/// Changes files as an agent would, in the same way each time.
pub(super) fn change(tree: &Path) -> anyhow::Result<()> {
    for number in 0..CHANGED {
        let file = tree.join(name(number * 7));
        let text = fs::read_to_string(&file)?;
        let changed = text.lines().enumerate().map(|(line, words)| {
            if line % 10 == 3 { format!("changed {words}\n") } else { format!("{words}\n") }
        });
        fs::write(&file, changed.collect::<String>())?;
    }
    Ok(())
}

fn name(number: usize) -> String {
    let directory = number / FILES_PER_DIRECTORY;
    format!("part-{:02}/module-{directory:04}/file-{number:05}.txt", directory % 16)
}

fn git(directory: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let status = repository::command(directory).args(arguments).status()?;
    ensure!(status.success(), "git {} failed", arguments.join(" "));
    Ok(())
}

/// Words in no order, the same in each run.
struct Words(u64);

impl Words {
    fn next(&mut self) -> u64 {
        // xorshift64: G. Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8 (14), 2003.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 80);
        while text.len() < bytes {
            for _ in 0..8 {
                text += &format!("{:x} ", self.next() % 0xffff_ffff);
            }
            text.push('\n');
        }
        text
    }
}
