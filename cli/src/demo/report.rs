//! What is printed when all is over: the tasks, what was lost, the results.

use console::style;
use makima_shared::domain::{Attempt, AttemptOutcome};

use super::board::count;
use super::findings::{Findings, Told};
use super::git::Git;
use super::graph::Part;
use super::kill::Kill;
use super::view::{View, seconds};
use crate::render;

/// Prints all of it.
pub(crate) async fn print(view: &View, findings: &Findings, kill: Option<&Kill>, origin: &Git) {
    heading(view, "The tasks");
    for part in Part::ALL {
        task(view, findings, findings.tasks.of(part));
    }
    heading(view, "What was lost");
    view.line(&loss(findings, kill));
    heading(view, "The results in origin.git");
    for part in Part::ALL {
        view.line(&result(findings.tasks.of(part), origin).await);
    }
}

fn heading(view: &View, title: &str) {
    view.line(&format!("\n{}", style(title).bold()));
}

fn task(view: &View, findings: &Findings, told: &Told) {
    let task = &told.detail.task;
    let took = task.finished_at.map(|end| seconds(end - task.created_at)).unwrap_or_default();
    view.line(&format!(
        "  {:<9}  {}  {}, ended {took} after its submission",
        task.name,
        render::status(task.status),
        count(i64::try_from(told.checkpoints.len()).unwrap_or(i64::MAX), "checkpoint"),
    ));
    for attempt in &told.detail.attempts {
        view.line(&format!("             {}", self::attempt(findings, told, attempt)));
    }
}

fn attempt(findings: &Findings, told: &Told, attempt: &Attempt) -> String {
    let outcome = match attempt.outcome {
        Some(AttemptOutcome::Completed) => style("completed".to_owned()).green(),
        Some(other) => style(outcome_word(other).to_owned()).red(),
        None => style("open".to_owned()),
    };
    let took = attempt.ended_at.map(|end| seconds(end - attempt.claimed_at)).unwrap_or_default();
    let resumed = attempt.resumed_from.map(|number| format!(", resumed from checkpoint {number}"));
    let numbers: Vec<i32> = told.checkpoints_of(attempt).map(|checkpoint| checkpoint.number).collect();
    let saved = match (numbers.first(), numbers.last()) {
        (Some(first), Some(last)) if first != last => format!(", checkpoints {first} to {last}"),
        (Some(only), _) => format!(", checkpoint {only}"),
        (None, _) => String::new(),
    };
    let worker = findings.worker_of(attempt);
    let resumed = resumed.unwrap_or_default();
    format!("attempt {} on {worker}: {outcome} after {took}{resumed}{saved}", attempt.epoch)
}

/// Returns the word that the API has for an outcome.
pub(crate) fn outcome_word(outcome: AttemptOutcome) -> &'static str {
    outcome.as_str()
}

fn loss(findings: &Findings, kill: Option<&Kill>) -> String {
    let (Some(kill), Some(loss)) = (kill, findings.loss) else {
        return "  nothing is known of it: no worker was killed, or backend did not resume".to_owned();
    };
    let late = loss.written.saturating_sub(kill.lines);
    let late = match late {
        0 => String::new(),
        1 => " (1 of them as the worker died)".to_owned(),
        more => format!(" ({more} of them as the worker died)"),
    };
    format!(
        "  {}, {} to {}, written in the {} between checkpoint {} and the kill{late}; written again by attempt 2",
        count(i64::try_from(loss.lines()).unwrap_or(i64::MAX), "line"),
        loss.kept + 1,
        loss.written,
        seconds(loss.span),
        loss.checkpoint,
    )
}

async fn result(told: &Told, origin: &Git) -> String {
    let task = &told.detail.task;
    let (Some(branch), Some(commit), Some(base)) =
        (&task.result_branch, &task.result_commit, &task.base_commit)
    else {
        let why = task.completion_error.as_deref().unwrap_or("it has none");
        return format!("  {:<9}  no result: {}", task.name, render::one_line(why));
    };
    let stat = origin.text(&["diff", "--shortstat", base, commit]).await;
    let stat = stat.unwrap_or_else(|error| error.to_string());
    let short: String = commit.chars().take(10).collect();
    format!("  {:<9}  {}  {}  {}", task.name, style(short).yellow(), style(branch).green(), stat.trim())
}
