//! What the two servers have in common: a process that is started, waited for, and ended the hard way.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::account::Account;

/// Nothing tells that a server is ready, so one has to ask.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Recovery after an immediate stop replays little here.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A server that was told to end and has not by then is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// Where the two servers keep their process ids, below the run's directory.
const PID_FILES: [&str; 2] = ["postgres/postmaster.pid", "redis/redis.pid"];

/// Builds a command that runs as `account`, out of reach of Ctrl-C, with nothing of our environment but `PATH`.
pub(super) fn command(program: &Path, account: &Account) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.current_dir("/").stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    account.apply(&mut command);
    command
}

/// Starts a server that says what it does in `log`.
pub(super) fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Child> {
    let file = File::options().create(true).append(true).open(log)?;
    let program = command.as_std().get_program().to_owned();
    command.stdout(file.try_clone()?).stderr(file);
    command.spawn().with_context(|| format!("cannot run {}", program.display()))
}

/// Waits until the server answers; fails when it ends instead.
pub(super) async fn ready<F: Future<Output = bool>>(
    child: &mut Child,
    answers: impl Fn() -> F,
) -> anyhow::Result<()> {
    let give_up = Instant::now() + READY_WITHIN;
    loop {
        if answers().await {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            bail!("it ended ({status})");
        }
        if Instant::now() > give_up {
            bail!("it does not answer");
        }
        sleep(ASK_EVERY).await; // why: nothing tells when it is ready
    }
}

/// Returns the process of a server that runs.
pub(super) fn pid(child: &Child) -> Option<Pid> {
    child.id().map(|id| Pid::from_raw(id.cast_signed()))
}

/// Sends a signal and waits for the end.
pub(super) async fn end(child: &mut Child, signal: Signal) {
    let Some(pid) = pid(child) else { return };
    let _ = kill(pid, signal);
    // A process that was stopped cannot react.
    let _ = kill(pid, Signal::SIGCONT);
    if timeout(ENDS_WITHIN, child.wait()).await.is_err() {
        let _ = kill(pid, Signal::SIGKILL);
        let _ = child.wait().await;
    }
}

/// Ends the servers that a killed run left behind. A number in a file proves nothing, so each must also work in its
/// directory below `root`.
pub(crate) async fn end_abandoned(root: &Path) {
    for pid_file in PID_FILES.map(|file| root.join(file)) {
        let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
        let Some(pid) = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()) else {
            continue;
        };
        let works_here = || {
            std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| Some(&*cwd) == pid_file.parent())
        };
        let give_up = Instant::now() + ENDS_WITHIN;
        while pid > 1 && works_here() && Instant::now() < give_up {
            let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
            sleep(ASK_EVERY).await; // why: it is no child of ours, so nothing tells of its end
        }
    }
}
