//! `makima schedules`, without another word

use std::io::Write;
use std::process::ExitCode;

use chrono::Utc;
use clap::Args;

use crate::client::ClientArgs;
use crate::render::{self, Paint};

/// Which schedules to list.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// The most schedules to list
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: ListArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    let list = client.schedules(args.limit).await?;
    let mut out = std::io::stdout().lock();
    if args.client.json {
        writeln!(out, "{}", render::json(&list)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    Paint::for_stdout();
    let schedules = client.read_schedules(list.schedules)?;
    if schedules.is_empty() {
        writeln!(std::io::stderr(), "no schedules: `makima schedules add --help` says how to make one")?;
    } else {
        let text = render::schedule_table(&schedules, Utc::now(), render::terminal_width());
        out.write_all(text.as_bytes())?;
    }
    if list.next_cursor.is_some() {
        writeln!(std::io::stderr(), "there are more: --limit shows them")?;
    }
    Ok(ExitCode::SUCCESS)
}
