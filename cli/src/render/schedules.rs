//! Schedules, and what came of their due times.

use chrono::{DateTime, Utc};
use console::style;
use makima_shared::domain::{MissedRuns, RunOutcome, ScheduleRun, ScheduleSummary, TaskId, TaskSubmission};

use super::detail::{Fields, agent, indented, section};
use super::one_line;
use super::table::{Column, table};
use super::time::{ago, ahead, at};
use crate::client::ScheduleDetail;

/// Lays out schedules.
pub(crate) fn schedule_table(
    schedules: &[ScheduleSummary],
    now: DateTime<Utc>,
    width: Option<usize>,
) -> String {
    const COLUMNS: [Column; 6] = [
        Column::left("ID"),
        Column::flexible("NAME"),
        Column::left("CRON"),
        Column::left("TIME ZONE"),
        Column::left("DUE"),
        Column::left("LAST TASK"),
    ];
    let row = |schedule: &ScheduleSummary| {
        vec![
            style(schedule.id.short()).bold().to_string(),
            one_line(&schedule.name),
            one_line(&schedule.cron),
            one_line(&schedule.time_zone),
            schedule.next_due_at.map_or_else(|| "never".to_owned(), |due| ahead(due, now)),
            schedule.last_task_id.map(TaskId::short).unwrap_or_default(),
        ]
    };
    table(&COLUMNS, &schedules.iter().map(row).collect::<Vec<_>>(), width)
}

/// Says when a schedule is due next.
pub(crate) fn next_due(schedule: &ScheduleSummary, now: DateTime<Utc>) -> String {
    schedule.next_due_at.map_or_else(|| "never again".to_owned(), |due| at(due, now))
}

/// Shows a schedule.
pub(crate) fn schedule_detail(detail: &ScheduleDetail, now: DateTime<Utc>, width: Option<usize>) -> String {
    let summary = &detail.schedule.summary;
    let mut fields = Fields::default();
    fields.add("id", summary.id.to_string());
    fields.add("cron", format!("{} in {}", one_line(&summary.cron), one_line(&summary.time_zone)));
    fields.add("due", next_due(summary, now));
    let missed = match summary.missed_runs {
        MissedRuns::Skip => "skipped",
        MissedRuns::RunOnce => "run once, all together",
    };
    fields.add("missed", missed.to_owned());
    let overlap = if summary.allow_overlap { "allowed" } else { "skipped while the task before runs" };
    fields.add("overlap", overlap.to_owned());
    fields.add("made", at(summary.created_at, now));
    let mut text = format!("{}\n{}", style(one_line(&summary.name)).bold(), fields.0);
    text.push_str(&section("Task", task(&detail.schedule.task)));
    if !detail.runs.is_empty() {
        text.push_str(&section("Runs", run_table(&detail.runs, now, width)));
    }
    text.push_str(&section("Plan", indented(&detail.schedule.task.plan)));
    text
}

fn task(task: &TaskSubmission) -> String {
    let mut fields = Fields::default();
    fields.add("name", one_line(&task.name));
    let branch = task.base_branch.as_deref().map(|branch| format!(" at {}", one_line(branch)));
    fields.add("repository", format!("{}{}", one_line(&task.repository_url), branch.unwrap_or_default()));
    fields.add("agent", agent(&task.agent));
    fields.0
}

fn run_table(runs: &[ScheduleRun], now: DateTime<Utc>, width: Option<usize>) -> String {
    const COLUMNS: [Column; 5] = [
        Column::left("DUE (UTC)"),
        Column::left("AGE"),
        Column::left("OUTCOME"),
        Column::left("TASK"),
        Column::flexible("WHY"),
    ];
    let row = |run: &ScheduleRun| {
        let until = run.missed_until.map(|until| format!("all up to {}", until.format("%Y-%m-%d %H:%M:%S")));
        vec![
            run.due_at.format("%Y-%m-%d %H:%M:%S").to_string(),
            ago(run.due_at, now),
            outcome(run.outcome),
            run.task_id.map(TaskId::short).unwrap_or_default(),
            run.message.as_deref().map(one_line).or(until).unwrap_or_default(),
        ]
    };
    table(&COLUMNS, &runs.iter().map(row).collect::<Vec<_>>(), width)
}

fn outcome(outcome: RunOutcome) -> String {
    match outcome {
        RunOutcome::Submitted => style("submitted").green().to_string(),
        RunOutcome::SkippedMissed => style("missed").yellow().to_string(),
        RunOutcome::SkippedOverlap => style("overlap").yellow().to_string(),
        RunOutcome::Refused => style("refused").red().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use makima_shared::domain::{Schedule, ScheduleId};
    use serde_json::json;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(1)
    }

    fn summary() -> ScheduleSummary {
        ScheduleSummary {
            id: ScheduleId::new(),
            name: "nightly\u{1b}[2J".to_owned(),
            cron: "30 2 * * *".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            missed_runs: MissedRuns::RunOnce,
            allow_overlap: false,
            next_due_at: Some(now() + TimeDelta::hours(3)),
            last_task_id: None,
            created_at: now(),
        }
    }

    #[test]
    fn a_schedule_is_one_line_with_its_next_due_time() {
        let over = ScheduleSummary { next_due_at: None, ..summary() };
        let text = schedule_table(&[summary(), over], now(), None);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "ID        NAME     CRON        TIME ZONE      DUE    LAST TASK");
        assert_eq!(lines[1][8..], *"  nightly  30 2 * * *  Europe/Berlin  in 3h");
        assert!(lines[2].ends_with("never"));
    }

    #[test]
    fn a_schedule_is_shown_with_its_task_and_its_runs() {
        let task = json!({"name": "tidy", "plan": "tidy\nup", "repositoryUrl": "https://h/a.git",
            "agent": {"kind": "command", "argv": ["true"]}});
        let run = |outcome, message: Option<&str>, missed_until| ScheduleRun {
            due_at: now() - TimeDelta::hours(2),
            missed_until,
            outcome,
            message: message.map(str::to_owned),
            task_id: None,
            created_at: now(),
        };
        let detail = ScheduleDetail {
            schedule: Schedule { summary: summary(), task: serde_json::from_value(task).unwrap() },
            runs: vec![
                run(RunOutcome::Refused, Some("the dependency is\ngone"), None),
                run(RunOutcome::SkippedMissed, None, Some(now())),
            ],
        };
        let text = schedule_detail(&detail, now(), None);
        for part in [
            "30 2 * * * in Europe/Berlin",
            "1970-01-02 03:00:00 UTC (in 3h)",
            "run once, all together",
            "1970-01-01 22:00:00  2h ago  refused        the dependency is gone",
            "missed         all up to 1970-01-02 00:00:00",
            "\nPlan\n  tidy\n  up\n",
        ] {
            assert!(text.contains(part), "{part} in:\n{text}");
        }
    }
}
