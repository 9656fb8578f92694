//! `makima edit`

mod agent;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use makima_shared::domain::{CompletionAction, MergeStrategy, TaskChanges, TaskId};

use super::run::{read_plan, task_secret};
use crate::client::{Client, ClientArgs};
use crate::failure::UsageError;
use crate::render::{self, Paint};
use crate::settings::{OrNone, key_value};
use agent::AgentChanges;

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

    #[command(flatten)]
    agent: AgentChanges,

    /// The branch to start from
    #[arg(long, value_name = "NAME")]
    branch: Option<OrNone<String>>,

    /// The branch to push the result to
    #[arg(long, value_name = "NAME")]
    target: Option<OrNone<String>>,

    /// What becomes of the result
    #[arg(long, value_name = "ACTION")]
    result: Option<ActionName>,

    /// Whether to push the result: the same as --result push or --result none
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set, conflicts_with = "result")]
    push: Option<bool>,

    /// How the result is merged, where it is
    #[arg(long, value_name = "STRATEGY")]
    merge_strategy: Option<StrategyName>,

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

    /// The secrets for the agent's environment, in place of those that were: NAME or VARIABLE=NAME, with spaces between
    #[arg(long, value_name = "SECRETS")]
    secrets: Option<OrNone<String>>,

    /// The version that the change is meant for (default: the one that the task is at)
    #[arg(long, value_name = "N")]
    if_version: Option<i32>,

    #[command(flatten)]
    client: ClientArgs,
}

/// What becomes of a result.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ActionName {
    /// It stays in the last checkpoint
    None,
    /// It is pushed to a branch of its own
    Push,
    /// It is merged into the base branch
    Merge,
    /// It is pushed, with a pull request
    Pr,
}

/// How a result is merged.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum StrategyName {
    /// By a merge commit
    Merge,
    /// As one commit
    Squash,
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
    let changes = args.changes(&client, task, version).await?;
    let changed = client.change(task, &changes).await?;
    if json {
        writeln!(std::io::stdout(), "{}", render::json(&changed)?)?;
    } else {
        writeln!(std::io::stdout(), "{} changed", task.short())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl ActionName {
    fn action(self) -> CompletionAction {
        match self {
            Self::None => CompletionAction::None,
            Self::Push => CompletionAction::Push,
            Self::Merge => CompletionAction::Merge,
            Self::Pr => CompletionAction::Pr,
        }
    }
}

impl StrategyName {
    fn strategy(self) -> MergeStrategy {
        match self {
            Self::Merge => MergeStrategy::Merge,
            Self::Squash => MergeStrategy::Squash,
        }
    }
}

impl EditArgs {
    async fn changes(self, client: &Client, task: TaskId, version: i32) -> anyhow::Result<TaskChanges> {
        let words = |text: OrNone<String>| -> Vec<String> {
            text.0.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect()
        };
        let depends_on = match self.after {
            Some(ids) => Some(client.resolve_all(&words(ids)).await?),
            None => None,
        };
        let plan = if self.plan.as_deref() == Some("-") { Some(read_plan()?) } else { self.plan };
        let agent = match self.agent.is_nothing() {
            true => None,
            false => Some(self.agent.apply(client.task(task).await?.task.agent)?),
        };
        let secrets =
            |names| words(names).iter().map(|name| task_secret(name)).collect::<Result<Vec<_>, _>>();
        let pushed = self.push.map(|push| if push { ActionName::Push } else { ActionName::None });
        let changes = TaskChanges {
            name: self.name,
            plan,
            description: self.description.map(|text| text.0),
            agent,
            base_branch: self.branch.map(|name| name.0),
            target_branch: self.target.map(|name| name.0),
            completion_action: self.result.or(pushed).map(ActionName::action),
            merge_strategy: self.merge_strategy.map(StrategyName::strategy),
            priority: self.priority,
            labels: self.labels.map(words),
            depends_on,
            max_retries: self.max_retries,
            timeout_secs: self.timeout.map(|seconds| seconds.0),
            checkpoint_interval_secs: self.checkpoint_interval,
            max_cost_usd: self.max_cost.map(|usd| usd.0),
            max_tokens: self.max_tokens.map(|tokens| tokens.0),
            run_at: self.run_at.map(|time| time.0),
            secrets: self.secrets.map(secrets).transpose()?,
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
