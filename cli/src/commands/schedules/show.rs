//! `makima schedules show`

use std::io::Write;
use std::process::ExitCode;

use chrono::Utc;
use clap::Args;

use crate::client::ClientArgs;
use crate::render::{self, Paint};

/// Which schedule to show.
#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// The schedule: its id, or the last 4 or more digits of it
    id: String,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: ShowArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    let json = client.schedule_json(client.resolve_schedule(&args.id).await?).await?;
    let mut out = std::io::stdout().lock();
    if args.client.json {
        writeln!(out, "{}", render::json(&json)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    Paint::for_stdout();
    let detail = client.read(json)?;
    out.write_all(render::schedule_detail(&detail, Utc::now(), render::terminal_width()).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
