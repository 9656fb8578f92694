//! Applies a patch of [`super::make_patch`] to the tree that it was made of, in process, and puts what it makes into the
//! worker's object store.
//!
//! ```text
//!  gzip ▶ input ▶ header ▶ text, or binary ▶ delta ▶ content ▶ objects (a pack) ▶ the store, if the tree is the recorded one
//!                                                            └▶ tree ──────────────────────────┘
//! ```
//!
//! What is read is what git writes (`git diff-tree -p --binary --full-index --no-renames`), and nothing else: every hunk
//! stands exactly where it says, every file is named once and in order, and each content has the id that the patch gives it,
//! before and after.
//!
//! **Architecture invariant:** nobody trusts a size that a patch declares, and no content is held in memory as a whole unless
//! it is small. What is kept of each file is its path and two ids.
//!
//! **Architecture invariant:** nothing is in the store before all of the patch was read and led to the recorded tree.

mod binary;
mod content;
mod delta;
mod directories;
mod header;
mod input;
mod objects;
mod path;
#[cfg(test)]
mod tests;
mod text;
mod tree;

use std::path::PathBuf;

use git2::{ObjectType, Oid, Repository};

use super::{PatchLimits, RestoreError, SavedPatch, Workspace};
use content::{Content, MEMORY_BYTES, Spool};
use header::Header;
use input::Input;
use objects::{MAX_OBJECTS, NewObjects, id_of};

pub(super) use directories::Directories;
pub(super) use header::SUBMODULE;
pub(super) use objects::{Hashed, Kind};
pub(super) use tree::{Entry, Modes, Update, updated};

/// Applies `saved` to the tree `base` and returns the tree that comes of it, which is the recorded one.
pub(super) fn apply(
    workspace: &Workspace,
    base: Oid,
    saved: &SavedPatch<'_>,
    limits: PatchLimits,
) -> Result<Oid, RestoreError> {
    let repository = workspace.host_repository()?;
    let store = workspace.host_git().join("objects");
    let mut applying = Applying {
        workspace,
        repository: &repository,
        base,
        directories: Directories::of(&repository, base)?,
        input: Input::new(saved.gzip, limits),
        objects: NewObjects::new(&store),
        store,
    };
    let updates = applying.read()?;
    let mut tree = base;
    // A snapshot is made one way or the other.
    for modes in [Modes::Plain, Modes::AsTheyAre] {
        if tree.to_string() != saved.tree_id && !updates.is_empty() {
            tree = applying.tree(modes, &updates)?;
        }
    }
    if tree.to_string() != saved.tree_id {
        return Err(RestoreError::TreeMismatch {
            expected: saved.tree_id.to_owned(),
            found: tree.to_string(),
        });
    }
    applying.objects.keep().map_err(failed)?;
    Ok(tree)
}

struct Applying<'a> {
    workspace: &'a Workspace,
    repository: &'a Repository,
    base: Oid,
    directories: Directories<'a>,
    input: Input<'a>,
    objects: NewObjects,
    store: PathBuf,
}

impl Applying<'_> {
    /// Reads all files.
    fn read(&mut self) -> Result<Vec<Update>, RestoreError> {
        let mut updates: Vec<Update> = Vec::new();
        while !self.input.is_empty()? {
            self.workspace.cancel.check().map_err(RestoreError::Git)?;
            let update = self.file(updates.last())?;
            match updates.last_mut() {
                Some(last) if last.path == update.path => last.entry = update.entry,
                _ => updates.push(update),
            }
            if updates.len() > MAX_OBJECTS {
                return Err(refused("it changes too many files"));
            }
        }
        Ok(updates)
    }

    /// Reads one. What becomes another kind of thing is removed, and then made.
    fn file(&mut self, last: Option<&Update>) -> Result<Update, RestoreError> {
        let header = Header::read(&mut self.input)?;
        let is_next = last.is_none_or(|last| {
            let is_made_anew = last.entry.is_none() && header.old_mode.is_none();
            last.path < header.path || last.path == header.path && is_made_anew
        });
        if !is_next {
            return Err(refused("its files are not in order"));
        }
        let before = header.old_mode.map(|mode| self.before(&header.path, mode)).transpose()?;
        let entry = match (header.ids, header.new_mode, before) {
            (None, Some(mode), Some(same)) => Some((mode, same)),
            (Some(ids), mode, before) if ids.old == before.unwrap_or(Oid::ZERO_SHA1) => {
                let content = self.content(&header, before)?;
                let made = self.object(mode, content)?;
                if made.unwrap_or(Oid::ZERO_SHA1) != ids.new {
                    return Err(refused("it does not make the content that it says"));
                }
                mode.zip(made)
            }
            _ => return Err(refused("it does not fit the content that it changes")),
        };
        Ok(Update { path: header.path, was_there: before.is_some(), entry })
    }

    /// Returns what the base has at `path`.
    fn before(&mut self, path: &[u8], mode: u32) -> Result<Oid, RestoreError> {
        let found = self.directories.find(path)?;
        let fitting = found.filter(|(found, _)| *found == mode).map(|(_, id)| id);
        fitting.ok_or_else(|| refused("it changes a file that is not there"))
    }

    /// Reads how a content changes and returns what it becomes.
    fn content(&mut self, header: &Header, before: Option<Oid>) -> Result<Content, RestoreError> {
        let mut base = match (before, header.old_mode) {
            (None, _) => Content::from(Vec::new()),
            (Some(commit), Some(SUBMODULE)) => Content::from(submodule(commit)),
            (Some(blob), _) => self.blob(blob)?,
        };
        let mut made = Spool::new(&self.store);
        if self.input.is_next(b"--- ")? {
            self.label(b"--- ", b"a/", header.old_mode.map(|_| header.path.as_slice()))?;
            self.label(b"+++ ", b"b/", header.new_mode.map(|_| header.path.as_slice()))?;
            text::apply(&mut self.input, &mut base, &mut made)?;
        } else if self.input.is_next(b"GIT binary patch\n")? {
            self.input.line()?;
            binary::apply(&mut self.input, &mut base, &mut made)?;
        }
        made.finish().map_err(failed)
    }

    fn label(&mut self, words: &[u8], side: &[u8], path: Option<&[u8]>) -> Result<(), RestoreError> {
        let label = self.input.line_after(words)?;
        let is_same = match path {
            Some(path) => path::is_label(label, side, path),
            None => label == b"/dev/null",
        };
        if is_same { Ok(()) } else { Err(refused("it gives a file two names")) }
    }

    /// Returns the content of a blob of the base.
    fn blob(&self, id: Oid) -> Result<Content, RestoreError> {
        let objects = self.repository.odb()?;
        let (length, kind) = objects.read_header(id)?;
        if kind != ObjectType::Blob {
            return Err(refused("it changes what is no file"));
        }
        if length <= MEMORY_BYTES {
            return Ok(objects.read(id)?.data().to_vec().into());
        }
        let mut content = Spool::new(&self.store);
        self.workspace.blob_to(id, &mut content)?;
        content.finish().map_err(failed)
    }

    /// Makes the object that a content is. None if there is to be none.
    fn object(&mut self, mode: Option<u32>, mut content: Content) -> Result<Option<Oid>, RestoreError> {
        let Some(mode) = mode else {
            return if content.length() == 0 {
                Ok(None)
            } else {
                Err(refused("it leaves a rest of what it removes"))
            };
        };
        if mode == SUBMODULE {
            let line = content.piece(0).map_err(failed)?;
            let commit = line
                .strip_prefix(SUBPROJECT)
                .and_then(|line| Oid::from_str(std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?).ok());
            return match commit {
                Some(commit) if line == submodule(commit) => Ok(Some(commit)),
                _ => Err(refused("a submodule in it has no commit")),
            };
        }
        let id = id_of(Kind::Blob, &mut content).map_err(failed)?;
        self.add(Kind::Blob, id, &mut content)?;
        Ok(Some(id))
    }

    fn add(&mut self, kind: Kind, id: Oid, content: &mut Content) -> Result<(), RestoreError> {
        if self.objects.count() >= MAX_OBJECTS {
            return Err(refused("it makes too many files and directories"));
        }
        self.objects.add(kind, id, content).map_err(failed)
    }

    /// Makes the directories that differ.
    fn tree(&mut self, modes: Modes, updates: &[Update]) -> Result<Oid, RestoreError> {
        let (repository, base) = (self.repository, self.base);
        updated(repository, base, modes, updates, &mut |tree| {
            let mut content = Content::from(tree.to_vec());
            let id = id_of(Kind::Tree, &mut content).map_err(failed)?;
            self.add(Kind::Tree, id, &mut content)?;
            Ok(id)
        })
    }
}

const SUBPROJECT: &[u8] = b"Subproject commit ";

/// What a patch shows of a submodule.
fn submodule(commit: Oid) -> Vec<u8> {
    [SUBPROJECT, commit.to_string().as_bytes(), b"\n"].concat()
}

fn refused(reason: &'static str) -> RestoreError {
    RestoreError::Refused { reason }
}

fn failed(source: std::io::Error) -> RestoreError {
    RestoreError::Write { path: "host.git/objects".to_owned(), source }
}
