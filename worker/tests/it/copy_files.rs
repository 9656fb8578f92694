//! Files that are brought over from another task's work.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use makima_worker::workspace::{
    CopyError, CopySource, Patch, PatchLimits, RestoreError, SavedPatch, Workspace, copy_files,
};

use crate::fixture::{Fixture, checkpoint, files, git, write};

fn copy(to: &Workspace, base_commit: &str, patch: &Patch, paths: &[&str]) -> Result<(), CopyError> {
    let saved = SavedPatch { gzip: &patch.gzip, sha256: &patch.sha256, tree_id: &patch.tree_id };
    let paths: Vec<_> = paths.iter().map(|&path| path.to_owned()).collect();
    copy_files(to, &CopySource::Checkpoint { base_commit, saved }, &paths, PatchLimits::default())
}

#[test]
fn only_what_is_named_comes_over_and_the_rest_is_the_own_base() {
    let fixture = Fixture::new();
    let source = fixture.workspace();
    let tree = source.tree();
    write(&tree, "README.md", "changed\n");
    write(&tree, "new/a.txt", "a\n");
    write(&tree, "new/deep/run.sh", "#!/bin/sh\n");
    fs::set_permissions(tree.join("new/deep/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/etc/passwd", tree.join("new/link")).unwrap();
    write(&tree, "src/main.rs", "fn main() { changed() }\n");
    write(&tree, "src/lib.rs", "changed\n");
    fs::remove_file(tree.join("logo.bin")).unwrap();
    let patch = checkpoint(&source);

    // The branch has moved on meanwhile.
    let seed = fixture.dir.path().join("source");
    write(&seed, "later.txt", "later\n");
    git(&seed, &["add", "-A"]);
    git(&seed, &["commit", "-qm", "later"]);
    git(&seed, &["push", "-q", fixture.remote().to_str().unwrap(), "HEAD"]);
    let to = fixture.workspace();
    assert_ne!(to.base_commit(), source.base_commit());
    let before = files(&to.tree(), &[]);
    copy(&to, &source.base_commit(), &patch, &["new/", "src/main.rs"]).unwrap();

    let own = |path: &std::path::Path| !path.starts_with("new") && path != "src/main.rs";
    let after = files(&to.tree(), &[]);
    let kept = |files: &[(std::path::PathBuf, String, Vec<u8>)]| {
        files.iter().filter(|(path, ..)| own(path)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(kept(&after), kept(&before));
    let brought: Vec<_> = after.iter().filter(|(path, ..)| !own(path)).cloned().collect();
    let wanted: Vec<_> = files(&tree, &[]).into_iter().filter(|(path, ..)| !own(path)).collect();
    assert_eq!((brought.len(), brought), (4, wanted));
    // It is work of the task's own: its checkpoint has it, against its own base.
    let again = fixture.carried_over(&to);
    assert_eq!(files(&again.tree(), &[]), after);
}

#[test]
fn links_of_the_own_base_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_owned();
    let fixture = Fixture::with(|source| {
        write(source, "plain", "x");
        symlink(&target, source.join("dir")).unwrap();
        symlink(target.join("file"), source.join("file")).unwrap();
    });
    let source = fixture.workspace();
    for link in ["dir", "file"] {
        fs::remove_file(source.tree().join(link)).unwrap();
    }
    write(&source.tree(), "dir/marker", "marker");
    write(&source.tree(), "file", "marker");
    let to = fixture.workspace();
    copy(&to, &source.base_commit(), &checkpoint(&source), &["dir/marker", "file"]).unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "something was written through a link");
    assert!(to.tree().join("dir").symlink_metadata().unwrap().is_dir());
    assert_eq!(fs::read_to_string(to.tree().join("file")).unwrap(), "marker");
}

#[test]
fn what_is_not_there_is_named_and_a_bad_patch_changes_nothing() {
    let fixture = Fixture::new();
    let source = fixture.workspace();
    write(&source.tree(), "a", "a");
    let mut patch = checkpoint(&source);
    let to = fixture.workspace();
    let before = files(&to.tree(), &[]);
    for path in ["missing", "src/missing", "README.md/below", "target"] {
        let refused = copy(&to, &source.base_commit(), &patch, &["a", path]);
        assert!(matches!(&refused, Err(CopyError::NotFound { path: named }) if named == path), "{refused:?}");
    }
    patch.gzip[10] ^= 1;
    let refused = copy(&to, &source.base_commit(), &patch, &["a"]);
    assert!(matches!(refused, Err(CopyError::Restore(RestoreError::ChecksumMismatch))), "{refused:?}");
    assert_eq!(files(&to.tree(), &[]), before);
    let paths = ["README.md".to_owned()];
    copy_files(&to, &CopySource::Commit(&source.base_commit()), &paths, PatchLimits::default()).unwrap();
    assert_eq!(files(&to.tree(), &[]), before);
}
