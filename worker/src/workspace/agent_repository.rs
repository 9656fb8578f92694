//! Reads what a worker must know of the agent's own git directory: which paths its index holds, where its HEAD is, and the
//! objects of its commits.
//!
//! All of it is the agent's to write, so all of it is read as data: through [`TreeReader`], without following links,
//! without configuration, and with bounds. What does not look right is as good as not there.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use git2::{Index, Odb, Oid, Repository};

use super::Workspace;
use super::tree_reader::TreeReader;

const MAX_INDEX_BYTES: u64 = 256 << 20;
/// How an index begins in which each path is told by what it shares with the one before. It could unfold to anything; git
/// writes such only where it is asked to.
const COMPRESSED_INDEX: &[u8] = b"DIRC\x00\x00\x00\x04";
const MAX_REFERENCE_BYTES: u64 = 16 << 20;
/// How far HEAD may point through other refs.
const MAX_SYMBOLIC_DEPTH: usize = 5;
/// git's own directories of objects (`pack`, `info/commit-graphs`) lie no deeper.
const MAX_OBJECTS_DEPTH: usize = 3;
const SUBMODULE_MODE: u32 = 0o160_000;

/// The paths in the agent's index.
pub(super) struct AgentIndex {
    paths: HashSet<Vec<u8>>,
}

impl AgentIndex {
    pub(super) fn read(workspace: &Workspace, reader: &mut TreeReader) -> Option<Self> {
        let content = reader.read(b".git/index", MAX_INDEX_BYTES)?;
        if content.starts_with(COMPRESSED_INDEX) {
            return None;
        }
        let mut copy = tempfile::NamedTempFile::new_in(workspace.host_git()).ok()?;
        copy.write_all(&content).ok()?;
        let index = Index::open(copy.path()).ok()?;
        let files = index.iter().filter(|entry| entry.mode != SUBMODULE_MODE);
        Some(Self { paths: files.map(|entry| entry.path).collect() })
    }

    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.paths.contains(path)
    }

    pub(super) fn into_paths(self) -> HashSet<Vec<u8>> {
        self.paths
    }
}

/// Returns the commit that the agent's HEAD points at.
pub(super) fn head_commit(reader: &mut TreeReader) -> Option<Oid> {
    let mut name = b"HEAD".to_vec();
    for _ in 0..MAX_SYMBOLIC_DEPTH {
        let path = [b".git/".as_slice(), &name].concat();
        let Some(content) = reader.read(&path, MAX_REFERENCE_BYTES) else {
            return packed_reference(reader, &name);
        };
        match content.strip_prefix(b"ref: ") {
            Some(target) if target.starts_with(b"refs/") => name = target.trim_ascii().to_vec(),
            Some(_) => return None,
            None => return parse_id(&content),
        }
    }
    None
}

fn packed_reference(reader: &mut TreeReader, name: &[u8]) -> Option<Oid> {
    let content = reader.read(b".git/packed-refs", MAX_REFERENCE_BYTES)?;
    let mut lines = content.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"));
    lines.find_map(|line| match line.split_at_checked(41) {
        Some((id, found)) if found == name => parse_id(id),
        _ => None,
    })
}

fn parse_id(bytes: &[u8]) -> Option<Oid> {
    let digits = std::str::from_utf8(bytes).ok()?.trim();
    (digits.len() == 40).then(|| Oid::from_str(digits).ok()).flatten()
}

/// Opens the agent's objects, and those of the repository's copy below them, as a repository without refs, configuration
/// or work tree. None if there is anything in the directory that git does not put there.
pub(super) fn open_objects(workspace: &Workspace) -> Option<Repository> {
    let objects = workspace.agent_git().join("objects");
    let borrowed = std::fs::read(workspace.host_git().join("objects/info/alternates")).ok()?;
    if !is_inside_directory(&objects)
        || !holds_only_files(&objects, MAX_OBJECTS_DEPTH)
        || !borrows_nothing_else(&objects.join("info/alternates"), &borrowed)
    {
        return None;
    }
    let odb = Odb::new().ok()?;
    odb.add_disk_alternate(objects.to_str()?).ok()?;
    Repository::from_odb(odb).ok()
}

fn borrows_nothing_else(alternates: &Path, borrowed: &[u8]) -> bool {
    let Ok(metadata) = alternates.symlink_metadata() else { return true };
    metadata.len() == borrowed.len() as u64 && std::fs::read(alternates).is_ok_and(|lends| lends == borrowed)
}

fn is_inside_directory(path: &Path) -> bool {
    let is_directory = |path: &Path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    path.parent().is_some_and(is_directory) && is_directory(path)
}

/// Tells whether there are only plain files and directories in `directory`, `depth` levels down at most: a link could lead
/// anywhere, and a pipe would hold the reader up for ever.
fn holds_only_files(directory: &Path, depth: usize) -> bool {
    let Ok(mut entries) = std::fs::read_dir(directory) else { return false };
    entries.all(|entry| {
        entry.is_ok_and(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => depth > 0 && holds_only_files(&entry.path(), depth - 1),
            Ok(kind) => kind.is_file(),
            Err(_) => false,
        })
    })
}
