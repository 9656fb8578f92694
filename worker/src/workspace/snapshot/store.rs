//! Stores single files of a work tree in the worker's object store and index.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

use git2::{ErrorCode, Index, IndexEntry, Oid, Repository};

use super::super::tree_reader::{Found, TreeReader, size_of};
use super::loose::LooseObjects;
use super::stat_data::{entry_of, is_settled};
use super::{Skipped, SnapshotError, link_names, path_of};
use crate::secrets::Secrets;

/// Files beyond this size are left out.
const MAX_FILE_BYTES: u64 = 512 << 20;
/// How much one snapshot takes up at most.
const MAX_SNAPSHOT_BYTES: u64 = 2 << 30;
/// What even an empty object takes up on disk.
const OBJECT_BYTES: u64 = 4 << 10;
/// Up to this size a file is read whole; beyond, it goes through a file of the object store.
const WHOLE_FILE_BYTES: u64 = 16 << 20;

/// What a look at a path came to.
pub(super) enum Taken<'a> {
    /// It is stored.
    Entry(IndexEntry),
    /// There is nothing that could be stored.
    Nothing,
    /// It is left out, for this reason.
    Skipped(Cow<'static, str>),
    /// There is neither a file nor a link.
    Special,
    /// It holds the secret of this name.
    Secret(&'a str),
    /// Its name holds the secret of this name.
    SecretInName(&'a str),
}

impl Taken<'_> {
    fn skipped(reason: impl ToString) -> Self {
        Self::Skipped(reason.to_string().into())
    }
}

/// What became of a file's content.
enum Stored<'a> {
    As(Oid),
    /// It holds the secret of this name.
    Secret(&'a str),
    Unreadable(std::io::Error),
}

pub(super) struct Store<'a> {
    repository: &'a Repository,
    objects: LooseObjects<'a>,
    reader: &'a mut TreeReader,
    secrets: &'a Secrets,
    stored_bytes: u64,
}

impl<'a> Store<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        reader: &'a mut TreeReader,
        secrets: &'a Secrets,
    ) -> Result<Self, git2::Error> {
        Ok(Self { repository, objects: LooseObjects::of(repository)?, reader, secrets, stored_bytes: 0 })
    }

    pub(super) fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// Stores what stands at `path` now and enters it into the index.
    pub(super) fn take(
        &mut self,
        index: &mut Index,
        path: &[u8],
        skipped: &mut Skipped,
    ) -> Result<(), SnapshotError> {
        match self.store(path)? {
            Taken::Entry(entry) => enter(index, entry, skipped)?,
            // It changed since the scan; what is below a directory is seen by the next one.
            Taken::Nothing => remove(index, path)?,
            Taken::Special => {
                remove(index, path)?;
                skipped.add(path, "neither a file nor a link");
            }
            Taken::Skipped(reason) => skipped.add(path, reason),
            Taken::Secret(name) => skipped.add_secret(path, name),
            Taken::SecretInName(name) => skipped.add_secret(b"a file with the secret in its name", name),
        }
        Ok(())
    }

    /// Stores what stands at `path` now.
    pub(super) fn store(&mut self, path: &[u8]) -> Result<Taken<'a>, SnapshotError> {
        if let Some(name) = self.secrets.find_in(path) {
            return Ok(Taken::SecretInName(name));
        }
        // Before the look: what changes from here on must show in the stat data.
        let looked = SystemTime::now();
        let (stored, stat) = match self.reader.find(path) {
            Found::File(..) | Found::Link(..) if link_names::is_in_git_dir(path) => {
                return Ok(Taken::Skipped("git takes nothing of this name".into()));
            }
            Found::File(_, stat) if size_of(&stat) > MAX_FILE_BYTES => {
                return Ok(Taken::skipped(format_args!("larger than {MAX_FILE_BYTES} bytes")));
            }
            Found::File(file, stat) => (self.store_file(file, size_of(&stat))?, stat),
            // git takes no checkpoint back that has such a link.
            Found::Link(..) if link_names::is_refused(path) => {
                return Ok(Taken::Skipped("a link of this name is dangerous".into()));
            }
            Found::Link(target, stat) => (self.store_content(target.as_bytes())?, stat),
            Found::Gone | Found::Directory => return Ok(Taken::Nothing),
            Found::Special => return Ok(Taken::Special),
            Found::Unreadable(error) => return Ok(Taken::skipped(error)),
        };
        Ok(match stored {
            Stored::As(id) => Taken::Entry(entry_of(path, id, &stat, is_settled(&stat, looked))),
            Stored::Secret(name) => Taken::Secret(name),
            Stored::Unreadable(error) => Taken::skipped(error),
        })
    }

    /// Stores a file as it reads, unless it holds a secret.
    fn store_file(&mut self, mut file: File, length: u64) -> Result<Stored<'a>, SnapshotError> {
        self.stored_bytes += length + OBJECT_BYTES;
        if self.stored_bytes > MAX_SNAPSHOT_BYTES {
            return Err(SnapshotError::TooLarge { limit_bytes: MAX_SNAPSHOT_BYTES });
        }
        if length > WHOLE_FILE_BYTES {
            let mut blob = self.repository.blob_writer(None)?;
            return match self.secrets.copy(&mut file.take(MAX_FILE_BYTES), &mut blob) {
                Ok(None) => Ok(Stored::As(blob.commit()?)),
                Ok(Some(name)) => Ok(Stored::Secret(name)),
                Err(error) => Ok(Stored::Unreadable(error)),
            };
        }
        let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        match file.by_ref().take(2 * WHOLE_FILE_BYTES).read_to_end(&mut content) {
            Ok(_) => self.store_content(&content),
            Err(error) => Ok(Stored::Unreadable(error)),
        }
    }

    /// Stores the content of a file, or the target of a link, unless it holds a secret.
    fn store_content(&self, content: &[u8]) -> Result<Stored<'a>, SnapshotError> {
        match self.secrets.find_in(content) {
            Some(name) => Ok(Stored::Secret(name)),
            None => Ok(Stored::As(self.objects.write_blob(content)?)),
        }
    }
}

/// Removes `path` from the index if it is there.
pub(super) fn remove(index: &mut Index, path: &[u8]) -> Result<(), git2::Error> {
    match index.remove(path_of(path), 0) {
        Err(error) if error.code() != ErrorCode::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Enters a file into the index, unless git does not take its name.
fn enter(index: &mut Index, entry: IndexEntry, skipped: &mut Skipped) -> Result<(), git2::Error> {
    match index.add(&entry) {
        Err(error) if error.class() == git2::ErrorClass::Index => {
            skipped.add(&entry.path, error.message());
            Ok(())
        }
        added => added,
    }
}
