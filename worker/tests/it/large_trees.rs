//! Trees and files of a size that nobody reckoned with.

use std::fs::{self, File};
use std::path::Path;

use makima_worker::workspace::{agent_refs, make_bundle, snapshot};

use crate::fixture::{Fixture, checkpoint, git, restore_patch, write};

const SPARSE_BYTES: u64 = 5 << 30;
const FILES: usize = 100_000;

fn make_sparse(path: &Path) {
    let _ = fs::remove_file(path);
    File::create(path).unwrap().set_len(SPARSE_BYTES).unwrap();
}

#[test]
fn sparse_files_of_five_gibibytes_are_named_and_the_rest_is_saved() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    write(&tree, "before", "x");
    write(&tree, "zzz/after", "x");
    make_sparse(&tree.join("sparse"));
    make_sparse(&tree.join("README.md"));
    let taken = snapshot(&workspace).unwrap();
    assert_eq!(taken.skipped.count, 2, "{:?}", taken.skipped);
    for name in ["sparse", "README.md"] {
        let is_named = |line: &String| line.starts_with(&format!("{name}: larger than"));
        assert!(taken.skipped.first.iter().any(is_named), "{:?}", taken.skipped);
    }
    // Nothing of them was read: zeros would be small in the store, but not this small.
    let stored = git(&workspace.host_git(), &["--git-dir=.", "count-objects", "-v"]);
    let kib = stored.lines().find_map(|line| line.strip_prefix("size: ")).unwrap();
    assert!(kib.parse::<u64>().unwrap() < 100, "{stored}");
    let copy = fixture.carried_over(&workspace);
    assert!(copy.tree().join("before").exists() && copy.tree().join("zzz/after").exists());
    assert!(!copy.tree().join("sparse").exists());
    // The last known state.
    assert_eq!(fs::read_to_string(copy.tree().join("README.md")).unwrap(), "hello\n");
}

#[test]
fn sparse_files_in_the_git_directory_of_an_agent_are_not_read() {
    let fixture = Fixture::new();
    for name in ["index", "HEAD", "packed-refs", "refs/heads/main", "objects/pack/pack-0.idx", "config"] {
        let workspace = fixture.workspace();
        let tree = workspace.tree();
        write(&tree, "own", "x");
        git(&tree, &["add", "own"]);
        git(&tree, &["commit", "-qm", "own"]);
        make_sparse(&tree.join(".git").join(name));
        if let Some(refs) = agent_refs(&workspace) {
            let _ = make_bundle(&workspace, &refs, 10 << 20);
        }
        assert!(fixture.carried_over(&workspace).tree().join("own").exists(), "{name}");
    }
}

#[test]
fn a_hundred_thousand_files_come_back() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    for at in 0..FILES {
        let directory = tree.join(format!("many/{}", at / 1_000));
        if at % 1_000 == 0 {
            fs::create_dir_all(&directory).unwrap();
        }
        fs::write(directory.join(at.to_string()), "same\n").unwrap();
    }
    let patch = checkpoint(&workspace);
    assert_eq!((patch.files_changed, patch.lines_added), (FILES as u64, FILES as u64));
    let copy = fixture.workspace();
    restore_patch(&copy, &patch).unwrap();
    let last = copy.tree().join(format!("many/{}/{}", (FILES - 1) / 1_000, FILES - 1));
    assert_eq!(fs::read_to_string(last).unwrap(), "same\n");
}
