//! Results in the base branch.

use makima_shared::domain::MergeStrategy;
use makima_worker::git::Cancel;
use makima_worker::workspace::{
    Author, MergeRequest, Merged, PushError, Workspace, commit_result, merge, push_merge, snapshot,
};

use crate::fixture::{Fixture, git, write};

const AUTHOR: Author<'_> = Author { name: "Merger", email: "merger@example.org" };

fn result(workspace: &Workspace, path: &str, content: &str) -> String {
    write(&workspace.tree(), path, content);
    let tree = snapshot(workspace).unwrap().tree_id;
    commit_result(workspace, &tree, "Result", Author::default()).unwrap().unwrap()
}

/// Brings a change of somebody else to the base branch.
fn move_base(fixture: &Fixture, path: &str, content: &str) -> String {
    let source = fixture.dir.path().join("source");
    write(&source, path, content);
    git(&source, &["add", "-A"]);
    git(&source, &["commit", "-qm", "theirs"]);
    git(&source, &["push", "-q", "../remote.git", "HEAD:main"]);
    tip(fixture)
}

fn tip(fixture: &Fixture) -> String {
    git(&fixture.remote(), &["rev-parse", "main"])
}

fn parents(fixture: &Fixture, commit: &str) -> Vec<String> {
    let line = git(&fixture.remote(), &["log", "-1", "--format=%P", commit]);
    line.split(' ').map(str::to_owned).collect()
}

fn merged(
    workspace: &Workspace,
    result: &str,
    onto: &str,
    strategy: MergeStrategy,
    known: &[String],
) -> Merged {
    let request = MergeRequest { result, onto, known, strategy, message: "Merge it\n", author: AUTHOR };
    merge(workspace, &request).unwrap()
}

fn made(merged: Merged) -> String {
    match merged {
        Merged::Made(commit) => commit,
        other @ (Merged::AlreadyIn(_) | Merged::Conflicts(_)) => panic!("{other:?}"),
    }
}

fn push(fixture: &Fixture, workspace: &Workspace, commit: &str, onto: &str) -> Result<(), PushError> {
    push_merge(workspace, &fixture.address(), commit, "main", onto)
}

#[test]
fn base_that_has_not_moved_gets_a_merge_commit_all_the_same() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let (result, base) = (result(&workspace, "new", "x"), workspace.base_commit());
    let commit = made(merged(&workspace, &result, &base, MergeStrategy::Merge, &[]));
    push(&fixture, &workspace, &commit, &base).unwrap();
    assert_eq!(tip(&fixture), commit);
    assert_eq!(parents(&fixture, &commit), [base, result]);
    let who = git(&fixture.remote(), &["log", "-1", "--format=%an <%ae> %cn <%ce> %s", "main"]);
    assert_eq!(who, "Merger <merger@example.org> Merger <merger@example.org> Merge it");
    git(&fixture.remote(), &["fsck", "--connectivity-only"]);
}

#[test]
fn squash_brings_the_whole_work_as_one_commit_on_the_base_as_it_stands_now() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let result = result(&workspace, "new", "x");
    let theirs = move_base(&fixture, "theirs", "y");
    let onto = fixture.fetched().base_commit;
    assert_eq!(onto, theirs);
    let commit = made(merged(&workspace, &result, &onto, MergeStrategy::Squash, &[]));
    push(&fixture, &workspace, &commit, &onto).unwrap();
    assert_eq!(parents(&fixture, "main"), [theirs]);
    let names = git(&fixture.remote(), &["ls-tree", "--name-only", "main"]);
    assert!(names.lines().any(|name| name == "new") && names.lines().any(|name| name == "theirs"), "{names}");
    git(&fixture.remote(), &["fsck", "--connectivity-only"]);
}

#[test]
fn base_that_moved_since_is_not_overwritten_and_is_merged_onto_again() {
    let fixture = Fixture::with(|source| write(source, "lines", "1\n2\n3\n4\n5\n6\n7\n8\n9\n"));
    let workspace = fixture.workspace();
    let (result, base) =
        (result(&workspace, "lines", "one\n2\n3\n4\n5\n6\n7\n8\n9\n"), workspace.base_commit());
    let late = made(merged(&workspace, &result, &base, MergeStrategy::Merge, &[]));
    let theirs = move_base(&fixture, "lines", "1\n2\n3\n4\n5\n6\n7\n8\nnine\n");
    let error = push(&fixture, &workspace, &late, &base).unwrap_err();
    assert!(matches!(error, PushError::Rejected { .. }), "{error}");
    assert_eq!(tip(&fixture), theirs);
    let onto = fixture.fetched().base_commit;
    let commit = made(merged(&workspace, &result, &onto, MergeStrategy::Merge, &[late]));
    push(&fixture, &workspace, &commit, &onto).unwrap();
    assert_eq!(git(&fixture.remote(), &["show", "main:lines"]), "one\n2\n3\n4\n5\n6\n7\n8\nnine");
}

#[test]
fn files_with_conflicts_are_named_and_nothing_moves() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    write(&workspace.tree(), "src/lib.rs", "//! ours\n");
    git(&workspace.tree(), &["rm", "-q", "--cached", "empty"]);
    std::fs::remove_file(workspace.tree().join("empty")).unwrap();
    let result = result(&workspace, "README.md", "ours\n");
    move_base(&fixture, "README.md", "theirs\n");
    move_base(&fixture, "empty", "no longer\n");
    let theirs = move_base(&fixture, "elsewhere", "theirs\n");
    let onto = fixture.fetched().base_commit;
    for strategy in [MergeStrategy::Merge, MergeStrategy::Squash] {
        let conflicts = Merged::Conflicts(vec!["README.md".to_owned(), "empty".to_owned()]);
        assert_eq!(merged(&workspace, &result, &onto, strategy, &[]), conflicts);
    }
    assert_eq!(tip(&fixture), theirs);
}

#[test]
fn conflicts_are_named_up_to_a_limit() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    for number in 0..150 {
        write(&workspace.tree(), format!("many/{number}"), "ours\n");
    }
    let result = result(&workspace, "one", "x");
    for number in 0..150 {
        write(&fixture.dir.path().join("source"), format!("many/{number}"), "theirs\n");
    }
    move_base(&fixture, "two", "y");
    let onto = fixture.fetched().base_commit;
    let Merged::Conflicts(files) = merged(&workspace, &result, &onto, MergeStrategy::Merge, &[]) else {
        panic!("no conflict")
    };
    assert_eq!(files.len(), 100);
}

/// As after a worker that died between its push and its report.
#[test]
fn work_that_is_in_the_base_already_is_not_merged_twice() {
    for strategy in [MergeStrategy::Merge, MergeStrategy::Squash] {
        let fixture = Fixture::new();
        let first = fixture.workspace();
        let (work, base) = (result(&first, "README.md", "ours\n"), first.base_commit());
        let commit = made(merged(&first, &work, &base, strategy, &[]));
        push(&fixture, &first, &commit, &base).unwrap();
        // The next attempt makes a result of its own of the same work, on the same base.
        let next = fixture.cache.fetch_commit(&fixture.url(), None, &base, &Cancel::default()).unwrap();
        let (root, url) = (fixture.dir.path().join("data/tasks/next"), fixture.url());
        let start = makima_worker::workspace::Base {
            cache_git_dir: &next,
            commit: &base,
            branch_name: Some("main"),
            url: Some(&url),
        };
        let second = Workspace::create(&root, &start, &Cancel::default()).unwrap();
        let again = result(&second, "README.md", "ours\n");
        let onto = fixture.fetched().base_commit;
        assert_eq!(onto, commit);
        assert_eq!(merged(&second, &again, &onto, strategy, &[]), Merged::AlreadyIn(onto));
        // Others went on in the same place: only the note of the first attempt tells it.
        move_base_of_remote(&fixture);
        let onto = fixture.fetched().base_commit;
        let known = [commit.clone()];
        assert_eq!(merged(&second, &again, &onto, strategy, &known), Merged::AlreadyIn(commit));
    }
}

/// Changes the same file as the work, on top of what the remote has now.
fn move_base_of_remote(fixture: &Fixture) {
    let source = fixture.dir.path().join("source");
    git(&source, &["fetch", "-q", "../remote.git", "main"]);
    git(&source, &["reset", "-q", "--hard", "FETCH_HEAD"]);
    move_base(fixture, "README.md", "theirs, later\n");
}

#[test]
fn commit_that_this_machine_does_not_have_is_no_sign_of_the_work() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let (result, base) = (result(&workspace, "new", "x"), workspace.base_commit());
    let known = ["f".repeat(40), "no commit".to_owned()];
    made(merged(&workspace, &result, &base, MergeStrategy::Merge, &known));
}

#[test]
fn base_that_was_written_anew_is_merged_onto_from_where_the_work_began() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let result = result(&workspace, "new", "x");
    let source = fixture.dir.path().join("source");
    git(&source, &["checkout", "-q", "--orphan", "anew"]);
    git(&source, &["commit", "-qm", "anew"]);
    git(&source, &["push", "-qf", "../remote.git", "HEAD:main"]);
    let onto = fixture.fetched().base_commit;
    let commit = made(merged(&workspace, &result, &onto, MergeStrategy::Squash, &[]));
    push(&fixture, &workspace, &commit, &onto).unwrap();
    assert_eq!(git(&fixture.remote(), &["diff", "--name-only", "main~", "main"]), "new");
}

#[test]
fn merge_drivers_that_the_tree_asks_for_are_not_run() {
    let fixture = Fixture::with(|source| {
        write(source, ".gitattributes", "* merge=evil\n");
        write(source, "a", "1\n");
    });
    let workspace = fixture.workspace();
    let result = result(&workspace, "a", "ours\n");
    move_base(&fixture, "a", "theirs\n");
    let marker = fixture.dir.path().join("marker");
    let driver = format!("touch {}", marker.display());
    git(&workspace.tree(), &["config", "merge.evil.driver", &driver]);
    git(&fixture.remote(), &["config", "merge.evil.driver", &driver]);
    let config = workspace.host_git().join("config");
    let planted =
        std::fs::read_to_string(&config).unwrap() + &format!("[merge \"evil\"]\n\tdriver = {driver}\n");
    std::fs::write(config, planted).unwrap();
    let onto = fixture.fetched().base_commit;
    let conflict = Merged::Conflicts(vec!["a".to_owned()]);
    assert_eq!(merged(&workspace, &result, &onto, MergeStrategy::Merge, &[]), conflict);
    assert!(!marker.exists());
}
