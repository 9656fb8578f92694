//! `makima schedules add`

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use chrono::Utc;
use clap::Args;
use makima_shared::domain::{MissedRuns, Schedule, ScheduleSubmission};

use crate::client::ClientArgs;
use crate::commands::run::TaskArgs;
use crate::render;

const USAGE: &str = "\
makima schedules add --cron <EXPRESSION> [OPTIONS] --repo <PATH_OR_URL> --agent-cmd <SHELL_LINE> <PLAN>
       makima schedules add --cron <EXPRESSION> [OPTIONS] --task <FILE>";

const EXAMPLE: &str = "\
Prints the id of the schedule, which is called what its task is called. For example, on every working day:

  makima schedules add --cron '30 2 * * MON-FRI' --time-zone Europe/Berlin --no-overlap \\
    --repo git@example.org:team/project.git --agent-cmd 'codex exec -' 'Update the dependencies'";

/// The schedule to make.
#[derive(Args, Debug)]
#[command(override_usage = USAGE, after_help = EXAMPLE)]
pub(super) struct AddArgs {
    /// When: minute, hour, day of the month, month, day of the week; a field for seconds before them if wanted; or one
    /// of @hourly, @daily, @weekly, @monthly, @yearly
    #[arg(long, value_name = "EXPRESSION")]
    cron: String,

    /// The time zone that this is meant in, such as Europe/Berlin
    #[arg(long, value_name = "NAME", default_value = "UTC")]
    time_zone: String,

    /// Submit one task for due times that were missed while no scheduler ran, instead of none
    #[arg(long)]
    run_missed: bool,

    /// Skip a due time while the task before has not ended
    #[arg(long)]
    no_overlap: bool,

    #[command(flatten)]
    task: TaskArgs,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: AddArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    let task = args.task.submission(&client).await?;
    let schedule = ScheduleSubmission {
        name: task.name.clone(),
        cron: args.cron,
        time_zone: args.time_zone,
        task,
        missed_runs: if args.run_missed { MissedRuns::RunOnce } else { MissedRuns::Skip },
        allow_overlap: !args.no_overlap,
    };
    let answer = client.schedule_create(&schedule).await?;
    let mut out = std::io::stdout().lock();
    if args.client.json {
        writeln!(out, "{}", render::json(&answer)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let made: Schedule = client.read(answer)?;
    writeln!(out, "{}", made.summary.id)?;
    if out.is_terminal() {
        let due = render::next_due(&made.summary, Utc::now());
        writeln!(
            std::io::stderr(),
            "due {due}; `makima schedules show {}` shows it",
            made.summary.id.short()
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
