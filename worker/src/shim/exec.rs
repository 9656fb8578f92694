//! The second stage: turns itself into the agent, with the environment, signals, session and parent that an agent needs.
//!
//! Where the agent gets namespaces of its own, the stage runs twice: outside, up to the launcher that makes them, and
//! inside, where it becomes the agent. Only the inner one reads the agent's environment.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::SigSet;
use nix::unistd::{Pid, close, getpid, getppid, getsid, setsid};

use super::args::ExecArgs;
use super::{environment, line, own_executable};
use crate::sandbox::{LandlockError, cgroup};

/// How long an explanation of a failure may be.
pub(super) const MAX_FAILURE_BYTES: u64 = 4 << 10;

/// What the stage says first where a launcher has started it.
pub(super) const INSIDE: u8 = b'+';
/// How a failure begins whose cause is the sandbox.
pub(crate) const NO_SANDBOX: &str = "the sandbox could not be made (what its program said is in the output)";

/// Becomes the agent, with the environment that comes as a line on stdin. Returns only if that fails, and says why on
/// stdin, which is a socket; no exit code of an agent can be mistaken for that.
///
/// A signal that was *ignored* when the worker started (`nohup`) stays ignored: resetting it needs unsafe code. SIGPIPE,
/// which Rust's runtime ignores, is set back by the standard library's `exec`.
pub fn run_exec(args: &ExecArgs) -> ExitCode {
    // The copy is closed by a successful `exec`, unlike stdin itself.
    let shim = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(socket) => UnixStream::from(socket),
        Err(error) => {
            eprintln!("makima: the agent's environment cannot be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    let error = match become_agent(args, &shim) {
        Ok(never) => match never {},
        Err(error) => error.to_string(),
    };
    let told = error.floor_char_boundary(usize::try_from(MAX_FAILURE_BYTES).unwrap_or(usize::MAX));
    if (&shim).write_all(&error.as_bytes()[..told]).is_err() {
        eprintln!("makima: {error}");
    }
    ExitCode::FAILURE
}

#[derive(Debug, thiserror::Error)]
enum ExecError {
    #[error("the supervising process is gone")]
    Orphaned,
    #[error("cannot read the agent's environment: {0}")]
    Environment(io::Error),
    #[error("cannot open the agent's input {}: {source}", path.display())]
    Input { path: PathBuf, source: io::Error },
    #[error("cannot enter the working directory {}: {source}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("cannot start {program:?}: {source}")]
    Program { program: String, source: io::Error },
    #[error("cannot prepare the agent's process: {0}")]
    Prepare(#[from] nix::Error),
    #[error("the agent's command is empty")]
    Empty,
    #[error("cannot start the sandbox {program:?}: {source}")]
    Launcher { program: String, source: io::Error },
    #[error("cannot enter the agent's control group: {0}")]
    ControlGroup(io::Error),
    #[error("cannot confine the agent: {0}")]
    Landlock(#[from] LandlockError),
}

fn become_agent(args: &ExecArgs, shim: &UnixStream) -> Result<Infallible, ExecError> {
    let (program, rest) = args.argv.split_first().ok_or(ExecError::Empty)?;
    detach(args)?;
    if let Some(group) = &args.confinement.cgroup {
        cgroup::enter(group).map_err(ExecError::ControlGroup)?;
    }
    if let Some((launcher, flags)) = args.confinement.launcher.split_first() {
        return launch(args, launcher, flags);
    }
    if args.program_fd >= 0 {
        // A write to the socket, and not to a pipe, so that a shim that is gone costs no signal.
        (&mut &*shim).write_all(&[INSIDE]).map_err(ExecError::Environment)?;
        close(args.program_fd)?;
    }
    // The shim blocks signals for itself, and a mask survives both fork and exec.
    SigSet::empty().thread_set_mask()?;
    let line = line::read_line(&mut BufReader::new(shim), environment::MAX_LINE_BYTES);
    let environment = line.and_then(|line| environment::from_line(&line)).map_err(ExecError::Environment)?;
    let input = open_input(&args.stdin_file)
        .map_err(|source| ExecError::Input { path: args.stdin_file.clone(), source })?;
    std::env::set_current_dir(&args.cwd)
        .map_err(|source| ExecError::Directory { path: args.cwd.clone(), source })?;
    args.confinement.limits.apply()?;
    if let Some(rules) = &args.confinement.landlock {
        rules.apply()?;
    }
    // The program is looked up in the new environment's PATH.
    let source =
        Command::new(program).args(rest).env_clear().envs(environment).stdin(Stdio::from(input)).exec();
    Err(ExecError::Program { program: program.to_string_lossy().into_owned(), source })
}

/// Opens a session, and sees to it that this process dies with its parent.
fn detach(args: &ExecArgs) -> Result<(), ExecError> {
    match setsid() {
        // The launcher has opened one.
        Err(Errno::EPERM) if getsid(None) == Ok(getpid()) => {}
        opened => drop(opened?),
    }
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    if getppid() == args.parent { Ok(()) } else { Err(ExecError::Orphaned) }
}

/// Becomes the launcher, which goes on with this same program inside.
///
/// Signals stay blocked for it: those that ask to end are the agent's to answer, and a launcher that dies of one takes the
/// agent along. The program is found by a descriptor, since its path may lead to nothing inside, or to a newer one.
fn launch(args: &ExecArgs, launcher: &str, flags: &[String]) -> Result<Infallible, ExecError> {
    let failed = |source| ExecError::Launcher { program: launcher.to_owned(), source };
    let program = own_executable().and_then(File::open).map_err(failed)?;
    fcntl(&program, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let inside = ExecArgs {
        // The launcher's own first process, in a namespace of its own.
        parent: Pid::from_raw(1),
        program_fd: program.as_raw_fd(),
        confinement: args.confinement.inside(),
        ..args.clone()
    };
    let source = Command::new(launcher)
        .args(flags)
        .arg(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .args(inside.to_args())
        .env_clear()
        .exec();
    Err(failed(source))
}

/// Opens a regular file or a pipe, by no link, and nothing else. Nobody waits for the writer of a pipe: one that is gone has
/// said all.
fn open_input(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() && !kind.is_fifo() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file or a pipe"));
    }
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(file)
}
