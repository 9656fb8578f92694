//! Fuzz target: whatever names an agent gives to files and links, its work comes back.

use std::fs;
use std::os::unix::fs::symlink;

use makima_worker::workspace::snapshot;
use proptest::prelude::*;

use crate::fixture::{Fixture, bytes_path};
use crate::fuzzing::fuzz;

const DEFAULT_CASES: u32 = 25;
const MAX_NAMES: usize = 40;

#[test]
fn work_comes_back_whatever_its_files_are_called() {
    const WORDS: &[&str] = &[
        "\n",
        "\n",
        "\n",
        "/",
        "/",
        ".git",
        ".GIT",
        "git~1",
        "GIT~1",
        "git~",
        ".gitmodules",
        "gitmod~",
        "gi7eba~1",
        "~",
        "1",
        "12345",
        ":",
        "::$INDEX_ALLOCATION",
        "::$DATA",
        " ",
        ".",
        "..",
        "\\",
        "\"",
        "-",
        "a",
        "b",
        "src",
        "README.md",
        ".gitattributes",
        "\u{200c}",
        "\u{feff}",
        "con",
        "lpt1",
        "*",
        "?",
        "a/b",
        "/dev/null",
        "\t",
    ];
    let fixture = Fixture::new();
    fuzz("tree_names", DEFAULT_CASES, WORDS, |bytes| {
        let workspace = fixture.workspace();
        let tree = workspace.tree();
        for (at, name) in bytes.split(|byte| *byte == b'\n').take(MAX_NAMES).enumerate() {
            let path = tree.join(bytes_path(name).strip_prefix("/").unwrap_or(bytes_path(name)));
            // Only what lies in the tree, and not in the agent's own git directory.
            let stays = path.components().all(|part| part != std::path::Component::ParentDir);
            if !stays || path.starts_with(tree.join(".git")) || !path.starts_with(&tree) {
                continue;
            }
            // What cannot be made is not made: names that are too long, or lie below a file.
            let _ = path.parent().map(fs::create_dir_all);
            let _ = if at % 2 == 0 { symlink("target", &path) } else { fs::write(&path, "x") };
        }
        fs::write(tree.join("always"), "x").unwrap();
        let taken = snapshot(&workspace).unwrap();
        let copy = fixture.carried_over(&workspace);
        prop_assert!(copy.tree().join("always").exists());
        prop_assert_eq!(snapshot(&copy).unwrap().tree_id, taken.tree_id);
        workspace.remove().unwrap();
        copy.remove().unwrap();
        Ok(())
    });
}
