//! `makima stop`

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use crate::client::ClientArgs;
use crate::failure;
use crate::render::{self, Paint};

/// Which tasks to stop.
#[derive(Args, Debug)]
pub(super) struct StopArgs {
    /// The tasks: their ids, or the last 4 or more digits of each
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: StopArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    Paint::for_stdout();
    let mut end = ExitCode::SUCCESS;
    // One that cannot be stopped keeps no other from being stopped; an unknown one keeps all, as it may be a slip.
    for task in client.resolve_all(&args.ids).await? {
        match client.stop(task).await {
            Ok(json) if args.client.json => {
                writeln!(std::io::stdout(), "{}", render::json(&json)?)?;
            }
            Ok(_) => writeln!(std::io::stdout(), "{} cancelled", task.short())?,
            Err(error) => {
                end = failure::report(
                    &anyhow::Error::new(error).context(format!("cannot stop {}", task.short())),
                )
            }
        }
    }
    Ok(end)
}
