//! Looks at processes through `/proc`.

use std::fs;

use makima_shared::domain::TaskId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Names the living processes of a task's agents.
pub(crate) fn of_task(task: TaskId) -> Vec<String> {
    with_environment(&format!("MAKIMA_TASK_ID={task}"))
}

/// Names the living processes whose environment has an entry that begins so.
pub(crate) fn with_environment(entry: &str) -> Vec<String> {
    pids()
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|found| found.starts_with(entry.as_bytes()))
        })
        .filter(|pid| is_alive(*pid))
        .map(describe)
        .collect()
}

/// Kills a process with all that descend from it, as the end of its machine does.
pub(crate) fn kill_with_descendants(root: Pid) {
    let mut family = vec![root.as_raw()];
    let parents: Vec<_> = pids().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut looked_at = 0;
    while let Some(member) = family.get(looked_at).copied() {
        looked_at += 1;
        family.extend(parents.iter().filter(|(_, parent)| *parent == member).map(|(pid, _)| *pid));
    }
    for pid in family {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Names the living processes that have a text in their command line.
pub(crate) fn with_argument(text: &str) -> Vec<String> {
    pids().filter(|pid| *pid != own_pid() && command_line(*pid).contains(text)).map(describe).collect()
}

fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command's name is in parentheses and may hold anything; the state follows.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn command_line(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

fn describe(pid: i32) -> String {
    let line: String = command_line(pid).split_whitespace().take(6).collect::<Vec<_>>().join(" ");
    format!("{pid} ({})", line.chars().take(100).collect::<String>())
}
