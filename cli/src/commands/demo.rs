//! `makima demo`

use std::process::ExitCode;

use clap::Args;

use crate::demo;

/// The demo has no choices.
#[derive(Args, Debug)]
#[command(
    after_help = "Runs everything in a temporary directory: a repository, a private PostgreSQL and Redis, three workers \
                  and a graph of four tasks. Midway it kills a worker, and shows that another one goes on with the work. \
                  Takes about a minute and leaves nothing behind, unless something fails."
)]
pub(super) struct DemoArgs {}

pub(super) async fn run(_args: DemoArgs) -> anyhow::Result<ExitCode> {
    Box::pin(demo::run()).await
}
