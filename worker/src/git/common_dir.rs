//! Keeps a git directory from being led to another one.

use std::io::{ErrorKind, Result};
use std::path::Path;

/// Removes the file that makes git, and libgit2, take configuration, refs and objects from elsewhere. None of our git
/// directories has one.
pub(crate) fn forget_common_dir(git_dir: &Path) -> Result<()> {
    match std::fs::remove_file(git_dir.join("commondir")) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
