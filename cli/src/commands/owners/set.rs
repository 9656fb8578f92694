//! `makima owners set`

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use makima_shared::config::Config;
use makima_shared::domain::OwnerChanges;
use makima_shared::queue::{Queue, WakeCall};

use crate::commands::migrate::open_store;
use crate::render::{self, Paint};
use crate::settings::{OrNone, SettingsArgs};

/// How long Redis may take to hear of new limits.
const PATIENCE: Duration = Duration::from_secs(2);

/// What an owner may have.
#[derive(Args, Debug)]
#[command(
    after_help = "Limits hold for what is released from now on: tasks that are queued or run already count, and go on. The API \
                  goes by a new number of submissions within 10 seconds."
)]
pub(super) struct SetArgs {
    /// What the owner is called
    name: String,

    /// Its share of the workers beside other owners that have something to do (1 to 1000)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1000))]
    weight: Option<i32>,

    /// How many of its tasks may be queued or run at once, or none for no limit
    #[arg(long, value_name = "N", value_parser = limit)]
    max_running: Option<OrNone<i32>>,

    /// How many of one contract, or none
    #[arg(long, value_name = "N", value_parser = limit)]
    max_running_per_contract: Option<OrNone<i32>>,

    /// How many on one repository, or none
    #[arg(long, value_name = "N", value_parser = limit)]
    max_running_per_repository: Option<OrNone<i32>>,

    /// How many tasks a minute it may submit, or none
    #[arg(long, value_name = "N", value_parser = limit)]
    submissions_per_minute: Option<OrNone<i32>>,

    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) async fn run(args: SetArgs) -> anyhow::Result<ExitCode> {
    let store = open_store(&args.settings)?;
    let changes = OwnerChanges {
        weight: args.weight,
        max_running: args.max_running.map(|limit| limit.0),
        max_running_per_contract: args.max_running_per_contract.map(|limit| limit.0),
        max_running_per_repository: args.max_running_per_repository.map(|limit| limit.0),
        submissions_per_minute: args.submissions_per_minute.map(|limit| limit.0),
    };
    let changed = store.owner_change(&args.name, &changes).await.context("cannot change the owner")?;
    store.close().await;
    let owner =
        changed.ok_or_else(|| anyhow!("there is no owner '{}': `makima owners` lists them", args.name))?;
    wake_scheduler(&args.settings).await?;
    Paint::for_stdout();
    let table = render::owner_table(&[owner], render::terminal_width());
    std::io::stdout().write_all(table.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Tells the scheduler, if it is known where Redis is. It finds out by itself otherwise.
async fn wake_scheduler(settings: &SettingsArgs) -> anyhow::Result<()> {
    let config = Config::load(&settings.source())?;
    if config.redis.url.is_empty() {
        return Ok(());
    }
    let queue = Queue::open(&config.redis.url, &config.redis.prefix)?;
    if !matches!(tokio::time::timeout(PATIENCE, queue.scheduler_wake(WakeCall::Slots)).await, Ok(Ok(()))) {
        writeln!(std::io::stderr(), "Redis does not answer: the scheduler looks by itself in a moment")?;
    }
    Ok(())
}

fn limit(text: &str) -> Result<OrNone<i32>, String> {
    match text.parse::<OrNone<i32>>() {
        Ok(limit) if limit.0.is_none_or(|number| number > 0) => Ok(limit),
        Ok(_) | Err(_) => Err("expected a whole number from 1, or none".to_owned()),
    }
}
