//! Opens files and directories in whose place somebody else may have put something: never through a link, never to
//! wait (as for a named pipe), and on the open handle rather than on a name that may mean another file by then.
//!
//! This guards the last name of a path. The directories above it have to be ours, as [`data_dir`](super::data_dir)
//! sees to: below what belongs to the servers' account, root reads bounded text and removes or renames, no more.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

/// More than any file has that is read whole.
const TEXT_MAX_BYTES: u64 = 64 << 10;

/// Opens a directory, and no link to one.
pub(super) fn open_dir(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits()).open(path)
}

/// Makes a directory with exactly `mode`, whatever the umask; fine if it is there already.
pub(super) fn make_dir(path: &Path, mode: u32) -> io::Result<File> {
    let dir = make_or_open_dir(path, mode)?;
    dir.set_permissions(Permissions::from_mode(mode))?;
    Ok(dir)
}

/// Makes a directory for nobody else, or sees to it that the one that is there is ours and such.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    let dir = make_or_open_dir(path, 0o700)?;
    require_ours(&dir)?;
    dir.set_permissions(Permissions::from_mode(0o700))
}

fn make_or_open_dir(path: &Path, mode: u32) -> io::Result<File> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(failed) if failed.kind() != ErrorKind::AlreadyExists => Err(failed),
        Ok(()) | Err(_) => open_dir(path),
    }
}

/// Opens a file of ours as `options` say, or makes it where they say so, for nobody else to read.
pub(super) fn open_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = options.mode(0o600).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(file)
}

/// Reads a short file, whoever it belongs to.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_file(File::options().read(true), path)?.take(TEXT_MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Fails where an open file or directory belongs to somebody else.
pub(super) fn require_ours(file: &File) -> io::Result<()> {
    let (owner, us) = (file.metadata()?.uid(), geteuid().as_raw());
    if owner == us {
        return Ok(());
    }
    let words = format!("it belongs to the user with the id {owner}, and makima runs as {us}");
    Err(io::Error::new(ErrorKind::PermissionDenied, words))
}

/// Sets the mode bits of a file or directory in a place that nobody else can change.
pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_is_opened_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        symlink(&target, &link).unwrap();
        open_file(File::options().append(true).create(true), &link).unwrap_err();
        assert!(!target.exists());

        fs::create_dir(&target).unwrap();
        set_mode(&target, 0o755).unwrap();
        open_dir(&link).unwrap_err();
        make_private_dir(&link).unwrap_err();
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o755);
        make_private_dir(&target).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_named_pipe_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        read_text(&pipe).unwrap_err();
        open_file(File::options().append(true).create(true), &pipe).unwrap_err();
    }

    #[test]
    fn what_belongs_to_somebody_else_is_not_ours() {
        let (root, us) = (open_dir(Path::new("/")).unwrap(), geteuid());
        let root_is_ours = root.metadata().unwrap().uid() == us.as_raw();
        assert_eq!(require_ours(&root).is_ok(), root_is_ours);
        if us.is_root() {
            let dir = tempfile::tempdir().unwrap();
            set_mode(dir.path(), 0o755).unwrap();
            std::os::unix::fs::chown(dir.path(), Some(65534), None).unwrap();
            make_private_dir(dir.path()).unwrap_err();
            assert_eq!(fs::metadata(dir.path()).unwrap().mode() & 0o777, 0o755);
        }
    }
}
