//! `makima scheduler`

use std::process::ExitCode;

use clap::Args;

use crate::exporter::{Exporter, MetricsArgs};
use crate::role::{self, RoleArgs};

/// Flags of the scheduler.
#[derive(Args, Debug)]
pub(super) struct SchedulerArgs {
    #[command(flatten)]
    role: RoleArgs,

    #[command(flatten)]
    metrics: MetricsArgs,
}

pub(super) async fn run(args: SchedulerArgs) -> anyhow::Result<ExitCode> {
    let source = args.role.settings.source().flag("metrics.listen", args.metrics.metrics_listen);
    let role = role::prepare("scheduler", &source, args.role.exit_with_parent).await?;
    let exporter = Exporter::start(&role.config.metrics).await?;
    makima_scheduler::run(role.config.scheduler, role.store, role.queue, role.shutdown).await;
    exporter.stop().await;
    Ok(ExitCode::SUCCESS)
}
