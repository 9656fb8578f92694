//! Copies objects out of an agent's git directory, as far as they are asked for.
//!
//! The agent may write there at any moment, so nothing is opened by its path and nothing is mapped into memory that it could
//! cut short: each file is read through [`TreeReader`] into a directory of the worker's, and only the copy is unfolded. What
//! the agent's store borrows from elsewhere (`info/alternates`) is never looked at.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use git2::{Odb, OdbLookupFlags, Oid, Repository};
use tempfile::TempDir;

use super::super::Workspace;
use super::super::tree_reader::{Found, Kind, Listing, TreeReader, size_of};
use super::packs::check_pack;
use super::{MAX_BLOB_BYTES, Unusable};

const OBJECTS: &[u8] = b".git/objects/";
const PACKS: &[u8] = b".git/objects/pack";
/// How much is copied at most, packed as it is.
const MAX_COPIED_BYTES: u64 = 1 << 30;
/// How many objects an agent's packs may hold.
const MAX_PACKED_OBJECTS: usize = 500_000;

/// Where objects are read from that the worker's store has not.
pub(super) trait Source {
    /// Returns the repository to read them from.
    fn repository(&self) -> &Repository;

    /// Makes sure that an object can be read, if there is such an object.
    fn bring(&mut self, id: Oid) -> Result<(), Unusable>;
}

impl Source for Repository {
    fn repository(&self) -> &Repository {
        self
    }

    fn bring(&mut self, _id: Oid) -> Result<(), Unusable> {
        Ok(())
    }
}

/// The copies. They are removed with this.
pub(super) struct AgentObjects<'a> {
    reader: &'a mut TreeReader,
    copies: Copies,
    packs: HashSet<Vec<u8>>,
    bytes_left: u64,
    packed_objects_left: usize,
}

/// A repository without refs, configuration or work tree.
pub(super) struct Copies {
    repository: Repository,
    directory: TempDir,
}

impl Copies {
    pub(super) fn odb(&self) -> Result<Odb<'_>, git2::Error> {
        self.repository.odb()
    }
}

impl Source for AgentObjects<'_> {
    fn repository(&self) -> &Repository {
        &self.copies.repository
    }

    fn bring(&mut self, id: Oid) -> Result<(), Unusable> {
        let is_there = self.copies.odb()?.exists_ext(id, OdbLookupFlags::NO_REFRESH);
        if is_there || self.copy_loose(id)? {
            return Ok(());
        }
        self.copy_packs()
    }
}

impl<'a> AgentObjects<'a> {
    pub(super) fn open(workspace: &Workspace, reader: &'a mut TreeReader) -> Result<Self, Unusable> {
        let directory = tempfile::Builder::new().prefix("objects-").tempdir_in(workspace.host_git())?;
        fs::create_dir(directory.path().join("pack"))?;
        let odb = Odb::new()?;
        odb.add_disk_alternate(directory.path().to_str().ok_or(Unusable::Objects)?)?;
        let copies = Copies { repository: Repository::from_odb(odb)?, directory };
        let (bytes_left, packed_objects_left) = (MAX_COPIED_BYTES, MAX_PACKED_OBJECTS);
        let mut objects = Self { reader, copies, packs: HashSet::new(), bytes_left, packed_objects_left };
        // What is in its place is no store of git's.
        objects.pack_names()?;
        Ok(objects)
    }

    pub(super) fn into_repository(self) -> Copies {
        self.copies
    }

    fn copy_loose(&mut self, id: Oid) -> Result<bool, Unusable> {
        let id = id.to_string();
        let (directory, name) = id.split_at(2);
        let path = [OBJECTS, directory.as_bytes(), b"/", name.as_bytes()].concat();
        let target = self.copies.directory.path().join(directory);
        match self.reader.find(&path) {
            Found::File(file, stat) => {
                // Compressed, it may be a little larger than it is.
                if size_of(&stat) > MAX_BLOB_BYTES as u64 + (1 << 20) {
                    return Err(Unusable::Objects);
                }
                fs::create_dir_all(&target)?;
                self.copy(file, &target.join(name))?;
                Ok(true)
            }
            Found::Gone => Ok(false),
            Found::Link(..) | Found::Directory | Found::Special | Found::Unreadable(_) => {
                Err(Unusable::Objects)
            }
        }
    }

    /// Copies the packs that are new, and makes sure that none of their objects is too large to be read.
    fn copy_packs(&mut self) -> Result<(), Unusable> {
        for index in self.pack_names()? {
            let Some(stem) = index.strip_suffix(b".idx") else { continue };
            if !self.packs.insert(index.clone()) {
                continue;
            }
            // The index last: it makes the pack known.
            for name in [[stem, b".pack"].concat(), index.clone()] {
                let path = [PACKS, b"/", &name].concat();
                let target = self.copies.directory.path().join("pack").join(OsStr::from_bytes(&name));
                match self.reader.find(&path) {
                    Found::File(file, _) => self.copy(file, &target)?,
                    // The agent has just packed its objects anew.
                    Found::Gone => break,
                    Found::Link(..) | Found::Directory | Found::Special | Found::Unreadable(_) => {
                        return Err(Unusable::Objects);
                    }
                }
            }
            let copy = self.copies.directory.path().join("pack").join(OsStr::from_bytes(&index));
            if copy.exists() {
                let odb = self.copies.odb()?;
                odb.refresh()?;
                let count = check_pack(&odb, &fs::read(copy)?, self.packed_objects_left)?;
                self.packed_objects_left -= count;
            }
        }
        Ok(())
    }

    fn pack_names(&mut self) -> Result<Vec<Vec<u8>>, Unusable> {
        match self.reader.list(PACKS) {
            Listing::Names { names, .. } if names.iter().all(|(_, stat)| Kind::of(stat) == Kind::File) => {
                Ok(names.into_iter().map(|(name, _)| name).collect())
            }
            Listing::Gone => Ok(Vec::new()),
            Listing::Names { .. } | Listing::Unreadable(_) => Err(Unusable::Objects),
        }
    }

    fn copy(&mut self, file: File, target: &Path) -> Result<(), Unusable> {
        let mut copy = File::create_new(target)?;
        let copied = std::io::copy(&mut file.take(self.bytes_left + 1), &mut copy)?;
        self.bytes_left = self.bytes_left.checked_sub(copied).ok_or(Unusable::TooMany)?;
        Ok(())
    }
}
