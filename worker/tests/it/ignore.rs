//! What is ignored, with git itself as the judge.

use std::collections::BTreeSet;
use std::path::Path;

use makima_worker::workspace::{Workspace, snapshot};
use proptest::prelude::*;

use crate::fixture::{Fixture, bytes_path, git, write};

/// Returns the paths of a listing with `-z`.
fn paths(directory: &Path, arguments: &[&str]) -> BTreeSet<String> {
    let listing = git(directory, arguments);
    listing.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

fn stored(workspace: &Workspace) -> BTreeSet<String> {
    let tree = snapshot(workspace).unwrap().tree_id;
    paths(&workspace.host_git(), &["--git-dir=.", "ls-tree", "-r", "-z", "--name-only", &tree])
}

/// Returns what git would add to what it tracks already.
fn wanted(workspace: &Workspace) -> BTreeSet<String> {
    paths(&workspace.tree(), &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
}

const TRICKY: &[(&str, &[u8])] = &[
    (
        ".gitignore",
        b"\xef\xbb\xbf*.bom\r\n# a comment\n\\#hash\n\\!bang\nspaced   \nkept\\ \n*.py[co]\n/rooted\nsub/pathed\ndir-only/\n\
        double/**/deep\n**/anywhere/leaf\ntrailing/**\n!trailing/kept\n*.log\n!keep.log\nclass[[:digit:]]\n{a,b}\nback\\\\slash\n\
        [a-\nq[!x-z]\nf[^g]o\nw\\*ld\nopen[\nexcluded/\n!excluded/again\n/*/one-down\nprefix**/x\n\xe9*\nnull\0cut\n\
        [\\]]end\n[]x]y\n[[]z\nlast-line-without-end",
    ),
    ("nested/.gitignore", b"!*.log\n/only-here\n*.tmp\nbelow/\n"),
    ("nested/inner/.gitignore", b"!x.tmp\n*\n!.gitignore\n!kept\n"),
    ("tracked/.gitignore", b"*\n"),
];

const TRICKY_FILES: &[&str] = &[
    "x.bom",
    "#hash",
    "!bang",
    "spaced",
    "spaced ",
    "kept ",
    "kept",
    "a.pyc",
    "a.pyx",
    "rooted",
    "sub/rooted",
    "sub/pathed",
    "sub/sub/pathed",
    "dir-only/x",
    "sub/dir-only",
    "double/deep",
    "double/a/deep",
    "double/a/b/deep",
    "anywhere/leaf",
    "x/anywhere/leaf",
    "x/anywhere/y/leaf",
    "trailing/x",
    "trailing/kept",
    "trailing/x.d/y",
    "a.log",
    "keep.log",
    "nested/a.log",
    "nested/only-here",
    "nested/sub/only-here",
    "nested/x.tmp",
    "nested/below/y",
    "nested/inner/x.tmp",
    "nested/inner/other",
    "nested/inner/kept",
    "nested/inner/d/kept",
    "class1",
    "classx",
    "a",
    "b",
    "{a,b}",
    "back\\slash",
    "[a-",
    "qa",
    "qx",
    "fao",
    "fgo",
    "w*ld",
    "wild",
    "open[",
    "excluded/again",
    "excluded/d/x",
    "sub/one-down",
    "sub/sub/one-down",
    "prefix/x",
    "prefixed/x",
    "prefixed/y/x",
    "null",
    "nullcut",
    "]end",
    "xy",
    "]y",
    "[z",
    "last-line-without-end",
    "tracked/new",
    "tracked/sub/new",
    "build.log/x",
    "build.log/keep.log",
];

#[test]
fn same_files_are_ignored_as_by_git() {
    let fixture = Fixture::with(|source| {
        write(source, "tracked/file", "x");
        write(source, "tracked/sub/file", "x");
        write(source, "base.log", "x");
    });
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    for path in TRICKY_FILES {
        write(&tree, path, "x");
    }
    write(&tree, bytes_path(b"\xe9t\xe9"), "x");
    for (path, rules) in TRICKY {
        write(&tree, path, rules);
    }
    write(&tree, "tracked/sub/file", "changed");
    let wanted = wanted(&workspace);
    assert!(wanted.len() > 20 && wanted.len() < TRICKY_FILES.len());
    assert_eq!(stored(&workspace), wanted);
    let ignored = paths(&tree, &["ls-files", "-z", "--others", "--ignored", "--exclude-standard"]);
    assert!(ignored.is_disjoint(&stored(&workspace)));
}

const NAMES: [&str; 12] = ["a", "b", "ab", "a.b", "aa", "a b", "{a,b}", "[a]", "a]", "-", "a\\b", "!a"];

fn pattern() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "x", "y", "ab", ".b"]),
        4 => prop::sample::select(vec!["*", "**", "?", "/", "**/", "/**", "/**/"]),
        3 => prop::sample::select(vec!["[ab]", "[!a]", "[^b]", "[a-x]", "[[:alpha:]]", "[]a]", "[\\]a]", "[a-]", "[[:x:]]"]),
        2 => prop::sample::select(vec!["!", "#", " ", "\\", "\\a", "\\*", "\\ ", "{", "{a,b}", "[", "]", "-", "\r", "\t"]),
    ];
    let negation = prop_oneof![3 => Just(""), 1 => Just("!")];
    (negation, prop::collection::vec(atom, 1..5))
        .prop_map(|(negation, atoms)| format!("{negation}{}", atoms.concat()))
}

fn rules() -> impl Strategy<Value = String> {
    prop::collection::vec(pattern(), 0..6).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_rules_mean_what_they_mean_to_git(root in rules(), x in rules(), deep in rules()) {
        thread_local!(static FIXTURE: Fixture = Fixture::with(|source| write(source, "x/tracked", "x")));
        FIXTURE.with(|fixture| {
            let workspace = fixture.workspace();
            let tree = workspace.tree();
            for directory in ["", "x/", "x/y/", "x/y/a/", "b/"] {
                // These two are directories.
                let is_file = |name: &&&str| !matches!((directory, **name), ("", "b") | ("x/y/", "a"));
                NAMES.iter().filter(is_file).for_each(|name| write(&tree, format!("{directory}{name}"), "x"));
            }
            for (directory, rules) in [("", &root), ("x/", &x), ("x/y/", &deep)] {
                write(&tree, format!("{directory}.gitignore"), rules);
            }
            prop_assert_eq!(stored(&workspace), wanted(&workspace));
            workspace.remove().unwrap();
            Ok(())
        })?;
    }
}

#[test]
fn an_ignored_file_that_the_agent_added_is_followed_however_often_it_goes_and_comes_back() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    let without = snapshot(&workspace).unwrap().tree_id;
    write(&tree, "kept.log", "one\n");
    git(&tree, &["add", "-f", "kept.log"]);
    let with = snapshot(&workspace).unwrap().tree_id;
    assert_ne!(with, without);
    for _ in 0..3 {
        // why: an index that was written a moment ago is read again in any case
        std::thread::sleep(std::time::Duration::from_millis(120));
        assert_eq!(snapshot(&workspace).unwrap().tree_id, with, "nothing has changed");
        assert_eq!(snapshot(&workspace).unwrap().tree_id, with, "nothing has changed");
        std::fs::remove_file(tree.join("kept.log")).unwrap();
        assert_eq!(snapshot(&workspace).unwrap().tree_id, without, "it is gone");
        assert_eq!(snapshot(&workspace).unwrap().tree_id, without, "it is still gone");
        write(&tree, "kept.log", "one\n");
        assert_eq!(snapshot(&workspace).unwrap().tree_id, with, "it is back");
    }
    write(&tree, "more.log", "two\n");
    git(&tree, &["add", "-f", "more.log"]);
    assert_ne!(snapshot(&workspace).unwrap().tree_id, with, "another one was added");
}
