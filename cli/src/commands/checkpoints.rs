//! `makima checkpoints`

use std::io::Write;
use std::process::ExitCode;

use chrono::Utc;
use clap::Args;

use super::diff;
use crate::client::ClientArgs;
use crate::render::{self, Paint};

/// Whose checkpoints, and what of them.
#[derive(Args, Debug)]
pub(super) struct CheckpointsArgs {
    /// The task: its id, or the last 4 or more digits of it
    id: String,

    /// Print the work that this checkpoint saved, as `makima diff --checkpoint` does
    #[arg(long, value_name = "NUMBER")]
    patch: Option<i32>,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: CheckpointsArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    let task = client.resolve(&args.id).await?;
    if let Some(number) = args.patch {
        return diff::show(&client, task, number).await;
    }
    let mut out = std::io::stdout().lock();
    let json = client.checkpoints_json(task).await?;
    if args.client.json {
        writeln!(out, "{}", render::json(&json)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    Paint::for_stdout();
    let checkpoints = client.read_checkpoints(json)?;
    if checkpoints.is_empty() {
        writeln!(std::io::stderr(), "no checkpoints yet")?;
    } else {
        let text = render::checkpoint_table(&checkpoints, Utc::now(), render::terminal_width());
        out.write_all(text.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}
