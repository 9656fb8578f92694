//! `makima services`

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;
use makima_shared::config::{LogConfig, LogFormat};
use makima_shared::telemetry;

use crate::services::{External, RunOptions, run_with_services};

/// What to run.
#[derive(Args, Debug)]
pub(super) struct ServicesArgs {
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND",
        help = "The command and its arguments; it finds the servers in DATABASE_URL and REDIS_URL"
    )]
    command: Vec<OsString>,
}

pub(super) async fn run(args: ServicesArgs) -> anyhow::Result<ExitCode> {
    telemetry::init_logs(&LogConfig { format: LogFormat::Text, filter: "warn".to_owned() })?;
    crate::role::install_tls();
    run_with_services(RunOptions { external: External::from_env() }, args.command).await
}
