//! `makima retry-completion`

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use makima_shared::domain::Task;

use crate::client::ClientArgs;
use crate::failure;
use crate::render::{self, Paint};

/// Which completions to repeat.
#[derive(Args, Debug)]
#[command(
    after_help = "For tasks that are done, but whose result could not be pushed, merged or offered as a pull request. The \
                  work of the last checkpoint is delivered; the agent does not run again."
)]
pub(super) struct RetryCompletionArgs {
    /// The tasks: their ids, or the last 4 or more digits of each
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: RetryCompletionArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    Paint::for_stdout();
    let mut end = ExitCode::SUCCESS;
    for task in client.resolve_all(&args.ids).await? {
        match client.retry_completion(task).await {
            Ok(json) if args.client.json => writeln!(std::io::stdout(), "{}", render::json(&json)?)?,
            Ok(json) => {
                let started: Task = client.read(json)?;
                writeln!(std::io::stdout(), "{} {}", task.short(), render::status(started.status))?;
            }
            Err(error) => {
                let context = format!("cannot repeat the completion of {}", task.short());
                end = failure::report(&anyhow::Error::new(error).context(context));
            }
        }
    }
    Ok(end)
}
