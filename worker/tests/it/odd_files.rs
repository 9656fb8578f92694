//! Whatever stands where git looks for rules, nobody waits for it, follows it, or reads it to its end.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use makima_worker::workspace::{Author, Workspace, commit_result, snapshot};
use nix::sys::stat::Mode;

use crate::fixture::{Fixture, git, write};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Odd {
    Pipe,
    Socket,
    Link,
    Directory,
    Huge,
}

impl Odd {
    const ALL: [Self; 5] = [Self::Pipe, Self::Socket, Self::Link, Self::Directory, Self::Huge];

    fn make(self, path: &Path, outside: &Path) {
        let _ = fs::remove_file(path);
        match self {
            Self::Pipe => nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap(),
            Self::Socket => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
            Self::Link => symlink(outside, path).unwrap(),
            Self::Directory => write(path, "inside", "x"),
            Self::Huge => File::create(path).unwrap().set_len(1 << 30).unwrap(),
        }
    }

    /// Returns what is stored for it at `path`.
    fn stored(self, path: &str) -> Option<String> {
        match self {
            Self::Pipe | Self::Socket | Self::Huge => None,
            Self::Link => Some(format!("120000 {path}")),
            Self::Directory => Some(format!("100644 {path}/inside")),
        }
    }
}

/// Returns mode and path of all files of a tree or commit.
fn listing(workspace: &Workspace, treeish: &str) -> Vec<String> {
    let host = workspace.host_git();
    let lines = git(&host, &["--git-dir=.", "ls-tree", "-r", "--format=%(objectmode) %(path)", treeish]);
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn odd_rules_files_are_stored_as_what_they_are_or_left_out() {
    let fixture = Fixture::with(|source| {
        write(source, ".gitattributes", "*.txt text\n");
        write(source, "src/.gitattributes", "*.txt text\n");
        write(source, "src/file.txt", "x\n");
    });
    // Rules that would exclude and convert everything if anybody followed the link.
    let outside = fixture.dir.path().join("outside");
    fs::write(&outside, "*\n").unwrap();
    for odd in Odd::ALL {
        for name in [".gitignore", ".gitattributes"] {
            let workspace = fixture.workspace();
            let tree = workspace.tree();
            write(&tree, "src/file.txt", "changed\n");
            write(&tree, "new/deep/file.txt", "new\n");
            let places = [name.to_owned(), format!("src/{name}"), format!("new/deep/{name}")];
            for place in &places {
                // A socket's path has little room.
                if odd != Odd::Socket || tree.join(place).as_os_str().len() < 100 {
                    odd.make(&tree.join(place), &outside);
                }
            }
            let taken = snapshot(&workspace).unwrap();
            let mut expected: Vec<_> = places.iter().filter_map(|place| odd.stored(place)).collect();
            expected.extend(["100644 src/file.txt", "100644 new/deep/file.txt"].map(str::to_owned));
            if name == ".gitignore" {
                expected.extend(["100644 .gitattributes", "100644 src/.gitattributes"].map(str::to_owned));
            } else if odd == Odd::Huge {
                // Too large to store: the last known state stays.
                expected.extend(["100644 .gitattributes", "100644 src/.gitattributes"].map(str::to_owned));
            }
            expected.sort_by(|a, b| a[7..].cmp(&b[7..]));
            assert_eq!(listing(&workspace, &taken.tree_id), expected, "{odd:?} {name}");
            let commit = commit_result(&workspace, &taken.tree_id, "m", Author::default()).unwrap().unwrap();
            assert_eq!(listing(&workspace, &commit), expected, "{odd:?} {name}");
        }
    }
}

#[test]
fn links_named_like_the_list_of_submodules_are_left_out() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    symlink("/etc/passwd", workspace.tree().join(".gitmodules")).unwrap();
    write(&workspace.tree(), "file", "x");
    let copy = fixture.carried_over(&workspace);
    assert!(copy.tree().join("file").exists() && !copy.tree().join(".gitmodules").is_symlink());
}

#[test]
fn trees_deeper_than_any_path_are_left_out() {
    let fixture = Fixture::new();
    let workspace = fixture.workspace();
    let tree = workspace.tree();
    let script = "for i in $(seq 60); do mkdir dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd; \
                  cd -P ddd* || exit 1; done; echo x > file";
    let deep = std::process::Command::new("sh").args(["-c", script]).current_dir(&tree).status().unwrap();
    assert!(deep.success());
    write(&tree, "file", "x");
    let taken = snapshot(&workspace).unwrap();
    assert_eq!(taken.skipped.count, 1, "{:?}", taken.skipped);
    assert!(listing(&workspace, &taken.tree_id).contains(&"100644 file".to_owned()));
}
