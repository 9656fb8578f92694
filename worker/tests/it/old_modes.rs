//! Trees with modes that only old programs wrote, which git reads as others.

use std::thread::sleep;
use std::time::Duration;

use makima_worker::workspace::snapshot;

use crate::fixture::{Fixture, files, write};

#[test]
fn modes_that_git_no_longer_writes_do_not_cost_a_checkpoint() {
    let fixture = Fixture::new();
    let remote = git2::Repository::open(fixture.remote()).unwrap();
    let tip = remote.head().unwrap().peel_to_commit().unwrap();
    let listing = remote.odb().unwrap().read(tip.tree_id()).unwrap().data().to_vec();
    let readme = listing.windows(16).position(|entry| entry == b"100644 README.md").unwrap();
    let mut old = listing.clone();
    old[readme..readme + 6].copy_from_slice(b"100664");
    let tree = remote.odb().unwrap().write(git2::ObjectType::Tree, &old).unwrap();
    let (author, tree) = (tip.author(), remote.find_tree(tree).unwrap());
    let branch = remote.head().unwrap().name().unwrap().to_owned();
    remote.commit(Some(&branch), &author, &author, "old", &tree, &[&tip]).unwrap();
    for path in ["new", "README.md", "src/new"] {
        let workspace = fixture.workspace();
        write(&workspace.tree(), path, "changed\n");
        let copy = fixture.carried_over(&workspace);
        assert_eq!(files(&copy.tree(), &[]), files(&workspace.tree(), &[]));
    }
}

/// A remote whose tip has modes in two directories that only old programs wrote.
fn fixture_with_old_modes() -> Fixture {
    let fixture = Fixture::with(|source| {
        for path in ["a/one", "a/two", "b/one", "b/two"] {
            write(source, path, "1\n");
        }
    });
    let remote = git2::Repository::open(fixture.remote()).unwrap();
    let tip = remote.head().unwrap().peel_to_commit().unwrap();
    let objects = remote.odb().unwrap();
    let mut root = objects.read(tip.tree_id()).unwrap().data().to_vec();
    let below = tip.tree().unwrap().get_name("a").unwrap().id();
    let mut old = objects.read(below).unwrap().data().to_vec();
    let two = old.windows(10).position(|entry| entry == b"100644 two").unwrap();
    old[two..two + 6].copy_from_slice(b"100664");
    let old = objects.write(git2::ObjectType::Tree, &old).unwrap();
    while let Some(at) = root.windows(20).position(|id| id == below.as_bytes()) {
        root[at..at + 20].copy_from_slice(old.as_bytes());
    }
    let tree = objects.write(git2::ObjectType::Tree, &root).unwrap();
    let (author, tree) = (tip.author(), remote.find_tree(tree).unwrap());
    let branch = remote.head().unwrap().name().unwrap().to_owned();
    remote.commit(Some(&branch), &author, &author, "old", &tree, &[&tip]).unwrap();
    fixture
}

#[test]
fn old_modes_do_not_cost_a_checkpoint_of_several_snapshots() {
    let fixture = fixture_with_old_modes();
    let workspace = fixture.workspace();
    // A new file needs a whole scan.
    write(&workspace.tree(), "b/new", "new\n");
    for _ in 0..3 {
        snapshot(&workspace).unwrap();
        sleep(Duration::from_millis(120)); // why: nothing as new as a tick of the clock is trusted
    }
    // A file that changes does not.
    write(&workspace.tree(), "a/one", "changed\n");
    let copy = fixture.carried_over(&workspace);
    assert_eq!(files(&copy.tree(), &[]), files(&workspace.tree(), &[]));
}

#[test]
fn old_modes_do_not_cost_a_checkpoint_of_files_that_are_touched() {
    let fixture = fixture_with_old_modes();
    let workspace = fixture.workspace();
    write(&workspace.tree(), "a/one", "1\n");
    write(&workspace.tree(), "b/one", "changed\n");
    let copy = fixture.carried_over(&workspace);
    assert_eq!(files(&copy.tree(), &[]), files(&workspace.tree(), &[]));
}
