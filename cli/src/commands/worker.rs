//! `makima worker`

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use makima_shared::config::WorkerConfig;
use makima_worker::shim;

use crate::directories;
use crate::exporter::{Exporter, MetricsArgs};
use crate::role::{self, RoleArgs};

/// Flags of a worker.
#[derive(Args, Debug)]
pub(super) struct WorkerArgs {
    #[command(flatten)]
    role: RoleArgs,

    /// What people call it (default: the host's name and the process id)
    #[arg(long)]
    name: Option<String>,

    /// How many tasks it runs at once
    #[arg(long, value_name = "N")]
    slots: Option<String>,

    /// Where repository copies and workspaces lie (default: /var/lib/makima/worker for root, else below
    /// ~/.local/share)
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,

    /// What it offers to tasks that ask for it: words with spaces between
    #[arg(long, value_name = "LABELS")]
    labels: Option<String>,

    /// How long it holds its tasks without a beat, in milliseconds
    #[arg(long, value_name = "MS")]
    lease_ms: Option<String>,

    /// How often it renews its lease, in milliseconds
    #[arg(long, value_name = "MS")]
    beat_ms: Option<String>,

    /// What confines agents: auto, bubblewrap, landlock or none (default: auto)
    #[arg(long, value_name = "LEVEL")]
    sandbox: Option<String>,

    /// What agents reach of the network: on, off or proxy:ADDRESS (default: on)
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,

    #[command(flatten)]
    metrics: MetricsArgs,
}

pub(super) async fn run(args: WorkerArgs) -> anyhow::Result<ExitCode> {
    let source = args
        .role
        .settings
        .source()
        .flag("worker.name", args.name)
        .flag("worker.slots", args.slots)
        .flag("worker.labels", args.labels)
        .flag("worker.data_dir", args.data_dir)
        .flag("worker.lease_ms", args.lease_ms)
        .flag("worker.beat_ms", args.beat_ms)
        .flag("worker.sandbox", args.sandbox)
        .flag("worker.network", args.network)
        .flag("metrics.listen", args.metrics.metrics_listen);
    let mut role = role::prepare("worker", &source, args.role.exit_with_parent).await?;
    fill_in(&mut role.config.worker)?;
    let executable = shim::own_executable().context("cannot find the makima executable for agents")?;
    let exporter = Exporter::start(&role.config.metrics).await?;
    let runner = Box::new(makima_worker::AgentRunner);
    makima_worker::run(role.config, executable, runner, role.store, role.queue, role.shutdown).await?;
    exporter.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Fills in what depends on the machine.
pub(super) fn fill_in(config: &mut WorkerConfig) -> anyhow::Result<()> {
    if config.name.is_empty() {
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
        config.name = format!("{}-{}", host.unwrap_or_else(|_| "worker".to_owned()), std::process::id());
    }
    if config.data_dir.as_os_str().is_empty() {
        config.data_dir = directories::default_worker()?;
    }
    config.data_dir = std::path::absolute(&config.data_dir)?;
    Ok(())
}
