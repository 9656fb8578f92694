//! One frame of `makima top`, as a function of what is known and of the terminal's size.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use console::{measure_text_width, style, truncate_str};
use makima_shared::domain::{Overview, OwnerLoad, QueueLoad, RunningTask, Worker, WorkerId};

use super::blocks::{Block, flow};
use super::lists::worker_state;
use super::table::{Column, table};
use super::time::span;
use super::{one_line, status};

/// Names of owners and workers are cut to so many columns.
const NAME_COLUMNS: usize = 20;
/// A measurement that is older than this says so.
const STALE_AFTER: TimeDelta = TimeDelta::seconds(3);

/// How fast things go, in tasks per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    pub(crate) claimed: f64,
    pub(crate) done: f64,
    pub(crate) done_of: HashMap<WorkerId, f64>,
}

/// What a frame shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopView<'a> {
    pub(crate) url: &'a str,
    /// What the API said last; none before its first answer.
    pub(crate) overview: Option<&'a Overview>,
    pub(crate) rates: Option<&'a Rates>,
    /// Why there is no newer answer, in words.
    pub(crate) trouble: Option<&'a str>,
    /// How long ago the last answer came.
    pub(crate) age: TimeDelta,
}

/// The room for a frame; where a side is none, it has no end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    pub(crate) width: Option<usize>,
    pub(crate) height: Option<usize>,
}

impl Size {
    /// Returns how many rows each of the smaller tables may have.
    fn rows(self) -> usize {
        self.height.map_or(usize::MAX, |height| (height.saturating_sub(8) / 4).clamp(2, 12))
    }
}

/// Draws a frame, line by line. No line is wider than the room, and there are no more of them than it has.
pub(crate) fn top_frame(view: &TopView<'_>, size: Size) -> Vec<String> {
    let mut lines = vec![format!("{}  {}", style("makima top").bold(), one_line(view.url))];
    if let Some(overview) = view.overview {
        lines.extend(totals(overview, view.rates));
    }
    if let Some(trouble) = view.trouble {
        let age = view.overview.map(|_old| format!("this is {} old: ", span(view.age)));
        let words = format!("{}{}", age.unwrap_or_default(), one_line(trouble));
        lines.push(style(words).red().to_string());
    }
    if let Some(overview) = view.overview {
        lines.push(String::new());
        let rows = size.rows();
        let blocks =
            vec![queue(&overview.queue, rows), owners(overview, rows), workers(overview, view.rates, rows)];
        lines.extend(flow(blocks, size.width));
        lines.push(String::new());
        let left = size.height.map_or(usize::MAX, |height| height.saturating_sub(lines.len() + 2));
        lines.extend(running(&overview.running_tasks, overview.at, size.width, left));
    }
    if let Some(height) = size.height {
        lines.truncate(height);
    }
    let fitting = |line: String| match size.width {
        Some(width) => truncate_str(&line, width, "…").into_owned(),
        None => line,
    };
    lines.into_iter().map(fitting).collect()
}

fn totals(overview: &Overview, rates: Option<&Rates>) -> [String; 2] {
    let depth: i64 = overview.queue.iter().map(|queue| queue.depth).sum();
    let oldest = overview.queue.iter().map(|queue| queue.oldest_age_secs).fold(0.0, f64::max);
    let fleet = overview.fleet;
    let mut parts = vec![format!("{} queued", grouped(depth))];
    if depth > 0 {
        parts.push(format!("oldest {}", seconds(oldest)));
    }
    parts.push(format!("{} of {} slots busy", grouped(fleet.slots_busy), grouped(fleet.slots)));
    if let Some(Rates { claimed, done, .. }) = rates {
        parts.push(format!("{claimed:.1} claimed/s  {done:.1} done/s"));
    }
    let age = overview.at - overview.measured_at;
    if age > STALE_AFTER {
        parts.push(style(format!("measured {} ago", span(age))).dim().to_string());
    }
    let recent = overview.recent;
    let ends = format!(
        "your newest {} tasks: {} done  {} failed  {} cancelled",
        grouped(recent.looked_at),
        grouped(recent.done),
        grouped(recent.failed),
        grouped(recent.cancelled)
    );
    [parts.join("  "), ends]
}

fn queue(queue: &[QueueLoad], most: usize) -> Block {
    const COLUMNS: [Column; 3] =
        [Column::right("PRIORITY"), Column::right("QUEUED"), Column::right("OLDEST")];
    let row = |load: &QueueLoad| {
        vec![load.priority.to_string(), grouped(load.depth), seconds(load.oldest_age_secs)]
    };
    let more = queue.len().saturating_sub(most);
    block(&COLUMNS, queue.iter().take(most).map(row).collect(), more)
}

fn owners(overview: &Overview, most: usize) -> Block {
    const COLUMNS: [Column; 4] =
        [Column::left("OWNER"), Column::right("PENDING"), Column::right("QUEUED"), Column::right("RUNNING")];
    let row = |owner: &OwnerLoad| {
        vec![
            name(&owner.name),
            grouped(owner.pending),
            grouped(owner.queued),
            grouped(owner.starting + owner.running),
        ]
    };
    let listed = overview.owners.len().min(most);
    let all = overview.active_owners.and_then(|count| usize::try_from(count).ok()).unwrap_or(listed);
    block(&COLUMNS, overview.owners.iter().take(most).map(row).collect(), all.saturating_sub(listed))
}

fn workers(overview: &Overview, rates: Option<&Rates>, most: usize) -> Block {
    const COLUMNS: [Column; 6] = [
        Column::left("WORKER"),
        Column::left("STATE"),
        Column::right("BUSY"),
        Column::right("DONE"),
        Column::right("DONE/S"),
        Column::left("LEASE"),
    ];
    if overview.workers.is_empty() {
        return vec!["no workers: `makima worker` starts one".to_owned()];
    }
    let row = |worker: &Worker| {
        let left = worker.lease_expires_at - overview.measured_at;
        let rate = rates.and_then(|rates| rates.done_of.get(&worker.id));
        vec![
            name(&worker.name),
            worker_state(worker),
            format!("{}/{}", worker.busy_slots, worker.slots),
            grouped(worker.done_count),
            rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}")),
            if worker.alive { span(left) } else { "over".to_owned() },
        ]
    };
    let more = overview.workers.len().saturating_sub(most);
    block(&COLUMNS, overview.workers.iter().take(most).map(row).collect(), more)
}

fn running(tasks: &[RunningTask], at: DateTime<Utc>, width: Option<usize>, most: usize) -> Block {
    const COLUMNS: [Column; 7] = [
        Column::left("ID"),
        Column::flexible("TASK"),
        Column::left("STATUS"),
        Column::left("WORKER"),
        Column::right("TRY"),
        Column::right("FOR"),
        Column::right("LAST EVENT"),
    ];
    if tasks.is_empty() {
        return vec![style("no task of yours runs").dim().to_string()];
    }
    let row = |task: &RunningTask| {
        vec![
            style(task.short_id.chars().take(8).collect::<String>()).bold().to_string(),
            one_line(&task.name),
            status(task.status).to_string(),
            name(&task.worker_name),
            task.epoch.to_string(),
            span(at - task.since),
            format!("{} ago", seconds(task.last_event_age_secs)),
        ]
    };
    let rows: Vec<_> = tasks.iter().take(most).map(row).collect();
    let mut lines: Block = table(&COLUMNS, &rows, width).lines().map(str::to_owned).collect();
    lines.extend(and_more(tasks.len() - rows.len()));
    lines
}

fn block(columns: &[Column], rows: Vec<Vec<String>>, more: usize) -> Block {
    let mut lines: Block = table(columns, &rows, None).lines().map(str::to_owned).collect();
    lines.extend(and_more(more));
    lines
}

fn and_more(count: usize) -> Option<String> {
    (count > 0).then(|| style(format!("and {count} more")).dim().to_string())
}

/// Returns the name of an owner or a worker, harmless and not too long.
fn name(text: &str) -> String {
    let name = one_line(text);
    if measure_text_width(&name) <= NAME_COLUMNS {
        return name;
    }
    truncate_str(&name, NAME_COLUMNS, "…").into_owned()
}

fn seconds(secs: f64) -> String {
    span(TimeDelta::milliseconds((secs * 1000.0) as i64))
}

/// Returns a number with its thousands apart: `1,234,567`.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
