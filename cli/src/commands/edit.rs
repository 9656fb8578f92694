//! `makima edit`

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Args;
use makima_shared::domain::{Agent, CompletionAction, TaskChanges};

use super::run::{read_plan, shell_line};
use crate::client::{Client, ClientArgs};
use crate::failure::UsageError;
use crate::render::{self, Paint};
use crate::settings::{OrNone, key_value};

/// What to change about a task.
#[derive(Args, Debug)]
#[command(
    after_help = "What is not named stays as it is. Where a value may be taken away, `none` does it. What may change depends \
                  on how far the task has come: its name always, its dependencies and its time only while it is pending."
)]
pub(super) struct EditArgs {
    /// The task: its id, or the last 4 or more digits of it
    id: String,

    /// What to call it
    #[arg(long)]
    name: Option<String>,

    /// What to do, in words; - reads it from standard input
    #[arg(long)]
    plan: Option<String>,

    /// Anything else about it
    #[arg(long, value_name = "TEXT")]
    description: Option<OrNone<String>>,

    /// The agent, as a line for sh
    #[arg(long, value_name = "SHELL_LINE")]
    agent_cmd: Option<String>,

    /// The branch to start from
    #[arg(long, value_name = "NAME")]
    branch: Option<OrNone<String>>,

    /// The branch to push the result to
    #[arg(long, value_name = "NAME")]
    target: Option<OrNone<String>>,

    /// Whether to push the result
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
    push: Option<bool>,

    /// 0 to 100; higher goes first
    #[arg(long, value_name = "N")]
    priority: Option<i16>,

    /// What a worker must offer to take it, in place of what it was: words with spaces between
    #[arg(long, value_name = "LABELS")]
    labels: Option<OrNone<String>>,

    /// The tasks that must be done before it, in place of those that were: ids with spaces between
    #[arg(long, value_name = "IDS")]
    after: Option<OrNone<String>>,

    /// How often it is tried again after a failure
    #[arg(long, value_name = "N")]
    max_retries: Option<i16>,

    /// How long one attempt may take, in seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<OrNone<i32>>,

    /// How often its work is saved, in seconds
    #[arg(long, value_name = "SECONDS")]
    checkpoint_interval: Option<i32>,

    /// What all attempts together may cost, in US dollars
    #[arg(long, value_name = "USD")]
    max_cost: Option<OrNone<f64>>,

    /// How many tokens all attempts together may use
    #[arg(long, value_name = "N")]
    max_tokens: Option<OrNone<i64>>,

    /// Not before this time, such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    run_at: Option<OrNone<DateTime<Utc>>>,

    /// A variable for the agent's environment; all that are named take the place of those that were. May be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = key_value)]
    env: Vec<(String, String)>,

    /// The version that the change is meant for (default: the one that the task is at)
    #[arg(long, value_name = "N")]
    if_version: Option<i32>,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: EditArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    Paint::for_stdout();
    let task = client.resolve(&args.id).await?;
    let version = match args.if_version {
        Some(version) => version,
        None => client.task(task).await?.task.version,
    };
    let json = args.client.json;
    let changes = args.changes(&client, version).await?;
    let changed = client.change(task, &changes).await?;
    if json {
        writeln!(std::io::stdout(), "{}", render::json(&changed)?)?;
    } else {
        writeln!(std::io::stdout(), "{} changed", task.short())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl EditArgs {
    async fn changes(self, client: &Client, version: i32) -> anyhow::Result<TaskChanges> {
        let words = |text: OrNone<String>| -> Vec<String> {
            text.0.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect()
        };
        let depends_on = match self.after {
            Some(ids) => Some(client.resolve_all(&words(ids)).await?),
            None => None,
        };
        let plan = if self.plan.as_deref() == Some("-") { Some(read_plan()?) } else { self.plan };
        let action = |push| if push { CompletionAction::Push } else { CompletionAction::None };
        let changes = TaskChanges {
            name: self.name,
            plan,
            description: self.description.map(|text| text.0),
            agent: self.agent_cmd.map(|line| Agent::command(shell_line(line))),
            base_branch: self.branch.map(|name| name.0),
            target_branch: self.target.map(|name| name.0),
            completion_action: self.push.map(action),
            priority: self.priority,
            labels: self.labels.map(words),
            depends_on,
            max_retries: self.max_retries,
            timeout_secs: self.timeout.map(|seconds| seconds.0),
            checkpoint_interval_secs: self.checkpoint_interval,
            max_cost_usd: self.max_cost.map(|usd| usd.0),
            max_tokens: self.max_tokens.map(|tokens| tokens.0),
            run_at: self.run_at.map(|time| time.0),
            env: (!self.env.is_empty()).then(|| self.env.into_iter().collect::<BTreeMap<_, _>>()),
            ..TaskChanges::of_version(version)
        };
        if serde_json::to_value(&changes)? == serde_json::to_value(TaskChanges::of_version(version))? {
            return Err(
                UsageError("nothing to change: `makima edit --help` lists what may".to_owned()).into()
            );
        }
        Ok(changes)
    }
}
