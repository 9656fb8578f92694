//! Writes objects into the worker's store, each into a file of its own.
//!
//! libgit2 does that too, but compresses every object: most of what is stored for a checkpoint is of no use after the
//! next one, and small enough to be left as it is. It is git's format all the same, which git and libgit2 read.

use std::fs::{self, File};
use std::io::{ErrorKind, Result, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use git2::{ObjectType, Odb, OdbLookupFlags, Oid, Repository};

use super::SnapshotError;

/// Beyond this size compressing is worth its time: a disk is filled by large files.
const AS_IT_IS_BYTES: usize = 128 << 10;

/// The object store of the worker's git directory. Only one thread writes there at a time.
pub(super) struct LooseObjects<'a> {
    objects: Odb<'a>,
    directory: PathBuf,
}

impl<'a> LooseObjects<'a> {
    pub(super) fn of(repository: &'a Repository) -> std::result::Result<Self, git2::Error> {
        Ok(Self { objects: repository.odb()?, directory: repository.path().join("objects") })
    }

    /// Stores a blob, unless it is there, and returns its id.
    pub(super) fn write_blob(&self, content: &[u8]) -> std::result::Result<Oid, SnapshotError> {
        let id = Oid::hash_object(ObjectType::Blob, content)?;
        // Without a look for new packs: of what came since it is enough to have it twice.
        if !self.objects.exists_ext(id, OdbLookupFlags::NO_REFRESH) {
            self.write(id, content).map_err(SnapshotError::Store)?;
        }
        Ok(id)
    }

    /// A file that was written in part, before a crash, has no name that git reads.
    fn write(&self, id: Oid, content: &[u8]) -> Result<()> {
        let new = self.directory.join("new-object");
        create(&new)?.write_all(&packed(content)?)?;
        let id = id.to_string();
        let (directory, name) = (self.directory.join(&id[..2]), &id[2..]);
        match fs::rename(&new, directory.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir(&directory)?;
                fs::rename(&new, directory.join(name))
            }
            renamed => renamed,
        }
    }
}

/// Makes a file that, as git's, nobody writes again. One that a killed worker left is removed.
fn create(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o444);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        opened => opened,
    }
}

fn packed(content: &[u8]) -> Result<Vec<u8>> {
    let level = if content.len() > AS_IT_IS_BYTES { Compression::fast() } else { Compression::none() };
    let mut packed = ZlibEncoder::new(Vec::with_capacity(content.len() + 64), level);
    write!(packed, "blob {}\0", content.len())?;
    packed.write_all(content)?;
    packed.finish()
}
