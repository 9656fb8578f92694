//! `makima scheduler`

use std::process::ExitCode;

use clap::Args;

use crate::role::{self, RoleArgs};

/// Flags of the scheduler.
#[derive(Args, Debug)]
pub(super) struct SchedulerArgs {
    #[command(flatten)]
    role: RoleArgs,
}

pub(super) async fn run(args: SchedulerArgs) -> anyhow::Result<ExitCode> {
    let role = role::prepare("scheduler", &args.role.settings.source(), args.role.exit_with_parent).await?;
    makima_scheduler::run(role.config.scheduler, role.store, role.queue, role.shutdown).await;
    Ok(ExitCode::SUCCESS)
}
