//! `makima logs`

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;
use makima_shared::domain::TaskId;

use crate::client::{Client, ClientArgs};
use crate::render::{EventLine, Form, Paint, json_line, output_line};
use crate::watch::{self, Show};

/// Whose output to print.
#[derive(Args, Debug)]
#[command(
    after_help = "Without -f it prints what there is and exits with 0; with -f it follows the task to its end, or \
                  until it is interrupted. It exits with 0 only if it ended done or merged, with 3 if it is interrupted, \
                  else with 1."
)]
pub(super) struct LogsArgs {
    /// The task: its id, or the last 4 or more digits of it
    id: String,

    /// Go on until the task has ended or is interrupted, and show its changes too (on standard error)
    #[arg(short, long)]
    follow: bool,

    /// Show the lines of a client such as Claude Code as it wrote them, not as a person reads them
    #[arg(long)]
    raw: bool,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: LogsArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    Paint::for_stdout();
    let task = client.resolve(&args.id).await?;
    if !args.follow {
        return print(&client, task, args.client.json, args.raw).await;
    }
    let show = match (args.client.json, args.raw) {
        (true, _) => Show::Json,
        (false, true) => Show::Raw,
        (false, false) => Show::Everything,
    };
    let watching = async {
        let end = watch::watch(&client, task, show, false).await?;
        Ok(watch::exit_code([end]))
    };
    watch::until_interrupted(watching).await
}

async fn print(client: &Client, task: TaskId, json: bool, raw: bool) -> anyhow::Result<ExitCode> {
    let form = match (raw, io::stdout().is_terminal()) {
        (true, _) => Form::Raw,
        (false, true) => Form::Terminal,
        (false, false) => Form::Plain,
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut after = 0;
    loop {
        let page = client.output(task, after).await?;
        if page.pruned {
            writeln!(io::stderr(), "-- earlier output was deleted: it was kept long enough")?;
        }
        if page.lines.is_empty() {
            break;
        }
        after = page.next_after;
        for line in &page.lines {
            if json {
                writeln!(out, "{}", json_line(line)?)?;
            } else if let EventLine::Output { text, partial } = output_line(line, form) {
                write!(out, "{text}{}", if partial { "" } else { "\n" })?;
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
