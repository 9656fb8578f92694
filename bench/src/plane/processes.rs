//! What the kernel knows of processes: who their parent is, how much memory they hold, how much time they had.

use std::fs::read_to_string;
use std::path::Path;

use anyhow::{Context, ensure};

/// A clock tick of /proc, in seconds: a constant of Linux's interface, whatever the kernel's own is.
const TICK_SECS: f64 = 0.01;

/// A process, as /proc shows it.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    parent: u32,
    /// The program's name, cut to 15 bytes.
    pub(crate) name: String,
    /// The time that it and those of its children that have ended had, in seconds.
    pub(crate) cpu_secs: f64,
    /// The part of it that was its ended children's.
    children_secs: f64,
    threads: usize,
}

impl Process {
    fn parse(stat: &str) -> Option<Self> {
        let (before, after) = stat.rsplit_once(')')?;
        let (pid, name) = before.split_once(" (")?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        // Fields 14 to 17 of proc(5), counted behind the name from field 3: its own time, and its children's.
        let secs = |fields: &[&str]| {
            fields.iter().filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() * TICK_SECS
        };
        let (own, children_secs) = (secs(fields.get(11..13)?), secs(fields.get(13..15)?));
        Some(Self {
            pid: pid.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            name: name.to_owned(),
            cpu_secs: own + children_secs,
            children_secs,
            threads: fields.get(17)?.parse().ok()?,
        })
    }

    /// Returns the arguments, without the program.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let line = read_to_string(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        line.split('\0').skip(1).map(str::to_owned).collect()
    }
}

/// Looks at one process; none if there is no such one.
pub(crate) fn one(pid: u32) -> Option<Process> {
    look(Path::new(&format!("/proc/{pid}")))
}

/// Looks at the process of a directory in /proc. Of a single thread the kernel tells the time to the nanosecond: a thousand
/// connections that each work for a millisecond would not show in ticks.
fn look(directory: &Path) -> Option<Process> {
    let process = Process::parse(&read_to_string(directory.join("stat")).ok()?)?;
    if process.threads > 1 {
        return Some(process);
    }
    let schedstat = read_to_string(directory.join("schedstat")).unwrap_or_default();
    let nanos = schedstat.split_whitespace().next().and_then(|nanos| nanos.parse::<f64>().ok());
    let cpu_secs = nanos.map_or(process.cpu_secs, |nanos| nanos * 1e-9 + process.children_secs);
    Some(Process { cpu_secs, ..process })
}

/// Lists the processes below one, at any depth.
pub(crate) fn below(ancestor: u32) -> anyhow::Result<Vec<Process>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        if entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            // A process may end while one looks.
            all.extend(look(&entry.path()));
        }
    }
    let mut family = vec![ancestor];
    let mut found = Vec::new();
    while let Some(parent) = family.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            family.push(process.pid);
            found.push(process.clone());
        }
    }
    ensure!(!found.is_empty(), "process {ancestor} has no children");
    Ok(found)
}

/// Returns the memory that a process holds in RAM, in MiB, shared pages included.
pub(crate) fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    let status = read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_hides_no_fields() {
        let stat = "42 (a) b) S 7 42 42 0 -1 4194304 100 0 0 0 250 50 30 20 20 0 1 0 100 1000 10";
        let process = Process::parse(stat).unwrap();
        assert_eq!((process.pid, process.parent, &*process.name), (42, 7, "a) b"));
        assert!((process.cpu_secs - 3.5).abs() < 1e-9);
    }

    #[test]
    fn this_process_holds_memory() {
        assert!(resident_mib(std::process::id()).unwrap() > 0.5);
    }
}
