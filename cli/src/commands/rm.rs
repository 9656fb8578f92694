//! `makima rm`

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use crate::client::ClientArgs;
use crate::failure;
use crate::render::Paint;

/// Which tasks to delete.
#[derive(Args, Debug)]
#[command(after_help = "A task that runs is stopped. One that a pending task waits for is not deleted.")]
pub(super) struct RmArgs {
    /// The tasks: their ids, or the last 4 or more digits of each
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: RmArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    Paint::for_stdout();
    let mut end = ExitCode::SUCCESS;
    // An unknown one keeps all from being deleted, as it may be a slip.
    for task in client.resolve_all(&args.ids).await? {
        match client.delete(task).await {
            Ok(()) => writeln!(std::io::stdout(), "{} deleted", task.short())?,
            Err(error) => {
                let context = format!("cannot delete {}", task.short());
                end = failure::report(&anyhow::Error::new(error).context(context));
            }
        }
    }
    Ok(end)
}
