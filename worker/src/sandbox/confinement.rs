//! What the second stage of the shim has to do before it becomes the agent, as it is told on its command line.
//!
//! Nothing in it is secret: anybody may read a command line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::landlocked::Rules;
use super::limits::ResourceLimits;

/// How one agent is held. The default is not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Confinement {
    /// The command to which the stage's own is added, so that it goes on inside. Empty to go on where it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub launcher: Vec<String>,
    /// The files that the kernel lets the agent have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landlock: Option<Rules>,
    /// The control group that the stage enters, and all that it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<PathBuf>,
    /// Limits without a control group.
    #[serde(skip_serializing_if = "ResourceLimits::is_empty")]
    pub limits: ResourceLimits,
}

impl Confinement {
    /// Returns what is left to do once the launcher has made the namespaces.
    pub(crate) fn inside(&self) -> Self {
        Self { launcher: Vec::new(), cgroup: None, ..self.clone() }
    }
}
