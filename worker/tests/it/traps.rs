//! Whatever an agent leaves in its workspace, the worker runs none of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use makima_worker::git::Cancel;
use makima_worker::workspace::{
    Author, SnapshotError, Workspace, agent_refs, commit_result, make_bundle, make_patch, push, snapshot,
};

use crate::fixture::{Fixture, checkpoint, git, restore_bundle, restore_patch, write};

/// A workspace, and a file that appears if anything of the agent's runs.
struct Trap {
    fixture: Fixture,
    workspace: Workspace,
    marker: PathBuf,
}

impl Trap {
    fn new() -> Self {
        let fixture = Fixture::new();
        let workspace = fixture.workspace();
        git(&workspace.tree(), &["commit", "-q", "--allow-empty", "-m", "own"]);
        write(&workspace.tree(), "README.md", "changed\n");
        let marker = fixture.dir.path().join("marker");
        Self { fixture, workspace, marker }
    }

    fn program(&self, path: &Path) -> PathBuf {
        let script = format!("#!/bin/sh\necho ran >> {}\ncat\n", self.marker.display());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_owned()
    }

    /// Configuration that runs the trap wherever git lets a configuration run anything.
    fn hostile_config(&self, hooks: &Path) -> String {
        let program = self.program(&self.fixture.dir.path().join("evil")).display().to_string();
        for hook in ["post-checkout", "pre-commit", "post-index-change", "reference-transaction", "pre-push"]
        {
            self.program(&hooks.join(hook));
        }
        format!(
            "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tfsmonitor = {program}\n\thooksPath = {}\n\
             \tsshCommand = {program}\n\tpager = {program}\n\talternateRefsCommand = {program}\n\
             [filter \"evil\"]\n\tclean = {program}\n\tsmudge = {program}\n\tprocess = {program}\n\trequired = true\n\
             [diff]\n\texternal = {program}\n[diff \"evil\"]\n\ttextconv = {program}\n\tcommand = {program}\n\
             [gpg]\n\tprogram = {program}\n[commit]\n\tgpgSign = true\n[credential]\n\thelper = {program}\n\
             [user]\n\tname = x\n\temail = x@y\n",
            hooks.display()
        )
    }

    /// Does all that a worker does with a workspace.
    fn whole_life(&self) {
        let workspace = &self.workspace;
        let taken = snapshot(workspace).unwrap();
        assert!(taken.changed);
        let patch = make_patch(workspace, &taken.tree_id, Default::default()).unwrap();
        let next = self.fixture.workspace();
        restore_patch(&next, &patch).unwrap();
        // Where there is no HEAD to be found, there is nothing to pack.
        if let Some(refs) = agent_refs(workspace) {
            restore_bundle(&next, &make_bundle(workspace, &refs, 1 << 20).unwrap()).unwrap();
            assert_eq!(agent_refs(&next).as_ref(), Some(&refs));
        }
        assert_eq!(fs::read_to_string(next.tree().join("README.md")).unwrap(), "changed\n");
        let commit = commit_result(workspace, &taken.tree_id, "m", Author::default()).unwrap().unwrap();
        push(workspace, &self.fixture.address(), &commit, "makima/x", &[]).unwrap();
        self.workspace.clone().remove().unwrap();
        assert!(!self.marker.exists(), "{}", fs::read_to_string(&self.marker).unwrap());
    }
}

#[test]
fn trap_works_on_git_itself() {
    let trap = Trap::new();
    let tree = trap.workspace.tree();
    let config = trap.hostile_config(&tree.join(".git/hooks"));
    fs::write(tree.join(".git/config"), config).unwrap();
    let _ = std::process::Command::new("git").arg("status").current_dir(&tree).output().unwrap();
    assert!(trap.marker.exists());
}

#[test]
fn hooks_and_configuration_of_the_agent_do_not_run() {
    let trap = Trap::new();
    let tree = trap.workspace.tree();
    let config = trap.hostile_config(&tree.join(".git/hooks"));
    fs::write(tree.join(".git/config"), config).unwrap();
    write(&tree, ".gitattributes", "* filter=evil diff=evil\n");
    trap.whole_life();
}

#[test]
fn swapped_pointer_does_not_lead_the_worker() {
    for linked in [false, true] {
        let trap = Trap::new();
        let tree = trap.workspace.tree();
        let hostile = trap.fixture.dir.path().join("hostile");
        fs::rename(tree.join(".git"), &hostile).unwrap();
        fs::write(hostile.join("config"), trap.hostile_config(&hostile.join("hooks"))).unwrap();
        if linked {
            symlink(&hostile, tree.join(".git")).unwrap();
        } else {
            fs::write(tree.join(".git"), format!("gitdir: {}\n", hostile.display())).unwrap();
        }
        write(&tree, ".gitattributes", "* filter=evil diff=evil\n");
        trap.whole_life();
    }
}

#[test]
fn nested_repository_does_not_lead_the_worker() {
    let trap = Trap::new();
    let tree = trap.workspace.tree();
    write(&tree, "nested/file", "x");
    git(&tree.join("nested"), &["init", "-q"]);
    let config = trap.hostile_config(&tree.join("nested/.git/hooks"));
    fs::write(tree.join("nested/.git/config"), config).unwrap();
    write(&tree, "nested/.gitattributes", "* filter=evil diff=evil\n");
    trap.whole_life();
}

#[test]
fn configuration_written_into_the_workers_git_directory_does_not_run() {
    let trap = Trap::new();
    let host = trap.workspace.host_git();
    assert!(agent_refs(&trap.workspace).is_some());
    fs::write(host.join("config"), trap.hostile_config(&host.join("hooks"))).unwrap();
    write(&trap.workspace.tree(), ".gitattributes", "* filter=evil diff=evil\n");
    trap.whole_life();
}

/// Ways to have git read a configuration that lies elsewhere.
fn lead_to(config: &str, hostile: &Path, git_dir: &Path) {
    let original = fs::read_to_string(git_dir.join("config")).unwrap();
    let elsewhere = hostile.join("config");
    fs::create_dir_all(hostile).unwrap();
    fs::write(&elsewhere, config).unwrap();
    fs::write(git_dir.join("config.worktree"), config).unwrap();
    let section = |name: &str| format!("{original}[{name}]\n\tpath = {}\n", elsewhere.display());
    let content = match hostile.file_name().unwrap().to_str().unwrap() {
        "include" => section("include"),
        "includeIf" => section("includeIf \"gitdir:/\""),
        "worktree" => format!("{original}[extensions]\n\tworktreeConfig = true\n"),
        _ => {
            for name in ["objects", "refs", "packed-refs"] {
                let _ = symlink(git_dir.join(name), hostile.join(name));
            }
            fs::write(git_dir.join("commondir"), hostile.display().to_string()).unwrap();
            original
        }
    };
    fs::write(git_dir.join("config"), content).unwrap();
}

#[test]
fn configuration_that_lies_elsewhere_does_not_run() {
    for way in ["include", "includeIf", "worktree", "commondir"] {
        for of_worker in [false, true] {
            let trap = Trap::new();
            let tree = trap.workspace.tree();
            assert!(agent_refs(&trap.workspace).is_some());
            let hostile = trap.fixture.dir.path().join(way);
            let config = trap.hostile_config(&hostile.join("hooks"));
            let git_dir = if of_worker { trap.workspace.host_git() } else { tree.join(".git") };
            lead_to(&config, &hostile, &git_dir);
            write(&tree, ".gitattributes", "* filter=evil diff=evil\n");
            // The trap works on git itself.
            let mut status = std::process::Command::new("git");
            status.arg("--git-dir").arg(&git_dir).arg("--work-tree").arg(&tree).arg("status");
            status.current_dir(&tree).output().unwrap();
            assert!(trap.marker.exists(), "{way}");
            fs::remove_file(&trap.marker).unwrap();
            trap.whole_life();
        }
    }
}

#[test]
fn work_tree_replaced_by_a_link_is_not_followed() {
    let trap = Trap::new();
    let workspace = &trap.workspace;
    let taken = snapshot(workspace).unwrap();
    let (tree, elsewhere) = (workspace.tree(), trap.fixture.dir.path().join("elsewhere"));
    fs::rename(&tree, &elsewhere).unwrap();
    fs::write(elsewhere.join(".git/config"), trap.hostile_config(&elsewhere.join(".git/hooks"))).unwrap();
    write(&elsewhere, ".gitattributes", "* filter=evil diff=evil\n");
    symlink(&elsewhere, &tree).unwrap();
    assert!(matches!(snapshot(workspace), Err(SnapshotError::TreeGone(_))));
    assert_eq!(agent_refs(workspace), None);
    assert!(commit_result(workspace, &taken.tree_id, "m", Author::default()).is_err());
    // What was saved before is still good.
    let patch = make_patch(workspace, &taken.tree_id, Default::default()).unwrap();
    restore_patch(&trap.fixture.workspace(), &patch).unwrap();
    workspace.clone().remove().unwrap();
    assert!(!tree.exists() && elsewhere.join("README.md").exists());
    assert!(!trap.marker.exists(), "{}", fs::read_to_string(&trap.marker).unwrap());
}

#[test]
fn links_are_stored_as_links() {
    let trap = Trap::new();
    let tree = trap.workspace.tree();
    symlink("/etc/passwd", tree.join("passwd")).unwrap();
    symlink("/etc", tree.join("etc")).unwrap();
    fs::remove_dir_all(tree.join("src")).unwrap();
    symlink("/etc", tree.join("src")).unwrap();
    let next = trap.fixture.workspace();
    restore_patch(&next, &checkpoint(&trap.workspace)).unwrap();
    for (name, target) in [("passwd", "/etc/passwd"), ("etc", "/etc"), ("src", "/etc")] {
        assert_eq!(fs::read_link(next.tree().join(name)).unwrap(), Path::new(target));
    }
    trap.whole_life();
}

#[test]
fn hooks_of_a_repository_on_this_machine_do_not_run() {
    let trap = Trap::new();
    let elsewhere = trap.fixture.dir.path().join("elsewhere");
    git(trap.fixture.dir.path(), &["clone", "-q", "remote.git", "elsewhere"]);
    let hooks = elsewhere.join(".git/hooks");
    let mut config = trap.hostile_config(&hooks);
    for hook in ["pre-receive", "update", "post-receive", "post-update", "push-to-checkout", "proc-receive"] {
        trap.program(&hooks.join(hook));
    }
    let program = trap.program(&trap.fixture.dir.path().join("evil"));
    config += &format!(
        "[uploadpack]\n\tpackObjectsHook = {0}\n[receive]\n\tprocReceiveRefs = refs/heads/proc\n\
         \tdenyCurrentBranch = updateInstead\n[gc]\n\tauto = 1\n\trecentObjectsHook = {0}\n",
        program.display()
    );
    fs::write(elsewhere.join(".git/config"), config).unwrap();
    fs::write(
        elsewhere.join(".git/objects/info/alternates"),
        trap.fixture.remote().join("objects").to_str().unwrap(),
    )
    .unwrap();
    // Once: another second makes another commit, and the second push would find the first one's.
    let taken = snapshot(&trap.workspace).unwrap();
    let commit = commit_result(&trap.workspace, &taken.tree_id, "m", Author::default()).unwrap().unwrap();
    for url in [elsewhere.display().to_string(), format!("file://{}/.git", elsewhere.display())] {
        trap.fixture.cache.fetch(&url, None, &Cancel::default()).unwrap();
        let remote = trap.fixture.cache.remote(&url).unwrap();
        for branch in ["makima/x", "proc"] {
            let _ = push(&trap.workspace, &remote, &commit, branch, &[]);
        }
        push(&trap.workspace, &remote, &commit, "main", &[trap.workspace.base_commit()]).unwrap_err();
        assert_eq!(
            git(&elsewhere, &["--git-dir=.git", "-c", "core.fsmonitor=false", "rev-parse", "makima/x"]),
            commit
        );
    }
    assert!(!trap.marker.exists(), "{}", fs::read_to_string(&trap.marker).unwrap());
}

#[test]
fn trees_of_agents_are_no_repositories_to_work_on() {
    let trap = Trap::new();
    let link = trap.fixture.dir.path().join("link");
    symlink(trap.workspace.tree(), &link).unwrap();
    let tree = trap.workspace.tree().display().to_string();
    for url in [tree.clone(), format!("{tree}/.git"), format!("file://{tree}"), link.display().to_string()] {
        let error = trap.fixture.cache.fetch(&url, None, &Cancel::default()).unwrap_err();
        assert_eq!((error.code(), error.is_permanent()), ("REPOSITORY_REFUSED", true), "{url}");
        assert!(trap.fixture.cache.remote(&url).is_err());
        let commit = trap.workspace.base_commit();
        assert!(trap.fixture.cache.fetch_commit(&url, None, &commit, &Cancel::default()).is_err());
    }
}
