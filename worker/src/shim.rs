//! The process that stands between a worker and one agent, and takes the agent's whole tree with it.
//!
//! ```text
//! worker ◀──control socket──▶ makima agent-shim ◀──socket──▶ makima agent-exec ══exec══▶ agent ──▶ whatever it starts
//!                              (child subreaper)               (own session, dies with the shim)
//!
//! in namespaces of its own:    makima agent-exec ══exec══▶ bwrap ──▶ bwrap, process 1 ──▶ makima agent-exec ══exec══▶ agent
//! ```
//!
//! The shim is a child subreaper: a descendant that detaches itself (`setsid`, double fork) comes back to the shim as a
//! child instead of escaping to init. It is also a dead man's switch: it kills the tree when the control socket closes
//! (the worker died), when the lease's deadline passes unrenewed (the worker is frozen or cut off), when it is told to
//! stop, and for whatever the agent left behind once the agent itself has ended.
//!
//! The control socket is the shim's stdin. Down come the agent's environment as one line of JSON, then `lease <deadline>`
//! (absolute milliseconds of [`boottime_ms`]) and `stop <SIGNAL> <grace_ms>`. Up goes one line, the [`ShimStatus`],
//! before the shim exits with 0.
//!
//! **Invariant**: neither stage runs under the agent's environment: it is the client's choice, and takes effect with the
//! last `exec` alone.
//!
//! **Invariant**: what the stages tell passes through nothing that an agent can reach. No files; sockets, which even a
//! process of the same user cannot open by way of `/proc`; and none of them is left open in the agent.
//!
//! **Invariant**: the shim exits only when it has no descendant left, or says in `survivors` how many it could not kill.
//!
//! **Invariant**: it runs before any other thread of the process exists, since it blocks signals for all threads.
//!
//! Left out on purpose: output (the agent inherits stdout and stderr, so the shim itself never prints), async, logs.
//! Not covered: processes that the agent starts through somebody else's (a container daemon, cron, systemd), and a
//! descendant that runs as another user. Without subreapers (macOS) only the agent's process group is killed.

mod args;
mod clock;
mod control;
pub(crate) mod environment;
mod exec;
mod line;
mod second_stage;
mod status;
mod supervise;
pub(crate) mod tree;

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;

pub use args::{ArgsError, ExecArgs, ShimArgs};
pub use clock::boottime_ms;
pub use control::ControlLine;
pub(crate) use exec::NO_SANDBOX;
pub use exec::run_exec;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;
pub use status::{KillReason, Outcome, ShimStatus};

use crate::sandbox::probe;

/// Runs the shim, its second stage or the sandbox's probe if the command line asks for one of them, else returns `None`.
///
/// To be called first in `main`, before any thread or runtime is started. `args` includes the program's name.
pub fn dispatch(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.into_iter().skip(1);
    let stage = args.next()?;
    let end = if stage == ShimArgs::COMMAND {
        ShimArgs::parse(args).map(|args| run_shim(&args))
    } else if stage == ExecArgs::COMMAND {
        ExecArgs::parse(args).map(|args| run_exec(&args))
    } else if stage == probe::COMMAND {
        Ok(probe::run())
    } else {
        return None;
    };
    Some(end.unwrap_or_else(|error| {
        eprintln!("makima {}: {error}", stage.to_string_lossy());
        ExitCode::from(2)
    }))
}

/// Runs one agent to its end and tells its [`ShimStatus`] to the worker.
///
/// Exits with 0 if that could be said, whatever became of the agent.
pub fn run_shim(args: &ShimArgs) -> ExitCode {
    let status = supervise(args).unwrap_or_else(|error| ShimStatus::not_started(error.to_string()));
    let worker = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    match worker.and_then(|mut worker| status.send(&mut worker)) {
        Ok(()) => ExitCode::SUCCESS,
        // The worker is gone.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Names the running executable in a way that outlives its replacement on disk.
pub fn own_executable() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok(PathBuf::from("/proc/self/exe")) } else { std::env::current_exe() }
}

#[derive(Debug, thiserror::Error)]
enum SetupError {
    #[error("cannot read the agent's environment: {0}")]
    Environment(io::Error),
    #[error("cannot prepare to supervise the agent: {0}")]
    Prepare(#[from] io::Error),
    #[error("cannot start the second stage: {0}")]
    Spawn(io::Error),
}

fn supervise(args: &ShimArgs) -> Result<ShimStatus, SetupError> {
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT]);
    signals.thread_block().map_err(io::Error::from)?;
    become_subreaper().map_err(io::Error::from)?;
    let environment = control::read_environment().map_err(SetupError::Environment)?;

    let (sender, events) = mpsc::channel();
    control::watch_stdin(sender.clone())?;
    control::watch_signals(signals, sender.clone())?;
    // The reaper stands ready before the agent exists, so that nothing can fail once there is something to reap.
    let reaper = supervise::stand_by(sender)?;

    // A worker that was frozen on the way here may have lost its task meanwhile. Then no agent starts: even the moment
    // until it was killed would be one in which two of them ran.
    if args.lease_until_ms <= boottime_ms() {
        return Ok(ShimStatus::overdue());
    }
    let in_namespaces = !args.confinement.launcher.is_empty();
    let (agent, handover) = second_stage::start(args, environment).map_err(SetupError::Spawn)?;
    reaper.start(agent);
    let mut status = supervise::Supervisor::new(agent, events, args.lease_until_ms, in_namespaces).run();
    if let Outcome::Exited { .. } = status.outcome
        && let Some(error) = handover.failure()
    {
        status.outcome = Outcome::NotStarted { error };
    }
    Ok(status)
}

/// Makes orphaned descendants of this process its children, where the system can do that.
pub(crate) fn become_subreaper() -> nix::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    Ok(())
}

pub(crate) fn pid_of(id: u32) -> Pid {
    // A process id is positive in the kernel's own signed type; the library widens it to unsigned.
    Pid::from_raw(id.cast_signed())
}
