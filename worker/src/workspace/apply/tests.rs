//! Whatever we take of a patch, git takes alike, and of what git writes we take all.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use flate2::write::GzEncoder;
use git2::{Index, IndexEntry, IndexTime, ObjectType};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::*;
use crate::fuzzing::{DEFAULT_CASES, fuzz};
use crate::git::Cancel;
use crate::repository::RepositoryCache;
use crate::workspace::{Base, make_patch};

const LIMITS: PatchLimits = PatchLimits { unpacked_bytes: 64 << 20, gzip_bytes: 64 << 20 };
const NO_TREE: &str = "1234567890123456789012345678901234567890";

struct Scene {
    dir: tempfile::TempDir,
    workspace: Workspace,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let remote = dir.path().join("remote");
        std::fs::create_dir_all(remote.join("src")).unwrap();
        std::fs::write(remote.join("README.md"), "hello\n").unwrap();
        std::fs::write(remote.join("src/main.rs"), "fn main() {}\n").unwrap();
        symlink("src", remote.join("link")).unwrap();
        symlink("../../../../outside", remote.join("out")).unwrap();
        for arguments in [&["init", "-q"][..], &["add", "-A"], &["commit", "-qm", "one"]] {
            let mut git = Command::new("git");
            git.args(["-c", "user.name=A", "-c", "user.email=a@b"]).args(arguments);
            assert!(git.current_dir(&remote).status().unwrap().success());
        }
        let cache = RepositoryCache::new(dir.path().join("data"));
        let fetched = cache.fetch(remote.to_str().unwrap(), None, &Cancel::default()).unwrap();
        let base = Base {
            cache_git_dir: &fetched.git_dir,
            commit: &fetched.base_commit,
            branch_name: None,
            url: None,
        };
        let workspace = Workspace::create(&dir.path().join("task"), &base, &Cancel::default()).unwrap();
        Self { dir, workspace }
    }

    fn base(&self) -> Oid {
        let repository = self.workspace.host_repository().unwrap();
        repository.find_commit(self.workspace.base_commit).unwrap().tree_id()
    }

    /// What we make of a patch; none if it is refused.
    fn ours(&self, base: Oid, patch: &[u8]) -> Option<String> {
        let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(patch).unwrap();
        let saved = SavedPatch { gzip: &gzip.finish().unwrap(), sha256: &[], tree_id: NO_TREE };
        let error = apply(&self.workspace, base, &saved, LIMITS).unwrap_err();
        assert!(error.is_bad_checkpoint(), "{error}");
        if let RestoreError::TreeMismatch { found, .. } = error { Some(found) } else { None }
    }

    /// What git makes of it.
    fn theirs(&self, base: Oid, patch: &[u8]) -> Option<String> {
        if patch.is_empty() {
            return Some(base.to_string());
        }
        let index = self.dir.path().join("index");
        let run = |name, arguments: &[&str], input: &mut &[u8]| {
            self.workspace.host_command(name).unwrap().index_file(&index).args(arguments).feed(input)
        };
        run("read-tree", &[&base.to_string()], &mut &[][..]).unwrap();
        run("apply", &["--cached", "--binary", "--whitespace=nowarn", "-p1"], &mut &patch[..]).ok()?;
        let tree = run("write-tree", &["--missing-ok"], &mut &[][..]).ok()?;
        Some(String::from_utf8(tree).unwrap().trim().to_owned())
    }

    /// Writes a tree by libgit2's index.
    fn tree(&self, files: &Files) -> Oid {
        let repository = self.workspace.host_repository().unwrap();
        let mut index = Index::new().unwrap();
        for (path, (mode, content)) in files {
            let id = match *mode {
                SUBMODULE => Oid::hash_object(ObjectType::Blob, content).unwrap(),
                _ => repository.blob(content).unwrap(),
            };
            let (nothing, path) = (IndexTime::new(0, 0), path.clone());
            index
                .add(&IndexEntry {
                    ctime: nothing,
                    mtime: nothing,
                    dev: 0,
                    ino: 0,
                    mode: *mode,
                    uid: 0,
                    gid: 0,
                    file_size: 0,
                    id,
                    flags: 0,
                    flags_extended: 0,
                    path,
                })
                .unwrap();
        }
        index.write_tree_to(&repository).unwrap()
    }

    /// Writes a patch as [`make_patch`] does, from any tree.
    fn patch(&self, before: Oid, after: Oid) -> Vec<u8> {
        let repository = self.workspace.host_repository().unwrap();
        let author = git2::Signature::new("A", "a@b", &git2::Time::new(0, 0)).unwrap();
        let tree = repository.find_tree(before).unwrap();
        let commit = repository.commit(None, &author, &author, "base", &tree, &[]).unwrap();
        let based = Workspace { base_commit: commit, ..self.workspace.clone() };
        let patch = make_patch(&based, &after.to_string(), LIMITS).unwrap();
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&patch.gzip[..]), &mut text).unwrap();
        text
    }
}

type Files = BTreeMap<Vec<u8>, (u32, Vec<u8>)>;

fn file() -> impl Strategy<Value = (Vec<u8>, (u32, Vec<u8>))> {
    let names: [&[u8]; 11] = [
        b"a",
        b"a-b",
        b"b",
        b"README.md",
        b"src",
        b"\xff\xfe",
        b"x y",
        b" b/x",
        b"new\nline",
        b"quote\"\\\t",
        b"\xc3\xbc",
    ];
    let name = prop::sample::select(names.map(<[u8]>::to_vec).to_vec());
    let path = vec(name, 1..4).prop_map(|names| names.join(&b'/'));
    let mode = prop_oneof![
        5 => Just(0o100_644),
        2 => Just(0o100_755),
        1 => Just(header::LINK),
        1 => Just(SUBMODULE),
    ];
    (path, (mode, content()))
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let lines = vec(prop::sample::select(vec!["a", "b", "c", "", "a\r", "-- a", "++ b", "\\ c"]), 0..60);
    prop_oneof![
        1 => Just(Vec::new()),
        4 => (lines, any::<bool>()).prop_map(|(lines, ends)| {
            (lines.join("\n") + if ends { "\n" } else { "" }).into_bytes()
        }),
        1 => vec(any::<u8>(), 1..300),
        1 => (any::<u8>(), 1_usize..3000).prop_map(|(from, length)| (0..=255).cycle().skip(from.into()).take(length).collect()),
        1 => (1_usize..9000).prop_map(|length| b"a line that is long enough to fill buffers\n".repeat(length)),
    ]
}

/// What becomes of files: some are written anew, some change in a place, some go.
#[derive(Debug, Clone)]
enum Edit {
    Write(Vec<u8>, (u32, Vec<u8>)),
    Change(usize, usize, Vec<u8>),
    Mode(usize, u32),
    Remove(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => file().prop_map(|(path, file)| Edit::Write(path, file)),
        4 => (any::<usize>(), any::<usize>(), content()).prop_map(|(file, at, new)| Edit::Change(file, at, new)),
        1 => (any::<usize>(), prop::sample::select(vec![0o100_644, 0o100_755])).prop_map(|(file, mode)| Edit::Mode(file, mode)),
        2 => any::<usize>().prop_map(Edit::Remove),
    ]
}

/// Puts a file where it is said, and takes away what is in its way.
fn put(files: &mut Files, path: Vec<u8>, file: (u32, Vec<u8>)) {
    let below =
        |path: &[u8], other: &[u8]| other.strip_prefix(path).is_some_and(|rest| rest.starts_with(b"/"));
    files.retain(|other, _| !below(&path, other) && !below(other, &path));
    files.insert(path, file);
}

fn edited(mut files: Files, edits: Vec<Edit>) -> Files {
    for edit in edits {
        let count = files.len().max(1);
        let nth = |files: &Files, at: usize| files.keys().nth(at % count).cloned();
        match edit {
            Edit::Write(path, file) => put(&mut files, path, file),
            Edit::Remove(at) => drop(nth(&files, at).and_then(|path| files.remove(&path))),
            Edit::Change(at, place, new) => {
                if let Some((_, content)) = nth(&files, at).and_then(|path| files.get_mut(&path)) {
                    let from = place % (content.len() + 1);
                    let to = (from + new.len() / 2).min(content.len());
                    content.splice(from..to, new);
                }
            }
            Edit::Mode(at, mode) => {
                if let Some((old, _)) = nth(&files, at).and_then(|path| files.get_mut(&path)) {
                    *old = mode;
                }
            }
        }
    }
    files
}

#[test]
fn what_git_writes_of_any_two_trees_leads_from_the_one_to_the_other() {
    let cases = std::env::var("MAKIMA_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100);
    let config = ProptestConfig { failure_persistence: None, cases, ..ProptestConfig::default() };
    let trees = (vec(file(), 0..20), vec(edit(), 1..20));
    let scene = Scene::new();
    let outcome = TestRunner::new(config).run(&trees, |(before, edits)| {
        let mut files = Files::new();
        before.into_iter().for_each(|(path, file)| put(&mut files, path, file));
        let before = scene.tree(&files);
        let after = scene.tree(&edited(files, edits));
        let patch = scene.patch(before, after);
        let theirs = scene.theirs(before, &patch);
        prop_assert_eq!(&theirs, &Some(after.to_string()));
        prop_assert_eq!(scene.ours(before, &patch), theirs, "{}", patch.escape_ascii());
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn what_we_take_of_any_patch_git_takes_alike() {
    const WORDS: &[&str] = &[
        "diff --git a/x b/x\n",
        "new file mode 100644\n",
        "index 0000000000000000000000000000000000000000..e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\n",
        "old mode 100644\nnew mode 100755\n",
        "@@ -1 +1 @@\n",
        "\\ No newline at end of file\n",
        "GIT binary patch\n",
        "literal 3\n",
        "100755",
        "../",
        "link/",
    ];
    let scene = Scene::new();
    let base = scene.base();
    let check = |bytes: &[u8]| -> Result<(), TestCaseError> {
        if let Some(ours) = scene.ours(base, bytes) {
            prop_assert_eq!(scene.theirs(base, bytes), Some(ours));
        }
        Ok(())
    };
    fuzz("restore", DEFAULT_CASES, WORDS, check);
}

/// Says how the worker's own memory has grown at most, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Set in the process that is measured: other tests take memory, too.
const IS_ALONE: &str = "MAKIMA_TEST_IS_ALONE";

#[test]
fn large_contents_are_not_held_in_memory() {
    if std::env::var_os(IS_ALONE).is_none() {
        let name = "workspace::apply::tests::large_contents_are_not_held_in_memory";
        let mut alone = Command::new(std::env::current_exe().unwrap());
        assert!(alone.args(["--exact", name]).env(IS_ALONE, "1").status().unwrap().success());
        return;
    }
    let scene = Scene::new();
    let repository = scene.workspace.host_repository().unwrap();
    let line = b"one of many lines that are the same in a file that is large\n";
    let path: &Path = &scene.dir.path().join("large");
    let write = |prefix: &[u8]| {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
        file.write_all(prefix).unwrap();
        (0..2_000_000).for_each(|_| file.write_all(line).unwrap());
        file.into_inner().unwrap();
        repository.blob_path(path).unwrap()
    };
    let tree = |id| {
        let mut builder = repository.treebuilder(None).unwrap();
        builder.insert("large", id, 0o100_644).unwrap();
        builder.write().unwrap()
    };
    // A text that changes in its first line, and one that is new: 120 MB each.
    let (before, after) = (tree(write(b"before\n")), tree(write(b"after\n")));
    let empty = repository.treebuilder(None).unwrap().write().unwrap();
    let saved: Vec<_> = [(before, after), (empty, after)]
        .map(|(from, to)| {
            let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            let arguments = ["-p", "-r", "--binary", "--full-index", "--no-renames"];
            let mut command = scene.workspace.host_command("diff-tree").unwrap().args(arguments);
            command = command.args([from.to_string(), to.to_string()]);
            command.stream(&mut gzip).unwrap();
            (from, gzip.finish().unwrap())
        })
        .into();
    let limits = PatchLimits { unpacked_bytes: 768 << 20, gzip_bytes: 64 << 20 };
    let begin = peak_bytes();
    for (from, gzip) in &saved {
        let saved = SavedPatch { gzip, sha256: &[], tree_id: &after.to_string() };
        assert_eq!(apply(&scene.workspace, *from, &saved, limits).unwrap(), after);
    }
    let grown = peak_bytes() - begin;
    assert!(grown < 64 << 20, "{grown} bytes");
}
