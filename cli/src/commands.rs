//! The command line: one file per command.

mod api;
mod bulk;
mod checkpoint;
mod checkpoints;
mod config;
mod demo;
mod diff;
mod edit;
mod keys;
mod logs;
mod migrate;
mod owners;
mod retry_completion;
mod rm;
mod run;
mod sandbox_check;
mod say;
mod scheduler;
mod schedules;
mod secret;
mod services;
mod show;
mod start;
mod stop;
mod tasks;
mod top;
mod up;
mod wait;
mod worker;
mod workers;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure;

/// A job-queue worker pool for coding agents.
#[derive(Debug, Parser)]
#[command(name = "makima", version, about, long_about = None, arg_required_else_help = true)]
#[command(after_help = "On one machine: `makima up`, then `makima run --help` in another terminal.")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine: PostgreSQL, Redis, the API, a scheduler and workers
    Up(up::UpArgs),
    /// Watch the main job: a graph of tasks, a killed worker, a resumed agent
    Demo(demo::DemoArgs),

    /// Submit a task
    Run(Box<run::RunArgs>),
    /// Submit many tasks from a file, all or none
    Bulk(bulk::BulkArgs),
    /// List tasks, newest first
    Tasks(tasks::TasksArgs),
    /// Show a task: where it stands and why, its attempts, its result
    Show(show::ShowArgs),
    /// Print what a task's agent wrote
    Logs(logs::LogsArgs),
    /// Wait until tasks have come to their end or are interrupted
    Wait(wait::WaitArgs),
    /// Say something to a task's agent while it works
    Say(say::SayArgs),
    /// Stop tasks
    Stop(stop::StopArgs),
    /// Start tasks at once, or again after their end
    Start(start::StartArgs),
    /// Push, merge or offer the result of tasks again, where that went wrong
    RetryCompletion(retry_completion::RetryCompletionArgs),
    /// Change what may still change about a task
    Edit(Box<edit::EditArgs>),
    /// Delete tasks with all that belongs to them
    Rm(rm::RmArgs),
    /// List a task's checkpoints, or print the work that one of them saved
    Checkpoints(checkpoints::CheckpointsArgs),
    /// Look at the work that a task's last checkpoint saved, or another one
    Diff(diff::DiffArgs),
    /// Save the work of this workspace now (for agents)
    Checkpoint(checkpoint::CheckpointArgs),
    /// List schedules, make and delete them: tasks that are submitted again and again, by cron
    Schedules(schedules::SchedulesArgs),
    /// Set, list and delete secrets: what agents find in their environment and nobody sees again
    Secret(secret::SecretArgs),
    /// List the workers
    Workers(workers::WorkersArgs),
    /// Watch queue, owners, workers and running tasks
    Top(top::TopArgs),

    /// Run the HTTP API
    Api(api::ApiArgs),
    /// Run a scheduler (any number may run; one leads)
    Scheduler(scheduler::SchedulerArgs),
    /// Run a worker
    Worker(worker::WorkerArgs),
    /// Bring the schema of the database up to date
    Migrate(migrate::MigrateArgs),
    /// Make API keys
    Keys(keys::KeysArgs),
    /// List owners, and set what they may have
    Owners(owners::OwnersArgs),
    /// Try to break out of the sandbox around agents, and print what held
    SandboxCheck(sandbox_check::SandboxCheckArgs),
    /// List all settings
    Config(config::ConfigArgs),
    /// Run a command over a private PostgreSQL and Redis that live as long as it does
    Services(services::ServicesArgs),
}

/// Reads the command line, carries it out and returns the exit code.
pub(crate) fn run() -> ExitCode {
    let command = match CommandLine::try_parse() {
        Ok(line) => line.command,
        Err(error) => {
            // Whoever pipes the help text away has had enough of it.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    dispatch(command).unwrap_or_else(|error| failure::report(&error))
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => on_all_cores(up::run(args)),
        Command::Demo(args) => on_all_cores(demo::run(args)),
        Command::Services(args) => on_all_cores(services::run(args)),
        Command::Api(args) => on_all_cores(api::run(args)),
        Command::Scheduler(args) => on_all_cores(scheduler::run(args)),
        Command::Worker(args) => on_all_cores(worker::run(args)),
        Command::Migrate(args) => on_one_thread(migrate::run(args)),
        Command::Keys(args) => on_one_thread(keys::run(args)),
        Command::SandboxCheck(args) => on_one_thread(sandbox_check::run(args)),
        Command::Config(args) => config::run(&args),
        Command::Run(args) => on_one_thread(run::run(*args)),
        Command::Bulk(args) => on_one_thread(bulk::run(args)),
        Command::Tasks(args) => on_one_thread(tasks::run(args)),
        Command::Show(args) => on_one_thread(show::run(args)),
        Command::Logs(args) => on_one_thread(logs::run(args)),
        Command::Wait(args) => on_one_thread(wait::run(args)),
        Command::Say(args) => on_one_thread(say::run(args)),
        Command::Stop(args) => on_one_thread(stop::run(args)),
        Command::Start(args) => on_one_thread(start::run(args)),
        Command::RetryCompletion(args) => on_one_thread(retry_completion::run(args)),
        Command::Edit(args) => on_one_thread(edit::run(*args)),
        Command::Rm(args) => on_one_thread(rm::run(args)),
        Command::Owners(args) => on_one_thread(owners::run(args)),
        Command::Checkpoints(args) => on_one_thread(checkpoints::run(args)),
        Command::Diff(args) => on_one_thread(diff::run(args)),
        Command::Checkpoint(args) => checkpoint::run(&args),
        Command::Schedules(args) => on_one_thread(schedules::run(args)),
        Command::Secret(args) => on_one_thread(secret::run(args)),
        Command::Workers(args) => on_one_thread(workers::run(args)),
        Command::Top(args) => on_one_thread(top::run(args)),
    }
}

fn on_all_cores(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    block_on(tokio::runtime::Builder::new_multi_thread(), work)
}

fn on_one_thread(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    block_on(tokio::runtime::Builder::new_current_thread(), work)
}

fn block_on(
    mut builder: tokio::runtime::Builder,
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    let runtime = builder.enable_all().build()?;
    let end = runtime.block_on(work);
    // A thread that reads standard input cannot be interrupted; the process ends without it.
    runtime.shutdown_background();
    end
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_has_no_contradictions() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_task_is_given_in_words_or_as_a_file_and_a_schedule_has_one() {
        let taken = |line: &str| {
            let words = line.replace("WORDS", "--repo r --agent-cmd c plan");
            CommandLine::try_parse_from(words.split(' ')).is_ok()
        };
        for start in ["makima run", "makima schedules add --cron @daily"] {
            for task in ["WORDS", "--task f"] {
                assert!(taken(&format!("{start} {task}")), "{start} {task}");
            }
            for task in ["plan", "--repo r plan", "--task f WORDS", "--task f --priority 1"] {
                assert!(!taken(&format!("{start} {task}")), "{start} {task}");
            }
        }
        assert!(taken("makima schedules") && taken("makima schedules --limit 5"));
        assert!(!taken("makima schedules add WORDS") && !taken("makima schedules --limit 5 show 1a2b"));
    }
}
