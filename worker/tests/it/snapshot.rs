//! What a snapshot holds, and what it leaves alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use makima_worker::workspace::{Workspace, snapshot};

use crate::fixture::{Fixture, bytes_path, files, git, write};

fn stored(workspace: &Workspace) -> Vec<String> {
    let taken = snapshot(workspace).unwrap();
    let host = workspace.host_git();
    let listing = git(&host, &["--git-dir=.", "ls-tree", "-r", "--name-only", &taken.tree_id]);
    listing.lines().map(str::to_owned).collect()
}

/// Changes a tree in every way that an agent may.
pub(crate) fn change_everything(tree: &Path) {
    write(tree, "README.md", "changed\n");
    write(tree, "staged.txt", "staged\n");
    git(tree, &["add", "staged.txt"]);
    write(tree, "untracked/new.txt", "new\n");
    write(tree, "untracked/empty", "");
    fs::remove_file(tree.join("src/lib.rs")).unwrap();
    fs::set_permissions(tree.join("run.sh"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(tree.join("src/main.rs"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(tree.join("link")).unwrap();
    symlink("deep/er", tree.join("link")).unwrap();
    symlink("/no/where", tree.join("dangling")).unwrap();
    write(tree, "logo.bin", (0..=255).cycle().take(70_000).collect::<Vec<u8>>());
    write(tree, bytes_path(b"not-utf8-\xff\xfe/\xf0.txt"), "bytes\n");
    write(tree, "spaces and \"quotes\"\n.txt", "odd\n");
    write(tree, "back\\slash", "odd\n");
    write(tree, "no newline", "at the end");
    write(tree, "crlf.txt", "a\r\nb\nc\r");
    fs::remove_dir_all(tree.join("deep")).unwrap();
    write(tree, "deep", "a file now\n");
    fs::remove_file(tree.join("empty")).unwrap();
    write(tree, "empty/is/a/directory", "now\n");
}

#[test]
fn all_kinds_of_changes_are_stored_and_ignored_files_are_not() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    change_everything(&workspace.tree());
    write(&workspace.tree(), "target/built", "x");
    write(&workspace.tree(), "noise.log", "x");
    let taken = snapshot(&workspace).unwrap();
    assert!(taken.changed);
    assert_eq!(taken.skipped.count, 0, "{:?}", taken.skipped);
    let copy = fixture.carried_over(&workspace);
    assert_eq!(files(&copy.tree(), &[]), files(&workspace.tree(), &["target", "noise.log"]));
}

#[test]
fn snapshot_leaves_the_git_directory_of_the_agent_as_it_is() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    change_everything(&workspace.tree());
    let before = files(&workspace.tree().join(".git"), &[]);
    snapshot(&workspace).unwrap();
    assert_eq!(files(&workspace.tree().join(".git"), &[]), before);
}

#[test]
fn snapshot_sees_each_change_once_and_again_when_it_is_undone() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let clean = snapshot(&workspace).unwrap();
    // Same size, and so soon after the last snapshot that the clock of the file system may not have moved.
    for round in 0..50 {
        write(&workspace.tree(), "README.md", format!("hell{}\n", round % 10));
        let first = snapshot(&workspace).unwrap();
        write(&workspace.tree(), "README.md", format!("hall{}\n", round % 10));
        assert_ne!(snapshot(&workspace).unwrap().tree_id, first.tree_id, "{round}");
    }
    write(&workspace.tree(), "README.md", "hello\n");
    assert_eq!(snapshot(&workspace).unwrap(), clean);
}

#[test]
fn nested_repositories_are_stored_as_files() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    for (name, commits) in [("with", true), ("without", false), ("with/inner", true)] {
        write(&tree, format!("{name}/file"), name);
        write(&tree, format!("{name}/.gitignore"), "ignored\n");
        write(&tree, format!("{name}/ignored"), "x");
        write(&tree, format!("{name}/trace.log"), "x");
        git(&tree.join(name), &["init", "-q"]);
        if commits {
            git(&tree.join(name), &["add", "."]);
            git(&tree.join(name), &["commit", "-qm", "nested"]);
        }
    }
    fs::create_dir_all(tree.join("bare-init")).unwrap();
    git(&tree.join("bare-init"), &["init", "-q"]);
    let expected = [
        "with/.gitignore",
        "with/file",
        "with/inner/.gitignore",
        "with/inner/file",
        "without/.gitignore",
        "without/file",
    ];
    for _ in 0..2 {
        let mut listed = stored(&workspace);
        listed.retain(|path| path.starts_with("with"));
        assert_eq!(listed, expected);
    }
    write(&tree, "with/file", "changed");
    write(&tree, "with/inner/more", "more");
    fs::remove_file(tree.join("without/file")).unwrap();
    let copy = fixture.carried_over(&workspace);
    assert_eq!(fs::read(copy.tree().join("with/file")).unwrap(), b"changed");
    assert!(copy.tree().join("with/inner/more").exists());
    assert!(!copy.tree().join("without/file").exists());
    assert!(!copy.tree().join("with/.git").exists());
}

#[test]
fn tracked_directory_that_became_a_repository_is_still_stored() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    git(&workspace.tree().join("src"), &["init", "-q"]);
    write(&workspace.tree(), "src/new.rs", "new");
    let listed = stored(&workspace);
    assert!(
        listed.contains(&"src/new.rs".to_owned()) && listed.contains(&"src/main.rs".to_owned()),
        "{listed:?}"
    );
}

#[test]
fn submodules_of_the_base_stay_until_they_are_replaced() {
    let inner = Fixture::new();
    let url = inner.url();
    let fixture = Fixture::with(|source| {
        write(source, "file", "x");
        git(source, &["submodule", "--quiet", "add", &url, "module"]);
        git(source, &["submodule", "--quiet", "add", &url, "other"]);
    });
    let workspace = fixture.workspace();
    assert!(!snapshot(&workspace).unwrap().changed);
    git(&workspace.tree(), &["clone", "-q", &url, "module"]);
    write(&workspace.tree(), "module/new", "not ours");
    assert!(!snapshot(&workspace).unwrap().changed);
    write(&workspace.tree(), "other/vendored", "ours");
    let listed = stored(&workspace);
    assert_eq!(listed, [".gitmodules", "file", "module", "other/vendored"]);
    let copy = fixture.carried_over(&workspace);
    assert!(copy.tree().join("other/vendored").exists());
    fs::remove_dir(copy.tree().join("module")).unwrap();
    assert_eq!(stored(&copy), [".gitmodules", "file", "other/vendored"]);
}

#[test]
fn what_is_no_file_is_left_out() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    nix::unistd::mkfifo(&tree.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
    fs::remove_file(tree.join("README.md")).unwrap();
    nix::unistd::mkfifo(&tree.join("README.md"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    write(&tree, "file", "x");
    let has_device = make_device(&tree.join("device"));
    let named = snapshot(&workspace).unwrap().skipped.first.join("\n");
    let listed = stored(&workspace);
    assert!(listed.contains(&"file".to_owned()));
    for name in ["pipe", "socket", "README.md", "device"] {
        assert!(!listed.contains(&name.to_owned()), "{name}");
        assert!(named.contains(&format!("{name}: neither")) || name == "device" && !has_device, "{named}");
    }
}

/// Makes a device that never stops giving zeros, which takes root's rights, or else the one that any user of Linux 5.8 and
/// newer may make.
fn make_device(path: &Path) -> bool {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let made = [makedev(1, 5), makedev(0, 0)]
        .into_iter()
        .any(|device| mknod(path, SFlag::S_IFCHR, Mode::S_IRWXU, device).is_ok());
    if !made {
        println!("not tried: this user may make no device here");
    }
    made
}

#[test]
fn unreadable_files_are_left_out_and_named() {
    if nix::unistd::geteuid().is_root() {
        return; // root may read everything
    }
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    let lock =
        |path: &str, mode| fs::set_permissions(tree.join(path), fs::Permissions::from_mode(mode)).unwrap();
    write(&tree, "closed/inside", "x");
    write(&tree, "secret", "x");
    write(&tree, "README.md", "changed and closed");
    write(&tree, "open", "x");
    lock("closed", 0);
    lock("secret", 0);
    lock("README.md", 0);
    let taken = snapshot(&workspace).unwrap();
    lock("closed", 0o700);
    assert!(taken.skipped.count >= 2, "{:?}", taken.skipped);
    let named = taken.skipped.first.join("\n");
    assert!(named.contains("secret") && named.contains("README.md"), "{named}");
    assert!(stored(&workspace).contains(&"open".to_owned()));
}

#[test]
fn ignored_files_that_the_agent_added_are_stored() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    write(&workspace.tree(), "kept.log", "x");
    write(&workspace.tree(), "other.log", "x");
    git(&workspace.tree(), &["add", "-f", "kept.log"]);
    let listed = stored(&workspace);
    assert!(listed.contains(&"kept.log".to_owned()));
    assert!(!listed.contains(&"other.log".to_owned()));
    let copy = fixture.carried_over(&workspace);
    assert!(copy.tree().join("kept.log").exists());
}

#[test]
fn snapshot_succeeds_while_the_tree_changes_under_it() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    let running = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while running.load(std::sync::atomic::Ordering::Relaxed) {
                round += 1;
                write(&tree, format!("busy/{}/file", round % 7), vec![b'x'; round % 9_000]);
                write(&tree, "growing", vec![b'y'; round * 13 % 90_000]);
                let _ = fs::remove_dir_all(tree.join(format!("busy/{}", (round + 3) % 7)));
            }
        });
        let taken: Vec<_> = (0..30).map(|_| snapshot(&workspace).map(|taken| taken.tree_id)).collect();
        running.store(false, std::sync::atomic::Ordering::Relaxed);
        taken.into_iter().for_each(|tree| drop(tree.unwrap()));
    });
    let copy = fixture.carried_over(&workspace);
    assert_eq!(files(&copy.tree(), &[]), files(&tree, &[]));
}

#[test]
fn objects_of_old_snapshots_are_removed_and_the_last_one_stays_whole() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    write(&workspace.tree(), "deep/new/file", "stays");
    for round in 0..6 {
        write(&workspace.tree(), "artefact", vec![round; 60 << 20]);
        snapshot(&workspace).unwrap();
    }
    let objects = git(&workspace.host_git(), &["--git-dir=.", "count-objects"]);
    let count: usize = objects.split(' ').next().unwrap().parse().unwrap();
    assert!(count < 10, "{objects}");
    let copy = fixture.carried_over(&workspace);
    assert_eq!(files(&copy.tree(), &[]), files(&workspace.tree(), &[]));
}

#[test]
fn vanished_tree_is_an_error_of_its_own() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    fs::remove_dir_all(workspace.tree()).unwrap();
    let error = snapshot(&workspace).unwrap_err();
    assert!(matches!(error, makima_worker::workspace::SnapshotError::TreeGone(_)), "{error}");
}
