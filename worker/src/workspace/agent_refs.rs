//! Where the agent's HEAD and its branches are.
//!
//! They are read as data, while the agent may write them, and compared: a look at them costs a few small files, and no
//! object is read. What came back from a store is as little trusted ([`AgentRefs::parse`]).
//!
//! Left out: tags, remote branches, notes and the stash; branches with names that are not UTF-8.

use std::collections::BTreeMap;

use git2::{Oid, Reference};
use serde::{Deserialize, Serialize};

use super::Workspace;
use super::agent_repository::{MAX_REFERENCE_BYTES, PACKED_REFS, packed_references, parse_id, resolve};
use super::tree_reader::{Kind, Listing, TreeReader};

const BRANCHES: &str = "refs/heads/";
/// Branches beyond are left out.
const MAX_BRANCHES: usize = 10_000;
const MAX_NAME_BYTES: usize = 1024;
/// How many `/` may be in a branch's name.
const MAX_NAME_DEPTH: usize = 16;
/// A note of the refs, one line of JSON.
const MAX_NOTE_BYTES: u64 = 16 << 20;
const NOTE: &str = "agent-refs.json";

/// Where the agent's HEAD and its local branches are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRefs {
    pub(super) head: Head,
    /// Names without `refs/heads/`, and commits as 40 hex digits.
    pub(super) branches: BTreeMap<String, String>,
}

/// What HEAD says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Head {
    /// It is on a branch, which may have no commit yet.
    Branch(String),
    /// It is detached at a commit.
    Commit(String),
}

/// What the worker notes of the agent's refs when it makes them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// As they are in a workspace that was just made.
    pub(super) made: AgentRefs,
    /// As the agent finds them.
    pub(super) found: AgentRefs,
}

impl Note {
    pub(super) fn read(workspace: &Workspace) -> Option<Self> {
        let file = workspace.host_git().join(NOTE);
        if file.symlink_metadata().ok()?.len() > MAX_NOTE_BYTES {
            return None;
        }
        serde_json::from_slice(&std::fs::read(file).ok()?).ok()
    }

    pub(super) fn write(&self, workspace: &Workspace) -> std::io::Result<()> {
        std::fs::write(workspace.host_git().join(NOTE), serde_json::to_vec(self)?)
    }
}

/// Reads the agent's refs. None if there is no HEAD that could be one.
pub fn agent_refs(workspace: &Workspace) -> Option<AgentRefs> {
    let mut reader = TreeReader::open(&workspace.tree()).ok()?;
    let head = read_head(&mut reader)?;
    let mut branches = BTreeMap::new();
    let packed = reader.read(PACKED_REFS, MAX_REFERENCE_BYTES).unwrap_or_default();
    for (name, id) in packed_references(&packed) {
        if let (Some(name), Some(id)) = (branch_name(name), id) {
            branches.insert(name.to_owned(), id.to_string());
        }
    }
    read_loose(&mut reader, &mut branches);
    while branches.len() > MAX_BRANCHES {
        branches.pop_last();
    }
    Some(AgentRefs { head, branches })
}

/// Returns the refs that the agent found when it began.
pub fn refs_at_start(workspace: &Workspace) -> Option<AgentRefs> {
    Note::read(workspace).map(|note| note.found)
}

/// Returns the refs of a workspace in which nothing was committed.
pub fn refs_of_base(workspace: &Workspace) -> Option<AgentRefs> {
    Note::read(workspace).map(|note| note.made)
}

impl AgentRefs {
    /// Returns the refs of a workspace that was just made: on `branch`, if there is one, at `commit`.
    pub(super) fn of_base(branch: Option<&str>, commit: &str) -> Self {
        match branch {
            Some(name) => Self {
                head: Head::Branch(name.to_owned()),
                branches: [(name.to_owned(), commit.to_owned())].into(),
            },
            None => Self { head: Head::Commit(commit.to_owned()), branches: BTreeMap::new() },
        }
    }

    /// Takes refs as they were stored; none if git could not have them.
    pub(super) fn parse(stored: &serde_json::Value) -> Option<Self> {
        let refs = Self::deserialize(stored).ok()?;
        let names_are_good = refs.branches.keys().all(|name| is_branch_name(name))
            // One branch would be a file, and the other in a directory of that name.
            && refs.branches.keys().all(|name| !parents(name).any(|above| refs.branches.contains_key(above)));
        let ids_are_good = refs.branches.values().all(|id| is_id(id));
        let head_is_good = match &refs.head {
            Head::Branch(name) => {
                is_branch_name(name) && !parents(name).any(|above| refs.branches.contains_key(above))
            }
            Head::Commit(id) => is_id(id),
        };
        let is_good = names_are_good && ids_are_good && head_is_good && refs.branches.len() <= MAX_BRANCHES;
        is_good.then_some(refs)
    }

    /// Returns the commit that HEAD leads to; none if its branch has none yet.
    pub(super) fn head_commit(&self) -> Option<Oid> {
        let id = match &self.head {
            Head::Branch(name) => self.branches.get(name)?,
            Head::Commit(id) => id,
        };
        parse_id(id.as_bytes())
    }

    /// Returns the commits of HEAD and of all branches, each once.
    pub(super) fn commits(&self) -> Vec<Oid> {
        let branches = self.branches.values().filter_map(|id| parse_id(id.as_bytes()));
        let mut commits: Vec<_> = branches.chain(self.head_commit()).collect();
        commits.sort_unstable();
        commits.dedup();
        commits
    }
}

/// Reads HEAD. One that points at something else than a branch counts as detached at the commit that it leads to.
fn read_head(reader: &mut TreeReader) -> Option<Head> {
    let content = reader.read(b".git/HEAD", MAX_REFERENCE_BYTES)?;
    if let Some(name) = content.strip_prefix(b"ref: ").and_then(|target| branch_name(target.trim_ascii())) {
        return Some(Head::Branch(name.to_owned()));
    }
    resolve(reader, b"HEAD").map(|id| Head::Commit(id.to_string()))
}

fn read_loose(reader: &mut TreeReader, branches: &mut BTreeMap<String, String>) {
    let mut waiting = vec![String::new()];
    while let Some(directory) = waiting.pop() {
        let path = format!(".git/{BRANCHES}{directory}");
        let Listing::Names { names, .. } = reader.list(path.trim_end_matches('/').as_bytes()) else {
            continue;
        };
        for (name, stat) in names {
            let Ok(name) = std::str::from_utf8(&name) else { continue };
            let name = format!("{directory}{name}");
            let is_deep = name.bytes().filter(|byte| *byte == b'/').count() >= MAX_NAME_DEPTH;
            match Kind::of(&stat) {
                Kind::Directory if !is_deep && waiting.len() < MAX_BRANCHES => waiting.push(name + "/"),
                Kind::File if is_branch_name(&name) && branches.len() <= MAX_BRANCHES => {
                    if let Some(id) = resolve(reader, format!("{BRANCHES}{name}").as_bytes()) {
                        branches.insert(name, id.to_string());
                    }
                }
                Kind::File | Kind::Directory | Kind::Link | Kind::Special => {}
            }
        }
    }
}

/// Returns the branch that a full name of a ref means.
fn branch_name(reference: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(reference).ok()?.strip_prefix(BRANCHES)?;
    is_branch_name(name).then_some(name)
}

fn is_branch_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES && Reference::is_valid_name(&format!("{BRANCHES}{name}"))
}

/// Tells whether `text` is an id and nothing else: it will be a word of a file, where [`parse_id`] passes over line ends.
fn is_id(text: &str) -> bool {
    text.len() == 40 && parse_id(text.as_bytes()).is_some()
}

/// Returns the names of the directories that a branch's name lies in.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(at, _)| &name[..at])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzzing::{DEFAULT_CASES, fuzz};

    #[test]
    fn refs_that_are_taken_are_names_and_ids_to_git() {
        const WORDS: &[&str] = &[
            "{",
            "}",
            "\"head\":",
            "\"branches\":",
            "\"branch\":",
            "\"commit\":",
            "\"main\"",
            "\"a/b\"",
            ":",
            ",",
            "../",
            "\\n",
            "@{",
            ".lock",
            "\"1234567890123456789012345678901234567890\"",
            "refs/heads/main\n",
            "ref: ",
            "\n",
            "# ",
            "^",
            " ",
        ];
        fuzz("agent_refs", DEFAULT_CASES, WORDS, |bytes| {
            for (name, _) in packed_references(bytes) {
                prop_assert!(name.len() < bytes.len() && !name.contains(&b'\n'));
            }
            let Ok(stored) = serde_json::from_slice(bytes) else { return Ok(()) };
            let Some(refs) = AgentRefs::parse(&stored) else { return Ok(()) };
            for (name, id) in &refs.branches {
                let reference = format!("{BRANCHES}{name}");
                prop_assert!(Reference::is_valid_name(&reference), "{}", name);
                prop_assert!(!name.contains(char::is_control) && Oid::from_str(id).is_ok());
            }
            let written = serde_json::to_value(&refs).unwrap();
            prop_assert_eq!(AgentRefs::parse(&written), Some(refs));
            Ok(())
        });
    }
}
