//! Reads what a worker must know of the agent's own git directory: which paths its index holds, where its HEAD and its
//! branches are.
//!
//! All of it is the agent's to write, so all of it is read as data: through [`TreeReader`], without following links,
//! without configuration, and with bounds. What does not look right is as good as not there.

use std::collections::HashSet;
use std::io::Write;

use git2::{Index, Oid};

use super::Workspace;
use super::tree_reader::TreeReader;

const MAX_INDEX_BYTES: u64 = 256 << 20;
/// How an index begins in which each path is told by what it shares with the one before. It could unfold to anything; git
/// writes such only where it is asked to.
const COMPRESSED_INDEX: &[u8] = b"DIRC\x00\x00\x00\x04";
pub(super) const MAX_REFERENCE_BYTES: u64 = 16 << 20;
pub(super) const PACKED_REFS: &[u8] = b".git/packed-refs";
/// How far HEAD may point through other refs.
const MAX_SYMBOLIC_DEPTH: usize = 5;
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
    resolve(reader, b"HEAD")
}

/// Returns the commit that a ref of the agent leads to.
pub(super) fn resolve(reader: &mut TreeReader, name: &[u8]) -> Option<Oid> {
    let mut name = name.to_vec();
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
    let content = reader.read(PACKED_REFS, MAX_REFERENCE_BYTES)?;
    packed_references(&content).find_map(|(found, id)| if found == name { id } else { None })
}

/// Returns the names and values in a file of packed refs.
pub(super) fn packed_references(content: &[u8]) -> impl Iterator<Item = (&[u8], Option<Oid>)> {
    let lines = content.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"));
    lines.filter_map(|line| line.split_at_checked(41)).map(|(id, name)| (name, parse_id(id)))
}

pub(super) fn parse_id(bytes: &[u8]) -> Option<Oid> {
    let digits = std::str::from_utf8(bytes).ok()?.trim();
    (digits.len() == 40).then(|| Oid::from_str(digits).ok()).flatten()
}
