//! `makima api`

use std::process::ExitCode;

use clap::Args;

use crate::role::{self, RoleArgs};

/// Flags of the API.
#[derive(Args, Debug)]
pub(super) struct ApiArgs {
    #[command(flatten)]
    role: RoleArgs,

    /// The address to listen on, such as 127.0.0.1:7420
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

pub(super) async fn run(args: ApiArgs) -> anyhow::Result<ExitCode> {
    let source = args.role.settings.source().flag("api.listen", args.listen);
    let role = role::prepare("api", &source, args.role.exit_with_parent).await?;
    makima_api::run(role.config.api, role.store, role.queue, role.shutdown).await?;
    Ok(ExitCode::SUCCESS)
}
