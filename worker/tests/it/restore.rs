//! Checkpoints that come back, and those that must not.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use makima_worker::workspace::{
    PatchError, PatchLimits, RestoreError, SavedPatch, Workspace, make_patch, restore, snapshot,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::fixture::{Fixture, bytes_path, checkpoint, files, git, restore_patch, write};
use crate::snapshot::change_everything;

#[test]
fn work_comes_back_uncommitted_and_byte_for_byte() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    change_everything(&workspace.tree());
    git(&workspace.tree(), &["commit", "-qm", "the agent's own", "--", "staged.txt"]);
    let copy = fixture.carried_over(&workspace);
    assert_eq!(files(&copy.tree(), &[]), files(&workspace.tree(), &[]));
    assert_eq!(git(&copy.tree(), &["rev-parse", "HEAD"]), copy.base_commit());
    assert!(git(&copy.tree(), &["status", "--porcelain"]).contains("?? staged.txt"));
    // A checkpoint of the restored work is the same checkpoint.
    assert_eq!(checkpoint(&copy), checkpoint(&workspace));
}

#[test]
fn patch_counts_what_it_changes() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    write(&workspace.tree(), "README.md", "one\ntwo\n");
    write(&workspace.tree(), "logo.bin", [0, 0, 1]);
    fs::remove_file(workspace.tree().join("src/lib.rs")).unwrap();
    let patch = checkpoint(&workspace);
    assert_eq!((patch.files_changed, patch.lines_added, patch.lines_removed), (3, 2, 2));
    assert_eq!(patch.sha256, *Sha256::digest(&patch.gzip));
}

#[test]
fn empty_work_is_an_empty_patch() {
    let fixture = Fixture::new();
    let patch = checkpoint(&fixture.workspace());
    assert_eq!((patch.unpacked_bytes, patch.files_changed), (0, 0));
    restore_patch(&fixture.workspace(), &patch).unwrap();
}

#[test]
fn restored_workspace_can_be_worked_in_and_carried_on() {
    let fixture = Fixture::new();
    let mut workspace = fixture.workspace();
    for round in 0..3 {
        write(&workspace.tree(), "log.txt", format!("line {round}\n").repeat(round + 1));
        write(&workspace.tree(), format!("round-{round}"), "x");
        let next = fixture.carried_over(&workspace);
        assert_eq!(files(&next.tree(), &[]), files(&workspace.tree(), &[]));
        workspace = next;
    }
}

#[test]
fn line_ends_come_back_as_the_agent_wrote_them() {
    let fixture = Fixture::with(|source| {
        write(source, ".gitattributes", "*.txt text eol=crlf\n*.auto text=auto\n*.id ident\n");
        write(source, "a.txt", "one\ntwo\n");
        write(source, "b.txt", "same\n");
        write(source, "c.auto", "x\n");
        write(source, "d.id", "$Id$\n");
    });
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    assert_eq!(fs::read(tree.join("a.txt")).unwrap(), b"one\r\ntwo\r\n");
    assert_eq!(git(&tree, &["status", "--porcelain"]), "");
    assert!(!snapshot(&workspace).unwrap().changed);
    write(&tree, "a.txt", "one\r\nthree\n");
    write(&tree, "new.txt", "unix\n");
    write(&tree, "c.auto", "x\r\ny\r\n");
    write(&tree, "utf16", [0xff, 0xfe, b'a', 0, b'\n', 0]);
    write(&tree, "sub/.gitattributes", "utf16 working-tree-encoding=UTF-16\n* -diff\n");
    write(&tree, "sub/utf16", "no utf-16 at all\n");
    let copy = fixture.carried_over(&workspace);
    assert_eq!(files(&copy.tree(), &[]), files(&tree, &[]));
}

#[test]
fn work_beyond_the_limit_is_refused_as_such() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    write(&workspace.tree(), "big", "0123456789\n".repeat(10_000));
    let tree_id = snapshot(&workspace).unwrap().tree_id;
    for limits in [
        PatchLimits { unpacked_bytes: 50_000, ..PatchLimits::default() },
        PatchLimits { gzip_bytes: 100, ..PatchLimits::default() },
    ] {
        let error = make_patch(&workspace, &tree_id, limits).unwrap_err();
        assert!(matches!(error, PatchError::TooLarge { .. }), "{error}");
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text).unwrap();
    gzip.finish().unwrap()
}

/// Restores a patch that somebody made by hand, and checks that nothing of it reached the tree.
fn refused(fixture: &Fixture, gzip: &[u8], tree_id: &str, limits: PatchLimits) -> RestoreError {
    let workspace = fixture.workspace();
    let before = files(&workspace.tree(), &[]);
    let sha256 = Sha256::digest(gzip);
    let saved = SavedPatch { gzip, sha256: &sha256, tree_id };
    let error = restore(&workspace, &saved, limits).unwrap_err();
    assert!(error.is_bad_checkpoint(), "{error}");
    assert_eq!(files(&workspace.tree(), &[]), before);
    assert!(!snapshot(&workspace).unwrap().changed);
    error
}

const SOME_TREE: &str = "1234567890123456789012345678901234567890";

#[test]
fn patches_that_reach_outside_the_tree_are_refused() {
    let fixture = Fixture::new();
    for path in ["../evil", ".git/hooks/pre-commit", "sub/.GIT/config", "a/../../evil", "/tmp/evil"] {
        let patch = format!(
            "diff --git a/{path} b/{path}\nnew file mode 100755\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+evil\n"
        );
        let error = refused(&fixture, &gzip(patch.as_bytes()), SOME_TREE, PatchLimits::default());
        assert!(
            matches!(error, RestoreError::Refused { .. } | RestoreError::TreeMismatch { .. }),
            "{path}: {error}"
        );
        assert!(!fixture.dir.path().join("data/tasks/evil").exists());
    }
    // Through a link that the same patch makes.
    let patch = "diff --git a/way b/way\nnew file mode 120000\n--- /dev/null\n+++ b/way\n@@ -0,0 +1 @@\n+..\n\\ No newline at end of file\n\
        diff --git a/way/evil b/way/evil\nnew file mode 100644\n--- /dev/null\n+++ b/way/evil\n@@ -0,0 +1 @@\n+evil\n";
    refused(&fixture, &gzip(patch.as_bytes()), SOME_TREE, PatchLimits::default());
}

#[test]
fn bombs_are_refused() {
    let fixture = Fixture::new();
    let limits = PatchLimits { unpacked_bytes: 1 << 20, ..PatchLimits::default() };
    let error = refused(&fixture, &gzip(&vec![b'\n'; 64 << 20]), SOME_TREE, limits);
    assert!(matches!(error, RestoreError::TooLarge { .. }), "{error}");
    let binary =
        b"diff --git a/x b/x\nnew file mode 100644\nindex 0..1\nGIT binary patch\nliteral 1073741824\nzc\n\n";
    let error = refused(&fixture, &gzip(binary), SOME_TREE, limits);
    assert!(matches!(error, RestoreError::TooLarge { .. }), "{error}");
}

#[test]
fn damaged_patches_are_refused() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    change_everything(&workspace.tree());
    let patch = checkpoint(&workspace);
    let mut flipped = patch.clone();
    let middle = flipped.gzip.len() / 2;
    flipped.gzip[middle] ^= 1;
    let target = fixture.workspace();
    let error = restore_patch(&target, &flipped).unwrap_err();
    assert!(matches!(error, RestoreError::ChecksumMismatch) && error.is_bad_checkpoint(), "{error}");

    for cut in [0, 1, 20, middle, patch.gzip.len() - 1] {
        refused(&fixture, &patch.gzip[..cut], &patch.tree_id, PatchLimits::default());
    }
    refused(&fixture, &flipped.gzip, &patch.tree_id, PatchLimits::default());
    let error = refused(&fixture, &patch.gzip, SOME_TREE, PatchLimits::default());
    assert!(matches!(error, RestoreError::TreeMismatch { .. }), "{error}");

    // The workspace in which a bad checkpoint failed takes the good one before it.
    restore_patch(&target, &patch).unwrap();
    assert_eq!(files(&target.tree(), &[]), files(&workspace.tree(), &[]));
}

#[derive(Debug, Clone)]
enum Edit {
    Write(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Link(Vec<u8>, Vec<u8>),
    Executable(Vec<u8>),
    Nest(Vec<u8>),
    Stage,
    Commit,
    Snapshot,
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just(b"a".to_vec()),
        Just(b"b".to_vec()),
        Just(b"README.md".to_vec()),
        Just(b"src".to_vec()),
        Just(b"main.rs".to_vec()),
        Just(b"\xff\xfe".to_vec()),
        Just(b"x y\n".to_vec()),
    ];
    prop::collection::vec(name, 1..4).prop_map(|names| names.join(&b'/'))
}

fn edit() -> impl Strategy<Value = Edit> {
    let content = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "[a-c\r\n]{0,200}".prop_map(String::into_bytes),
    ];
    let target = prop_oneof![Just(b"README.md".to_vec()), Just(b"../../x".to_vec()), Just(b"\xfe".to_vec())];
    prop_oneof![
        6 => (path(), content).prop_map(|(path, content)| Edit::Write(path, content)),
        2 => path().prop_map(Edit::Remove),
        1 => (path(), target).prop_map(|(path, target)| Edit::Link(path, target)),
        1 => path().prop_map(Edit::Executable),
        1 => path().prop_map(Edit::Nest),
        1 => Just(Edit::Stage),
        1 => Just(Edit::Commit),
        2 => Just(Edit::Snapshot),
    ]
}

/// Does what it can of an edit: paths may lead through files, and then nothing happens.
fn perform(workspace: &Workspace, edit: &Edit) {
    use std::os::unix::fs::PermissionsExt;

    let tree = workspace.tree();
    let at = |path: &[u8]| tree.join(bytes_path(path));
    let clear = |path: &Path| match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => drop(fs::remove_dir_all(path)),
        Ok(_) => drop(fs::remove_file(path)),
        Err(_) => drop(path.parent().map(fs::create_dir_all)),
    };
    // Never write through a link out of the tree.
    let inside =
        |path: &Path| path.ancestors().take_while(|part| *part != tree).all(|part| !part.is_symlink());
    match edit {
        Edit::Write(path, _)
        | Edit::Remove(path)
        | Edit::Link(path, _)
        | Edit::Executable(path)
        | Edit::Nest(path)
            if !inside(at(path).parent().unwrap()) => {}
        Edit::Write(path, content) => {
            clear(&at(path));
            let _ = fs::write(at(path), content);
        }
        Edit::Remove(path) => clear(&at(path)),
        Edit::Link(path, target) => {
            clear(&at(path));
            let _ = symlink(bytes_path(target), at(path));
        }
        Edit::Executable(path) if !at(path).is_symlink() && at(path).is_file() => {
            fs::set_permissions(at(path), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Edit::Executable(_) => {}
        Edit::Nest(path) => {
            if !at(path).is_symlink() && fs::create_dir_all(at(path)).is_ok() {
                git(&at(path), &["init", "-q"]);
            }
        }
        Edit::Stage => drop(fs::write(tree.join("staged"), "s").map(|()| git(&tree, &["add", "staged"]))),
        Edit::Commit => drop(git(&tree, &["commit", "-q", "--allow-empty", "-m", "own"])),
        Edit::Snapshot => drop(snapshot(workspace).unwrap()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_work_comes_back(edits in prop::collection::vec(edit(), 1..25)) {
        thread_local!(static FIXTURE: Fixture = Fixture::new());
        FIXTURE.with(|fixture| {
            let workspace = fixture.workspace();
            edits.iter().for_each(|edit| perform(&workspace, edit));
            let copy = fixture.carried_over(&workspace);
            prop_assert_eq!(files(&copy.tree(), &[]), files(&workspace.tree(), &[]));
            prop_assert_eq!(snapshot(&copy).unwrap().tree_id, snapshot(&workspace).unwrap().tree_id);
            workspace.remove().unwrap();
            copy.remove().unwrap();
            Ok(())
        })?;
    }
}
