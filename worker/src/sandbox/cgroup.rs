//! A control group for each agent, where a worker may make some: cgroup v2, below the worker's own group.
//!
//! The worker's group must be delegated to it with the controllers `memory`, `pids` and `cpu` (systemd: `Delegate=yes`).
//! The kernel lets a group with processes in it have no groups with limits below it, so groups are made beside the worker's
//! own where it stands in a leaf (systemd: `DelegateSubgroup=`), as well as below it.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use makima_shared::config::AgentLimits;

const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// How long a second of processor time is, in the kernel's unit of quotas.
const CPU_PERIOD_US: u64 = 100_000;
/// How often the removal of a group is tried whose processes take their time to die.
const REMOVE_TRIES: u32 = 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(5);

/// Where groups can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroups {
    parent: PathBuf,
}

impl Cgroups {
    /// Finds a place for groups, and removes the groups that dead workers left there. Changes nothing where there is none.
    pub fn find() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let root = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ');
            let (place, kind) = (fields.nth(1)?, fields.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(place))
        })?;
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let own = root.join(own);
        let beside = own.parent().filter(|parent| parent.starts_with(&root)).map(Path::to_owned);
        [Some(own), beside].into_iter().flatten().find_map(Self::at)
    }

    /// Takes a group for the parent of others, if it can be.
    fn at(parent: PathBuf) -> Option<Self> {
        let offered = fs::read_to_string(parent.join("cgroup.controllers")).ok()?;
        if !CONTROLLERS.iter().all(|wanted| offered.split_whitespace().any(|found| found == *wanted)) {
            return None;
        }
        let control = parent.join("cgroup.subtree_control");
        let enabled = fs::read_to_string(&control).ok()?;
        let wanted: Vec<_> = CONTROLLERS
            .iter()
            .filter(|wanted| !enabled.split_whitespace().any(|found| found == **wanted))
            .map(|wanted| format!("+{wanted}"))
            .collect();
        if !wanted.is_empty() {
            fs::write(&control, wanted.join(" ")).ok()?;
        }
        let cgroups = Self { parent };
        // Only a trial tells whether this user may.
        drop(cgroups.create(&AgentLimits::default()).ok()?);
        cgroups.remove_abandoned();
        Some(cgroups)
    }

    /// Makes a group with these limits, in which nothing runs yet.
    pub(super) fn create(&self, limits: &AgentLimits) -> io::Result<Cgroup> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.parent.join(format!("makima-agent-{}-{number}", std::process::id()));
        fs::create_dir(&path)?;
        let cgroup = Cgroup { path };
        cgroup.limit(limits)?;
        Ok(cgroup)
    }

    /// Removes the groups of workers that live no more.
    fn remove_abandoned(&self) {
        for entry in fs::read_dir(&self.parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let maker = name.to_str().and_then(|name| name.strip_prefix("makima-agent-")?.split_once('-'));
            if let Some((pid, _number)) = maker
                && pid.bytes().all(|byte| byte.is_ascii_digit())
                && !Path::new("/proc").join(pid).exists()
            {
                drop(Cgroup { path: entry.path() });
            }
        }
    }
}

/// The control group of one agent. Dropping it kills what is in it and removes it.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn limit(&self, limits: &AgentLimits) -> io::Result<()> {
        let set = |file: &str, value: String| fs::write(self.path.join(file), value);
        if limits.max_memory_bytes > 0 {
            set("memory.max", limits.max_memory_bytes.to_string())?;
            // An agent without memory ends as a whole, and does not go on without one of its processes. Not in old kernels.
            let _ = set("memory.oom.group", "1".to_owned());
            // Without swap there is no such file.
            let _ = set("memory.swap.max", "0".to_owned());
        }
        if limits.max_processes > 0 {
            set("pids.max", limits.max_processes.to_string())?;
        }
        if limits.max_cpus > 0 {
            set("cpu.max", format!("{} {CPU_PERIOD_US}", limits.max_cpus.saturating_mul(CPU_PERIOD_US)))?;
        }
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The shim has cleared the tree; this is for what was moved here by others. From Linux 5.14.
        let kill = fs::File::options().write(true).open(self.path.join("cgroup.kill"));
        let _ = kill.and_then(|mut kill| kill.write_all(b"1"));
        for _ in 0..REMOVE_TRIES {
            match fs::remove_dir(&self.path) {
                Err(error) if error.raw_os_error() == Some(nix::libc::EBUSY) => {
                    std::thread::sleep(REMOVE_PAUSE); // why: nothing tells of the last process's end
                }
                Ok(()) | Err(_) => return,
            }
        }
        tracing::warn!(path = %self.path.display(), "an agent's control group cannot be removed");
    }
}

/// Puts this process, and all that it will start, into a group.
pub(crate) fn enter(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let parent = tempfile::tempdir().unwrap();
        let cgroups = Cgroups { parent: parent.path().to_owned() };
        let limits = AgentLimits { max_memory_bytes: 1 << 30, max_processes: 64, max_cpus: 2 };
        let cgroup = cgroups.create(&limits).unwrap();
        let read = |file: &str| fs::read_to_string(cgroup.path().join(file)).unwrap();
        assert_eq!((read("memory.max"), read("pids.max")), ("1073741824".to_owned(), "64".to_owned()));
        assert_eq!(read("cpu.max"), "200000 100000");
    }

    #[test]
    fn a_group_is_removed_with_its_agent_and_those_of_dead_workers_at_the_start() {
        let parent = tempfile::tempdir().unwrap();
        let cgroups = Cgroups { parent: parent.path().to_owned() };
        let group = parent.path().join("makima-agent-999999999-0");
        fs::create_dir(&group).unwrap();
        let living = parent.path().join(format!("makima-agent-{}-x", std::process::id()));
        fs::create_dir(&living).unwrap();
        cgroups.remove_abandoned();
        assert!(!group.exists() && living.exists());
    }
}
