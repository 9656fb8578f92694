//! Fuzz target: whatever a patch says, a restore changes nothing but the work tree, and that only into the recorded tree.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use flate2::Compression;
use flate2::write::GzEncoder;
use makima_worker::workspace::{PatchLimits, RestoreError, SavedPatch, Workspace, restore, snapshot};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::fixture::{Fixture, files, write};
use crate::fuzzing::fuzz;

const DEFAULT_CASES: u32 = 40;
const LIMITS: PatchLimits = PatchLimits { unpacked_bytes: 1 << 20, gzip_bytes: 1 << 20 };
const NO_TREE: &str = "1234567890123456789012345678901234567890";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text).unwrap();
    gzip.finish().unwrap()
}

fn try_restore(workspace: &Workspace, gzip: &[u8], tree_id: &str) -> Result<(), RestoreError> {
    let sha256 = Sha256::digest(gzip);
    restore(workspace, &SavedPatch { gzip, sha256: &sha256, tree_id }, LIMITS)
}

#[test]
fn no_patch_changes_anything_outside_its_tree() {
    const WORDS: &[&str] = &[
        "diff --git a/x b/x\n",
        "new file mode 100644\n",
        "new file mode 120000\n",
        "deleted file mode 100644\n",
        "old mode 100644\nnew mode 100755\n",
        "rename from x\nrename to ../y\n",
        "copy from a\ncopy to .git/b\n",
        "--- /dev/null\n",
        "+++ b/../x\n",
        "+++ b/.git/config\n",
        "+++ /tmp/x\n",
        "@@ -0,0 +1 @@\n",
        "@@ -1 +1 @@\n",
        "+x\n",
        "-x\n",
        " x\n",
        "\\ No newline at end of file\n",
        "GIT binary patch\n",
        "literal 3\n",
        "delta 7\n",
        "zcmV\n",
        "../",
        "/",
        ".git",
        "link/",
        "out/",
        "README.md",
        "a/",
        "b/",
        "\"\\056git/x\"",
        "160000",
        "Subproject commit ",
    ];
    let fixture = Fixture::with(|source| {
        write(source, "README.md", "hello\n");
        write(source, "src/main.rs", "fn main() {}\n");
        symlink("src", source.join("link")).unwrap();
        symlink("../../../../outside", source.join("out")).unwrap();
    });
    let outside = fixture.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    write(&outside, "precious", "x");
    let fresh = || {
        let workspace = fixture.workspace();
        let host = workspace.host_git();
        // All that a restore may not change: what is around the tree, the agent's git directory, the worker's configuration.
        let state = move |workspace: &Workspace| {
            let around: Vec<_> =
                fs::read_dir(workspace.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            let own = ["config", "HEAD", "info/attributes"].map(|name| fs::read(host.join(name)).unwrap());
            (around, own, files(&workspace.tree().join(".git"), &[]))
        };
        let before = state(&workspace);
        (workspace, state, before)
    };
    let current = std::cell::RefCell::new(Some(fresh()));
    let around = |skip: &[&str]| files(fixture.dir.path(), skip);
    let before_all = around(&["data"]);
    fuzz("restore", DEFAULT_CASES, WORDS, |bytes| {
        for gzip in [gzip(bytes), bytes.to_vec()] {
            let (workspace, state, before) = current.borrow_mut().take().unwrap_or_else(fresh);
            let tree = files(&workspace.tree(), &[]);
            let first = try_restore(&workspace, &gzip, NO_TREE);
            prop_assert!(first.as_ref().is_err_and(RestoreError::is_bad_checkpoint), "{:?}", first);
            prop_assert_eq!(&files(&workspace.tree(), &[]), &tree);
            prop_assert_eq!(fs::read_dir(workspace.host_git().join("objects/pack")).unwrap().count(), 0);
            // As if whoever wrote the patch had recorded the tree that comes of it.
            if let Err(RestoreError::TreeMismatch { found, .. }) = first {
                if try_restore(&workspace, &gzip, &found).is_ok() {
                    prop_assert_eq!(snapshot(&workspace).unwrap().tree_id, found);
                }
                prop_assert_eq!(state(&workspace), before);
                workspace.remove().unwrap();
            } else {
                prop_assert_eq!(state(&workspace), before.clone());
                *current.borrow_mut() = Some((workspace, state, before));
            }
            prop_assert_eq!(&around(&["data"]), &before_all);
        }
        Ok(())
    });
}
