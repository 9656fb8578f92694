//! Ignored files that a task keeps all the same.

use std::collections::BTreeSet;

use makima_worker::workspace::{Workspace, snapshot};

use crate::fixture::{Fixture, assert_same_work, checkpoint, files, git, restore_patch, write};

fn workspace(fixture: &Fixture, globs: &[&str]) -> Workspace {
    let globs: Vec<_> = globs.iter().map(|&glob| glob.to_owned()).collect();
    fixture.workspace().keeping(&globs)
}

/// Fills a tree with ignored files, and returns those that a snapshot has beyond the base.
fn kept(globs: &[&str]) -> BTreeSet<String> {
    let fixture = Fixture::new();
    let workspace = workspace(&fixture, globs);
    for path in [
        "a.log",
        "deep/b.log",
        "target/debug/app",
        "target/report.json",
        "target/debug/c.log",
        "target/.git/config",
        "target/keep/.gitignore",
        "target/keep/x",
    ] {
        write(&workspace.tree(), path, if path.ends_with(".gitignore") { "*\n" } else { path });
    }
    let tree = snapshot(&workspace).unwrap().tree_id;
    let base = workspace.base_commit();
    let listing =
        git(&workspace.host_git(), &["--git-dir=.", "diff-tree", "-r", "-z", "--name-only", &base, &tree]);
    listing.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

#[test]
fn globs_name_files_at_any_depth_directories_whole_and_exceptions() {
    let set = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(kept(&[]), set(&[]));
    assert_eq!(kept(&["*.log"]), set(&["a.log", "deep/b.log", "target/debug/c.log"]));
    assert_eq!(kept(&["/a.log", "target/report.json"]), set(&["a.log", "target/report.json"]));
    assert_eq!(kept(&["target/**/app"]), set(&["target/debug/app"]));
    let below_target = [
        "target/debug/app",
        "target/debug/c.log",
        "target/keep/.gitignore",
        "target/keep/x",
        "target/report.json",
    ];
    assert_eq!(kept(&["target/"]), set(&below_target));
    assert_eq!(
        kept(&["target/", "!*.log", "!target/keep"]),
        set(&["target/debug/app", "target/report.json"])
    );
    assert_eq!(kept(&["missing", "src/"]), set(&[]));
}

#[test]
fn kept_files_come_back_and_stay_kept_until_they_are_gone() {
    let fixture = Fixture::new();
    let first = workspace(&fixture, &["target/"]);
    write(&first.tree(), "target/cache", "warm");
    write(&first.tree(), "other.log", "left out");
    let patch = checkpoint(&first);
    let second = workspace(&fixture, &["target/"]);
    restore_patch(&second, &patch).unwrap();
    assert_eq!(files(&second.tree(), &[]), files(&first.tree(), &["other.log"]));
    assert_same_work(&checkpoint(&second), &patch);
    std::fs::remove_dir_all(second.tree().join("target")).unwrap();
    assert!(!snapshot(&second).unwrap().changed);
}
