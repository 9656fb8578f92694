//! Directories that only the worker's own user may look into: copies of repositories, workspaces.

use std::fs::{DirBuilder, File, Permissions};
use std::io::Result;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

const PRIVATE: u32 = 0o700;

/// Makes `path`, with its parents, unless it is there already, and closes it to everybody else.
pub(crate) fn create_private(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(PRIVATE).create(path)?;
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let directory = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    if directory.metadata()?.permissions().mode() & 0o7777 == PRIVATE {
        return Ok(());
    }
    directory.set_permissions(Permissions::from_mode(PRIVATE))
}
