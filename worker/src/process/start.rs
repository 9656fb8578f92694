//! Starting a shim, and telling it the agent's environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::sandbox::Confined;
use crate::shim::{ShimArgs, become_subreaper, environment};

/// How long a new shim may take to read the environment. It takes milliseconds.
const HANDOVER_LIMIT: Duration = Duration::from_secs(10);

/// One agent to run.
#[derive(Clone)]
pub struct AgentCommand {
    /// The makima executable, which is the shim too; see [`crate::process::own_executable`].
    pub shim: PathBuf,
    /// The agent's program, looked up in `PATH` of `env`, and its arguments.
    pub argv: Vec<OsString>,
    /// The agent's whole environment, and nobody else's. Linux takes 128 KiB at most for one entry.
    pub env: BTreeMap<String, String>,
    /// The agent's working directory.
    pub cwd: PathBuf,
    /// What the agent reads as its stdin: a regular file, or a pipe that has its writer.
    pub stdin_file: PathBuf,
    /// What holds the agent.
    pub confined: Confined,
}

/// Leaves out the values of the environment, some of which are secrets.
impl fmt::Debug for AgentCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shim, argv, env, cwd, stdin_file, confined } = self;
        formatter
            .debug_struct("AgentCommand")
            .field("shim", shim)
            .field("argv", argv)
            .field("env", &env.keys())
            .field("cwd", cwd)
            .field("stdin_file", stdin_file)
            .field("confined", confined)
            .finish()
    }
}

/// Why not even the shim could be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The command has no program.
    #[error("the agent's command is empty")]
    EmptyCommand,
    /// The system refuses arguments of this size, or the environment is beyond what any system takes.
    #[error("the agent's arguments or environment are too large for the system")]
    TooLarge,
    /// The control socket could not be made.
    #[error("cannot open the agent's control socket: {0}")]
    Socket(#[source] io::Error),
    /// The shim's process could not be started.
    #[error("cannot start the agent's supervising process {}: {source}", shim.display())]
    Spawn {
        /// The executable.
        shim: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The shim did not take the environment. It has been killed, before it had an agent.
    #[error("the agent's supervising process does not take the agent's environment")]
    Stuck,
}

/// Starts the shim; returns it with the worker's end of the control socket, which does not block.
pub(super) async fn start_shim(
    command: &AgentCommand,
    lease_until_ms: u64,
) -> Result<(Child, UnixStream), StartError> {
    if command.argv.is_empty() {
        return Err(StartError::EmptyCommand);
    }
    let environment =
        environment::to_line(&command.env).map_err(StartError::Socket)?.ok_or(StartError::TooLarge)?;
    let (worker_end, shim_end) = UnixStream::pair().map_err(StartError::Socket)?;
    let mut child = spawn(command, shim_end, lease_until_ms)?;
    match timeout(HANDOVER_LIMIT, hand_over(worker_end, &environment)).await {
        Ok(handed) => Ok((child, handed.map_err(StartError::Socket)?)),
        Err(_stuck) => {
            // It may have ended in this moment; then there is nothing to kill.
            let _ = child.start_kill();
            Err(StartError::Stuck)
        }
    }
}

async fn hand_over(socket: UnixStream, environment: &[u8]) -> io::Result<UnixStream> {
    socket.set_nonblocking(true)?;
    let mut socket = tokio::net::UnixStream::from_std(socket)?;
    // A shim that has ended already is waited for like any other, and may have said why.
    let _ = socket.write_all(environment).await;
    socket.into_std()
}

fn spawn(command: &AgentCommand, control: UnixStream, lease_until_ms: u64) -> Result<Child, StartError> {
    let refused = |source: io::Error| {
        if source.kind() == io::ErrorKind::ArgumentListTooLong {
            StartError::TooLarge
        } else {
            StartError::Spawn { shim: command.shim.clone(), source }
        }
    };
    let args = ShimArgs {
        stdin_file: command.stdin_file.clone(),
        cwd: command.cwd.clone(),
        lease_until_ms,
        confinement: command.confined.confinement.clone(),
        argv: command.argv.clone(),
    };
    become_subreaper().map_err(|errno| refused(errno.into()))?;
    // The command goes out of scope with this function, and with it this process's copy of the shim's end.
    Command::new(&command.shim)
        .arg0("makima")
        .args(args.to_args())
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(control)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(false)
        .spawn()
        .map_err(refused)
}
