//! `makima start`

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use makima_shared::domain::Task;

use crate::client::ClientArgs;
use crate::failure;
use crate::render::{self, Paint};

/// Which tasks to start.
#[derive(Args, Debug)]
#[command(
    after_help = "A pending task runs at once, whatever its time or back-off is. One that has ended runs again: after a \
                  good end anew, otherwise from its last checkpoint."
)]
pub(super) struct StartArgs {
    /// The tasks: their ids, or the last 4 or more digits of each
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: StartArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    Paint::for_stdout();
    let mut end = ExitCode::SUCCESS;
    // One that cannot be started keeps no other from it; an unknown one keeps all, as it may be a slip.
    for task in client.resolve_all(&args.ids).await? {
        match client.start(task).await {
            Ok(json) if args.client.json => writeln!(std::io::stdout(), "{}", render::json(&json)?)?,
            Ok(json) => {
                let started: Task = client.read(json)?;
                writeln!(std::io::stdout(), "{} {}", task.short(), render::status(started.status))?;
            }
            Err(error) => {
                let context = format!("cannot start {}", task.short());
                end = failure::report(&anyhow::Error::new(error).context(context));
            }
        }
    }
    Ok(end)
}
