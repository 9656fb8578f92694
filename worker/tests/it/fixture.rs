//! A repository, the worker's copy of it, and workspaces over that copy.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use makima_worker::git::Cancel;
use makima_worker::repository::{Fetched, Remote, RepositoryCache};
use makima_worker::workspace::{
    AgentRefs, Base, BundleError, CommitBundle, Patch, PatchLimits, RestoreError, SavedCommits, SavedPatch,
    Workspace, agent_refs, make_bundle, make_patch, refs_of_base, restore, restore_commits, snapshot,
};
use tempfile::TempDir;

/// Runs git as a person or an agent would, and returns what it printed.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=A", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"])
        .args(["-c", "protocol.file.allow=always", "-c", "safe.directory=*"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

pub(crate) fn write(directory: &Path, path: impl AsRef<OsStr>, content: impl AsRef<[u8]>) {
    let file = directory.join(path.as_ref());
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
}

pub(crate) fn bytes_path(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

/// A remote with one commit on `main`, and a cache.
pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) cache: RepositoryCache,
    workspaces: std::cell::Cell<u32>,
}

impl Fixture {
    /// Makes the remote with files of most kinds.
    pub(crate) fn new() -> Self {
        Self::with(|source| {
            write(source, "README.md", "hello\n");
            write(source, "src/main.rs", "fn main() {}\n");
            write(source, "src/lib.rs", "//! lib\n");
            write(source, "deep/er/and/deeper.txt", "deep\n");
            write(source, "logo.bin", [0, 1, 2, 255, 0, 7]);
            write(source, "empty", "");
            write(source, "run.sh", "#!/bin/sh\n");
            fs::set_permissions(source.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
            symlink("README.md", source.join("link")).unwrap();
            write(source, ".gitignore", "target/\n*.log\n");
        })
    }

    /// Makes the remote with the files that `fill` writes.
    pub(crate) fn with(fill: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::create_dir(&source).unwrap();
        git(&source, &["init", "-q"]);
        fill(&source);
        git(&source, &["add", "-A"]);
        git(&source, &["commit", "-qm", "base"]);
        git(dir.path(), &["clone", "-q", "--bare", "source", "remote.git"]);
        let cache = RepositoryCache::new(dir.path().join("data"));
        Self { dir, cache, workspaces: 0.into() }
    }

    pub(crate) fn remote(&self) -> PathBuf {
        self.dir.path().join("remote.git")
    }

    pub(crate) fn url(&self) -> String {
        self.remote().to_str().unwrap().to_owned()
    }

    pub(crate) fn fetched(&self) -> Fetched {
        self.cache.fetch(&self.url(), None, &Cancel::default()).unwrap()
    }

    /// Returns the remote as a push wants it.
    pub(crate) fn address(&self) -> Remote {
        self.cache.remote(&self.url()).unwrap()
    }

    /// Makes a workspace on the tip of the remote.
    pub(crate) fn workspace(&self) -> Workspace {
        let fetched = self.fetched();
        let number = self.workspaces.replace(self.workspaces.get() + 1);
        let base = Base {
            cache_git_dir: &fetched.git_dir,
            commit: &fetched.base_commit,
            branch_name: fetched.branch_name.as_deref(),
            url: Some(&self.url()),
        };
        Workspace::create(
            &self.dir.path().join(format!("data/tasks/task-{number}")),
            &base,
            &Cancel::default(),
        )
        .unwrap()
    }

    /// Takes a checkpoint of `from`, restores it in a new workspace and returns that.
    pub(crate) fn carried_over(&self, from: &Workspace) -> Workspace {
        let patch = checkpoint(from);
        let to = self.workspace();
        restore_patch(&to, &patch).unwrap();
        to
    }

    /// The same, with the agent's commits.
    pub(crate) fn carried_over_with_commits(&self, from: &Workspace) -> Workspace {
        let bundle = bundle(from);
        let to = self.carried_over(from);
        if let Some(bundle) = bundle {
            restore_bundle(&to, &bundle).unwrap();
        }
        to
    }
}

/// Packs the agent's commits; none if it has made none.
pub(crate) fn bundle(workspace: &Workspace) -> Option<CommitBundle> {
    let refs: AgentRefs = agent_refs(workspace)?;
    let is_new = refs_of_base(workspace).as_ref() != Some(&refs);
    is_new.then(|| make_bundle(workspace, &refs, 10 << 20).unwrap())
}

pub(crate) fn restore_bundle(workspace: &Workspace, bundle: &CommitBundle) -> Result<(), BundleError> {
    let refs = serde_json::to_value(&bundle.refs).unwrap();
    restore_commits(workspace, &SavedCommits { pack: &bundle.pack, refs: &refs, sha256: &bundle.sha256 })
}

pub(crate) fn checkpoint(workspace: &Workspace) -> Patch {
    let taken = snapshot(workspace).unwrap();
    make_patch(workspace, &taken.tree_id, PatchLimits::default()).unwrap()
}

/// Checks that two checkpoints are of the same work. Their bytes may differ: how a text is compressed depends on the
/// pieces in which it came.
pub(crate) fn assert_same_work(patch: &Patch, other: &Patch) {
    let text = |patch: &Patch| {
        let mut text = Vec::new();
        GzDecoder::new(patch.gzip.as_slice()).read_to_end(&mut text).unwrap();
        text
    };
    assert_eq!(patch.tree_id, other.tree_id);
    assert!(text(patch) == text(other), "two patches lead to {}", patch.tree_id);
}

pub(crate) fn restore_patch(workspace: &Workspace, patch: &Patch) -> Result<(), RestoreError> {
    let saved = SavedPatch { gzip: &patch.gzip, sha256: &patch.sha256, tree_id: &patch.tree_id };
    restore(workspace, &saved, PatchLimits::default())
}

/// Returns every file and link below `root` with its kind, mode and content, but for `.git` and what `skip` names.
pub(crate) fn files(root: &Path, skip: &[&str]) -> Vec<(PathBuf, String, Vec<u8>)> {
    let mut found = Vec::new();
    collect(root, root, skip, &mut found);
    found.sort();
    found
}

fn collect(root: &Path, directory: &Path, skip: &[&str], found: &mut Vec<(PathBuf, String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let relative = path.strip_prefix(root).unwrap().to_owned();
        if path.file_name().unwrap() == ".git" || skip.iter().any(|name| relative == Path::new(name)) {
            continue;
        }
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            collect(root, &path, skip, found);
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec();
            found.push((relative, "link".into(), target));
        } else {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            found.push((relative, format!("file {executable}"), fs::read(&path).unwrap()));
        }
    }
}
