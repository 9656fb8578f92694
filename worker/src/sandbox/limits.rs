//! Limits for machines on which no control group can be made. They are weaker: see `docs/SANDBOX.md`.

use makima_shared::config::AgentLimits;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// What a process gives itself before it becomes the agent; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceLimits {
    data_bytes: u64,
    processes: u64,
    cpus: u64,
}

impl From<AgentLimits> for ResourceLimits {
    fn from(limits: AgentLimits) -> Self {
        Self { data_bytes: limits.max_memory_bytes, processes: limits.max_processes, cpus: limits.max_cpus }
    }
}

impl ResourceLimits {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Sets them for this process and all that it will start.
    pub(crate) fn apply(&self) -> nix::Result<()> {
        // Not the address space: runtimes of JavaScript and Java reserve far more of that than they use.
        for (resource, limit) in
            [(Resource::RLIMIT_DATA, self.data_bytes), (Resource::RLIMIT_NPROC, self.processes)]
        {
            if limit > 0 {
                setrlimit(resource, limit, limit)?;
            }
        }
        if self.cpus > 0 { use_first_cpus(self.cpus) } else { Ok(()) }
    }
}

/// Keeps to the first so many processors of those that this process may use.
fn use_first_cpus(most: u64) -> nix::Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let mut chosen = CpuSet::new();
    let usable = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    for cpu in usable.take(usize::try_from(most).unwrap_or(usize::MAX)) {
        chosen.set(cpu)?;
    }
    sched_setaffinity(this, &chosen)
}
