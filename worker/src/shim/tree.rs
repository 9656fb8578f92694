//! Finding and signalling the descendants of a process, by way of `/proc`.
//!
//! A walk is no snapshot: processes fork and end meanwhile, so that callers repeat it until nothing is left. What makes
//! the repetition win: killing a process *group* is atomic against forks within it, and a killed process forks no more.
//! Process groups of descendants hold descendants only, because the second stage opens a session of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgrp, getpid};

/// How often new children of a fast forker are met by the short way before the whole tree is walked again. Eight
/// processes that only fork, open a session and exit took up to 0.8 s to catch without it, and 0.02 s with it.
const SHORT_ROUNDS: usize = 100;

/// One row of `/proc/<pid>/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) parent: Pid,
    pub(crate) group: Pid,
    pub(crate) session: Pid,
    pub(crate) is_zombie: bool,
}

/// Sends a signal to every descendant of this process, and SIGCONT so that stopped ones get to see it.
pub(super) fn signal(agent: Pid, signal: Signal) {
    let mut pids: BTreeSet<_> = living_descendants(getpid()).iter().map(|process| process.pid).collect();
    pids.insert(agent);
    for signal in [signal, Signal::SIGCONT] {
        for pid in &pids {
            // It may have ended since.
            let _ = kill(*pid, signal);
        }
    }
}

/// Kills every descendant of this process that a walk finds, and returns them. `agent` is the main process, if it has
/// not been reaped: it is killed even where there is no `/proc`.
pub(super) fn kill_descendants(agent: Option<Pid>) -> BTreeSet<Pid> {
    let found = living_descendants(getpid());
    kill_all(&found);
    if let Some(agent) = agent {
        let _ = killpg(agent, Signal::SIGKILL);
        let _ = kill(agent, Signal::SIGKILL);
    }
    let mut killed: BTreeSet<_> = found.iter().map(|process| process.pid).collect();
    // A process that forks and exits all the time moves on while the tree is walked, but it is always a child of the
    // subreaper, and those are found in microseconds.
    for _ in 0..SHORT_ROUNDS {
        let fresh: Vec<_> =
            own_children().into_iter().filter(|pid| is_alive(*pid) && killed.insert(*pid)).collect();
        if fresh.is_empty() {
            break;
        }
        for pid in fresh {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
    killed
}

/// Sends SIGKILL to processes and to their process groups.
pub(crate) fn kill_all(processes: &[Process]) {
    // The second stage is in our own group until it opens its session.
    let groups: BTreeSet<_> = processes.iter().map(|process| process.group).collect();
    for group in groups.into_iter().filter(|group| *group != getpgrp() && group.as_raw() > 1) {
        let _ = killpg(group, Signal::SIGKILL);
    }
    for process in processes {
        let _ = kill(process.pid, Signal::SIGKILL);
    }
}

/// Lists the descendants of a process that have not ended. Empty where there is no `/proc`.
pub(crate) fn living_descendants(ancestor: Pid) -> Vec<Process> {
    let mut living = descendants(ancestor);
    living.retain(|process| !process.is_zombie);
    living
}

/// Lists the descendants of a process, zombies included. Empty where there is no `/proc`.
pub(crate) fn descendants(ancestor: Pid) -> Vec<Process> {
    descendants_among(&all_processes(), ancestor)
}

fn descendants_among(processes: &[Process], ancestor: Pid) -> Vec<Process> {
    let mut children: BTreeMap<Pid, Vec<Process>> = BTreeMap::new();
    for process in processes {
        children.entry(process.parent).or_default().push(*process);
    }
    let mut found = Vec::new();
    let mut parents = vec![ancestor];
    while let Some(parent) = parents.pop() {
        // Taking the entry out ends the walk even where reused ids form a circle.
        for child in children.remove(&parent).unwrap_or_default() {
            parents.push(child.pid);
            found.push(child);
        }
    }
    found
}

fn all_processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit))
        .filter_map(|entry| parse_stat(&fs::read(entry.path().join("stat")).ok()?))
        .collect()
}

fn is_alive(pid: Pid) -> bool {
    fs::read(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| parse_stat(&stat))
        .is_some_and(|it| !it.is_zombie)
}

/// Reads `pid (name) state ppid pgrp session ..`, where the name may hold anything, parentheses and spaces too.
fn parse_stat(stat: &[u8]) -> Option<Process> {
    let name_start = stat.iter().position(|byte| *byte == b'(')?;
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let pid = str::from_utf8(&stat[..name_start]).ok()?.trim().parse().ok()?;
    let mut fields = str::from_utf8(stat.get(name_end + 1..)?).ok()?.split_ascii_whitespace();
    let is_zombie = matches!(fields.next()?, "Z" | "X" | "x");
    let mut next_pid = || Some(Pid::from_raw(fields.next()?.parse().ok()?));
    let (parent, group, session) = (next_pid()?, next_pid()?, next_pid()?);
    Some(Process { pid: Pid::from_raw(pid), parent, group, session, is_zombie })
}

/// Lists this process's own zombies, where the kernel keeps lists of children.
pub(crate) fn own_zombies() -> Vec<Process> {
    let stat = |pid: Pid| parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?);
    own_children().into_iter().filter_map(stat).filter(|child| child.is_zombie).collect()
}

/// Lists this process's own children, zombies included, where the kernel keeps such lists.
fn own_children() -> Vec<Pid> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|pids| pids.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|pid| Some(Pid::from_raw(pid.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32) -> Process {
        let (pid, parent) = (Pid::from_raw(pid), Pid::from_raw(parent));
        Process { pid, parent, group: pid, session: pid, is_zombie: false }
    }

    #[test]
    fn name_with_parentheses_and_bytes_is_skipped() {
        let stat = b"12 (a) Z 1 \xff(b) S 7 8 9 0 -1 4194304";
        let expected = Process {
            pid: Pid::from_raw(12),
            parent: Pid::from_raw(7),
            group: Pid::from_raw(8),
            session: Pid::from_raw(9),
            is_zombie: false,
        };
        assert_eq!(parse_stat(stat), Some(expected));
        assert_eq!(parse_stat(b"12 (a"), None);
    }

    #[test]
    fn descendants_are_found_at_any_depth_and_nobody_else() {
        let all = [process(1, 0), process(5, 1), process(3, 5), process(4, 3), process(9, 1)];
        let found: BTreeSet<_> =
            descendants_among(&all, Pid::from_raw(5)).iter().map(|p| p.pid.as_raw()).collect();
        assert_eq!(found, BTreeSet::from([3, 4]));
    }

    #[test]
    fn circle_of_reused_ids_ends() {
        let all = [process(2, 3), process(3, 2)];
        assert_eq!(descendants_among(&all, Pid::from_raw(2)).len(), 2);
    }
}
