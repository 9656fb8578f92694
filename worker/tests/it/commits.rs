//! The agent's own commits come back with a checkpoint, and what is wrong with them does no harm.

use std::fs;
use std::path::Path;

use makima_worker::workspace::{
    Author, BundleError, CommitBundle, SavedCommits, Unusable, Workspace, agent_refs, commit_result,
    make_bundle, refs_at_start, restore_commits, snapshot,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::any_work::{Edit, fixture as any_fixture, perform, play};
use crate::fixture::{Fixture, bundle, checkpoint, files, git, restore_bundle, restore_patch, write};

const PACK_LIMIT: u64 = 10 << 20;

fn commit(tree: &Path, name: &str) {
    write(tree, name, name);
    git(tree, &["add", "--", name]);
    git(tree, &["commit", "-qm", name]);
}

/// An agent's work: commits on two branches, and something uncommitted.
fn at_work(fixture: &Fixture) -> Workspace {
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    commit(&tree, "one");
    git(&tree, &["checkout", "-qb", "feature/x"]);
    commit(&tree, "two");
    write(&tree, "one", "changed after it was committed");
    write(&tree, "three", "new");
    workspace
}

fn log(workspace: &Workspace) -> String {
    git(&workspace.tree(), &["log", "--all", "--graph", "--format=%H %D %s"])
}

#[test]
fn commits_branches_and_head_come_back() {
    let fixture = Fixture::new();
    let workspace = at_work(&fixture);
    let copy = fixture.carried_over_with_commits(&workspace);
    assert_eq!(log(&copy), log(&workspace));
    assert_eq!(git(&copy.tree(), &["branch", "--show-current"]), "feature/x");
    assert_eq!(git(&copy.tree(), &["status", "--porcelain"]), " M one\n?? three");
    assert_eq!(agent_refs(&copy), agent_refs(&workspace));
    assert_eq!(refs_at_start(&copy), agent_refs(&copy));
    // The result is the one that the first worker would have made.
    let tree_id = snapshot(&copy).unwrap().tree_id;
    let result = commit_result(&copy, &tree_id, "m", Author::default()).unwrap().unwrap();
    let host = copy.host_git();
    let parent = git(&host, &["--git-dir=.", "rev-parse", &format!("{result}^")]);
    assert_eq!(parent, git(&workspace.tree(), &["rev-parse", "HEAD"]));
}

#[test]
fn files_that_are_as_they_were_committed_are_not_read_again() {
    let fixture = Fixture::new();
    let copy = fixture.carried_over_with_commits(&at_work(&fixture));
    let stat = git(&copy.tree(), &["ls-files", "--debug", "README.md", "two"]);
    let sizes: Vec<_> = stat.lines().filter(|line| line.contains("size:")).map(str::trim).collect();
    assert!(sizes[0].starts_with("size: 6"), "{stat}");
}

#[test]
fn a_workspace_without_commits_has_no_bundle() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    assert!(bundle(&workspace).is_none());
    write(&workspace.tree(), "README.md", "changed");
    git(&workspace.tree(), &["add", "-A"]);
    assert!(bundle(&workspace).is_none());
}

#[test]
fn a_branch_without_commits_of_its_own_needs_no_pack() {
    let fixture = any_fixture();
    let workspace = fixture.workspace();
    git(&workspace.tree(), &["checkout", "-q", "-b", "mine"]);
    git(&workspace.tree(), &["branch", "old", "HEAD~1"]);
    let made = bundle(&workspace).unwrap();
    assert!(made.pack.is_empty());
    let copy = fixture.carried_over_with_commits(&workspace);
    assert_eq!(log(&copy), log(&workspace));
}

#[test]
fn packs_build_on_the_base() {
    let mut state = 7_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(1 << 20)
    .collect();
    let fixture = Fixture::with(|source| write(source, "noise", &noise));
    let workspace = fixture.workspace();
    write(&workspace.tree(), "noise", [&noise[..], b"and a little more"].concat());
    git(&workspace.tree(), &["commit", "-qam", "own"]);
    assert!(bundle(&workspace).unwrap().pack.len() < 2_000);
    let copy = fixture.carried_over_with_commits(&workspace);
    git(&copy.tree(), &["fsck"]);
    assert_eq!(git(&copy.tree(), &["status", "--porcelain"]), "");
}

#[test]
fn a_rebase_left_half_way_keeps_tree_and_head() {
    let fixture = Fixture::new();
    let workspace = at_work(&fixture);
    let tree = workspace.tree();
    git(&tree, &["add", "-A"]);
    git(&tree, &["commit", "-qm", "mine"]);
    git(&tree, &["checkout", "-q", "-b", "other", "main"]);
    write(&tree, "one", "another change");
    git(&tree, &["commit", "-qam", "theirs"]);
    let rebase = std::process::Command::new("git")
        .args(["-c", "user.name=A", "-c", "user.email=a@b", "rebase", "feature/x"])
        .current_dir(&tree)
        .output()
        .unwrap();
    assert!(!rebase.status.success() && tree.join(".git/rebase-merge").exists());
    let copy = fixture.carried_over_with_commits(&workspace);
    assert_eq!(agent_refs(&copy), agent_refs(&workspace));
    assert_eq!(files(&copy.tree(), &[]), files(&tree, &[]));
    assert_eq!(git(&copy.tree(), &["branch", "--show-current"]), "");
    assert_eq!(git(&copy.tree(), &["status", "--porcelain"]), " M one");
}

#[test]
fn commits_survive_being_carried_over_again_and_again() {
    let fixture = Fixture::new();
    let mut workspace = at_work(&fixture);
    for round in 0..3 {
        let next = fixture.carried_over_with_commits(&workspace);
        assert_eq!(log(&next), log(&workspace));
        workspace.remove().unwrap();
        workspace = next;
        commit(&workspace.tree(), &format!("round-{round}"));
        git(&workspace.tree(), &["gc", "-q", "--prune=now"]);
    }
    assert_eq!(git(&workspace.tree(), &["rev-list", "--count", "HEAD"]), "6");
}

#[test]
fn commits_that_do_not_fit_are_refused_as_such() {
    let fixture = Fixture::new();
    let workspace = at_work(&fixture);
    let refs = agent_refs(&workspace).unwrap();
    let error = make_bundle(&workspace, &refs, 100).unwrap_err();
    assert!(matches!(error, BundleError::TooLarge { limit_bytes: 100 }) && error.is_permanent(), "{error}");
    fs::File::create(workspace.tree().join("zeros")).unwrap().set_len(300 << 20).unwrap();
    git(&workspace.tree(), &["add", "zeros"]);
    git(&workspace.tree(), &["commit", "-qm", "zeros"]);
    let refs = agent_refs(&workspace).unwrap();
    let error = make_bundle(&workspace, &refs, PACK_LIMIT).unwrap_err();
    assert!(matches!(error, BundleError::Commits(Unusable::TooLarge(_))) && error.is_permanent(), "{error}");
}

/// Tries to restore commits that somebody made by hand, and checks that nothing of them reached the workspace.
fn refused(fixture: &Fixture, saved: &SavedCommits<'_>) -> BundleError {
    let workspace = fixture.workspace();
    let before = (files(&workspace.tree(), &[]), files(&workspace.tree().join(".git"), &[]));
    let error = restore_commits(&workspace, saved).unwrap_err();
    assert_eq!((files(&workspace.tree(), &[]), files(&workspace.tree().join(".git"), &[])), before);
    assert_eq!(refs_at_start(&workspace), agent_refs(&workspace));
    assert!(!workspace.root().join("incoming").exists());
    error
}

/// Signs refs and pack as the worker does: it is the content that must be refused.
fn signed(pack: &[u8], refs: &Value) -> Vec<u8> {
    let (head, branches) = (&refs["head"], &refs["branches"]);
    let text = format!("{{\"head\":{head},\"branches\":{branches}}}");
    Sha256::digest([text.as_bytes(), b"\0", pack].concat()).to_vec()
}

fn refs_of(made: &CommitBundle) -> Value {
    serde_json::to_value(&made.refs).unwrap()
}

#[test]
fn damaged_bundles_are_refused() {
    let fixture = Fixture::new();
    let workspace = at_work(&fixture);
    let made = bundle(&workspace).unwrap();
    let refs = refs_of(&made);
    let mut flipped = made.pack.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let error = refused(&fixture, &SavedCommits { pack: &flipped, refs: &refs, sha256: &made.sha256 });
    assert!(matches!(error, BundleError::ChecksumMismatch), "{error}");
    for pack in [&flipped[..], b"", b"PACK", &made.pack[..middle], &made.pack[..made.pack.len() - 1]] {
        let sha256 = signed(pack, &refs);
        refused(&fixture, &SavedCommits { pack, refs: &refs, sha256: &sha256 });
    }
    // The workspace in which all of it failed takes a good one.
    let target = fixture.workspace();
    restore_commits(&target, &SavedCommits { pack: &flipped, refs: &refs, sha256: &made.sha256 })
        .unwrap_err();
    restore_patch(&target, &checkpoint(&workspace)).unwrap();
    restore_bundle(&target, &made).unwrap();
    assert_eq!(log(&target), log(&workspace));
}

#[test]
fn refs_that_git_could_not_have_are_refused() {
    let fixture = Fixture::new();
    let workspace = at_work(&fixture);
    let made = bundle(&workspace).unwrap();
    let id = git(&workspace.tree(), &["rev-parse", "HEAD"]);
    let blob = git(&workspace.tree(), &["rev-parse", "HEAD:one"]);
    let bad = [
        json!(null),
        json!({}),
        json!({"head": {"branch": "main"}}),
        json!({"branches": {}, "head": {"branch": "../../config"}}),
        json!({"branches": {}, "head": {"branch": "a\nref: x"}}),
        json!({"branches": {"../x": id}, "head": {"branch": "main"}}),
        json!({"branches": {"a": id, "a/b": id}, "head": {"branch": "a"}}),
        json!({"branches": {"a": id}, "head": {"branch": "a/b"}}),
        json!({"branches": {"main": "HEAD"}, "head": {"branch": "main"}}),
        json!({"branches": {"main": "1".repeat(40)}, "head": {"branch": "main"}}),
        json!({"branches": {"main": blob}, "head": {"branch": "main"}}),
        json!({"branches": {"main": id, "x": id, "y": 7}, "head": {"branch": "main"}}),
        json!({"branches": {}, "head": {"commit": "2".repeat(40)}}),
        json!({"branches": {}, "head": {"commit": "abc"}}),
    ];
    for refs in bad {
        let sha256 = signed(&made.pack, &refs);
        let error = refused(&fixture, &SavedCommits { pack: &made.pack, refs: &refs, sha256: &sha256 });
        assert!(!matches!(error, BundleError::ChecksumMismatch), "{refs}: {error}");
    }
}

#[test]
fn commits_with_odd_trees_do_not_come_back() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    let blob = git(&tree, &["hash-object", "-w", "README.md"]);
    for name in [".git", ".GIT", ".."] {
        // `git mktree` takes no such name; `git hash-object --literally` takes anything.
        let id: Vec<u8> =
            (0..20).map(|at| u8::from_str_radix(&blob[2 * at..2 * at + 2], 16).unwrap()).collect();
        let content = [b"100644 ", name.as_bytes(), b"\0", &id].concat();
        write(&tree, ".git/odd", content);
        let odd = git(&tree, &["hash-object", "-t", "tree", "-w", "--literally", ".git/odd"]);
        let commit = git(&tree, &["commit-tree", &odd, "-p", "HEAD", "-m", "odd"]);
        git(&tree, &["update-ref", "refs/heads/odd", &commit]);
        let refs = agent_refs(&workspace).unwrap();
        let error = make_bundle(&workspace, &refs, PACK_LIMIT).unwrap_err();
        assert!(matches!(error, BundleError::Commits(Unusable::Odd(_))), "{name}: {error}");
        // And not from a store either.
        let range = format!("^{}\n{commit}\n", workspace.base_commit());
        write(&tree, ".git/range", range);
        git(&tree, &["-c", "alias.p=!git pack-objects -q --revs --stdout < .git/range > .git/the-pack", "p"]);
        let pack = fs::read(tree.join(".git/the-pack")).unwrap();
        let refs = json!({"branches": {"main": commit}, "head": {"branch": "main"}});
        let sha256 = signed(&pack, &refs);
        let error = refused(&fixture, &SavedCommits { pack: &pack, refs: &refs, sha256: &sha256 });
        assert!(matches!(error, BundleError::Commits(Unusable::Odd(_))), "{name}: {error}");
    }
}

#[test]
fn what_an_agent_does_to_its_git_directory_holds_nobody_up() {
    let pipe = |path: &Path| {
        let _ = fs::remove_file(path);
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    };
    let damages: [&dyn Fn(&Path); 8] = [
        &|git_dir| pipe(&git_dir.join("HEAD")),
        &|git_dir| pipe(&git_dir.join("refs/heads/main")),
        &|git_dir| pipe(&git_dir.join("packed-refs")),
        &|git_dir| {
            let head = fs::read_to_string(git_dir.join("refs/heads/main")).unwrap();
            pipe(&git_dir.join("objects").join(&head[..2]).join(head[2..].trim_end()));
        },
        &|git_dir| pipe(&git_dir.join("objects/pack/pack-0.idx")),
        &|git_dir| fs::remove_dir_all(git_dir.join("objects")).unwrap(),
        &|git_dir| fs::write(git_dir.join("refs/heads/main"), "ref: refs/heads/main\n").unwrap(),
        &|git_dir| {
            fs::remove_dir_all(git_dir.join("objects")).unwrap();
            std::os::unix::fs::symlink("/proc/self/root", git_dir.join("objects")).unwrap();
        },
    ];
    let fixture = Fixture::new();
    for damage in damages {
        let workspace = fixture.workspace();
        commit(&workspace.tree(), "own");
        damage(&workspace.tree().join(".git"));
        if let Some(refs) = agent_refs(&workspace) {
            let _ = make_bundle(&workspace, &refs, PACK_LIMIT);
        }
        // The tree is saved whatever its git directory is.
        let copy = fixture.carried_over(&workspace);
        assert!(copy.tree().join("own").exists());
    }
}

#[test]
fn borrowed_objects_of_an_agent_are_not_looked_at() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    commit(&tree, "own");
    // The commit now lies where only the agent's alternates lead.
    let elsewhere = fixture.dir.path().join("elsewhere");
    fs::rename(tree.join(".git/objects"), &elsewhere).unwrap();
    write(&tree, ".git/objects/info/alternates", format!("{}\n", elsewhere.display()));
    fs::create_dir_all(tree.join(".git/objects/pack")).unwrap();
    assert_eq!(git(&tree, &["log", "-1", "--format=%s"]), "own");
    let refs = agent_refs(&workspace).unwrap();
    let error = make_bundle(&workspace, &refs, PACK_LIMIT).unwrap_err();
    assert!(matches!(error, BundleError::Commits(Unusable::Damaged(_))), "{error}");
}

#[test]
fn an_orphan_branch_comes_back_with_and_without_commits() {
    let alone = Edit::Git(&["checkout", "-q", "--orphan", "alone"]);
    let fixture = any_fixture();
    play(&fixture, &[vec![alone.clone()]]).unwrap();
    play(&fixture, &[vec![alone, Edit::Git(&["commit", "-qm", "first"])]]).unwrap();
}

#[test]
fn a_merge_left_half_way_keeps_tree_and_branches() {
    let fixture = any_fixture();
    for command in ["merge", "rebase", "cherry-pick"] {
        let workspace = fixture.workspace();
        perform(&workspace, &Edit::HalfWay(command));
        let readme = fs::read_to_string(workspace.tree().join("README.md")).unwrap();
        assert!(readme.contains("<<<<<<<"), "{command}: {readme}");
        workspace.remove().unwrap();
        play(&fixture, &[vec![Edit::HalfWay(command)], vec![Edit::Git(&["commit", "-qam", "on top"])]])
            .unwrap();
    }
}
