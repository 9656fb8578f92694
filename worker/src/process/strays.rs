//! The last net: processes of an agent whose shim was killed, which came to the worker because it is a subreaper.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getpid, getsid};

use crate::shim::tree;

/// How long processes may resist SIGKILL before the sweep leaves them.
const LIMIT: Duration = Duration::from_secs(10);

/// Kills and reaps every process that a killed shim left behind; returns how many there were. Blocks.
///
/// They are the children of this process that live in another session: the second stage opens a session for each agent,
/// and everything else that a worker starts (shims, git) stays in its own. Agents under a living shim are the shim's
/// children and not touched. Finds nothing where there is no subreaper.
pub fn kill_strays() -> usize {
    let limit = Instant::now() + LIMIT;
    let mut killed = std::collections::BTreeSet::new();
    let mut pause = Duration::from_millis(1);
    loop {
        let strays = strays();
        if strays.is_empty() || Instant::now() >= limit {
            if !strays.is_empty() {
                tracing::error!(processes = strays.len(), "processes of an agent could not be killed");
            }
            return killed.len();
        }
        for stray in &strays {
            let mut tree = tree::living_descendants(stray.pid);
            tree.extend((!stray.is_zombie).then_some(*stray));
            tree::kill_all(&tree);
            killed.extend(tree.iter().map(|process| process.pid));
            reap(stray.pid);
        }
        // Only for those that take their time to die: there is no file descriptor to wait on for a child's child.
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn strays() -> Vec<tree::Process> {
    let Ok(own_session) = getsid(None) else { return Vec::new() };
    let mut found = tree::descendants(getpid());
    found.retain(|process| process.parent == getpid() && process.session != own_session);
    found
}

fn reap(pid: Pid) {
    // Not ours to reap any more, or still alive: the next round looks again.
    let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
}
