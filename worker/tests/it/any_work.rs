//! Any work of an agent comes back: random edits in rounds, each round carried over to a fresh workspace and compared.
//!
//! `MAKIMA_CASES=2000` sets how many cases are tried.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use makima_worker::workspace::{Workspace, agent_refs, snapshot};
use proptest::prelude::*;

use crate::fixture::{Fixture, bundle, bytes_path, files, git, write};

const DEFAULT_CASES: u32 = 16;
/// Longer than a file system's clock takes to tick.
const AT_REST: Duration = Duration::from_millis(60);

/// What an agent may do to its workspace. Paths are relative, and may lead anywhere: what cannot be done is not done.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    Write(Vec<u8>, Vec<u8>),
    /// Writes a file where it stands.
    Overwrite(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Rename(Vec<u8>, Vec<u8>),
    Link(Vec<u8>, Vec<u8>),
    Mode(Vec<u8>, u32),
    /// Makes a repository of a directory, with a commit or without.
    Nest(Vec<u8>, bool),
    /// Runs git in the tree.
    Git(&'static [&'static str]),
    /// Runs git in the tree with a path at the end.
    GitPath(&'static [&'static str], Vec<u8>),
    /// Leaves a merge, or a rebase, half-way in a conflict.
    HalfWay(&'static str),
    /// Takes a checkpoint in between.
    Checkpoint,
    /// Lets the tree come to rest, so that the next snapshots go by what the one before has seen.
    Rest,
}

/// What an agent may have git do, on whatever branch it is.
const COMMANDS: &[&[&str]] = &[
    &["add", "-A"],
    &["add", "-u"],
    &["reset", "-q"],
    &["commit", "-qm", "staged"],
    &["commit", "-qam", "all"],
    &["commit", "-q", "--allow-empty", "-m", "empty"],
    &["commit", "-q", "--amend", "--allow-empty", "-m", "amended"],
    &["branch", "-f", "aside"],
    &["branch", "feature/deep", "HEAD~1"],
    &["branch", "-D", "aside"],
    &["branch", "-m", "renamed"],
    &["checkout", "-q", "-b", "side"],
    &["checkout", "-q", "side"],
    &["checkout", "-qf", "main"],
    &["checkout", "-q", "aside"],
    &["checkout", "-q", "--detach"],
    &["checkout", "-q", "--detach", "HEAD~1"],
    &["checkout", "-q", "--orphan", "alone"],
    &["merge", "-q", "--no-edit", "side"],
    &["merge", "-q", "--no-ff", "--no-edit", "main"],
    &["merge", "-q", "--no-commit", "--no-ff", "aside"],
    &["merge", "--abort"],
    &["rebase", "-q", "main"],
    &["cherry-pick", "side"],
    &["revert", "--no-edit", "HEAD"],
    &["reset", "-q", "--soft", "HEAD~1"],
    &["reset", "-q", "--hard", "HEAD~1"],
    &["stash", "-q"],
    &["stash", "pop", "-q"],
    &["pack-refs", "--all"],
    &["repack", "-qad"],
    &["gc", "-q", "--prune=now"],
    &["add", "-f", "target/built", "noise.log"],
    &["clean", "-qfd"],
    &["add", "-N", "."],
    &["update-index", "--assume-unchanged", "README.md"],
    &["tag", "-f", "v1"],
];

const PATH_COMMANDS: &[&[&str]] =
    &[&["add", "--"], &["rm", "-qrf", "--"], &["rm", "-qr", "--cached", "--"], &["checkout", "-q", "--"]];

fn path() -> impl Strategy<Value = Vec<u8>> {
    let names: [&[u8]; 14] = [
        b"a",
        b"b",
        b"README.md",
        b"src",
        b"main.rs",
        b"\xff\xfe",
        b"x y\n",
        b"quote\"\\\t",
        b"win.crlf",
        b"big.lfs",
        b"run.sh",
        b"noise.log",
        b"target",
        b"built",
    ];
    let name = prop::sample::select(names.map(<[u8]>::to_vec).to_vec());
    prop::collection::vec(name, 1..4).prop_map(|names| names.join(&b'/'))
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{:064}\nsize 7\n", 1);
    prop_oneof![
        1 => Just(Vec::new()),
        1 => Just(pointer.into_bytes()),
        2 => prop::collection::vec(any::<u8>(), 1..300),
        2 => "[a-c\r\n]{0,60}".prop_map(String::into_bytes),
        1 => (1_usize..40_000).prop_map(|length| (0..=255).cycle().take(length).collect()),
    ]
}

pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    let targets: [&[u8]; 5] = [b"README.md", b"../../x", b"\xfe", b"src", b"/no/where"];
    let target = prop::sample::select(targets.map(<[u8]>::to_vec).to_vec());
    let mode = prop::sample::select(vec![0o644, 0o755, 0o600, 0o711, 0o444]);
    prop_oneof![
        8 => (path(), content()).prop_map(|(path, content)| Edit::Write(path, content)),
        3 => (path(), content()).prop_map(|(path, content)| Edit::Overwrite(path, content)),
        2 => path().prop_map(Edit::Remove),
        2 => (path(), path()).prop_map(|(from, to)| Edit::Rename(from, to)),
        1 => (path(), target).prop_map(|(path, target)| Edit::Link(path, target)),
        1 => (path(), mode).prop_map(|(path, mode)| Edit::Mode(path, mode)),
        1 => (path(), any::<bool>()).prop_map(|(path, commits)| Edit::Nest(path, commits)),
        3 => Just(Edit::Git(&["add", "-A"])),
        3 => Just(Edit::Git(&["commit", "-qam", "work"])),
        9 => prop::sample::select(COMMANDS).prop_map(Edit::Git),
        2 => (prop::sample::select(PATH_COMMANDS), path()).prop_map(|(command, path)| Edit::GitPath(command, path)),
        1 => prop::sample::select(vec!["merge", "rebase", "cherry-pick"]).prop_map(Edit::HalfWay),
        1 => Just(Edit::Checkpoint),
        1 => Just(Edit::Rest),
    ]
}

/// A remote with two commits, and files with attributes.
pub(crate) fn fixture() -> Fixture {
    Fixture::with(|source| {
        write(source, "old", "old\n");
        git(source, &["add", "-A"]);
        git(source, &["commit", "-qm", "older"]);
        write(source, "README.md", "hello\n");
        write(source, "src/main.rs", "fn main() {}\n");
        write(source, "src/a/b", "deep\n");
        write(source, "win.crlf", "one\ntwo\n");
        write(source, "big.lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
        write(source, "logo.bin", [0, 1, 2, 255, 0, 7]);
        write(source, "empty", "");
        write(source, "run.sh", "#!/bin/sh\n");
        fs::set_permissions(source.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("README.md", source.join("link")).unwrap();
        write(source, ".gitignore", "target/\n*.log\n");
        write(source, ".gitattributes", "*.crlf text eol=crlf\n*.lfs filter=lfs diff=lfs merge=lfs -text\n");
    })
}

/// Runs git as an agent would, and does not mind if it fails.
fn try_git(tree: &Path, arguments: &[&OsStr]) {
    let output = Command::new("git")
        .args(["-c", "user.name=A", "-c", "user.email=a@b", "-c", "core.editor=true"])
        .args(["-c", "advice.detachedHead=false", "-c", "init.defaultBranch=main"])
        .args(["-c", "core.fsync=none"])
        .args(arguments)
        .current_dir(tree)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap())
        .output();
    output.unwrap();
}

fn words<'a>(arguments: &[&'a str]) -> Vec<&'a OsStr> {
    arguments.iter().map(|word| OsStr::new(*word)).collect()
}

/// Does what it can of an edit.
pub(crate) fn perform(workspace: &Workspace, edit: &Edit) {
    let tree = workspace.tree();
    let at = |path: &[u8]| tree.join(bytes_path(path));
    // Never through a link out of the tree.
    let is_inside = |path: &[u8]| {
        at(path).ancestors().skip(1).take_while(|part| *part != tree).all(|part| !part.is_symlink())
    };
    let clear = |path: &Path| match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => drop(fs::remove_dir_all(path)),
        Ok(_) => drop(fs::remove_file(path)),
        Err(_) => drop(path.parent().map(fs::create_dir_all)),
    };
    match edit {
        Edit::Write(path, content) if is_inside(path) => {
            clear(&at(path));
            let _ = fs::write(at(path), content);
        }
        Edit::Overwrite(path, content) if is_inside(path) && !at(path).is_symlink() && at(path).is_file() => {
            let _ = fs::write(at(path), content);
        }
        Edit::Remove(path) if is_inside(path) => clear(&at(path)),
        Edit::Rename(from, to) if is_inside(from) && is_inside(to) && at(from).symlink_metadata().is_ok() => {
            if !at(to).starts_with(at(from)) && !at(from).starts_with(at(to)) {
                clear(&at(to));
                let _ = fs::rename(at(from), at(to));
            }
        }
        Edit::Link(path, target) if is_inside(path) => {
            clear(&at(path));
            let _ = symlink(bytes_path(target), at(path));
        }
        Edit::Mode(path, mode) if is_inside(path) && !at(path).is_symlink() && at(path).is_file() => {
            fs::set_permissions(at(path), fs::Permissions::from_mode(*mode)).unwrap();
        }
        Edit::Nest(path, commits) if is_inside(path) && !at(path).is_symlink() => {
            if fs::create_dir_all(at(path)).is_ok() {
                try_git(&at(path), &words(&["init", "-q"]));
                let _ = fs::write(at(path).join("nested"), "nested\n");
                if *commits {
                    try_git(&at(path), &words(&["add", "-A"]));
                    try_git(&at(path), &words(&["commit", "-qm", "nested"]));
                }
            }
        }
        Edit::Git(command) => try_git(&tree, &words(command)),
        Edit::GitPath(command, path) => {
            try_git(&tree, &[&words(command)[..], &[OsStr::from_bytes(path)]].concat())
        }
        Edit::HalfWay(command) => {
            for (checkout, content) in [
                (["checkout", "-qfB", "theirs", "HEAD"], "a\n"),
                (["checkout", "-qfB", "ours", "HEAD~1"], "b\n"),
            ] {
                try_git(&tree, &words(&checkout));
                perform(workspace, &Edit::Write(b"README.md".to_vec(), content.into()));
                try_git(&tree, &words(&["add", "README.md"]));
                try_git(&tree, &words(&["commit", "-qm", "one of two"]));
            }
            try_git(&tree, &words(&[command, "theirs"]));
        }
        Edit::Checkpoint => {
            bundle(workspace);
            snapshot(workspace).unwrap();
        }
        Edit::Rest => {
            for _ in 0..2 {
                // why: a file system's clock is coarse, and nothing as new as its tick is trusted.
                std::thread::sleep(AT_REST);
                snapshot_as_if_first(workspace);
            }
        }
        Edit::Write(..)
        | Edit::Overwrite(..)
        | Edit::Remove(_)
        | Edit::Rename(..)
        | Edit::Link(..)
        | Edit::Mode(..)
        | Edit::Nest(..) => {}
    }
}

/// Takes a snapshot, by what the one before has seen if that is possible, and compares it with one that looks at everything.
fn snapshot_as_if_first(workspace: &Workspace) {
    let taken = snapshot(workspace).unwrap();
    assert_eq!(snapshot(&workspace.clone().keeping(&[])).unwrap(), taken);
}

/// All files below a tree but those that are ignored and not in its snapshot.
fn kept_files(workspace: &Workspace, tree_id: &str) -> Vec<(PathBuf, String, Vec<u8>)> {
    let host = workspace.host_git();
    let output = Command::new("git")
        .args(["--git-dir=.", "ls-tree", "-rz", "--name-only", tree_id])
        .current_dir(host)
        .output()
        .unwrap();
    let stored: BTreeSet<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
    let is_ignored = |path: &Path| {
        let mut names = path.iter();
        path.extension() == Some(OsStr::new("log"))
            || names.any(|name| name == "target" || name == "noise.log")
    };
    let mut files = files(&workspace.tree(), &[]);
    files.retain(|(path, ..)| !is_ignored(path) || stored.contains(path.as_os_str().as_bytes()));
    files
}

/// What git says of a tree of which nothing is staged, by `index`: what differs from HEAD, without submodules.
fn status(tree: &Path, index: Option<&Path>) -> BTreeSet<Vec<u8>> {
    let run = |arguments: &[&str]| {
        let mut command = Command::new("git");
        if let Some(index) = index {
            command.env("GIT_INDEX_FILE", index);
        }
        command.args(arguments).current_dir(tree).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap()
    };
    if index.is_some() && !run(&["read-tree", "HEAD"]).status.success() {
        run(&["read-tree", "--empty"]);
    }
    let links = run(&["ls-tree", "-rz", "HEAD"]).stdout;
    let links = links.split(|byte| *byte == 0).filter(|line| line.starts_with(b"160000"));
    let links: Vec<_> = links.filter_map(|line| line.splitn(2, |byte| *byte == b'\t').nth(1)).collect();
    let output = run(&["status", "--porcelain", "-z", "-uall", "--no-renames"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|byte| *byte == 0).filter(|line| !line.is_empty());
    lines.filter(|line| !links.contains(&&line[3..])).map(<[u8]>::to_vec).collect()
}

fn remove_nested_git_dirs(directory: &Path, is_root: bool) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_type().unwrap().is_dir() {
            continue;
        }
        if entry.file_name() != ".git" {
            remove_nested_git_dirs(&entry.path(), false);
        } else if !is_root {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}

/// Carries the work over and compares everything. Returns the copy.
pub(crate) fn carry_over(fixture: &Fixture, from: &Workspace) -> Result<Workspace, TestCaseError> {
    let copy = fixture.carried_over_with_commits(from);
    snapshot_as_if_first(from);
    let tree_id = snapshot(from).unwrap().tree_id;
    prop_assert_eq!(&snapshot(&copy).unwrap().tree_id, &tree_id);
    prop_assert_eq!(kept_files(&copy, &tree_id), kept_files(from, &tree_id));
    prop_assert_eq!(agent_refs(&copy), agent_refs(from));
    let refs = ["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads"];
    prop_assert_eq!(git(&copy.tree(), &refs), git(&from.tree(), &refs));
    let head = ["rev-parse", "--symbolic-full-name", "HEAD"];
    let has_head = |workspace: &Workspace| {
        let mut head = Command::new("git");
        head.args(["rev-parse", "-q", "--verify", "HEAD"]).current_dir(workspace.tree());
        head.output().unwrap().stdout
    };
    prop_assert_eq!(has_head(&copy), has_head(from));
    if !has_head(from).is_empty() {
        prop_assert_eq!(git(&copy.tree(), &head), git(&from.tree(), &head));
    }
    git(&copy.tree(), &["fsck", "--connectivity-only", "--no-dangling"]);
    // What is a repository in a repository comes back as files.
    remove_nested_git_dirs(&from.tree(), true);
    let index = from.root().join("nothing-staged.index");
    prop_assert_eq!(status(&copy.tree(), None), status(&from.tree(), Some(&index)));
    Ok(copy)
}

/// Does all rounds, each in the copy of the one before.
pub(crate) fn play(fixture: &Fixture, rounds: &[Vec<Edit>]) -> Result<(), TestCaseError> {
    let mut workspace = fixture.workspace();
    for edits in rounds {
        edits.iter().for_each(|edit| perform(&workspace, edit));
        let copy = carry_over(fixture, &workspace)?;
        workspace.remove().unwrap();
        workspace = copy;
    }
    workspace.remove().unwrap();
    Ok(())
}

#[test]
fn any_work_comes_back() {
    let cases =
        std::env::var("MAKIMA_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(DEFAULT_CASES);
    let config = ProptestConfig { failure_persistence: None, cases, ..ProptestConfig::default() };
    let rounds = prop::collection::vec(prop::collection::vec(edit(), 1..14), 1..4);
    let fixture = fixture();
    proptest!(config, |(rounds in rounds)| { play(&fixture, &rounds)?; });
    println!("{cases} cases came back without a difference");
}
