//! Result branches on the remote.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use makima_worker::workspace::{Author, PushError, Workspace, commit_result, push, snapshot};

use crate::fixture::{Fixture, git, write};
use crate::served::serve;

const BRANCH: &str = "makima/1234-task";

fn result(workspace: &Workspace, content: &str) -> String {
    write(&workspace.tree(), "result", content);
    let tree = snapshot(workspace).unwrap().tree_id;
    commit_result(workspace, &tree, "Result", Author::default()).unwrap().unwrap()
}

fn tip(fixture: &Fixture) -> String {
    git(&fixture.remote(), &["rev-parse", BRANCH])
}

#[test]
fn result_reaches_a_new_branch_and_pushing_again_changes_nothing() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let commit = result(&workspace, "x");
    let pushed = push(&workspace, &fixture.address(), &commit, BRANCH, &[]).unwrap();
    assert_eq!((pushed.previous, &pushed.commit), (None, &commit));
    assert_eq!(tip(&fixture), commit);
    let again = push(&workspace, &fixture.address(), &commit, BRANCH, &[]).unwrap();
    assert_eq!(again.previous.as_ref(), Some(&commit));
    git(&fixture.remote(), &["fsck", "--connectivity-only"]);
}

#[test]
fn branch_that_somebody_else_moves_at_this_moment_is_worth_another_try() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let commit = result(&workspace, "x");
    let lock = fixture.remote().join("refs/heads").join(format!("{BRANCH}.lock"));
    write(&fixture.remote(), lock.strip_prefix(fixture.remote()).unwrap(), "");
    let error = push(&workspace, &fixture.address(), &commit, BRANCH, &[]).unwrap_err();
    assert!(matches!(error, PushError::Rejected { .. }) && !error.is_permanent(), "{error}");
    fs::remove_file(lock).unwrap();
    push(&workspace, &fixture.address(), &commit, BRANCH, &[]).unwrap();
}

#[test]
fn branch_moves_from_what_an_earlier_attempt_pushed() {
    let fixture = Fixture::new();
    let (first, second) = (fixture.workspace(), fixture.workspace());
    let earlier = result(&first, "earlier");
    push(&first, &fixture.address(), &earlier, BRANCH, &[]).unwrap();
    let later = result(&second, "later");
    let pushed = push(&second, &fixture.address(), &later, BRANCH, std::slice::from_ref(&earlier)).unwrap();
    assert_eq!(pushed.previous, Some(earlier));
    assert_eq!(tip(&fixture), later);
}

#[test]
fn branch_of_somebody_else_is_never_moved() {
    let fixture = Fixture::new();
    git(&fixture.remote(), &["branch", BRANCH, "main"]);
    let theirs = tip(&fixture);
    let workspace = fixture.workspace();
    let commit = result(&workspace, "x");
    let error = push(&workspace, &fixture.address(), &commit, BRANCH, &[]).unwrap_err();
    assert!(matches!(&error, PushError::BranchTaken { found, .. } if *found == theirs), "{error}");
    assert_eq!((error.code(), error.is_permanent()), ("BRANCH_TAKEN", true));
    assert_eq!(tip(&fixture), theirs);
}

#[test]
fn refusal_of_the_remote_carries_its_reason() {
    let fixture = Fixture::new();
    let hook = fixture.remote().join("hooks/pre-receive");
    write(&fixture.remote(), "hooks/pre-receive", "#!/bin/sh\nexit 1\n");
    fs::set_permissions(hook, fs::Permissions::from_mode(0o755)).unwrap();
    let workspace = fixture.workspace();
    let commit = result(&workspace, "x");
    let remote = fixture.cache.remote(&serve(&fixture.remote())).unwrap();
    let error = push(&workspace, &remote, &commit, BRANCH, &[]).unwrap_err();
    assert!(matches!(&error, PushError::Rejected { reason } if reason.contains("pre-receive")), "{error}");
    assert_eq!(error.code(), "PUSH_REJECTED");
}

#[test]
fn branch_that_moves_between_looking_and_pushing_is_not_overwritten() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let earlier = result(&workspace, "earlier");
    push(&workspace, &fixture.address(), &earlier, BRANCH, &[]).unwrap();
    // The remote moves the branch just before it takes a push, as a faster pusher would.
    let theirs = git(&fixture.remote(), &["rev-parse", "main"]);
    let script =
        format!("#!/bin/sh\nunset GIT_QUARANTINE_PATH\ngit update-ref refs/heads/{BRANCH} {theirs}\n");
    write(&fixture.remote(), "hooks/pre-receive", script);
    fs::set_permissions(fixture.remote().join("hooks/pre-receive"), fs::Permissions::from_mode(0o755))
        .unwrap();
    let later = result(&workspace, "later");
    let remote = fixture.cache.remote(&serve(&fixture.remote())).unwrap();
    let error = push(&workspace, &remote, &later, BRANCH, &[earlier]).unwrap_err();
    assert_eq!(error.code(), "PUSH_REJECTED", "{error}");
    assert_eq!(tip(&fixture), theirs);
}

#[test]
fn remote_that_is_gone_is_told_apart() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let commit = result(&workspace, "x");
    let code = |url: &str| {
        let remote = fixture.cache.remote(url).unwrap();
        push(&workspace, &remote, &commit, BRANCH, &[]).unwrap_err().code()
    };
    assert_eq!(code("http://127.0.0.1:1/x.git"), "REPOSITORY_UNREACHABLE");
    assert_eq!(code("/no/such/repository"), "REPOSITORY_NOT_FOUND");
}
