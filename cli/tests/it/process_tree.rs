//! Looks at processes through `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Returns a process and all its living descendants.
pub(crate) fn with_descendants(root: i32) -> BTreeSet<i32> {
    let parents = parents();
    let mut tree = BTreeSet::from([root]);
    loop {
        let more: Vec<i32> = parents
            .iter()
            .filter(|(pid, ppid)| tree.contains(ppid) && !tree.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            return tree;
        }
        tree.extend(more);
    }
}

/// Kills a process and everything below it at once. All are stopped first, so that none can react to another's end.
pub(crate) fn kill_tree(root: i32) {
    let tree = with_descendants(root);
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        for pid in &tree {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(*pid), signal);
        }
    }
}

/// Returns the living processes that have this entry in their environment.
pub(crate) fn with_environment(entry: &str) -> Vec<i32> {
    pids()
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes())
        })
        .collect()
}

fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Maps each living process to its parent.
fn parents() -> BTreeMap<i32, i32> {
    pids()
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The command's name is in parentheses and may hold anything; state and parent follow.
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            let is_alive = fields.next()? != "Z";
            let parent = fields.next()?.parse().ok()?;
            is_alive.then_some((pid, parent))
        })
        .collect()
}
