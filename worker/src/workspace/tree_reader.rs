//! Reads files of a tree that an agent may change at any moment.
//!
//! Invariants: no symbolic link is ever followed, not even one that takes a directory's place while it is read (each
//! directory is opened below the one before it, without following links); nothing blocks on a pipe or touches a device.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

/// How many directories are held open; those further down are opened again each time.
const MAX_HANDLES: usize = 64;

/// What stands at a path.
pub(super) enum Found {
    File(File, FileStat),
    Link(OsString, FileStat),
    /// A directory.
    Directory,
    /// A pipe, a socket or a device: nothing that git could hold.
    Special,
    /// Nothing.
    Gone,
    /// Something that the worker may not read.
    Unreadable(std::io::Error),
}

/// What there is in a directory.
pub(super) enum Listing {
    /// What is there.
    Names {
        /// The names, in no order, each with what it stood for a moment ago.
        names: Vec<(Vec<u8>, FileStat)>,
        /// The directory itself, before its names were read.
        directory: FileStat,
    },
    /// There is no such directory any more.
    Gone,
    /// It may not be read.
    Unreadable(std::io::Error),
}

/// What kind of thing a file's mode says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Link,
    Directory,
    Special,
}

impl Kind {
    pub(super) fn of(stat: &FileStat) -> Self {
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Self::File,
            SFlag::S_IFLNK => Self::Link,
            SFlag::S_IFDIR => Self::Directory,
            _ => Self::Special,
        }
    }
}

/// A tree that is read path by path; fastest in sorted order.
pub(super) struct TreeReader {
    root: Rc<OwnedFd>,
    /// The directories on the way to the last one, each with its path.
    open: Vec<(Vec<u8>, Rc<OwnedFd>)>,
}

impl TreeReader {
    pub(super) fn open(root: &Path) -> std::io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let root = File::options().read(true).custom_flags(flags.bits()).open(root)?;
        Ok(Self { root: Rc::new(root.into()), open: Vec::new() })
    }

    /// Looks at `path`, which is relative, with `/` between its names.
    pub(super) fn find(&mut self, path: &[u8]) -> Found {
        match self.try_find(path) {
            Ok(found) => found,
            Err(error) if is_gone(error) => Found::Gone,
            Err(error) => Found::Unreadable(error.into()),
        }
    }

    /// Reads the file at `path` whole; none if it is no plain file, larger than `limit_bytes`, or may not be read.
    pub(super) fn read(&mut self, path: &[u8], limit_bytes: u64) -> Option<Vec<u8>> {
        let Found::File(file, stat) = self.find(path) else { return None };
        if size_of(&stat) > limit_bytes {
            return None;
        }
        let mut content = Vec::new();
        file.take(limit_bytes).read_to_end(&mut content).ok()?;
        Some(content)
    }

    /// Lists the directory at `path`; the tree itself has an empty path.
    pub(super) fn list(&mut self, path: &[u8]) -> Listing {
        match self.try_list(path) {
            Ok(listing) => listing,
            Err(error) if is_gone(error) => Listing::Gone,
            Err(error) => Listing::Unreadable(error.into()),
        }
    }

    /// Returns the stat data of what stands at `path`.
    pub(super) fn stat(&mut self, path: &[u8]) -> Result<FileStat, Errno> {
        let (directory, name) = split(path)?;
        let parent = self.directory(directory)?;
        fstatat(&*parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// Returns the stat data of a directory.
    pub(super) fn stat_handle(directory: &OwnedFd) -> Result<FileStat, Errno> {
        fstat(directory)
    }

    /// Returns the stat data of what has this name in a directory.
    pub(super) fn stat_in(directory: &OwnedFd, name: &CStr) -> Result<FileStat, Errno> {
        fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    fn try_find(&mut self, path: &[u8]) -> Result<Found, Errno> {
        let (directory, name) = split(path)?;
        let parent = self.directory(directory)?;
        let look = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let found = openat(&*parent, name, look, Mode::empty())?;
        let stat = fstat(&found)?;
        match Kind::of(&stat) {
            Kind::Link => return Ok(Found::Link(readlinkat(&found, "")?, stat)),
            Kind::Directory => return Ok(Found::Directory),
            Kind::Special => return Ok(Found::Special),
            Kind::File => {}
        }
        let read =
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = openat(&*parent, name, read, Mode::empty())?;
        // The name may have been given to something else in between.
        let stat = fstat(&file)?;
        Ok(if Kind::of(&stat) == Kind::File { Found::File(file.into(), stat) } else { Found::Gone })
    }

    fn try_list(&mut self, path: &[u8]) -> Result<Listing, Errno> {
        let directory = self.directory(path)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut entries = Dir::openat(&*directory, ".", flags, Mode::empty())?;
        let stat = fstat(&entries)?;
        let mut names: Vec<CString> = Vec::new();
        for entry in entries.iter() {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            match fstatat(&entries, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => found.push((name.into_bytes(), stat)),
                Err(Errno::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Listing::Names { names: found, directory: stat })
    }

    /// Returns a handle on the directory at `path`, starting from the nearest one above that is open. The tree itself has an
    /// empty path.
    pub(super) fn directory(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, Errno> {
        while self.open.last().is_some_and(|(above, _)| !leads_to(above, path)) {
            self.open.pop();
        }
        let (mut at, mut fd) = match self.open.last() {
            Some((above, fd)) => (above.len(), Rc::clone(fd)),
            None => (0, Rc::clone(&self.root)),
        };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        while at < path.len() {
            let begin = if at == 0 { 0 } else { at + 1 };
            let length = path[begin..].iter().position(|byte| *byte == b'/').unwrap_or(path.len() - begin);
            at = begin + length;
            let name = OsStr::from_bytes(proper_name(&path[begin..at])?);
            fd = Rc::new(openat(&*fd, name, flags, Mode::empty())?);
            if self.open.len() < MAX_HANDLES {
                self.open.push((path[..at].to_vec(), Rc::clone(&fd)));
            }
        }
        Ok(fd)
    }
}

/// Tells whether `path` is the directory `above` or lies below it.
fn leads_to(above: &[u8], path: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Returns the size of a file in bytes.
pub(super) fn size_of(stat: &FileStat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

/// Something else has taken the place, or a directory's place above it (`ENOTDIR`, `ELOOP`).
fn is_gone(error: Errno) -> bool {
    matches!(error, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)
}

/// Splits a path into its directory and its name there.
fn split(path: &[u8]) -> Result<(&[u8], &OsStr), Errno> {
    let (directory, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[][..], path),
    };
    Ok((directory, OsStr::from_bytes(proper_name(name)?)))
}

fn proper_name(name: &[u8]) -> Result<&[u8], Errno> {
    if matches!(name, b"" | b"." | b"..") { Err(Errno::ENOENT) } else { Ok(name) }
}
