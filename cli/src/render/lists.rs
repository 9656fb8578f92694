//! Lists of tasks, workers and checkpoints.

use chrono::{DateTime, Utc};
use console::style;
use makima_shared::domain::{Checkpoint, CheckpointTrigger, SecretSummary, TaskSummary, Worker};

use super::table::{Column, table};
use super::time::{ago, span};
use super::{one_line, status};

/// Lays out tasks.
pub(crate) fn task_table(tasks: &[TaskSummary], now: DateTime<Utc>, width: Option<usize>) -> String {
    const COLUMNS: [Column; 6] = [
        Column::left("ID"),
        Column::left("STATUS"),
        Column::flexible("NAME"),
        Column::right("TRIES"),
        Column::left("SUBMITTED"),
        Column::left("WHY"),
    ];
    let row = |task: &TaskSummary| {
        vec![
            style(task.id.short()).bold().to_string(),
            status(task.status).to_string(),
            one_line(&task.name),
            task.epoch.to_string(),
            ago(task.created_at, now),
            one_line(task.status_code.as_deref().unwrap_or_default()),
        ]
    };
    table(&COLUMNS, &tasks.iter().map(row).collect::<Vec<_>>(), width)
}

/// Lays out secrets.
pub(crate) fn secret_table(secrets: &[SecretSummary], now: DateTime<Utc>, width: Option<usize>) -> String {
    const COLUMNS: [Column; 3] = [Column::flexible("NAME"), Column::left("MADE"), Column::left("SET")];
    let row = |secret: &SecretSummary| {
        vec![one_line(&secret.name), ago(secret.created_at, now), ago(secret.updated_at, now)]
    };
    table(&COLUMNS, &secrets.iter().map(row).collect::<Vec<_>>(), width)
}

/// Lays out workers.
pub(crate) fn worker_table(workers: &[Worker], now: DateTime<Utc>, width: Option<usize>) -> String {
    const COLUMNS: [Column; 6] = [
        Column::flexible("NAME"),
        Column::left("STATE"),
        Column::right("BUSY"),
        Column::left("HOST"),
        Column::left("LEASE"),
        Column::left("SINCE"),
    ];
    let row = |worker: &Worker| {
        let left = worker.lease_expires_at - now;
        vec![
            style(one_line(&worker.name)).bold().to_string(),
            worker_state(worker),
            format!("{}/{}", worker.busy_slots, worker.slots),
            format!("{} ({})", one_line(&worker.host), worker.pid),
            if worker.alive { format!("{} left", span(left)) } else { "over".to_owned() },
            ago(worker.registered_at, now),
        ]
    };
    let mut text = table(&COLUMNS, &workers.iter().map(row).collect::<Vec<_>>(), width);
    text.extend(workers.iter().filter_map(|worker| quarantine(worker, now)));
    text
}

/// Says for how long and why a worker gets no tasks.
fn quarantine(worker: &Worker, now: DateTime<Utc>) -> Option<String> {
    let left = span(worker.quarantined_until? - now);
    let why = one_line(worker.quarantine_reason.as_deref().unwrap_or_default());
    Some(format!("  {} gets no tasks for {left}: {why}\n", one_line(&worker.name)))
}

pub(super) fn worker_state(worker: &Worker) -> String {
    if !worker.alive {
        style("lost").red().to_string()
    } else if worker.draining {
        style("draining").yellow().to_string()
    } else if worker.quarantined_until.is_some() {
        style("quarantined").yellow().to_string()
    } else {
        style("alive").green().to_string()
    }
}

/// Lays out checkpoints.
pub(crate) fn checkpoint_table(
    checkpoints: &[Checkpoint],
    now: DateTime<Utc>,
    width: Option<usize>,
) -> String {
    const COLUMNS: [Column; 9] = [
        Column::right("NO"),
        Column::right("TRY"),
        Column::left("BECAUSE"),
        Column::right("FILES"),
        Column::left("LINES"),
        Column::right("STORED"),
        Column::left("TREE"),
        Column::left("TAKEN"),
        Column::flexible("MESSAGE"),
    ];
    let row = |checkpoint: &Checkpoint| {
        vec![
            checkpoint.number.to_string(),
            checkpoint.epoch.to_string(),
            trigger(checkpoint.trigger).to_owned(),
            checkpoint.files_changed.to_string(),
            lines_changed(checkpoint),
            checkpoint.patch_bytes.map_or_else(|| "expired".to_owned(), bytes),
            one_line(&checkpoint.tree_id).chars().take(10).collect(),
            ago(checkpoint.created_at, now),
            checkpoint.message.as_deref().map(one_line).unwrap_or_default(),
        ]
    };
    table(&COLUMNS, &checkpoints.iter().map(row).collect::<Vec<_>>(), width)
}

/// Returns what a checkpoint changes against its base: `+12 -3`.
pub(super) fn lines_changed(checkpoint: &Checkpoint) -> String {
    let (added, removed) = (format!("+{}", checkpoint.lines_added), format!("-{}", checkpoint.lines_removed));
    format!("{} {}", style(added).green(), style(removed).red())
}

fn trigger(trigger: CheckpointTrigger) -> &'static str {
    match trigger {
        CheckpointTrigger::Interval => "interval",
        CheckpointTrigger::Quiet => "quiet",
        CheckpointTrigger::Asked => "asked",
        CheckpointTrigger::AgentEnded => "agent ended",
        CheckpointTrigger::Drain => "drain",
    }
}

fn bytes(count: i64) -> String {
    match count {
        ..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{} KiB", count / 1024),
        _ => format!("{}.{} MiB", count / 1_048_576, count % 1_048_576 * 10 / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use makima_shared::domain::{Epoch, TaskId, TaskStatus, WorkerId};

    use super::*;

    #[test]
    fn a_task_is_one_line_whatever_its_name() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let id = TaskId::new();
        let task = TaskSummary {
            id,
            parent_task_id: None,
            name: "tidy\u{1b}[2J\u{202e} up".to_owned(),
            status: TaskStatus::Failed,
            status_code: Some("AGENT_FAILED".to_owned()),
            priority: 50,
            epoch: Epoch::from(4),
            worker_id: None,
            created_at: now - TimeDelta::minutes(5),
            finished_at: None,
        };
        let text = task_table(&[task], now, None);
        let expected = format!(
            "ID        STATUS  NAME     TRIES  SUBMITTED  WHY\n{}  failed  tidy up      4  5m ago     AGENT_FAILED\n",
            id.short()
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_worker_shows_its_state_and_how_long_its_lease_holds() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let worker = Worker {
            id: WorkerId::new(),
            name: "worker-1".to_owned(),
            host: "box".to_owned(),
            pid: 7,
            version: "0.1.0".to_owned(),
            slots: 2,
            busy_slots: 1,
            labels: Vec::new(),
            registered_at: now - TimeDelta::hours(2),
            lease_expires_at: now + TimeDelta::seconds(8),
            draining: false,
            quarantined_until: None,
            quarantine_reason: None,
            alive: true,
            claimed_count: 0,
            done_count: 0,
        };
        let lost = Worker { alive: false, ..worker.clone() };
        let quarantined = Worker {
            quarantined_until: Some(now + TimeDelta::minutes(9)),
            quarantine_reason: Some("3 tasks failed here".to_owned()),
            ..worker.clone()
        };
        let text = worker_table(std::slice::from_ref(&quarantined), now, None);
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(lines[0], "worker-1  quarantined   1/2  box (7)  8.0s left  2h ago");
        assert_eq!(lines[1], "  worker-1 gets no tasks for 9m 00s: 3 tasks failed here");
        let text = worker_table(&[worker, lost], now, None);
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(lines[0], "worker-1  alive   1/2  box (7)  8.0s left  2h ago");
        assert_eq!(lines[1], "worker-1  lost    1/2  box (7)  over       2h ago");
    }

    #[test]
    fn sizes_are_rounded_down() {
        assert_eq!([bytes(1023), bytes(2047), bytes(1_572_864)], ["1023 B", "1 KiB", "1.5 MiB"]);
    }
}
