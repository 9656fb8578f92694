//! Worker processes of the plane: null workers of this program, or workers of makima itself.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::{Plane, null_worker};

/// Nothing tells when workers have registered, so one has to look.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const REGISTERED_WITHIN: Duration = Duration::from_secs(120);
/// Workers that were told to end and have not by then are killed.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// From the registration to the first wait at the inbox.
const SETTLES_WITHIN: Duration = Duration::from_millis(300);

/// What to start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fleet<'a> {
    /// How many processes.
    pub(super) processes: usize,
    /// How many workers each of them is.
    pub(super) lives: usize,
    /// How many tasks each worker runs at once.
    pub(super) slots: usize,
    /// Where starts are told.
    pub(super) tell: Option<&'a Path>,
}

/// Processes that run. Dropping it kills them.
pub(super) struct Workers {
    children: Vec<Child>,
}

impl Workers {
    /// Starts null workers.
    pub(super) fn start(plane: &Plane<'_>, fleet: &Fleet<'_>) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let children = (0..fleet.processes).map(|number| {
            let mut command = command(plane, &program);
            command.arg(null_worker::NAME).args(["--lives", &fleet.lives.to_string()]);
            if let Some(path) = fleet.tell {
                command.arg("--tell").arg(path);
            }
            command.env("MAKIMA_WORKER_NAME", format!("null-{number}"));
            command.env("MAKIMA_WORKER_SLOTS", fleet.slots.to_string());
            spawn(plane, command)
        });
        Ok(Self { children: children.collect::<anyhow::Result<_>>()? })
    }

    /// Starts null workers and waits until each is there and idle.
    pub(super) async fn start_idle(plane: &Plane<'_>, fleet: &Fleet<'_>) -> anyhow::Result<Self> {
        let before = plane.workers_alive().await?;
        let workers = Self::start(plane, fleet)?;
        registered(plane, before + fleet.processes * fleet.lives).await?;
        sleep(SETTLES_WITHIN).await; // why: nothing tells that a worker waits at its inbox
        Ok(workers)
    }

    /// Starts a worker of makima itself.
    pub(super) async fn start_real(plane: &Plane<'_>) -> anyhow::Result<Self> {
        let before = plane.workers_alive().await?;
        let mut command = command(plane, &plane.options.makima()?);
        command.args(["worker", "--exit-with-parent"]);
        let workers = Self { children: vec![spawn(plane, command)?] };
        registered(plane, before + 1).await?;
        Ok(workers)
    }

    /// Returns their process ids.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.children.iter().filter_map(Child::id).collect()
    }

    /// Ends them orderly, so that nothing waits for the end of their leases.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        for pid in self.pids() {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        for child in &mut self.children {
            let ended = timeout(ENDS_WITHIN, child.wait()).await;
            ensure!(ended.is_ok(), "a worker does not end");
        }
        Ok(())
    }
}

async fn registered(plane: &Plane<'_>, workers: usize) -> anyhow::Result<()> {
    let look = async {
        while plane.workers_alive().await? < workers {
            sleep(LOOK_EVERY).await; // why: see LOOK_EVERY
        }
        anyhow::Ok(())
    };
    timeout(REGISTERED_WITHIN, look).await.context("the workers do not register")?
}

/// Returns a command that no setting of this process's environment touches.
fn command(plane: &Plane<'_>, program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"MAKIMA_")) {
        command.env_remove(name);
    }
    command.envs(plane.servers.environment());
    command.env("MAKIMA_WORKER_DATA_DIR", plane.scratch.path().join("workers"));
    command
}

fn spawn(plane: &Plane<'_>, mut command: Command) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(plane.scratch.path().join("workers.log"))?;
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    command.spawn().context("a worker cannot be started")
}
