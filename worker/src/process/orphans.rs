//! Zombies that a worker inherits. A worker is a subreaper, so what its git children leave behind (a remote helper, an
//! ssh) becomes its own child, and stays a zombie until somebody waits for it.

use nix::sys::wait::{WaitPidFlag, waitpid};

use crate::shim::tree;

/// Reaps the zombies that nobody else waits for, and returns how many there were.
///
/// Every child that a worker starts leads a process group of its own, and whoever started it waits for it. A zombie that
/// is no such leader was inherited.
pub fn reap_orphans() -> usize {
    let inherited = tree::own_zombies().into_iter().filter(|zombie| zombie.group != zombie.pid);
    inherited.filter(|zombie| waitpid(zombie.pid, Some(WaitPidFlag::WNOHANG)).is_ok()).count()
}
