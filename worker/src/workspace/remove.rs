//! Removes directories that agents have filled.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Result};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::dir::Dir;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// Removes `path` with all that is in it; links are removed, never followed. Directories that may not be written (module
/// caches make such) are opened up first. No directory there is no error.
pub fn remove_directory(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::DirectoryNotEmpty) => {
            let flags = DIRECTORY.bits();
            open_up(fs::File::options().read(true).custom_flags(flags).open(path)?.into())?;
            fs::remove_dir_all(path)
        }
        removed => removed,
    }
}

/// A handle on a directory, which needs no right to read it, and never a link in its place.
const DIRECTORY: OFlag =
    OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Lets the owner read and write `directory` and what is below it. By handle: an agent's leftover process may put anything
/// in a directory's place meanwhile.
fn open_up(directory: OwnedFd) -> Result<()> {
    // The kernel's own name of the handle: a handle without the right to read takes no `fchmod`.
    let handle = format!("/proc/self/fd/{}", directory.as_raw_fd());
    fs::set_permissions(handle, Permissions::from_mode(0o700))?;
    let list = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut entries = Dir::openat(directory.as_fd(), ".", list, Mode::empty())?;
    for entry in entries.iter() {
        let entry = entry?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        // Anything but a directory fails to open as one.
        if let Ok(child) = openat(directory.as_fd(), entry.file_name(), DIRECTORY, Mode::empty()) {
            open_up(child)?;
        }
    }
    Ok(())
}
