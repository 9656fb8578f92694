//! Processes of agents whose worker *and* shim were killed at once, found by what only an agent's environment holds.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};

/// How long processes may resist SIGKILL before the sweep leaves them.
const LIMIT: Duration = Duration::from_secs(10);

/// Kills every process that has an environment entry which begins so; returns how many there were. Blocks.
///
/// For a worker's start, before it removes the workspaces of its last life: the entry is one that it gives to agents and
/// that names such a workspace, as in `MAKIMA_WORKSPACE=/srv/makima/`. Sees only processes of the same user,
/// and not those that cleared their environment. Finds nothing where there is no `/proc`.
pub fn kill_abandoned(entry_prefix: &str) -> usize {
    let limit = Instant::now() + LIMIT;
    let mut killed = BTreeSet::new();
    let mut pause = Duration::from_millis(1);
    loop {
        let found = holders(entry_prefix.as_bytes());
        if found.is_empty() || Instant::now() >= limit {
            return killed.len();
        }
        for pid in &found {
            // It may have ended since.
            let _ = kill(*pid, Signal::SIGKILL);
        }
        killed.extend(found);
        // Only for those that take their time to die: they are nobody's children here, so nothing tells of their end.
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn holders(entry_prefix: &[u8]) -> BTreeSet<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeSet::new() };
    entries
        .flatten()
        .filter_map(|entry| Some(Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)))
        .filter(|pid| *pid != getpid())
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(entry_prefix))
        })
        .collect()
}
