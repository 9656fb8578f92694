//! `makima wait`

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use crate::client::ClientArgs;
use crate::render::{self, Paint};
use crate::watch;

/// Which tasks to wait for.
#[derive(Args, Debug)]
#[command(
    after_help = "A task that is interrupted (what it may spend is spent, for one) is waited for no longer, as nothing but a \
                  person moves it on. Exits with 0 only if all of them ended done or merged, with 3 if the others are \
                  interrupted, else with 1."
)]
pub(super) struct WaitArgs {
    /// The tasks: their ids, or the last 4 or more digits of each
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: WaitArgs) -> anyhow::Result<ExitCode> {
    watch::until_interrupted(wait(args)).await
}

async fn wait(args: WaitArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    Paint::for_stdout();
    let tasks = client.resolve_all(&args.ids).await?;
    let ends = watch::watch_all(&client, &tasks).await?;
    if args.client.json {
        let mut all = Vec::with_capacity(tasks.len());
        for task in tasks {
            all.push(client.task_json(task).await?);
        }
        writeln!(std::io::stdout(), "{}", render::json(&all)?)?;
    }
    Ok(watch::exit_code(ends.into_iter().map(|(_, status)| status)))
}
