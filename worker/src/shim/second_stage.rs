//! The shim's side of the second stage: starts it, hands it the environment, and hears whether it became the agent.
//!
//! The two share a socket, which is the second stage's stdin until the agent's takes its place. A second stage that fails
//! says why on it; one that succeeds says nothing, since the `exec` closes its end. The agent never has it.
//!
//! Where a launcher makes namespaces first, the stage that goes on inside begins by saying so ([`exec::INSIDE`]): a launcher
//! that fails cannot say anything here. Its own processes keep the socket until the agent has ended, so that an agent that
//! traces the first process of its own namespace could claim that it never ran. That costs it its attempt, and counts
//! against its worker.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use nix::unistd::{Pid, getpid};

use super::args::{ExecArgs, ShimArgs};
use super::{exec, own_executable, pid_of};

/// What goes on between the shim and a second stage until it is the agent. A thread of its own, so that no second stage
/// can hold up the shim's loop.
pub(super) struct Handover {
    said: JoinHandle<Vec<u8>>,
    has_launcher: bool,
}

impl Handover {
    /// Says why the second stage failed, if it did. To be called once it has ended or is the agent: waits until then.
    pub(super) fn failure(self) -> Option<String> {
        let said = self.said.join().unwrap_or_default();
        let failure = match (said.strip_prefix(&[exec::INSIDE]), self.has_launcher) {
            (Some(failure), true) => failure,
            (None, true) if said.is_empty() => return Some(exec::NO_SANDBOX.to_owned()),
            (Some(_) | None, _) => &said,
        };
        (!failure.is_empty()).then(|| String::from_utf8_lossy(failure).into_owned())
    }
}

/// Starts the second stage, which is to become the agent under this environment.
pub(super) fn start(args: &ShimArgs, environment: Vec<u8>) -> io::Result<(Pid, Handover)> {
    let (shim_end, stage_end) = UnixStream::pair()?;
    // The thread comes first, so that nothing can fail once there is an agent.
    let said =
        thread::Builder::new().name("handover".into()).spawn(move || hand_over(shim_end, environment))?;
    let exec = ExecArgs {
        parent: getpid(),
        program_fd: -1,
        stdin_file: args.stdin_file.clone(),
        cwd: args.cwd.clone(),
        confinement: args.confinement.clone(),
        argv: args.argv.clone(),
    };
    // The command goes out of scope with this function, and with it this process's copy of the stage's end.
    let child = Command::new(own_executable()?)
        .arg0("makima")
        .args(exec.to_args())
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(stage_end)))
        .spawn()?;
    Ok((pid_of(child.id()), Handover { said, has_launcher: !args.confinement.launcher.is_empty() }))
}

fn hand_over(mut socket: UnixStream, mut environment: Vec<u8>) -> Vec<u8> {
    environment.push(b'\n');
    // A second stage that does not take it has failed, and may have said why.
    let _ = socket.write_all(&environment);
    drop(environment);
    let mut said = Vec::new();
    // What came before an error counts.
    let _ = socket.take(exec::MAX_FAILURE_BYTES).read_to_end(&mut said);
    said
}
