//! `makima schedules`

mod add;
mod list;
mod rm;
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// What to do with schedules: without a word, list them.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct SchedulesArgs {
    #[command(subcommand)]
    command: Option<SchedulesCommand>,

    #[command(flatten)]
    list: list::ListArgs,
}

#[derive(Debug, Subcommand)]
enum SchedulesCommand {
    /// Make a schedule
    Add(Box<add::AddArgs>),
    /// Show a schedule: when it is due, what it submits, what came of it so far
    Show(show::ShowArgs),
    /// Delete schedules; the tasks that they have submitted stay
    Rm(rm::RmArgs),
}

pub(super) async fn run(args: SchedulesArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        None => list::run(args.list).await,
        Some(SchedulesCommand::Add(args)) => add::run(*args).await,
        Some(SchedulesCommand::Show(args)) => show::run(args).await,
        Some(SchedulesCommand::Rm(args)) => rm::run(args).await,
    }
}
