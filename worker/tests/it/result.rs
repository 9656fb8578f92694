//! The commit that a task results in.

use std::fs;
use std::path::Path;

use makima_worker::workspace::{Author, Workspace, commit_result, snapshot};

use crate::fixture::{Fixture, git, write};

fn result(workspace: &Workspace) -> Option<String> {
    let tree = snapshot(workspace).unwrap().tree_id;
    commit_result(workspace, &tree, "Do the task\n\nAll of it.", Author::default()).unwrap()
}

fn host_git(workspace: &Workspace, arguments: &[&str]) -> String {
    let host = workspace.host_git();
    let git_dir = format!("--git-dir={}", host.display());
    git(&host, &[&[git_dir.as_str()], arguments].concat())
}

fn files_of(workspace: &Workspace, commit: &str) -> Vec<String> {
    let listing = host_git(workspace, &["ls-tree", "-r", "--name-only", commit]);
    listing.lines().map(str::to_owned).collect()
}

fn history(workspace: &Workspace, commit: &str) -> String {
    host_git(workspace, &["log", "--format=%s", &format!("{}..{commit}", workspace.base_commit())])
}

#[test]
fn nothing_done_is_no_result() {
    let fixture = Fixture::new();
    assert_eq!(result(&fixture.workspace()), None);
}

#[test]
fn uncommitted_work_becomes_one_commit_on_the_base() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    write(&workspace.tree(), "new", "x");
    fs::remove_file(workspace.tree().join("README.md")).unwrap();
    let commit = result(&workspace).unwrap();
    assert_eq!(history(&workspace, &commit), "Do the task");
    assert_eq!(host_git(&workspace, &["rev-parse", &format!("{commit}^")]), workspace.base_commit());
    let files = files_of(&workspace, &commit);
    assert!(files.contains(&"new".into()) && !files.contains(&"README.md".into()));
    assert_eq!(
        host_git(&workspace, &["log", "-1", "--format=%an <%ae>", &commit]),
        "makima <makima@localhost>"
    );
}

#[test]
fn commits_of_the_agent_are_kept_below_what_is_uncommitted() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    for name in ["one", "two"] {
        write(&tree, name, name);
        git(&tree, &["add", "."]);
        git(&tree, &["commit", "-qm", name]);
    }
    let clean = result(&workspace).unwrap();
    assert_eq!(clean, git(&tree, &["rev-parse", "HEAD"]));
    write(&tree, "three", "x");
    let commit = result(&workspace).unwrap();
    assert_eq!(history(&workspace, &commit), "Do the task\ntwo\none");
    host_git(&workspace, &["fsck", "--connectivity-only", &commit]);
}

#[test]
fn commits_of_the_agent_are_found_packed_and_on_other_branches() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    git(&tree, &["checkout", "-qb", "feature/x"]);
    write(&tree, "one", "x");
    git(&tree, &["add", "."]);
    git(&tree, &["commit", "-qm", "one"]);
    git(&tree, &["checkout", "-q", "main"]);
    git(&tree, &["merge", "-q", "--no-ff", "-m", "merge", "feature/x"]);
    git(&tree, &["gc", "-q"]);
    let commit = result(&workspace).unwrap();
    assert_eq!(commit, git(&tree, &["rev-parse", "HEAD"]));
    assert_eq!(history(&workspace, &commit), "merge\none");
    git(&tree, &["checkout", "-q", "--detach"]);
    assert_eq!(result(&workspace).unwrap(), commit);
}

#[test]
fn history_that_does_not_descend_from_the_base_becomes_one_commit() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    git(&tree, &["checkout", "-q", "--orphan", "alone"]);
    write(&tree, "new", "x");
    git(&tree, &["add", "-A"]);
    git(&tree, &["commit", "-qm", "orphan"]);
    let commit = result(&workspace).unwrap();
    assert_eq!(history(&workspace, &commit), "Do the task");
    assert!(files_of(&workspace, &commit).contains(&"new".into()));
}

#[test]
fn damaged_repository_of_the_agent_becomes_one_commit() {
    let damages: [&dyn Fn(&Path); 6] = [
        &|git_dir| fs::remove_dir_all(git_dir).unwrap(),
        &|git_dir| fs::write(git_dir.join("HEAD"), "nonsense").unwrap(),
        &|git_dir| fs::remove_dir_all(git_dir.join("objects")).unwrap(),
        &|git_dir| {
            fs::remove_dir_all(git_dir).unwrap();
            fs::write(git_dir, "gitdir: /etc\n").unwrap();
        },
        &|git_dir| {
            fs::remove_file(git_dir.join("HEAD")).unwrap();
            nix::unistd::mkfifo(&git_dir.join("HEAD"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        },
        &|git_dir| {
            let pack = git_dir.join("objects/pack/pack-0.idx");
            nix::unistd::mkfifo(&pack, nix::sys::stat::Mode::S_IRWXU).unwrap();
        },
    ];
    let fixture = Fixture::new();
    for (number, damage) in damages.iter().enumerate() {
        let workspace = fixture.workspace();
        let tree = workspace.tree();
        write(&tree, "new", "x");
        git(&tree, &["add", "-A"]);
        git(&tree, &["commit", "-qm", "own"]);
        damage(&tree.join(".git"));
        let commit = result(&workspace).unwrap();
        assert_eq!(history(&workspace, &commit), "Do the task", "{number}");
        assert!(files_of(&workspace, &commit).contains(&"new".into()), "{number}");
    }
}

/// Makes `path` of the agent's HEAD an object with other content than its name says.
fn corrupt(tree: &Path, path: &str) {
    write(tree, "other", "y");
    let other = git(tree, &["hash-object", "-w", "other"]);
    fs::remove_file(tree.join("other")).unwrap();
    let blob = git(tree, &["rev-parse", &format!("HEAD:{path}")]);
    let object = |id: &str| tree.join(".git/objects").join(&id[..2]).join(&id[2..]);
    fs::remove_file(object(&blob)).unwrap();
    fs::copy(object(&other), object(&blob)).unwrap();
}

#[test]
fn corrupt_object_of_the_agent_is_not_taken_over() {
    let fixture = Fixture::new();
    for is_in_snapshot in [true, false] {
        let workspace = fixture.workspace();
        let tree = workspace.tree();
        write(&tree, "new", "x");
        git(&tree, &["add", "-A"]);
        git(&tree, &["commit", "-qm", "own"]);
        corrupt(&tree, "new");
        let content = if is_in_snapshot { "x" } else { "later" };
        write(&tree, "new", content);
        let commit = result(&workspace).unwrap();
        // What a snapshot has stored is sound, whatever the agent's copy of it is.
        let expected = if is_in_snapshot { "own" } else { "Do the task" };
        assert_eq!(history(&workspace, &commit), expected);
        assert_eq!(host_git(&workspace, &["show", &format!("{commit}:new")]), content);
        host_git(&workspace, &["fsck", "--connectivity-only", &commit]);
    }
}

#[test]
fn history_that_would_unfold_to_too_much_becomes_one_commit() {
    let bombs: [&dyn Fn(&Path); 4] = [
        // 1 GiB of zeros, which is 1 MB of objects.
        &|tree| {
            fs::File::create(tree.join("zeros")).unwrap().set_len(1 << 30).unwrap();
            git(tree, &["add", "zeros"]);
            git(tree, &["commit", "-qm", "own"]);
            fs::remove_file(tree.join("zeros")).unwrap();
        },
        // The same, out of HEAD's reach, but in a pack where anything may build on it.
        &|tree| {
            fs::File::create(tree.join("zeros")).unwrap().set_len(1 << 30).unwrap();
            git(tree, &["add", "zeros"]);
            git(tree, &["commit", "-qm", "zeros"]);
            git(tree, &["branch", "aside"]);
            git(tree, &["reset", "-q", "--hard", "HEAD~1"]);
            git(tree, &["commit", "-q", "--allow-empty", "-m", "own"]);
            git(tree, &["gc", "-q"]);
        },
        // A tree of 10^9 paths in ten objects.
        &|tree| {
            let blob = git(tree, &["hash-object", "-w", "README.md"]);
            let mut object = format!("100644 blob {blob}");
            for _ in 0..9 {
                let lines: String = (0..10).map(|name| format!("{object}\tx{name}\n")).collect();
                fs::write(tree.join(".git/lines"), lines).unwrap();
                let id = git(tree, &["-c", "alias.mk=!git mktree < .git/lines", "mk"]);
                object = format!("040000 tree {id}");
            }
            let tree_id = object.rsplit(' ').next().unwrap();
            let commit = git(tree, &["commit-tree", tree_id, "-p", "HEAD", "-m", "own"]);
            git(tree, &["update-ref", "HEAD", &commit]);
        },
        &|tree| {
            git(tree, &["commit", "-q", "--allow-empty", "-m", &"x".repeat(100_000)]);
            let message = tree.join(".git/message");
            fs::write(&message, vec![b'x'; 4 << 20]).unwrap();
            git(tree, &["commit", "-q", "--allow-empty", "-F", ".git/message"]);
        },
    ];
    let fixture = Fixture::new();
    for (number, bomb) in bombs.iter().enumerate() {
        let workspace = fixture.workspace();
        bomb(&workspace.tree());
        write(&workspace.tree(), "new", "x");
        let commit = result(&workspace).unwrap();
        assert_eq!(history(&workspace, &commit), "Do the task", "{number}");
        assert!(files_of(&workspace, &commit).contains(&"new".into()), "{number}");
    }
}

#[test]
fn result_is_converted_as_git_add_would() {
    let fixture = Fixture::with(|source| {
        write(
            source,
            ".gitattributes",
            "*.txt text eol=crlf\n*.sh text=auto\n*.w working-tree-encoding=UTF-16LE\n",
        );
        write(source, "a.txt", "one\n");
        write(source, "b.txt", "same\n");
    });
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    // Written anew with the same bytes: no change for anybody.
    write(&tree, "b.txt", "same\r\n");
    assert_eq!(result(&workspace), None);
    write(&tree, "a.txt", "one\r\ntwo\r\n");
    write(&tree, "c.sh", "x\r\n");
    write(&tree, "d.w", [b'a', 0, b'\n', 0]);
    let commit = result(&workspace).unwrap();
    assert_eq!(host_git(&workspace, &["show", &format!("{commit}:a.txt")]), "one\ntwo");
    assert_eq!(host_git(&workspace, &["show", &format!("{commit}:c.sh")]), "x");
    assert_eq!(host_git(&workspace, &["show", &format!("{commit}:d.w")]), "a");
    let changed = host_git(&workspace, &["diff", "--name-only", &workspace.base_commit(), &commit]);
    assert_eq!(changed, "a.txt\nc.sh\nd.w");
}

#[test]
fn files_that_the_agent_stopped_tracking_stay_out() {
    let fixture = Fixture::with(|source| {
        write(source, "secret.env", "x");
        write(source, "file", "x");
    });
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    write(&tree, ".gitignore", "*.env\n");
    git(&tree, &["rm", "-q", "--cached", "secret.env"]);
    let commit = result(&workspace).unwrap();
    assert_eq!(files_of(&workspace, &commit), [".gitignore", "file"]);
    git(&tree, &["add", "-A"]);
    git(&tree, &["commit", "-qm", "own"]);
    assert_eq!(result(&workspace).unwrap(), git(&tree, &["rev-parse", "HEAD"]));
}

#[test]
fn nested_repository_that_the_agent_committed_becomes_files() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    write(&tree, "nested/file", "x");
    git(&tree.join("nested"), &["init", "-q"]);
    git(&tree.join("nested"), &["add", "."]);
    git(&tree.join("nested"), &["commit", "-qm", "nested"]);
    git(&tree, &["add", "nested"]);
    git(&tree, &["commit", "-qm", "own"]);
    let commit = result(&workspace).unwrap();
    assert!(files_of(&workspace, &commit).contains(&"nested/file".into()));
}

#[test]
fn restored_work_gives_the_same_tree() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    crate::snapshot::change_everything(&workspace.tree());
    let copy = fixture.carried_over(&workspace);
    let tree = |workspace: &Workspace| {
        let commit = result(workspace).unwrap();
        host_git(workspace, &["rev-parse", &format!("{commit}^{{tree}}")])
    };
    assert_eq!(tree(&copy), tree(&workspace));
}
