//! Git repositories for tasks to work on.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A bare repository with a little content on `main`.
pub(crate) struct Repository {
    path: PathBuf,
}

impl Repository {
    /// Makes one below a directory.
    pub(crate) fn make(parent: &Path) -> Self {
        let (work, path) = (parent.join("seed"), parent.join("origin.git"));
        git(parent, &["init", "--quiet", "--initial-branch=main", "seed"]);
        std::fs::write(work.join("README.md"), "# A repository\n").unwrap();
        std::fs::create_dir(work.join("src")).unwrap();
        std::fs::write(work.join("src/lib.rs"), "pub fn answer() -> u32 {\n    42\n}\n").unwrap();
        git(&work, &["add", "."]);
        git(
            &work,
            &["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "-m", "Begin"],
        );
        git(parent, &["clone", "--quiet", "--bare", "seed", "origin.git"]);
        Self { path }
    }

    /// Returns its path, as a task names it.
    pub(crate) fn url(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// Returns its branches.
    pub(crate) fn branches(&self) -> Vec<String> {
        let names = git(&self.path, &["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        names.lines().map(str::to_owned).collect()
    }

    /// Returns a file as it is on a branch.
    pub(crate) fn file(&self, branch: &str, file: &str) -> String {
        git(&self.path, &["show", &format!("{branch}:{file}")])
    }

    /// Runs git in it.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.path, args)
    }
}

fn git(directory: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        // It may belong to the user whom a stack runs as.
        .args(["-c", "safe.directory=*"])
        .args(args)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
