//! `makima schedules rm`

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use crate::client::ClientArgs;
use crate::failure;
use crate::render::Paint;

/// Which schedules to delete.
#[derive(Args, Debug)]
pub(super) struct RmArgs {
    /// The schedules: their ids, or the last 4 or more digits of each
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: RmArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    Paint::for_stdout();
    let mut schedules = Vec::with_capacity(args.ids.len());
    // An unknown one keeps all from being deleted, as it may be a slip.
    for text in &args.ids {
        schedules.push(client.resolve_schedule(text).await?);
    }
    let mut end = ExitCode::SUCCESS;
    for schedule in schedules {
        match client.schedule_delete(schedule).await {
            Ok(()) => writeln!(std::io::stdout(), "{} deleted", schedule.short())?,
            Err(error) => {
                let context = format!("cannot delete {}", schedule.short());
                end = failure::report(&anyhow::Error::new(error).context(context));
            }
        }
    }
    Ok(end)
}
