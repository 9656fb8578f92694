//! `makima run`

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use makima_shared::domain::{
    Agent, CompletionAction, LoopMode, MergeStrategy, SecretVariable, Task, TaskId, TaskSecret,
    TaskSubmission, is_hidden,
};
use serde_json::Value;
use uuid::Uuid;

use crate::client::{Client, ClientArgs};
use crate::failure::UsageError;
use crate::render::{self, Paint, one_line};
use crate::settings::key_value;
use crate::watch::{self, Show};

/// The longest name, in characters.
const NAME_CHARS: usize = 200;

const USAGE: &str = "\
makima run [OPTIONS] --repo <PATH_OR_URL> --agent <claude|codex> <PLAN>
       makima run [OPTIONS] --repo <PATH_OR_URL> --agent-cmd <SHELL_LINE> <PLAN>
       makima run [OPTIONS] --task <FILE>";

/// The task to submit.
#[derive(Args, Debug)]
#[command(
    override_usage = USAGE,
    after_help = "Prints the id of the task. With --wait it shows the task to its end instead, or until it is \
                  interrupted, and exits with 0 only if it ended done or merged, with 3 if it is interrupted, else with 1."
)]
pub(super) struct RunArgs {
    #[command(flatten)]
    task: TaskArgs,

    /// Sent with the task: the same key and task make one task, however often they are sent (default: a random one)
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    /// Show the task to its end
    #[arg(long)]
    wait: bool,

    #[command(flatten)]
    client: ClientArgs,
}

/// What a task is to be.
#[derive(Args, Debug)]
pub(super) struct TaskArgs {
    /// A file with the whole task in JSON, as the API takes it; - reads it from standard input
    #[arg(long = "task", value_name = "FILE", id = "task_file", conflicts_with = "TaskWords")]
    file: Option<PathBuf>,

    #[command(flatten)]
    words: TaskWords,
}

/// What a task is to be, in arguments. With a file, none of them.
#[derive(Args, Debug)]
struct TaskWords {
    /// What to do, in words; - reads it from standard input
    #[arg(required_unless_present = "task_file")]
    plan: Option<String>,

    /// The repository: a URL, user@host:path, or a directory of the workers' machine
    #[arg(long, value_name = "PATH_OR_URL", required_unless_present = "task_file")]
    repo: Option<String>,

    #[arg(
        long,
        value_name = "SHELL_LINE",
        help = "The agent, as a line for sh; it finds the plan on its standard input and in $MAKIMA_PLAN",
        required_unless_present_any = ["agent", "agent_argv", "task_file"],
        conflicts_with = "agent_argv"
    )]
    agent_cmd: Option<String>,

    /// The agent, as a client that drives a model: claude or codex
    #[arg(long, value_name = "CLIENT", conflicts_with_all = ["agent_cmd", "agent_argv"])]
    agent: Option<ClientName>,

    /// The model that the client shall use
    #[arg(long, requires = "agent")]
    model: Option<String>,

    /// One more option or value for the client. May be repeated
    #[arg(long, value_name = "ARG", allow_hyphen_values = true, requires = "agent")]
    agent_arg: Vec<String>,

    /// Run the agent again and again, up to so many rounds (default: 20), until it says that the task is finished, in a line
    /// `COMPLETION_GATE: {"ready": true, "reason": ".."}`
    #[arg(long = "loop", value_name = "ROUNDS", num_args = 0..=1, require_equals = true, default_missing_value = "20")]
    rounds: Option<u32>,

    /// With --loop: the task is finished once this line for sh exits with 0 after a round, whatever the agent says
    #[arg(long, value_name = "SHELL_LINE", requires = "rounds")]
    verify: Option<String>,

    /// The agent, as a program and its arguments: repeat it for each of them
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    agent_argv: Vec<String>,

    /// What to call the task (default: the first line of the plan)
    #[arg(long)]
    name: Option<String>,

    /// The branch to start from (default: the repository's own default)
    #[arg(long)]
    branch: Option<String>,

    /// The branch to push the result to (default: makima/SHORTID-NAME)
    #[arg(long, conflicts_with = "no_push")]
    target: Option<String>,

    /// Keep the result in the last checkpoint alone
    #[arg(long)]
    no_push: bool,

    /// Merge the result into the base branch; push it to a branch of its own only where that has conflicts
    #[arg(long, conflicts_with_all = ["no_push", "pull_request"])]
    merge: bool,

    /// Like --merge, but as one commit
    #[arg(long, conflicts_with_all = ["no_push", "pull_request"])]
    squash: bool,

    /// Open a pull request for the result on GitHub
    #[arg(long = "pr", conflicts_with = "no_push")]
    pull_request: bool,

    /// A task that must be done before this one. May be repeated
    #[arg(long, value_name = "ID")]
    after: Vec<String>,

    /// 0 to 100; higher goes first (default: 50)
    #[arg(long, value_name = "N")]
    priority: Option<i16>,

    /// What a worker must offer to take it (may be given several times)
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,

    /// How often it is tried again after a failure (default: 3)
    #[arg(long, value_name = "N")]
    max_retries: Option<i16>,

    /// How long one attempt may take, in seconds (default: no limit)
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<i32>,

    /// How often its work is saved, in seconds (default: 30)
    #[arg(long, value_name = "SECONDS")]
    checkpoint_interval: Option<i32>,

    /// What all attempts together may cost, in US dollars (default: no limit). For Claude Code alone, which tells it
    #[arg(long, value_name = "USD")]
    max_cost: Option<f64>,

    /// How many tokens all attempts together may use (default: no limit). For clients alone, which tell it
    #[arg(long, value_name = "N")]
    max_tokens: Option<i64>,

    /// Go on from the work that this task has saved
    #[arg(long, value_name = "ID")]
    continue_from: Option<String>,

    /// Start from a commit, or, with --continue-from, from the checkpoint of that task with this tree: 40 hexadecimal digits
    #[arg(long, value_name = "SHA")]
    checkpoint_sha: Option<String>,

    /// Bring only this file or directory over from the task of --continue-from. May be repeated
    #[arg(long, value_name = "PATH", requires = "continue_from")]
    copy_file: Vec<String>,

    /// A glob, as in .gitignore, of ignored files that checkpoints keep. May be repeated
    #[arg(long, value_name = "GLOB")]
    keep_ignored: Vec<String>,

    /// A variable for the agent's environment. May be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = key_value)]
    env: Vec<(String, String)>,

    /// A secret for the agent's environment, in a variable of its name or of another one. May be repeated
    #[arg(long, value_name = "NAME|VARIABLE=NAME", value_parser = task_secret)]
    secret: Vec<TaskSecret>,
}

/// A client that drives a model.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ClientName {
    /// Claude Code
    Claude,
    /// Codex
    Codex,
}

impl ClientName {
    pub(super) fn agent(self, model: Option<String>, args: Vec<String>, looping: Option<LoopMode>) -> Agent {
        match self {
            Self::Claude => Agent::Claude { model, args, looping },
            Self::Codex => Agent::Codex { model, args, looping },
        }
    }
}

pub(super) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    Paint::for_stdout();
    let key = args.idempotency_key.unwrap_or_else(|| Uuid::now_v7().to_string());
    let (wait, json) = (args.wait, args.client.json);
    let submission = args.task.submission(&client).await?;
    let answer = client.submit(&submission, &key).await?;
    if wait {
        return watch::until_interrupted(show(&client, answer, json)).await;
    }
    if json {
        writeln!(io::stdout(), "{}", render::json(&answer)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let task: Task = client.read(answer)?;
    writeln!(io::stdout(), "{}", task.id)?;
    if io::stdout().is_terminal() {
        let short = task.id.short();
        writeln!(io::stderr(), "submitted; `makima logs -f {short}` follows it")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows a task to its end.
async fn show(client: &Client, answer: Value, json: bool) -> anyhow::Result<ExitCode> {
    let task: Task = client.read(answer)?;
    let show = if json { Show::Changes } else { Show::Everything };
    writeln!(io::stderr(), "-- task {} ({})", task.id.short(), task.id)?;
    let end = watch::watch(client, task.id, show, true).await?;
    let last = client.task_json(task.id).await?;
    if json {
        writeln!(io::stdout(), "{}", render::json(&last)?)?;
    } else {
        let task: Task = client.read(last)?;
        if let (Some(branch), Some(commit)) = (task.result_branch, task.result_commit) {
            let commit: String = one_line(&commit).chars().take(12).collect();
            writeln!(io::stderr(), "-- result: {} at {commit}", one_line(&branch))?;
        }
        if let Some(url) = task.completion.and_then(|completion| completion.pull_request_url) {
            writeln!(io::stderr(), "-- pull request: {}", one_line(&url))?;
        }
        if let Some(problem) = task.completion_error {
            writeln!(io::stderr(), "-- the result is not delivered: {}", one_line(&problem))?;
        }
    }
    Ok(watch::exit_code([end]))
}

impl TaskArgs {
    /// Reads the file, or puts the words together.
    pub(super) async fn submission(self, client: &Client) -> anyhow::Result<TaskSubmission> {
        if let Some(file) = self.file {
            return read_task(&file);
        }
        let after = client.resolve_all(&self.words.after).await?;
        let source = match &self.words.continue_from {
            Some(id) => Some(client.resolve(id).await?),
            None => None,
        };
        self.words.submission(after, source)
    }
}

impl TaskWords {
    fn submission(self, depends_on: Vec<TaskId>, source: Option<TaskId>) -> anyhow::Result<TaskSubmission> {
        // Without a file, clap has seen to it that both are there.
        let (plan, repo) = (self.plan.unwrap_or_default(), self.repo.unwrap_or_default());
        let plan = if plan == "-" { read_plan()? } else { plan };
        let verify = self.verify.map(shell_line).unwrap_or_default();
        let looping = self.rounds.map(|max_rounds| LoopMode { max_rounds, verify });
        let agent = match (self.agent, self.agent_cmd) {
            (Some(client), _) => client.agent(self.model, self.agent_arg, looping),
            (None, Some(line)) => Agent::Command { argv: shell_line(line), looping },
            (None, None) => Agent::Command { argv: self.agent_argv, looping },
        };
        let name = self.name.unwrap_or_else(|| first_line(&plan));
        Ok(TaskSubmission {
            base_branch: self.branch,
            target_branch: self.target,
            priority: self.priority,
            depends_on: depends_on.into_iter().map(Into::into).collect(),
            labels: self.label,
            max_retries: self.max_retries,
            timeout_secs: self.timeout,
            checkpoint_interval_secs: self.checkpoint_interval,
            max_cost_usd: self.max_cost,
            max_tokens: self.max_tokens,
            continue_from_task_id: source,
            checkpoint_sha: self.checkpoint_sha,
            copy_files: self.copy_file,
            keep_ignored: self.keep_ignored,
            env: self.env.into_iter().collect::<BTreeMap<_, _>>(),
            secrets: self.secret,
            completion_action: match (self.no_push, self.merge || self.squash, self.pull_request) {
                (true, _, _) => CompletionAction::None,
                (_, true, _) => CompletionAction::Merge,
                (_, _, true) => CompletionAction::Pr,
                (false, false, false) => CompletionAction::Push,
            },
            merge_strategy: if self.squash { MergeStrategy::Squash } else { MergeStrategy::Merge },
            ..TaskSubmission::new(name, plan, repository(&repo)?, agent)
        })
    }
}

fn read_task(file: &Path) -> anyhow::Result<TaskSubmission> {
    let text = if file == Path::new("-") {
        io::read_to_string(io::stdin()).context("cannot read the task from standard input")?
    } else {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
    };
    serde_json::from_str(&text)
        .map_err(|error| UsageError(format!("{} holds no task: {error}", file.display())).into())
}

/// Returns the program and the arguments that carry out a line for sh.
pub(super) fn shell_line(line: String) -> Vec<String> {
    vec!["sh".to_owned(), "-c".to_owned(), line]
}

pub(super) fn read_plan() -> anyhow::Result<String> {
    let mut plan = String::new();
    io::stdin().read_to_string(&mut plan).context("cannot read the plan from standard input")?;
    Ok(plan)
}

/// Reads the name of a secret, or a variable and the name of the secret in it.
pub(super) fn task_secret(text: &str) -> Result<TaskSecret, std::convert::Infallible> {
    Ok(match text.split_once('=') {
        None => TaskSecret::Name(text.to_owned()),
        Some((env, secret)) => {
            TaskSecret::Variable(SecretVariable { env: env.to_owned(), secret: secret.to_owned() })
        }
    })
}

/// Makes a name of the plan's first line that has words.
fn first_line(plan: &str) -> String {
    let seen = |line: &str| one_line(line).chars().filter(|c| !is_hidden(*c)).take(NAME_CHARS).collect();
    plan.lines().map(seen).find(|line: &String| !line.is_empty()).unwrap_or_default()
}

/// Makes a path of this machine absolute, and leaves addresses alone.
fn repository(text: &str) -> anyhow::Result<String> {
    let path = Path::new(text);
    if text.contains("://") || path.is_absolute() && !path.exists() {
        return Ok(text.to_owned());
    }
    if path.exists() {
        let path = path.canonicalize().with_context(|| format!("cannot resolve {text}"))?;
        let path = path.into_os_string().into_string();
        return path.map_err(|path| UsageError(format!("{} is no Unicode", path.display())).into());
    }
    // user@host:path. A path would have its slash before the colon.
    let (before, _) = text.split_once(':').unwrap_or((text, ""));
    if text.contains(':') && !before.contains('/') {
        return Ok(text.to_owned());
    }
    Err(UsageError(format!("--repo {text}: there is no such directory here, and it is no URL")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_its_task() {
        assert_eq!(first_line("\n  Tidy\tup \nthen rest"), "Tidy up");
        assert_eq!(
            first_line("\u{feff}Tidy\u{2028}up \u{1f469}\u{200d}\u{1f4bb}"),
            "Tidy up \u{1f469}\u{1f4bb}"
        );
        assert_eq!(first_line(&"x".repeat(300)).len(), NAME_CHARS);
    }

    #[test]
    fn paths_become_absolute_and_addresses_stay() {
        for address in ["https://host/a.git", "git@host:a/b.git", "/nowhere/at/all"] {
            assert_eq!(repository(address).unwrap(), address);
        }
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(repository(".").unwrap(), here.to_str().unwrap());
        assert!(repository("no/such/directory").unwrap_err().is::<UsageError>());
    }
}
