//! Locks of git processes that were killed with their agent and its worker.
//!
//! git takes `<file>.lock` before it writes a file, and gives up where it finds one: an agent that goes on in the workspace
//! could not commit any more. Whoever held them is dead when a workspace is taken up, so they go. No link is followed.
//!
//! Left out: locks in the git directories of submodules and nested repositories.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

const SUFFIX: &[u8] = b".lock";
/// What has locks below it: branches, and the git directories of the agent's further work trees.
const DIRECTORIES: [&[u8]; 2] = [b"refs", b"worktrees"];
/// An agent may make more directories than anybody wants to look through.
const MAX_ENTRIES: usize = 100_000;
const MAX_DEPTH: usize = 32;

const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Removes the locks below `tree/.git` in the workspace at `root`, and returns how many there were. No git directory in that
/// place is no error: the agent may have put anything there.
pub(super) fn remove(root: &Path) -> std::io::Result<usize> {
    let root: OwnedFd = File::options().read(true).custom_flags(DIRECTORY.bits()).open(root)?.into();
    let git_dir = openat(&root, "tree", DIRECTORY, Mode::empty())
        .and_then(|tree| openat(&tree, ".git", DIRECTORY, Mode::empty()));
    let mut looking = Looking { removed: 0, entries_left: MAX_ENTRIES };
    match git_dir {
        Ok(git_dir) => looking.through(git_dir, 0)?,
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(looking.removed)
}

struct Looking {
    removed: usize,
    entries_left: usize,
}

impl Looking {
    fn through(&mut self, directory: OwnedFd, depth: usize) -> nix::Result<()> {
        let mut entries = Dir::from_fd(directory)?;
        let mut below = Vec::new();
        let mut locks = Vec::new();
        for entry in entries.iter() {
            let name = entry?.file_name().to_owned();
            let bytes = name.to_bytes();
            if self.entries_left == 0 {
                break;
            }
            self.entries_left -= 1;
            if bytes.ends_with(SUFFIX) {
                locks.push(name);
            } else if !matches!(bytes, b"." | b"..")
                && depth < MAX_DEPTH
                && (depth > 0 || DIRECTORIES.contains(&bytes))
            {
                below.push(name);
            }
        }
        for name in locks {
            // A directory of such a name is none of git's.
            if unlinkat(&entries, name.as_c_str(), UnlinkatFlags::NoRemoveDir).is_ok() {
                self.removed += 1;
            }
        }
        for name in below {
            // Anything but a directory fails to open as one.
            if let Ok(child) = openat(&entries, name.as_c_str(), DIRECTORY, Mode::empty()) {
                self.through(child, depth + 1)?;
            }
        }
        Ok(())
    }
}
