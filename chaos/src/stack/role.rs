//! One role as a process, which is started again whenever it dies.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// What a dead role's place stays empty for.
const RESTART_PAUSE: Duration = Duration::from_millis(300);
/// A role that was told to end and has not by then is killed, which is a finding.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
const LINES_SHOWN: usize = 20;

/// How to start a role.
#[derive(Clone, Debug)]
pub(super) struct RoleSpec {
    /// What to call it, such as `worker-2`.
    pub(super) name: String,
    /// The makima program.
    pub(super) program: PathBuf,
    /// The subcommand and its arguments.
    pub(super) arguments: Vec<String>,
    /// Variables of its environment.
    pub(super) environment: Vec<(String, String)>,
    /// Where its output goes.
    pub(super) log: PathBuf,
    /// It is told its name, which then changes with each life.
    pub(super) is_named: bool,
}

/// A role that is kept alive.
pub(crate) struct Role {
    name: String,
    log: PathBuf,
    life: Arc<Mutex<Life>>,
    stop: CancellationToken,
    keeper: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

/// The process of the moment.
#[derive(Debug, Default)]
struct Life {
    pid: Option<Pid>,
    number: u32,
    /// Ends that nobody asked for.
    findings: Vec<String>,
}

impl Role {
    /// Starts the role and keeps it alive.
    pub(super) fn keep(spec: RoleSpec) -> Self {
        let (life, stop) = (Arc::<Mutex<Life>>::default(), CancellationToken::new());
        let (name, log) = (spec.name.clone(), spec.log.clone());
        let keeper = tokio::spawn(keep(spec, Arc::clone(&life), stop.clone()));
        Self { name, log, life, stop, keeper: tokio::sync::Mutex::new(Some(keeper)) }
    }

    /// Returns what it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns its process, while there is one.
    pub(crate) fn pid(&self) -> Option<Pid> {
        lock(&self.life).pid
    }

    /// Counts how often it was started.
    pub(crate) fn lives(&self) -> u32 {
        lock(&self.life).number
    }

    /// Sends a signal to its process; none if there is no process, else which it was.
    pub(crate) fn signal(&self, signal: Signal) -> Option<Pid> {
        let pid = self.pid()?;
        kill(pid, signal).ok().map(|()| pid)
    }

    /// Sends a signal to a process of it that was signalled before, if that still lives.
    pub(crate) fn signal_same(&self, pid: Pid, signal: Signal) {
        if self.pid() == Some(pid) {
            let _ = kill(pid, signal);
        }
    }

    /// Reads what it has said so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Returns the last lines of what it has said.
    pub(crate) fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }

    /// Tells it to end for good, in order, and waits for that.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        if let Some(keeper) = self.keeper.lock().await.take() {
            // A keeper that panicked has dropped its process, which kills it.
            let _ = keeper.await;
        }
    }

    /// Returns the ends that nobody asked for.
    pub(crate) fn findings(&self) -> Vec<String> {
        lock(&self.life).findings.clone()
    }
}

fn lock(life: &Mutex<Life>) -> MutexGuard<'_, Life> {
    life.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn keep(spec: RoleSpec, life: Arc<Mutex<Life>>, stop: CancellationToken) {
    let mut number = 0;
    while !stop.is_cancelled() {
        number += 1;
        match spec.spawn(number) {
            Ok(child) => live(&spec, child, &life, &stop).await,
            Err(error) => lock(&life).findings.push(format!("{} cannot be started: {error}", spec.name)),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(RESTART_PAUSE) => {} // why: a supervisor takes a moment, too
        }
    }
}

/// Waits for the end of one process, which is told to end when `stop` says so.
async fn live(spec: &RoleSpec, mut child: Child, life: &Mutex<Life>, stop: &CancellationToken) {
    // Held here, because waiting for a child closes the pipe that is its standard input.
    let _stdin = child.stdin.take();
    let pid = child.id().map(|id| Pid::from_raw(id.cast_signed()));
    {
        let mut life = lock(life);
        life.pid = pid;
        life.number += 1;
    }
    let (status, asked) = tokio::select! {
        status = child.wait() => (status, false),
        () = stop.cancelled() => {
            if let Some(pid) = pid {
                let _ = kill(pid, Signal::SIGTERM);
                let _ = kill(pid, Signal::SIGCONT);
            }
            match timeout(ENDS_WITHIN, child.wait()).await {
                Ok(status) => (status, true),
                Err(_late) => {
                    lock(life).findings.push(format!("{} did not end when told to", spec.name));
                    let _ = child.start_kill();
                    (child.wait().await, true)
                }
            }
        }
    };
    let mut life = lock(life);
    life.pid = None;
    if let Some(finding) = status.ok().and_then(|status| unexpected(&spec.name, status, asked)) {
        life.findings.push(finding);
    }
}

/// Tells an end that the run did not bring about.
fn unexpected(name: &str, status: ExitStatus, asked: bool) -> Option<String> {
    let was_killed = status.signal() == Some(Signal::SIGKILL as i32);
    let is_fine = was_killed || asked && status.success();
    (!is_fine).then(|| format!("{name} ended by itself ({status})"))
}

impl RoleSpec {
    fn spawn(&self, number: u32) -> std::io::Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg("--exit-with-parent");
        if self.is_named {
            // A worker that comes back is another one to the rest of makima.
            command.args(["--name", &format!("{}.{number}", self.name)]);
        }
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        for name in ["PATH", "HOME", "TMPDIR"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        // The pipe closes with this process, however that ends, and the role with it.
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        command.process_group(0).kill_on_drop(true).spawn()
    }
}
