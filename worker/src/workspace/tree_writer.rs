//! Writes files into a tree in which no agent runs.
//!
//! Invariant: no symbolic link is followed: each directory is opened below the one before it, and a file is always made
//! anew.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

pub(super) struct TreeWriter {
    root: OwnedFd,
}

impl TreeWriter {
    pub(super) fn open(root: &Path) -> std::io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(Self { root: File::options().read(true).custom_flags(flags.bits()).open(root)?.into() })
    }

    /// Removes what is at `path`, but for a directory with files in it, and the directories that are empty then.
    pub(super) fn remove(&self, path: &[u8]) -> Result<(), Errno> {
        let mut way = match self.way(path, false) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            way => way?,
        };
        match unlinkat(way.handle(&self.root), way.name, UnlinkatFlags::NoRemoveDir) {
            // A submodule has one.
            Err(Errno::EISDIR) => {}
            Err(Errno::ENOENT) => return Ok(()),
            removed => {
                removed?;
                if !way.up() {
                    return Ok(());
                }
            }
        }
        loop {
            match unlinkat(way.handle(&self.root), way.name, UnlinkatFlags::RemoveDir) {
                Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOENT) => return Ok(()),
                removed => removed?,
            }
            if !way.up() {
                return Ok(());
            }
        }
    }

    /// Makes the file at `path`, where there is none, and returns it to be written.
    pub(super) fn file(&self, path: &[u8], is_executable: bool) -> Result<File, Errno> {
        let way = self.way(path, true)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(if is_executable { 0o777 } else { 0o666 });
        Ok(openat(way.handle(&self.root), way.name, flags, mode)?.into())
    }

    /// Makes the link at `path`, where there is nothing.
    pub(super) fn link(&self, path: &[u8], target: &[u8]) -> Result<(), Errno> {
        let way = self.way(path, true)?;
        symlinkat(OsStr::from_bytes(target), way.handle(&self.root), way.name)
    }

    /// Makes the directory at `path` if there is none.
    pub(super) fn directory(&self, path: &[u8]) -> Result<(), Errno> {
        let way = self.way(path, true)?;
        make_directory(way.handle(&self.root), way.name)
    }

    /// Opens the directories that lead to `path`, and makes those that are missing if they are to be made.
    fn way<'a>(&self, path: &'a [u8], make: bool) -> Result<Way<'a>, Errno> {
        let mut names = path.split(|byte| *byte == b'/').map(OsStr::from_bytes);
        let mut way = Way { above: Vec::new(), name: proper(names.next().unwrap_or_default())? };
        for name in names {
            let parent = way.handle(&self.root);
            if make {
                make_directory(parent, way.name)?;
            }
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let directory = openat(parent, way.name, flags, Mode::empty())?;
            way.above.push((way.name, directory));
            way.name = proper(name)?;
        }
        Ok(way)
    }
}

/// The directories on the way to a name, each with its own name.
struct Way<'a> {
    above: Vec<(&'a OsStr, OwnedFd)>,
    name: &'a OsStr,
}

impl Way<'_> {
    fn handle<'b>(&'b self, root: &'b OwnedFd) -> &'b OwnedFd {
        self.above.last().map_or(root, |(_, directory)| directory)
    }

    /// Turns to the directory that the name is in; not to the root.
    fn up(&mut self) -> bool {
        let directory = self.above.pop();
        if let Some((name, _)) = &directory {
            self.name = name;
        }
        directory.is_some()
    }
}

fn make_directory(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match mkdirat(parent, name, Mode::from_bits_truncate(0o777)) {
        Err(Errno::EEXIST) => Ok(()),
        made => made,
    }
}

fn proper(name: &OsStr) -> Result<&OsStr, Errno> {
    let is_proper = !matches!(name.as_bytes(), b"" | b"." | b"..") && !name.eq_ignore_ascii_case(".git");
    if is_proper { Ok(name) } else { Err(Errno::EINVAL) }
}
