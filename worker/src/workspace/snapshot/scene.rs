//! A small workspace to take snapshots of, in tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::agent_index_seen::stamp;
use super::last_look::Look;
use super::stat_data::IndexWritten;
use crate::git::Cancel;
use crate::repository::RepositoryCache;
use crate::workspace::tree_reader::TreeReader;
use crate::workspace::{Base, Workspace, snapshot};

pub(super) struct Scene {
    _dir: tempfile::TempDir,
    pub(super) workspace: Workspace,
}

impl Scene {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let remote = dir.path().join("remote");
        for (name, content) in [("a/one", "1"), ("a/b/two", "2"), ("a/.gitignore", "*.log\n"), ("three", "3")]
        {
            std::fs::create_dir_all(remote.join(name).parent().unwrap()).unwrap();
            std::fs::write(remote.join(name), content).unwrap();
        }
        for arguments in [&["init", "-q"][..], &["add", "-A"], &["commit", "-qm", "one"]] {
            git(&remote, arguments);
        }
        let cache = RepositoryCache::new(dir.path().join("data"));
        let fetched = cache.fetch(remote.to_str().unwrap(), None, &Cancel::default()).unwrap();
        let base = Base {
            cache_git_dir: &fetched.git_dir,
            commit: &fetched.base_commit,
            branch_name: None,
            url: None,
        };
        let workspace = Workspace::create(&dir.path().join("task"), &base, &Cancel::default()).unwrap();
        let scene = Self { _dir: dir, workspace };
        scene.rest();
        scene
    }

    /// Lets the tree come to rest, and looks at it.
    pub(super) fn rest(&self) {
        while !(matches!(self.look(), Look::Same) && self.knows_index_of_agent()) {
            std::thread::sleep(Duration::from_millis(10)); // why: nothing as new as a tick of the clock is trusted
            snapshot(&self.workspace).unwrap();
        }
    }

    fn knows_index_of_agent(&self) -> bool {
        let mut reader = TreeReader::open(&self.workspace.tree()).unwrap();
        let stamp = stamp(&mut reader);
        self.workspace.agent_index_seen.is(stamp, &mut reader)
    }

    /// How the next snapshot would see the tree.
    pub(super) fn look(&self) -> Look {
        let written = IndexWritten::of(&self.workspace.host_git().join("index")).unwrap();
        let Some(seen) = self.workspace.last_look.take(written) else { return Look::Other };
        let mut reader = TreeReader::open(&self.workspace.tree()).unwrap();
        let look = seen.compare(&self.workspace.tree(), &mut reader);
        self.workspace.last_look.set(Some(seen));
        look
    }

    pub(super) fn files(&self) -> Vec<Vec<u8>> {
        match self.look() {
            Look::Files(files) => files.iter().map(|change| change.path().to_vec()).collect(),
            Look::Same => Vec::new(),
            Look::Other => panic!("not only files changed"),
        }
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.workspace.tree().join(path)
    }
}

pub(super) fn git(directory: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=A", "-c", "user.email=a@b"]).args(arguments);
    assert!(command.current_dir(directory).status().unwrap().success());
}
