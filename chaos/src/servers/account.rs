//! The user that the servers run as: ourselves, or an unprivileged one where we are root (PostgreSQL refuses root).

use std::os::unix::fs::chown;
use std::path::Path;

use anyhow::Context;
use nix::unistd::{User, geteuid};
use tokio::process::Command;

/// Who the servers run as.
#[derive(Clone, Debug)]
pub(super) struct Account {
    switch: Option<(u32, u32)>,
}

impl Account {
    /// Chooses the user.
    pub(super) fn choose() -> anyhow::Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self { switch: None });
        }
        let named = |name| User::from_name(name).ok().flatten();
        let user =
            named("postgres").or_else(|| named("nobody")).context("there is no user for the servers")?;
        Ok(Self { switch: Some((user.uid.as_raw(), user.gid.as_raw())) })
    }

    /// Makes a directory of the user's own, which nobody else may enter.
    pub(super) fn make_dir(&self, path: &Path) -> anyhow::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let failed = || format!("cannot make {}", path.display());
        std::fs::DirBuilder::new().mode(0o700).create(path).with_context(failed)?;
        if let Some((uid, gid)) = self.switch {
            chown(path, Some(uid), Some(gid)).with_context(failed)?;
        }
        Ok(())
    }

    /// Makes a command run as the user.
    pub(super) fn apply(&self, command: &mut Command) {
        if let Some((uid, gid)) = self.switch {
            command.uid(uid).gid(gid);
        }
    }
}
