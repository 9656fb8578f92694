//! What holds a secret is in no snapshot, no saved commit and no result, and everything else is.

use std::fs;
use std::path::Path;

use makima_shared::domain::SecretValue;
use makima_worker::secrets::{Secret, Secrets};
use makima_worker::workspace::{
    Author, BundleError, Unusable, Workspace, agent_refs, commit_result, make_bundle, snapshot,
};

use crate::fixture::{Fixture, checkpoint, files, git, restore_patch, write};

const VALUE: &str = "correct-horse-battery";
/// The same in base64, behind one other byte.
const IN_BASE64: &str = "eGNvcnJlY3QtaG9yc2UtYmF0dGVyeQ==";
const MAX_BYTES: u64 = 10 << 20;

fn guarded(fixture: &Fixture) -> Workspace {
    let value = SecretValue::parse(VALUE.to_owned()).unwrap();
    let secret = Secret { env: "TOKEN".to_owned(), name: "TOKEN".to_owned(), value };
    fixture.workspace().guarding(Secrets::new(vec![secret]).unwrap())
}

/// Panics if any object of the worker's own store holds the value.
fn assert_store_is_clean(workspace: &Workspace) {
    let host = workspace.host_git();
    let list = git(&host, &["--git-dir=.", "cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
    for id in list.lines() {
        let content = git(&host, &["--git-dir=.", "cat-file", "-p", id]);
        assert!(!content.contains(VALUE) && !content.contains(IN_BASE64), "{id}: {content}");
    }
}

fn result_files(workspace: &Workspace) -> Vec<String> {
    let tree = snapshot(workspace).unwrap().tree_id;
    let commit = commit_result(workspace, &tree, "m", Author::default()).unwrap().unwrap();
    let listing = git(&workspace.host_git(), &["--git-dir=.", "ls-tree", "-r", "--name-only", &commit]);
    listing.lines().map(str::to_owned).collect()
}

#[test]
fn files_with_a_secret_are_left_out_and_named_and_all_others_come_back() {
    let fixture = Fixture::new();
    let workspace = guarded(&fixture);
    let tree = workspace.tree();
    write(&tree, "clean", "clean");
    write(&tree, ".env", format!("TOKEN={VALUE}\n"));
    write(&tree, "encoded", IN_BASE64);
    write(&tree, "in.json", format!("{{\"key\":\"{VALUE}\"}}"));
    // Larger than what is read whole, the value across two reads.
    let large = [vec![b'x'; (17 << 20) - 7], VALUE.as_bytes().to_vec(), vec![b'y'; 100]].concat();
    write(&tree, "large", large);
    write(&tree, "large-and-clean", vec![b'x'; 17 << 20]);
    write(&tree, format!("named-{VALUE}"), "x");
    std::os::unix::fs::symlink(VALUE, tree.join("points")).unwrap();
    let taken = snapshot(&workspace).unwrap();
    let mut words = taken.skipped.with_secrets.clone();
    words.sort();
    let wanted = ["file with the secret in its name", ".env", "encoded", "in.json", "large", "points"];
    assert_eq!((taken.skipped.count, words.len()), (wanted.len(), wanted.len()), "{words:?}");
    for name in wanted {
        assert!(
            words.iter().any(|word| word.contains(&format!("{name} (secret TOKEN)"))),
            "{name}: {words:?}"
        );
    }
    assert!(!format!("{:?}", taken.skipped).contains(VALUE));
    assert_store_is_clean(&workspace);

    let copy = fixture.workspace();
    restore_patch(&copy, &checkpoint(&workspace)).unwrap();
    let named = format!("named-{VALUE}");
    let left_out = [".env", "encoded", "in.json", "large", "points", &named];
    assert_eq!(files(&copy.tree(), &[]), files(&tree, &left_out));
    let listing = result_files(&workspace);
    assert!(
        listing.contains(&"clean".to_owned())
            && left_out.iter().all(|name| !listing.contains(&(*name).to_owned()))
    );
}

#[test]
fn a_restored_file_stays_as_it_was_before_it_held_a_secret() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    write(&workspace.tree(), "note", "no secret\n");
    let patch = checkpoint(&workspace);
    let copy = guarded(&fixture);
    restore_patch(&copy, &patch).unwrap();
    write(&copy.tree(), "note", VALUE);
    let taken = snapshot(&copy).unwrap();
    assert_eq!((taken.tree_id, taken.skipped.count), (patch.tree_id, 1));
    assert_store_is_clean(&copy);
}

#[test]
fn a_checkpoint_of_before_something_was_a_secret_is_not_restored() {
    let fixture = Fixture::new();
    type Step = fn(&Path);
    let steps: [Step; 3] = [
        |tree| write(tree, "leak", VALUE),
        |tree| write(tree, VALUE, "x"),
        |tree| std::os::unix::fs::symlink(VALUE, tree.join("points")).unwrap(),
    ];
    for step in steps {
        let workspace = fixture.workspace();
        step(&workspace.tree());
        let patch = checkpoint(&workspace);
        let copy = guarded(&fixture);
        let before = files(&copy.tree(), &[]);
        assert!(restore_patch(&copy, &patch).unwrap_err().is_bad_checkpoint());
        assert_eq!(files(&copy.tree(), &[]), before);
        assert!(!snapshot(&copy).unwrap().changed);
    }
}

#[test]
fn a_tracked_file_stays_as_it_was_before_it_held_a_secret_even_where_results_are_converted() {
    let fixture = Fixture::with(|source| {
        write(source, "config", "token = ?\n");
        write(source, ".gitattributes", "* text=auto\n");
    });
    let workspace = guarded(&fixture);
    let tree = workspace.tree();
    write(&tree, "config", "token = none\n");
    let before = snapshot(&workspace).unwrap();
    write(&tree, "config", format!("token = {VALUE}\n"));
    let after = snapshot(&workspace).unwrap();
    assert_eq!((&after.tree_id, after.skipped.count), (&before.tree_id, 1));
    let commit = commit_result(&workspace, &after.tree_id, "m", Author::default()).unwrap().unwrap();
    let content = git(&workspace.host_git(), &["--git-dir=.", "cat-file", "-p", &format!("{commit}:config")]);
    assert_eq!(content, "token = none");
    assert_store_is_clean(&workspace);
    // And comes along again once the secret is gone from it.
    write(&tree, "config", "token = $TOKEN\n");
    assert_eq!(snapshot(&workspace).unwrap().skipped.count, 0);
}

#[test]
fn commits_with_a_secret_are_not_saved_and_the_result_is_one_commit_without_it() {
    type Step = fn(&Path);
    let steps: [(&str, Step); 4] = [
        ("a file", |tree| {
            write(tree, "leak", VALUE);
            git(tree, &["add", "leak"]);
            git(tree, &["commit", "-qm", "leak"]);
        }),
        ("a file that is gone again", |tree| {
            write(tree, "leak", VALUE);
            git(tree, &["add", "leak"]);
            git(tree, &["commit", "-qm", "leak"]);
            git(tree, &["rm", "-q", "leak"]);
            git(tree, &["commit", "-qm", "gone"]);
        }),
        ("a message", |tree| {
            git(tree, &["commit", "-q", "--allow-empty", "-m", VALUE]);
        }),
        ("the name of a file", |tree| {
            write(tree, VALUE, "x");
            git(tree, &["add", "-A"]);
            git(tree, &["commit", "-qm", "named"]);
        }),
    ];
    for (name, step) in steps {
        let fixture = Fixture::new();
        let workspace = guarded(&fixture);
        let tree = workspace.tree();
        step(&tree);
        write(&tree, "clean", "clean");
        let refs = agent_refs(&workspace).unwrap();
        let refused = make_bundle(&workspace, &refs, MAX_BYTES).unwrap_err();
        let BundleError::Commits(Unusable::Secret(_, secret)) = &refused else { panic!("{name}: {refused}") };
        assert_eq!(secret, "TOKEN");
        assert!(refused.is_permanent() && !refused.to_string().contains(VALUE));
        let listing = result_files(&workspace);
        assert!(listing.contains(&"clean".to_owned()) && !listing.contains(&"leak".to_owned()), "{name}");
        assert_store_is_clean(&workspace);
    }
}

#[test]
fn a_branch_with_a_secret_in_its_name_is_not_saved() {
    let fixture = Fixture::new();
    let workspace = guarded(&fixture);
    git(&workspace.tree(), &["branch", VALUE]);
    let refs = agent_refs(&workspace).unwrap();
    assert!(matches!(make_bundle(&workspace, &refs, MAX_BYTES), Err(BundleError::SecretName(_))));
}

#[test]
fn what_the_base_has_already_is_no_news() {
    let fixture = Fixture::with(|source| write(source, "known", VALUE));
    let workspace = guarded(&fixture);
    write(&workspace.tree(), "clean", "clean");
    let taken = snapshot(&workspace).unwrap();
    assert_eq!(taken.skipped.count, 0);
    assert!(fs::read_to_string(workspace.tree().join("known")).unwrap().contains(VALUE));
    git(&workspace.tree(), &["add", "-A"]);
    git(&workspace.tree(), &["commit", "-qm", "own"]);
    make_bundle(&workspace, &agent_refs(&workspace).unwrap(), MAX_BYTES).unwrap();
}
