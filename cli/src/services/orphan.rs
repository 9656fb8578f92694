//! Ends servers that outlived the makima that started them (it was killed), and makes sure of whom it ends.
//!
//! A pid file alone proves nothing: the number may be another process's by now. So the process must also be a server
//! by its command line and work in our directory. Only to be called with the data directory's lock held.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use super::error::ServicesError;
use super::owned::read_text;
use super::server::ServerName;

/// The process is no child of ours, so its end gives no signal and is polled for.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// By what a server's process is known.
#[derive(Clone, Debug)]
pub(super) struct Traces {
    server: ServerName,
    pid_file: PathBuf,
    /// The directory that the server works in, and that an argument of its names, or a file in it.
    dir: PathBuf,
}

impl Traces {
    /// The traces of the PostgreSQL that runs the cluster.
    pub(super) fn postgres(cluster: &Path) -> Self {
        Self {
            server: ServerName::Postgres,
            pid_file: cluster.join("postmaster.pid"),
            dir: cluster.to_owned(),
        }
    }

    /// The traces of the Redis that works in `dir`.
    pub(super) fn redis(dir: &Path) -> Self {
        Self { server: ServerName::Redis, pid_file: dir.join("redis.pid"), dir: dir.to_owned() }
    }

    /// The process that the pid file names, if it is the server.
    fn running(&self) -> Option<Pid> {
        let pid = read_pid(&self.pid_file)?;
        let arguments = arguments(pid)?;
        let program = Path::new(arguments.first()?).file_name()?.to_string_lossy().into_owned();
        let is_server = match self.server {
            ServerName::Postgres => program.starts_with("postgres"),
            ServerName::Redis => program.starts_with("redis") || program.starts_with("valkey"),
        };
        let works_here = || fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == self.dir);
        (is_server && (self.named_in(&arguments) || works_here())).then_some(pid)
    }

    fn named_in(&self, arguments: &[OsString]) -> bool {
        arguments.iter().any(|argument| Path::new(argument).starts_with(&self.dir))
    }
}

/// Ends the server that the traces lead to, if there is one.
pub(super) async fn stop(traces: &Traces) -> Result<(), ServicesError> {
    let Some(pid) = traces.running() else { return Ok(()) };
    tracing::warn!(server = %traces.server, %pid, "a server of an earlier makima still runs; stopping it first");
    for (signal, patience) in traces.server.stop_signals() {
        let _ = kill(pid, *signal);
        let give_up = Instant::now() + *patience;
        while Instant::now() < give_up {
            if traces.running() != Some(pid) && !is_alive_as_server(traces, pid) {
                return Ok(());
            }
            sleep(POLL_EVERY).await;
        }
    }
    Err(ServicesError::OrphanStays { server: traces.server, pid: pid.as_raw() })
}

/// PostgreSQL removes its pid file moments before it ends, so the process is asked for too.
fn is_alive_as_server(traces: &Traces, pid: Pid) -> bool {
    is_alive(pid) && arguments(pid).is_some_and(|arguments| traces.named_in(&arguments))
}

/// Reads the process id in the first line of a pid file.
pub(super) fn read_pid(pid_file: &Path) -> Option<Pid> {
    let text = read_text(pid_file).ok()?;
    text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 1).map(Pid::from_raw)
}

/// True if there is such a process, whoever's it is.
pub(super) fn is_alive(pid: Pid) -> bool {
    kill(pid, None) != Err(Errno::ESRCH)
}

/// The command line of a process; none where it has ended.
fn arguments(pid: Pid) -> Option<Vec<OsString>> {
    if Path::new("/proc/self/cmdline").exists() {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|line| !line.is_empty())?;
        return Some(line.split(|byte| *byte == 0).map(|part| OsStr::from_bytes(part).to_owned()).collect());
    }
    // Without /proc the boundaries of arguments are lost, and a directory with a blank in its name is not recognised:
    // then nothing is ended, and PostgreSQL itself refuses to start beside the other.
    let output = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output().ok()?;
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(line.split_whitespace().map(Into::into).collect())
}
