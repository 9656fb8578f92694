//! One task, with everything around it.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use console::style;
use makima_shared::domain::{
    Agent, Attempt, AttemptOutcome, Checkpoint, Completion, CompletionStatus, DependencyState, LoopMode,
    Task, TaskSecret, TaskSummary,
};

use super::agent_event::spend;
use super::lists::lines_changed;
use super::table::{Column, table};
use super::time::{ago, at, span};
use super::{one_line, plain, status};
use crate::client::TaskDetail;

/// Fields in lines of `name  value`; those without a value are left out.
#[derive(Default)]
pub(super) struct Fields(pub(super) String);

impl Fields {
    pub(super) fn add(&mut self, name: &str, value: impl Into<Option<String>>) {
        if let Some(value) = value.into() {
            // Writing to a string does not fail.
            let _ = writeln!(self.0, "{}  {value}", style(format!("{name:<11}")).dim());
        }
    }
}

/// Shows a task.
pub(crate) fn task_detail(detail: &TaskDetail, now: DateTime<Utc>, width: Option<usize>) -> String {
    let TaskDetail {
        task,
        dependencies,
        attempts,
        subtasks,
        last_checkpoint,
        waiting_for,
        unfinished_rounds,
    } = detail;
    let mut text = format!("{}  {}\n", style(one_line(&task.name)).bold(), status(task.status));
    let mut fields = Fields::default();
    standing(&mut fields, task, waiting_for.as_deref(), now);
    request(&mut fields, task, *unfinished_rounds);
    result(&mut fields, task, last_checkpoint.as_ref(), now);
    text.push_str(&fields.0);
    text.push_str(&section("Depends on", dependencies.iter().map(dependency_line).collect()));
    text.push_str(&section("Subtasks", subtasks.iter().map(subtask_line).collect()));
    if !attempts.is_empty() {
        text.push_str(&section("Attempts", attempt_table(attempts, now, width)));
        text.push_str(&attempts.iter().filter_map(attempt_error).collect::<String>());
    }
    text.push_str(&section("Plan", indented(&task.plan)));
    text
}

/// Puts a title above something, if there is something.
pub(super) fn section(title: &str, body: String) -> String {
    if body.is_empty() { body } else { format!("\n{}\n{body}", style(title).bold()) }
}

/// Moves the lines of a text to the right.
pub(super) fn indented(text: &str) -> String {
    plain(text).trim_end().lines().fold(String::new(), |text, line| text + "  " + line + "\n")
}

fn standing(fields: &mut Fields, task: &Task, waiting_for: Option<&str>, now: DateTime<Utc>) {
    fields.add("id", task.id.to_string());
    fields.add("waits for", waiting_for.map(one_line));
    let why = match (&task.status_code, &task.status_message) {
        (Some(code), Some(message)) => Some(format!("{}: {}", one_line(code), one_line(message))),
        (code, message) => code.as_deref().or(message.as_deref()).map(one_line),
    };
    fields.add("because", why);
    fields.add("submitted", at(task.created_at, now));
    fields.add("not before", task.run_at.map(|time| at(time, now)));
    let took = |end: DateTime<Utc>| {
        format!("{}, {} after its submission", at(end, now), span(end - task.created_at))
    };
    fields.add("ended", task.finished_at.map(took));
    fields.add("retries", format!("{} of {}", task.retry_count, task.max_retries));
    fields.add("spent", spend(&task.spent));
    let cost = task.max_cost_usd.map(|usd| format!("{usd} USD"));
    let tokens = task.max_tokens.map(|tokens| format!("{tokens} tokens"));
    let caps: Vec<_> = [cost, tokens].into_iter().flatten().collect();
    fields.add("may spend", (!caps.is_empty()).then(|| caps.join(", ")));
}

fn request(fields: &mut Fields, task: &Task, unfinished_rounds: Option<i64>) {
    let branch = task.base_branch.as_deref().map(|branch| format!(" at {}", one_line(branch)));
    fields.add("repository", format!("{}{}", one_line(&task.repository_url), branch.unwrap_or_default()));
    fields.add("goes on", start(task));
    fields.add("keeps", (!task.keep_ignored.is_empty()).then(|| one_line(&task.keep_ignored.join(" "))));
    fields.add("agent", agent(&task.agent));
    fields.add("loop", task.agent.loop_mode().map(|mode| rounds(mode, unfinished_rounds)));
    let timeout = task.timeout_secs.map(|secs| format!(", at most {secs} s"));
    let interval = task.checkpoint_interval_secs;
    fields.add("limits", format!("a checkpoint every {interval} s{}", timeout.unwrap_or_default()));
    fields.add("priority", task.priority.to_string());
    let env = task.env.iter().map(|(name, value)| one_line(&format!("{name}={value}"))).collect::<Vec<_>>();
    fields.add("environment", (!env.is_empty()).then(|| env.join(" ")));
    let secret = |secret: &TaskSecret| match secret {
        TaskSecret::Name(name) => one_line(name),
        TaskSecret::Variable(variable) => one_line(&format!("{}={}", variable.env, variable.secret)),
    };
    let secrets = task.secrets.iter().map(secret).collect::<Vec<_>>();
    fields.add("secrets", (!secrets.is_empty()).then(|| secrets.join(" ")));
}

/// Says where a task's work starts that does not start at the tip of its branch.
fn start(task: &Task) -> Option<String> {
    let sha = task.checkpoint_sha.as_deref().map(one_line);
    let Some(source) = task.continue_from_task_id else { return sha.map(|sha| format!("from commit {sha}")) };
    let tree = sha.map(|sha| format!(" at tree {sha}")).unwrap_or_default();
    let files = match task.copy_files.as_slice() {
        [] => String::new(),
        files => format!(", with {} alone", one_line(&files.join(" "))),
    };
    Some(format!("from task {}{tree}{files}", source.short()))
}

/// Says how often the agent is run, and what ends it.
fn rounds(mode: &LoopMode, unfinished: Option<i64>) -> String {
    let end = if mode.verify.is_empty() {
        "until the agent says that it is finished".to_owned()
    } else {
        format!("until this exits with 0: {}", one_line(&mode.verify.join(" ")))
    };
    let so_far = unfinished.map(|count| format!("{count} left it unfinished; ")).unwrap_or_default();
    format!("{so_far}at most {} rounds, {end}", mode.max_rounds)
}

pub(super) fn agent(agent: &Agent) -> String {
    match agent {
        Agent::Command { argv, .. } => one_line(&argv.join(" ")),
        Agent::Claude { model, args, .. } => client("claude", model.as_deref(), args),
        Agent::Codex { model, args, .. } => client("codex", model.as_deref(), args),
    }
}

fn client(name: &str, model: Option<&str>, args: &[String]) -> String {
    let model = model.map(|model| format!(" ({model})")).unwrap_or_default();
    one_line(&format!("{name}{model} {}", args.join(" "))).trim_end().to_owned()
}

fn result(fields: &mut Fields, task: &Task, checkpoint: Option<&Checkpoint>, now: DateTime<Utc>) {
    let saved = |checkpoint: &Checkpoint| {
        let Checkpoint { number, files_changed, created_at, .. } = checkpoint;
        let files = if *files_changed == 1 { "1 file".to_owned() } else { format!("{files_changed} files") };
        format!("number {number}, {files}, {}, {}", lines_changed(checkpoint), ago(*created_at, now))
    };
    fields.add("checkpoint", checkpoint.map(saved));
    fields.add(
        "branch",
        task.result_branch.as_deref().map(|branch| style(one_line(branch)).green().to_string()),
    );
    fields.add("commit", task.result_commit.as_deref().map(one_line));
    completion(fields, task.completion.as_ref());
    fields.add(
        "undelivered",
        task.completion_error.as_deref().map(|words| style(one_line(words)).red().to_string()),
    );
}

/// Says how the result was delivered.
fn completion(fields: &mut Fields, completion: Option<&Completion>) {
    let Some(completion) = completion else { return };
    let bad = |words: &str| {
        let retry = if completion.can_retry { "; `makima retry-completion` tries again" } else { "" };
        style(format!("{words}{retry}")).red().to_string()
    };
    let status = match completion.status {
        CompletionStatus::None => None,
        CompletionStatus::Pushed => Some(style("pushed").green().to_string()),
        CompletionStatus::Merged => Some(style("merged").green().to_string()),
        CompletionStatus::PrOpened => Some(style("pull request opened").green().to_string()),
        CompletionStatus::Conflict => Some(bad("conflict")),
        CompletionStatus::Failed => Some(bad("failed")),
    };
    fields.add("completion", status);
    fields.add("pr", completion.pull_request_url.as_deref().map(one_line));
    let files = completion.conflicts.iter().map(|file| one_line(file)).collect::<Vec<_>>();
    fields.add("conflicts", (!files.is_empty()).then(|| files.join(", ")));
}

fn dependency_line(parent: &DependencyState) -> String {
    format!("  {}  {}  {}\n", parent.id.short(), status(parent.status), one_line(&parent.name))
}

fn subtask_line(task: &TaskSummary) -> String {
    format!("  {}  {}  {}\n", task.id.short(), status(task.status), one_line(&task.name))
}

fn attempt_table(attempts: &[Attempt], now: DateTime<Utc>, width: Option<usize>) -> String {
    const COLUMNS: [Column; 6] = [
        Column::right("TRY"),
        Column::flexible("WORKER"),
        Column::left("OUTCOME"),
        Column::right("EXIT"),
        Column::left("RESUMED FROM"),
        Column::left("TOOK"),
    ];
    let row = |attempt: &Attempt| {
        vec![
            attempt.epoch.to_string(),
            one_line(&attempt.worker_name),
            outcome(attempt.outcome),
            attempt.exit_code.map(|code| code.to_string()).unwrap_or_default(),
            attempt.resumed_from.map_or_else(String::new, |number| format!("checkpoint {number}")),
            span(attempt.ended_at.unwrap_or(now) - attempt.claimed_at),
        ]
    };
    table(&COLUMNS, &attempts.iter().map(row).collect::<Vec<_>>(), width)
}

fn outcome(outcome: Option<AttemptOutcome>) -> String {
    let Some(outcome) = outcome else { return style("under way").blue().to_string() };
    let bad = |words| style(words).red().to_string();
    match outcome {
        AttemptOutcome::Completed => style("completed").green().to_string(),
        AttemptOutcome::HandedBack => "handed back".to_owned(),
        AttemptOutcome::Cancelled => "cancelled".to_owned(),
        AttemptOutcome::AgentLimited => "agent limited".to_owned(),
        AttemptOutcome::OverBudget => bad("over budget"),
        AttemptOutcome::AgentFailed => bad("agent failed"),
        AttemptOutcome::TimedOut => bad("timed out"),
        AttemptOutcome::PreparationFailed => bad("not prepared"),
        AttemptOutcome::RepositoryUnreachable => bad("remote away"),
        AttemptOutcome::WorkerLost => bad("worker lost"),
        AttemptOutcome::WorkspaceLost => bad("workspace lost"),
    }
}

fn attempt_error(attempt: &Attempt) -> Option<String> {
    let message = one_line(attempt.error_message.as_deref()?);
    let code = attempt.error_code.as_deref().map(one_line).unwrap_or_default();
    Some(format!("  try {}: {} {message}\n", attempt.epoch, style(code).red()))
}
