//! What an agent finds in its workspace, and that nothing is left of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use makima_worker::git::Cancel;
use makima_worker::workspace::{Base, Workspace, remove_directory, snapshot};

use crate::fixture::{Fixture, checkpoint, files, git, restore_patch, write};

#[test]
fn agent_finds_a_clean_tree_on_the_branch_of_its_base() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    assert_eq!(git(&tree, &["status", "--porcelain"]), "");
    assert_eq!(git(&tree, &["branch", "--show-current"]), "main");
    assert_eq!(git(&tree, &["rev-parse", "HEAD"]), workspace.base_commit());
    assert_eq!(git(&tree, &["rev-parse", "origin/main"]), workspace.base_commit());
    assert_eq!(files(&tree, &[]), files(&fixture.dir.path().join("source"), &[]));
    git(&tree, &["fsck"]);
}

#[test]
fn a_work_tree_that_vanished_or_was_swapped_is_gone() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    assert!(!workspace.is_gone());
    let (tree, aside) = (workspace.tree(), workspace.root().join("aside"));
    fs::rename(&tree, &aside).unwrap();
    assert!(workspace.is_gone());
    std::os::unix::fs::symlink(&aside, &tree).unwrap();
    assert!(workspace.is_gone());
    fs::remove_file(&tree).unwrap();
    fs::write(&tree, "a file").unwrap();
    assert!(workspace.is_gone());
    fs::remove_file(&tree).unwrap();
    fs::rename(&aside, &tree).unwrap();
    assert!(!workspace.is_gone());
}

#[test]
fn agent_can_commit_fetch_and_has_no_credentials() {
    let fixture = Fixture::new();
    let fetched = fixture.fetched();
    let base = Base {
        cache_git_dir: &fetched.git_dir,
        commit: &fetched.base_commit,
        branch_name: Some("main"),
        url: Some("https://user:secret@example.com/x.git"),
    };
    let workspace = Workspace::create(&fixture.dir.path().join("w"), &base, &Cancel::default()).unwrap();
    let tree = workspace.tree();
    assert_eq!(git(&tree, &["remote", "get-url", "origin"]), "https://example.com/x.git");
    assert_eq!(git(&tree, &["config", "--local", "user.name"]), "makima");
    write(&tree, "new", "x");
    git(&tree, &["add", "."]);
    git(&tree, &["commit", "-qm", "mine"]);
    let workspace = fixture.workspace();
    git(&workspace.tree(), &["fetch", "-q"]);
}

#[test]
fn agent_can_commit_where_another_was_killed_in_a_git_command() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    workspace.note_whole().unwrap();
    let (place, base) = (workspace.root().to_owned(), workspace.base_commit());
    let git_dir = workspace.tree().join(".git");
    let locks = ["index.lock", "HEAD.lock", "refs/heads/main.lock", "refs/heads/deep/er.lock"];
    for lock in locks {
        write(&git_dir, lock, "");
    }
    let outside = fixture.dir.path().join("outside");
    write(&outside, "file.lock", "not the agent's");
    std::os::unix::fs::symlink(&outside, git_dir.join("refs/heads/link")).unwrap();
    std::os::unix::fs::symlink(outside.join("file.lock"), git_dir.join("link.lock")).unwrap();

    let root = fixture.dir.path().join("next");
    let copy = fixture.fetched().git_dir;
    let workspace = Workspace::take_up(&place, &root, &copy, &base, &Cancel::default()).unwrap();
    let git_dir = workspace.tree().join(".git");
    assert!(locks.iter().all(|lock| !git_dir.join(lock).exists()));
    assert!(git_dir.join("link.lock").symlink_metadata().is_err());
    assert_eq!(fs::read_to_string(outside.join("file.lock")).unwrap(), "not the agent's");
    fs::remove_file(git_dir.join("refs/heads/link")).unwrap();
    write(&workspace.tree(), "new", "x");
    git(&workspace.tree(), &["add", "."]);
    git(&workspace.tree(), &["commit", "-qm", "mine"]);
    assert_ne!(git(&workspace.tree(), &["rev-parse", "HEAD"]), base);
}

#[test]
fn a_workspace_whose_git_directory_is_a_link_is_taken_up_and_the_link_not_followed() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    workspace.note_whole().unwrap();
    let (place, base) = (workspace.root().to_owned(), workspace.base_commit());
    let outside = fixture.dir.path().join("outside");
    fs::rename(workspace.tree().join(".git"), &outside).unwrap();
    write(&outside, "index.lock", "");
    std::os::unix::fs::symlink(&outside, workspace.tree().join(".git")).unwrap();
    let root = fixture.dir.path().join("next");
    let copy = fixture.fetched().git_dir;
    Workspace::take_up(&place, &root, &copy, &base, &Cancel::default()).unwrap();
    assert!(outside.join("index.lock").exists());
}

#[test]
fn a_workspace_whose_worker_was_killed_while_it_restored_is_not_taken_up() {
    let fixture = Fixture::new();
    let before = fixture.workspace();
    write(&before.tree(), "README.md", "the work\n");
    let patch = checkpoint(&before);
    let copy = fixture.fetched().git_dir;
    let root = fixture.dir.path().join("next");
    let take_up = |workspace: &Workspace| {
        Workspace::take_up(workspace.root(), &root, &copy, &workspace.base_commit(), &Cancel::default())
    };
    // Whatever is there, it may not be the work.
    let half = fixture.workspace();
    take_up(&half).unwrap_err();
    restore_patch(&half, &patch).unwrap();
    take_up(&half).unwrap_err();
    half.note_whole().unwrap();
    assert_eq!(snapshot(&take_up(&half).unwrap()).unwrap().tree_id, patch.tree_id);
}

#[test]
fn fresh_workspace_has_no_changes() {
    let workspace = Fixture::new().workspace_kept();
    let taken = snapshot(&workspace.0).unwrap();
    assert!(!taken.changed, "{taken:?}");
    assert_eq!(taken.skipped.count, 0);
    assert!(workspace.0.tree().join(".git").is_dir());
}

#[test]
fn detached_base_gives_a_detached_head() {
    let fixture = Fixture::new();
    let fetched = fixture.fetched();
    let base =
        Base { cache_git_dir: &fetched.git_dir, commit: &fetched.base_commit, branch_name: None, url: None };
    let workspace = Workspace::create(&fixture.dir.path().join("w"), &base, &Cancel::default()).unwrap();
    assert_eq!(git(&workspace.tree(), &["branch", "--show-current"]), "");
    assert_eq!(git(&workspace.tree(), &["status", "--porcelain"]), "");
}

#[test]
fn leftovers_of_an_earlier_attempt_are_replaced() {
    let fixture = Fixture::new();
    write(&fixture.dir.path().join("data/tasks/task-0"), "tree/old", "old");
    let workspace = fixture.workspace();
    assert!(!workspace.tree().join("old").exists());
}

#[test]
fn removal_takes_directories_without_write_permission_and_follows_no_link() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let outside = fixture.dir.path().join("outside");
    write(&outside, "precious", "x");
    std::os::unix::fs::symlink(&outside, workspace.tree().join("way-out")).unwrap();
    write(&workspace.home(), "mod/cache/file", "x");
    for directory in ["mod/cache", "mod"] {
        fs::set_permissions(workspace.home().join(directory), fs::Permissions::from_mode(0o555)).unwrap();
    }
    let root = workspace.root().to_owned();
    workspace.remove().unwrap();
    assert!(!root.exists());
    assert!(outside.join("precious").exists());
    remove_directory(&root).unwrap();
}

impl Fixture {
    fn workspace_kept(self) -> (Workspace, Self) {
        (self.workspace(), self)
    }
}
