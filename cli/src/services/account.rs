//! The user that the servers run as: ourselves, or an unprivileged one where we are root (PostgreSQL refuses root).

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

use nix::unistd::{Uid, User, geteuid};
use tokio::process::Command;

use super::error::ServicesError;

/// Who the servers run as.
#[derive(Clone, Debug)]
pub(super) struct Account {
    switch: Option<Switch>,
}

#[derive(Clone, Debug)]
struct Switch {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// Chooses the user. As root that is the owner of `cluster` where it exists, else `postgres`, else `nobody`.
    pub(super) fn choose(cluster: &Path) -> Result<Self, ServicesError> {
        if !geteuid().is_root() {
            return Ok(Self { switch: None });
        }
        let switch = owner(cluster).or_else(|| named("postgres")).or_else(|| named("nobody"));
        Ok(Self { switch: Some(switch.ok_or(ServicesError::NoAccount)?) })
    }

    /// The name of the user to switch to, if there is a switch.
    pub(super) fn switched_name(&self) -> Option<&str> {
        self.switch.as_ref().map(|switch| switch.name.as_str())
    }

    /// Makes `command` run as the user. With a new uid the standard library drops the supplementary groups too.
    pub(super) fn apply(&self, command: &mut Command) {
        if let Some(switch) = &self.switch {
            command.uid(switch.uid).gid(switch.gid);
        }
    }

    /// Gives the open file or directory, which was found at `path`, to the user.
    pub(super) fn own(&self, file: &File, path: &Path) -> Result<(), ServicesError> {
        match &self.switch {
            Some(switch) => fchown(file, Some(switch.uid), Some(switch.gid))
                .map_err(ServicesError::io("change the owner of", path)),
            None => Ok(()),
        }
    }
}

fn named(name: &str) -> Option<Switch> {
    let user = User::from_name(name).ok()??;
    Some(Switch { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
}

fn owner(path: &Path) -> Option<Switch> {
    let meta = fs::symlink_metadata(path).ok().filter(|meta| meta.uid() != 0)?;
    let known = User::from_uid(Uid::from_raw(meta.uid())).ok().flatten();
    let name = known.map_or_else(|| format!("#{}", meta.uid()), |user| user.name);
    Some(Switch { name, uid: meta.uid(), gid: meta.gid() })
}
