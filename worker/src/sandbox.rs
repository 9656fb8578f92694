//! What stands between an agent and the machine that it runs on.
//!
//! | level | holds the agent by |
//! |---|---|
//! | bubblewrap | namespaces: it sees its own processes and a file system of what it needs, and nothing else |
//! | Landlock | the kernel refuses it files; it still sees that others run, and reaches their unix sockets |
//! | none | nothing: it is the worker's user |
//!
//! A [`Sandbox`] is chosen once for a worker, and believed only after a [`self_test`]: a real sandboxed process that
//! tries to get out. It makes a [`Confinement`] for each agent, which the shim's second stage carries out.
//!
//! **Architecture invariant.** What an agent can write decides nothing here: paths come from the worker's settings, from
//! the system and from the worker's own knowledge of the workspace, never from a file in the tree.
//!
//! Left out on purpose: filters of system calls, and filters of the network beyond all or nothing.

mod account;
mod bubblewrap;
pub(crate) mod cgroup;
mod choose;
mod confinement;
mod landlocked;
mod limits;
mod machine;
mod network;
pub mod probe;
pub mod self_test;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use makima_shared::config::{AgentLimits, NetworkMode, SandboxConfig};

pub use bubblewrap::Bubblewrap;
pub use cgroup::{Cgroup, Cgroups};
pub use choose::{Chosen, NoSandbox, choose};
pub use confinement::Confinement;
pub(crate) use landlocked::LandlockError;
pub use machine::Machine;
pub(crate) use network::proxy_variables;

/// The error code of an attempt whose sandbox could not be made.
pub const UNAVAILABLE: &str = "SANDBOX_UNAVAILABLE";

/// How agents are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Level {
    /// By namespaces.
    Bubblewrap(Bubblewrap),
    /// By Landlock.
    Landlock,
    /// Not at all.
    None,
}

impl Level {
    /// Returns its name, as in the setting `worker.sandbox`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bubblewrap(_) => "bubblewrap",
            Self::Landlock => "landlock",
            Self::None => "none",
        }
    }
}

/// What one agent gets of the file system beside what all of them get.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// What it may change: its tree, its home, its temporary files.
    pub writable: Vec<PathBuf>,
    /// What it may look at, and sockets that it may speak to: its plan, the objects that its repository borrows.
    pub readable: Vec<PathBuf>,
}

/// What holds the agents of a worker.
#[derive(Clone, Debug)]
pub struct Sandbox {
    level: Level,
    network: NetworkMode,
    write_paths: Vec<PathBuf>,
    limits: AgentLimits,
    machine: Machine,
    cgroups: Option<Cgroups>,
}

/// What holds one agent. The control group, if there is one, is removed with the last copy of this.
#[derive(Clone, Debug, Default)]
pub struct Confined {
    /// What the second stage has to do.
    pub confinement: Confinement,
    /// The agent's control group.
    pub cgroup: Option<Arc<Cgroup>>,
}

impl Sandbox {
    /// Makes a sandbox of a level for a worker that keeps its own in `data_dir` and whose program is `executable`.
    pub fn new(
        level: Level,
        config: &SandboxConfig,
        agent_env: &[String],
        data_dir: &Path,
        executable: &Path,
    ) -> Self {
        Self {
            level,
            network: config.network.clone(),
            write_paths: config.write_paths.clone(),
            limits: config.limits,
            machine: Machine::look(agent_env, &config.read_paths, data_dir, executable),
            cgroups: if config.limits == AgentLimits::default() { None } else { Cgroups::find() },
        }
    }

    /// Returns how agents are held.
    pub fn level(&self) -> &Level {
        &self.level
    }

    /// Returns what agents reach of the network.
    pub fn network(&self) -> &NetworkMode {
        &self.network
    }

    /// Says in words how far the limits go.
    pub fn limits_in_words(&self) -> &'static str {
        if self.limits == AgentLimits::default() {
            "none are set"
        } else if self.cgroups.is_some() {
            "by a control group for each agent"
        } else {
            "by rlimits: memory for each process, processes only where the worker is not root, processors as a hint"
        }
    }

    /// Makes what holds one agent. Blocks for as long as it takes to make a control group.
    ///
    /// # Errors
    /// A path is not UTF-8, or the control group cannot be made.
    pub fn confine(&self, places: &Places) -> io::Result<Confined> {
        let mut writable = places.writable.clone();
        writable.extend(self.write_paths.iter().cloned());
        let places = Places { writable, readable: places.readable.clone() };
        let mut confinement = match &self.level {
            Level::Bubblewrap(bubblewrap) => Confinement {
                launcher: bubblewrap.launcher(&self.machine, &places, &self.network)?,
                ..Confinement::default()
            },
            Level::Landlock => Confinement {
                landlock: Some(landlocked::Rules::new(&self.machine, &places, &self.network)),
                ..Confinement::default()
            },
            Level::None => Confinement::default(),
        };
        let cgroup = self.cgroups.as_ref().map(|cgroups| cgroups.create(&self.limits)).transpose()?;
        match &cgroup {
            Some(cgroup) => confinement.cgroup = Some(cgroup.path().to_owned()),
            None => confinement.limits = self.limits.into(),
        }
        Ok(Confined { confinement, cgroup: cgroup.map(Arc::new) })
    }
}
