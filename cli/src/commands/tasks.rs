//! `makima tasks`

use std::io::Write;
use std::process::ExitCode;

use chrono::Utc;
use clap::Args;
use makima_shared::domain::TaskStatus;

use crate::client::{ClientArgs, TaskQuery};
use crate::render::{self, Paint};

/// Which tasks to list.
#[derive(Args, Debug)]
pub(super) struct TasksArgs {
    /// Only tasks in this status: pending, queued, starting, running, paused, interrupted, done, merged, failed or
    /// cancelled
    #[arg(long)]
    status: Option<TaskStatus>,

    /// The most tasks to list
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,

    /// Only tasks with this text in their name
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: TasksArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    let query = TaskQuery { status: args.status, search: args.search, id_suffix: None, limit: args.limit };
    let list = client.tasks(&query).await?;
    let mut out = std::io::stdout().lock();
    if args.client.json {
        writeln!(out, "{}", render::json(&list)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    Paint::for_stdout();
    let tasks = client.read_summaries(list.tasks)?;
    if tasks.is_empty() {
        writeln!(std::io::stderr(), "no tasks")?;
    } else {
        out.write_all(render::task_table(&tasks, Utc::now(), render::terminal_width()).as_bytes())?;
    }
    if list.next_cursor.is_some() {
        writeln!(std::io::stderr(), "there are more: --limit shows them")?;
    }
    Ok(ExitCode::SUCCESS)
}
