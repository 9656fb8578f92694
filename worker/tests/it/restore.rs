//! Checkpoints that come back, and those that must not.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use makima_worker::workspace::{
    PatchError, PatchLimits, RestoreError, SavedPatch, make_patch, restore, snapshot,
};
use sha2::{Digest, Sha256};

use crate::fixture::{Fixture, assert_same_work, checkpoint, files, git, restore_patch, write};
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
    assert_same_work(&checkpoint(&copy), &checkpoint(&workspace));
}

#[test]
fn a_restore_leaves_the_index_to_the_next_snapshot() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    write(&workspace.tree(), "README.md", "changed\n");
    write(&workspace.tree(), "noise.log", "ignored, and added all the same\n");
    git(&workspace.tree(), &["add", "-f", "noise.log"]);
    let patch = checkpoint(&workspace);
    let copy = fixture.workspace();
    let index = || fs::read(copy.host_git().join("index")).unwrap();
    let before = index();
    restore_patch(&copy, &patch).unwrap();
    assert_eq!(index(), before);
    // Also in a later life of the worker.
    for workspace in [copy.clone().keeping(&[]), copy.clone()] {
        assert_eq!(snapshot(&workspace).unwrap().tree_id, patch.tree_id);
        assert_ne!(index(), before);
    }
    fs::remove_file(copy.tree().join("noise.log")).unwrap();
    assert_ne!(snapshot(&copy).unwrap().tree_id, patch.tree_id);
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

/// Says which content a patch makes where there is none.
fn index_of(content: &str) -> String {
    let id = git2::Oid::hash_object(git2::ObjectType::Blob, content.as_bytes()).unwrap();
    format!("index {:040}..{id}", 0)
}

/// Writes a patch that adds a file.
fn adding(path: &str) -> Vec<u8> {
    let index = index_of("evil\n");
    let patch = format!(
        "diff --git a/{path} b/{path}\nnew file mode 100755\n{index}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+evil\n"
    );
    gzip(patch.as_bytes())
}

#[test]
fn a_patch_that_adds_a_file_leads_to_a_tree() {
    let fixture = Fixture::new();
    for path in ["evil", "src/evil", "new/evil", "way/evil"] {
        let error = refused(&fixture, &adding(path), SOME_TREE, PatchLimits::default());
        assert!(matches!(error, RestoreError::TreeMismatch { .. }), "{path}: {error}");
    }
}

#[test]
fn patches_that_reach_outside_the_tree_are_refused() {
    let fixture = Fixture::new();
    for path in
        ["../evil", "a/../../evil", "a/../.git/config", "./evil", "a//evil", "/tmp/evil", "//evil", ".", ".."]
    {
        let error = refused(&fixture, &adding(path), SOME_TREE, PatchLimits::default());
        assert!(matches!(error, RestoreError::Refused { .. }), "{path}: {error}");
        assert!(!fixture.dir.path().join("data/tasks/evil").exists() && !Path::new("/tmp/evil").exists());
    }
}

#[test]
fn patches_into_git_directories_are_refused_however_they_are_spelt() {
    let fixture = Fixture::new();
    let mut names: Vec<String> = (0..8_u32)
        .map(|upper| {
            let letters = "git".chars().enumerate();
            let spelt = letters.map(|(at, c)| if upper >> at & 1 == 1 { c.to_ascii_uppercase() } else { c });
            format!(".{}", spelt.collect::<String>())
        })
        .collect();
    // As NTFS would read them.
    names.extend(
        [
            "git~1",
            "GIT~1",
            ".git ",
            ".git.",
            ".git . .",
            ".git::$INDEX_ALLOCATION",
            ".GIT:stream",
            ".git\\hooks",
        ]
        .map(str::to_owned),
    );
    for name in names {
        for path in [format!("{name}/hooks/pre-commit"), format!("sub/{name}/config"), name.clone()] {
            let error = refused(&fixture, &adding(&path), SOME_TREE, PatchLimits::default());
            assert!(matches!(error, RestoreError::Refused { .. }), "{path:?}: {error}");
        }
    }
}

#[test]
fn patches_do_not_write_through_links() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_owned();
    let fixture = Fixture::with(|source| {
        write(source, "plain", "x");
        symlink(&target, source.join("out")).unwrap();
    });
    // Through a link of the base, and through one that the same patch makes.
    let error = refused(&fixture, &adding("out/evil"), SOME_TREE, PatchLimits::default());
    assert!(matches!(error, RestoreError::Refused { .. }), "{error}");
    for way in ["..", target.to_str().unwrap(), ".git"] {
        let (link, file) = (index_of(way), index_of("evil\n"));
        let patch = format!(
            "diff --git a/way b/way\nnew file mode 120000\n{link}\n--- /dev/null\n+++ b/way\n@@ -0,0 +1 @@\n+{way}\n\\ No newline at end of file\n\
             diff --git a/way/evil b/way/evil\nnew file mode 100644\n{file}\n--- /dev/null\n+++ b/way/evil\n@@ -0,0 +1 @@\n+evil\n"
        );
        let error = refused(&fixture, &gzip(patch.as_bytes()), SOME_TREE, PatchLimits::default());
        assert!(matches!(error, RestoreError::Refused { .. }), "{error}");
    }
    // A link that becomes a directory is no link any more.
    let workspace = fixture.workspace();
    fs::remove_file(workspace.tree().join("out")).unwrap();
    write(&workspace.tree(), "out/evil", "x");
    let copy = fixture.carried_over(&workspace);
    assert!(copy.tree().join("out/evil").is_file() && !copy.tree().join("out").is_symlink());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "something was written through a link");
}

#[test]
fn names_that_git_takes_no_file_by_cost_no_more_than_themselves() {
    let names = [
        "git~1",
        ".git ",
        ".git.",
        ".git::$INDEX_ALLOCATION",
        ".git\\x",
        ".g\u{200c}it",
        ".git\u{feff}",
        "gitmod~1",
        ".gitmodules ",
        ".gitmodules::$DATA",
        ".GITMODULES",
        ".gitmodules\u{200c}",
        "gi7eba~1",
        "con",
        "aux.c",
        "a:b",
        "back\\..\\up",
        "dot.",
        "space ",
        "GI250A~1",
    ];
    let fixture = Fixture::new();
    for name in names {
        let workspace = fixture.workspace();
        let tree = workspace.tree();
        symlink("target", tree.join(name)).unwrap();
        for place in ["file", "directory"] {
            fs::create_dir(tree.join(place)).unwrap();
        }
        fs::write(tree.join("file").join(name), "x").unwrap();
        write(&tree.join("directory"), format!("{name}/inside"), "x");
        write(&tree, "zzz", "x");
        let skipped = snapshot(&workspace).unwrap().skipped;
        let copy = fixture.carried_over(&workspace);
        assert!(copy.tree().join("zzz").exists());
        let places = [name.to_owned(), format!("file/{name}"), format!("directory/{name}/inside")];
        let lost = places.iter().filter(|place| copy.tree().join(place).symlink_metadata().is_err());
        assert_eq!(lost.count(), skipped.count, "{name:?}: {skipped:?}");
    }
}

#[test]
fn a_checkpoint_needs_nothing_but_the_remote() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    write(&tree, "README.md", "first\n");
    git(&tree, &["commit", "-qam", "a commit that dies with this machine"]);
    checkpoint(&workspace);
    write(&tree, "README.md", "second\n");
    let patch = checkpoint(&workspace);
    workspace.remove().unwrap();
    fs::remove_dir_all(fixture.dir.path().join("data")).unwrap();
    let copy = fixture.workspace();
    restore_patch(&copy, &patch).unwrap();
    assert_eq!(fs::read_to_string(copy.tree().join("README.md")).unwrap(), "second\n");
}

#[test]
fn bombs_are_refused() {
    let fixture = Fixture::new();
    let limits = PatchLimits { unpacked_bytes: 1 << 20, ..PatchLimits::default() };
    let index = index_of("");
    let text = format!(
        "diff --git a/x b/x\nnew file mode 100644\n{index}\n--- /dev/null\n+++ b/x\n@@ -0,0 +1,{} @@\n",
        32 << 20
    );
    // Many lines, and one without an end.
    for zeros in ["+\n".repeat(32 << 20), format!("+{}", "0".repeat(64 << 20))] {
        let error = refused(&fixture, &gzip((text.clone() + &zeros).as_bytes()), SOME_TREE, limits);
        assert!(matches!(error, RestoreError::TooLarge { .. }), "{error}");
    }
    let error = refused(&fixture, &gzip(&vec![b'\n'; 64 << 20]), SOME_TREE, limits);
    assert!(matches!(error, RestoreError::Refused { .. }), "{error}");
    let binary =
        b"diff --git a/x b/x\nnew file mode 100644\nindex 0..1\nGIT binary patch\nliteral 1073741824\nzc\n\n";
    let error = refused(&fixture, &gzip(binary), SOME_TREE, limits);
    assert!(matches!(error, RestoreError::TooLarge { .. }), "{error}");
}

#[test]
fn patches_that_repeat_what_is_there_are_counted_by_what_they_make() {
    let noise: Vec<u8> = (0..40_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let fixture = Fixture::with(|source| write(source, "noise", &noise));
    let workspace = fixture.workspace();
    write(&workspace.tree(), "noise", noise.repeat(100));
    let patch = checkpoint(&workspace);
    assert!(patch.unpacked_bytes < 400_000, "{}: no delta", patch.unpacked_bytes);
    let limits = PatchLimits { unpacked_bytes: 1 << 20, ..PatchLimits::default() };
    let error = refused(&fixture, &patch.gzip, &patch.tree_id, limits);
    assert!(matches!(error, RestoreError::TooLarge { .. }), "{error}");
    let error = make_patch(&workspace, &patch.tree_id, limits).unwrap_err();
    assert!(matches!(error, PatchError::TooLarge { .. }), "{error}");
    restore_patch(&fixture.workspace(), &patch).unwrap();
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
