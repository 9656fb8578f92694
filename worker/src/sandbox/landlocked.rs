//! The rules of Landlock, which a process lays upon itself and can never take off, nor can what it starts.
//!
//! What Landlock cannot do: other processes are still to be seen in `/proc` (their environments are not: tracing is
//! refused), stat tells of files that may not be opened, and before Linux 7.1 unix sockets that have a path can be
//! connected to. Without network there is no TCP (from Linux 6.7), but UDP is left.

use std::path::{Path, PathBuf};

use makima_shared::config::NetworkMode;
use serde::{Deserialize, Serialize};

use super::{Machine, Places};

/// Devices that programs write to.
const DEVICES: [&str; 8] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
];

/// What an agent may read and write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    readable: Vec<PathBuf>,
    writable: Vec<PathBuf>,
    has_network: bool,
}

/// Why the rules do not hold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LandlockError {
    /// The kernel refused them.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Ruleset(#[from] landlock::RulesetError),
    /// What makes root more than a user could not be given up.
    #[cfg(target_os = "linux")]
    #[error("the capabilities cannot be dropped: {0}")]
    Capabilities(#[from] caps::errors::CapsError),
    /// The kernel does not know Landlock, or it is off.
    #[error("this kernel does not enforce Landlock")]
    NotEnforced,
}

impl Rules {
    pub(super) fn new(machine: &Machine, places: &Places, network: &NetworkMode) -> Self {
        let mut readable: Vec<PathBuf> = machine.links.iter().map(|(link, _)| link.clone()).collect();
        // Rules only add up: what lies in a readable directory cannot be hidden, so such directories are left out.
        let hidden = || machine.hidden_directories.iter().chain(&machine.hidden_files);
        let has_hidden = |path: &Path| hidden().any(|hidden| hidden.starts_with(path));
        for real in machine.readable.values() {
            if has_hidden(real) {
                readable.extend(children_but(real, &|path| has_hidden(path)));
            } else {
                readable.push(real.clone());
            }
        }
        // Users keep their names, since they are whom they were.
        readable.extend(["/proc", "/etc/passwd", "/etc/group"].map(PathBuf::from));
        readable.extend(places.readable.iter().cloned());
        let mut writable = places.writable.clone();
        writable.extend(DEVICES.map(PathBuf::from));
        Self { readable, writable, has_network: *network != NetworkMode::Off }
    }

    /// Lays the rules upon this thread, the only one of its process.
    #[cfg(target_os = "linux")]
    pub(crate) fn apply(&self) -> Result<(), LandlockError> {
        use landlock::{
            ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
            RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
        };
        // What newer kernels can do besides is asked for, and left out where they cannot.
        const NEWEST: ABI = ABI::V9;
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?;
        if !self.has_network {
            ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
        }
        // A socket may be spoken to that stands where an agent may read.
        let readable = AccessFs::from_read(NEWEST) | AccessFs::ResolveUnix;
        let status = ruleset
            .create()?
            .add_rules(path_beneath_rules(&self.readable, readable))?
            .add_rules(path_beneath_rules(&self.writable, AccessFs::from_all(NEWEST)))?
            .restrict_self()?;
        if status.ruleset == RulesetStatus::NotEnforced {
            return Err(LandlockError::NotEnforced);
        }
        drop_capabilities()
    }

    /// Fails: there is no Landlock.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn apply(&self) -> Result<(), LandlockError> {
        Err(LandlockError::NotEnforced)
    }
}

/// Gives up what makes root more than a user: with it, the environments of all processes could be read. It does not come
/// back with an `exec`, since the rules forbid to gain privileges.
#[cfg(target_os = "linux")]
fn drop_capabilities() -> Result<(), LandlockError> {
    use caps::CapSet;
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set)?;
    }
    Ok(())
}

/// Lists what is in a directory but for what is unwanted.
fn children_but(directory: &Path, unwanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| !unwanted(path)).collect()
}
