//! `makima workers`

use std::io::Write;
use std::process::ExitCode;

use chrono::Utc;
use clap::Args;

use crate::client::ClientArgs;
use crate::render::{self, Paint};

/// How to list the workers.
#[derive(Args, Debug)]
pub(super) struct WorkersArgs {
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: WorkersArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    let json = client.workers_json().await?;
    let mut out = std::io::stdout().lock();
    if args.client.json {
        writeln!(out, "{}", render::json(&json)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    Paint::for_stdout();
    let workers = client.read_workers(json)?;
    if workers.is_empty() {
        writeln!(std::io::stderr(), "no workers: `makima worker` starts one")?;
    } else {
        out.write_all(render::worker_table(&workers, Utc::now(), render::terminal_width()).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}
