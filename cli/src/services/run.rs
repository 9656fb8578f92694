//! `makima services -- COMMAND`: runs a command over private servers that live as long as it does.
//!
//! Everything lies in one directory under `$TMPDIR`, which is removed at the end. If this process is killed before
//! that, the next one clears up after it.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};
use tokio::time::timeout;

use super::{Durability, External, Services, ServicesOptions, make_template};
use scratch::Scratch;

mod scratch;

/// A command that was told to end and has not by then is killed.
const COMMAND_ENDS_WITHIN: Duration = Duration::from_secs(15);

/// What `makima services` runs its command over.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunOptions {
    /// Servers to use in place of private ones.
    pub(crate) external: External,
}

/// Runs `command` with `DATABASE_URL`, `REDIS_URL`, `SQLX_OFFLINE=true` and, where PostgreSQL is private,
/// `MAKIMA_PG_TEMPLATE` (a template for more private servers) in its environment. Gives its exit code.
pub(crate) async fn run_with_services(
    options: RunOptions,
    command: Vec<OsString>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let scratch = Scratch::make().await?;
    let started = tokio::select! {
        started = start(&scratch, options.external) => started,
        signal = signals.next() => {
            scratch.remove().await;
            return Ok(ended_by(signal as i32));
        }
    };
    let ended = match started {
        Ok(services) => {
            let ended = run(command, &services, &scratch.template(), &mut signals).await;
            report_deaths(&services);
            services.stop().await;
            ended
        }
        Err(failed) => Err(failed),
    };
    scratch.remove().await;
    ended
}

async fn start(scratch: &Scratch, external: External) -> anyhow::Result<Services> {
    let template = match external.database_url {
        Some(_) => None,
        None => Some(scratch.template()),
    };
    if let Some(template) = &template {
        make_template(template.clone()).await?;
    }
    let durability = Durability::Ephemeral;
    let options = ServicesOptions { data_dir: scratch.data_dir(), durability, template, external };
    Ok(Services::start(options).await?)
}

async fn run(
    command: Vec<OsString>,
    services: &Services,
    template: &Path,
    signals: &mut Signals,
) -> anyhow::Result<ExitCode> {
    let (program, arguments) = command.split_first().context("no command given")?;
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true).env("SQLX_OFFLINE", "true");
    command.env("DATABASE_URL", services.database_url()).env("REDIS_URL", services.redis_url());
    if template.exists() {
        command.env("MAKIMA_PG_TEMPLATE", template);
    }
    // At a terminal the command stays in its foreground group, and gets Ctrl-C from it. Without one it leads a group
    // of its own, all of which is signalled.
    let grouped = !std::io::stdin().is_terminal();
    if grouped {
        command.process_group(0);
    }
    let child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    let status = wait(child, signals, grouped).await?;
    Ok(exit_code(status))
}

/// Waits for the command, and passes on what signals arrive meanwhile.
async fn wait(mut child: Child, signals: &mut Signals, grouped: bool) -> anyhow::Result<ExitStatus> {
    let signal = tokio::select! {
        status = child.wait() => return Ok(status?),
        signal = signals.next() => signal,
    };
    let from_terminal = !grouped && signal == Signal::SIGINT;
    if !from_terminal {
        send(&child, signal, grouped);
    }
    if let Ok(status) = timeout(COMMAND_ENDS_WITHIN, child.wait()).await {
        return Ok(status?);
    }
    send(&child, Signal::SIGKILL, grouped);
    Ok(child.wait().await?)
}

fn send(child: &Child, signal: Signal, grouped: bool) {
    let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw) else { return };
    // It may have ended by itself in this moment.
    let _ = if grouped { killpg(pid, signal) } else { kill(pid, signal) };
}

/// A server that died under the command explains failures that nothing else does.
fn report_deaths(services: &Services) {
    let health = *services.health().borrow();
    for (server, fared) in [("PostgreSQL", health.postgres), ("Redis", health.redis)] {
        if fared.deaths > 0 {
            tracing::warn!(server, deaths = fared.deaths, "died while the command ran");
        }
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ended_by(status.signal().unwrap_or_default()),
    }
}

/// The exit code that shells give for the end by a signal.
fn ended_by(signal: i32) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
}

/// The signals that ask for the end.
struct Signals {
    interrupt: Listener,
    terminate: Listener,
    hangup: Listener,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.hangup.recv() => Signal::SIGHUP,
        }
    }
}
