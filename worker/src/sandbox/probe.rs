//! The program that tries to get out: it runs where an agent would and says what it reached.
//!
//! It reads what to try as JSON from its standard input, an agent's plan, and prints what came of it as one line of JSON.
//! It prints no content of what it reads: where a sandbox does not hold, that would be somebody's secret.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::unistd::{Pid, getpid, getppid};
use serde::{Deserialize, Serialize};

use crate::checkpoint_request::Reachable;

/// The hidden subcommand's name.
pub const COMMAND: &str = "sandbox-probe";

/// How much it reads of what it is to try.
const MAX_TARGETS_BYTES: u64 = 1 << 20;
/// What of a home is worth most to a thief.
const SECRETS_OF_A_HOME: [&str; 12] = [
    ".ssh",
    ".aws",
    ".azure",
    ".config",
    ".docker",
    ".gnupg",
    ".kube",
    ".netrc",
    ".git-credentials",
    ".claude",
    ".codex",
    ".bash_history",
];

/// One thing that a sandbox is to hold, or to let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// It reaches its own tree, home, temporary files, plan, objects and socket.
    OwnWork,
    /// It cannot read other workspaces, nor the worker's git directory over its own.
    OtherWorkspaces,
    /// It cannot read the home of the worker's user.
    Homes,
    /// It cannot write outside of its own.
    WritesOutside,
    /// It cannot read the environment of other processes.
    Environments,
    /// It cannot trace the worker.
    Tracing,
    /// It cannot signal the worker.
    Signals,
    /// It does not see the processes of the machine.
    Processes,
    /// It cannot connect to unix sockets, such as those of PostgreSQL and Redis.
    Sockets,
    /// It cannot open TCP connections. Only where the network is off.
    Network,
}

impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::OwnWork => "its own work goes on",
            Self::OtherWorkspaces => "other workspaces",
            Self::Homes => "the worker's home",
            Self::WritesOutside => "writing outside",
            Self::Environments => "environments of others",
            Self::Tracing => "tracing the worker",
            Self::Signals => "signals to the worker",
            Self::Processes => "processes of the machine",
            Self::Sockets => "unix sockets outside",
            Self::Network => "the network",
        })
    }
}

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which one.
    pub check: Check,
    /// Whether the sandbox held.
    pub holds: bool,
    /// What was reached, or refused.
    pub detail: String,
}

/// What to try.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Targets {
    pub(crate) own_directories: Vec<PathBuf>,
    pub(crate) own_files: Vec<PathBuf>,
    pub(crate) own_socket: PathBuf,
    pub(crate) other_files: Vec<PathBuf>,
    pub(crate) homes: Vec<PathBuf>,
    /// Files to make. Whether they really came to be is seen from outside.
    pub(crate) writes: Vec<PathBuf>,
    pub(crate) worker_pid: i32,
    pub(crate) sockets: Vec<PathBuf>,
    /// A port of the loopback that somebody listens on.
    pub(crate) port: Option<u16>,
}

/// Runs the probe.
pub fn run() -> ExitCode {
    let mut text = String::new();
    let read = io::stdin().take(MAX_TARGETS_BYTES).read_to_string(&mut text);
    let targets = read.and_then(|_| Ok(serde_json::from_str::<Targets>(&text)?));
    let told = targets.and_then(|targets| {
        let line = serde_json::to_string(&attempt(&targets))?;
        writeln!(io::stdout(), "{line}")
    });
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("makima {COMMAND}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn attempt(targets: &Targets) -> Vec<Finding> {
    for path in &targets.writes {
        // Seen from outside.
        let _ = File::create_new(path);
    }
    let mut findings = vec![
        own_work(targets),
        none_of(Check::OtherWorkspaces, targets.other_files.iter().filter(|path| can_read(path))),
        homes(&targets.homes),
        environments(),
        tracing_of(targets.worker_pid),
        signals_to(targets.worker_pid),
        processes(),
        none_of(Check::Sockets, targets.sockets.iter().filter(|path| connect(path).is_ok())),
    ];
    if let Some(port) = targets.port {
        let reached = TcpStream::connect(("127.0.0.1", port)).is_ok();
        findings.push(finding(Check::Network, !reached, if reached { "TCP connects" } else { "refused" }));
    }
    findings
}

fn finding(check: Check, holds: bool, detail: impl Into<String>) -> Finding {
    Finding { check, holds, detail: detail.into() }
}

/// Finds that a check holds if there is nothing that was reached.
pub(super) fn none_of<'a>(check: Check, reached: impl Iterator<Item = &'a PathBuf>) -> Finding {
    let reached: Vec<_> = reached.map(|path| path.display().to_string()).collect();
    if reached.is_empty() {
        finding(check, true, "refused")
    } else {
        finding(check, false, format!("reached {}", reached.join(", ")))
    }
}

fn own_work(targets: &Targets) -> Finding {
    let writes =
        targets.own_directories.iter().map(|place| (place, File::create_new(place.join("probe")).map(drop)));
    let reads = targets.own_files.iter().map(|path| (path, fs::read(path).map(drop)));
    let socket = (&targets.own_socket, connect(&targets.own_socket));
    let failed = writes
        .chain(reads)
        .chain([socket])
        .filter_map(|(path, tried)| tried.err().map(|error| format!("{}: {error}", path.display())));
    let failed: Vec<_> = failed.collect();
    if failed.is_empty() {
        finding(Check::OwnWork, true, "all there")
    } else {
        finding(Check::OwnWork, false, failed.join(", "))
    }
}

fn can_read(path: &Path) -> bool {
    File::open(path).is_ok_and(|mut file| {
        let mut byte = [0];
        file.metadata().is_ok_and(|kind| kind.is_dir()) || file.read(&mut byte).is_ok()
    })
}

fn homes(homes: &[PathBuf]) -> Finding {
    let secrets: Vec<_> =
        homes.iter().flat_map(|home| SECRETS_OF_A_HOME.map(|name| home.join(name))).collect();
    none_of(Check::Homes, secrets.iter().filter(|path| can_read(path)))
}

fn connect(path: &Path) -> io::Result<()> {
    let reachable = Reachable::new(path)?;
    UnixStream::connect(&reachable.path).map(drop)
}

/// Lists the other processes that can be seen.
fn others() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != getpid().as_raw()).collect()
}

fn environments() -> Finding {
    let is_told =
        |pid: &i32| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|content| !content.is_empty());
    let read = others().into_iter().filter(is_told).count();
    finding(
        Check::Environments,
        read == 0,
        if read == 0 { "refused".to_owned() } else { format!("read {read}") },
    )
}

fn processes() -> Finding {
    // The first process of a namespace, which is the launcher's, belongs to the sandbox.
    let seen = others().into_iter().filter(|pid| Pid::from_raw(*pid) != getppid()).count();
    finding(
        Check::Processes,
        seen == 0,
        if seen == 0 { "none seen".to_owned() } else { format!("{seen} seen") },
    )
}

/// Names the worker, unless the number means somebody of the sandbox here.
fn worker(pid: i32) -> Option<Pid> {
    let pid = Pid::from_raw(pid);
    (pid != getpid() && pid != getppid()).then_some(pid)
}

fn signals_to(pid: i32) -> Finding {
    let reached = worker(pid).is_some_and(|pid| nix::sys::signal::kill(pid, None).is_ok());
    finding(Check::Signals, !reached, if reached { "could be sent" } else { "refused" })
}

#[cfg(target_os = "linux")]
fn tracing_of(pid: i32) -> Finding {
    use nix::sys::ptrace;
    // Does not stop it, unlike attaching; this process's end sets it free.
    let reached = worker(pid).is_some_and(|pid| ptrace::seize(pid, ptrace::Options::empty()).is_ok());
    finding(Check::Tracing, !reached, if reached { "possible" } else { "refused" })
}

#[cfg(not(target_os = "linux"))]
fn tracing_of(_pid: i32) -> Finding {
    finding(Check::Tracing, false, "unknown")
}
