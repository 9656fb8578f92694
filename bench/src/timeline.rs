//! When a task moved, as its events tell.
//!
//! The times are the database's, which runs on this machine, so they and this process's wall clock are one. An event is
//! timed when its row is written, a moment before its transaction commits.

use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use makima_shared::domain::{EventKind, StatusChange, TaskEvent, TaskStatus};
use serde::Deserialize;

/// The moves of a task that went straight to `done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeline {
    pub(crate) queued: SystemTime,
    /// The claim, which makes it `starting`.
    pub(crate) claimed: SystemTime,
    /// The workspace is ready, the agent is about to be started.
    pub(crate) running: SystemTime,
    pub(crate) done: SystemTime,
}

impl Timeline {
    /// Reads a task's whole history. Fails unless it is the shortest there is: a retry would be another measurement.
    pub(crate) fn of(events: &[TaskEvent]) -> anyhow::Result<Self> {
        let mut moves = Vec::new();
        for event in events.iter().filter(|event| event.kind == EventKind::Status) {
            let change = StatusChange::deserialize(&event.data).context("a status event cannot be read")?;
            moves.push((change.to, SystemTime::from(event.created_at)));
        }
        moves.retain(|(status, _)| *status != TaskStatus::Pending);
        let story: Vec<_> = moves.iter().map(|(status, _)| status.as_str()).collect();
        let straight = story == ["queued", "starting", "running", "done"];
        ensure!(straight, "a task did not go straight:\n{}", history(events));
        Ok(Self { queued: moves[0].1, claimed: moves[1].1, running: moves[2].1, done: moves[3].1 })
    }
}

/// Returns what happened, an event a line.
pub(crate) fn history(events: &[TaskEvent]) -> String {
    let line = |event: &TaskEvent| format!("  {} {}", event.created_at, event.data);
    events.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns the time between two moments of one clock.
pub(crate) fn between(from: SystemTime, to: SystemTime) -> anyhow::Result<Duration> {
    to.duration_since(from).context("the clock was set back during the run")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn events(statuses: &[&str]) -> Vec<TaskEvent> {
        let event = |(index, status): (usize, &&str)| {
            let at = format!("2026-01-01T00:00:0{index}Z");
            let data = json!({"transition": "moved", "from": null, "to": status});
            let event =
                json!({"sequence": index + 1, "epoch": 1, "kind": "status", "data": data, "createdAt": at});
            serde_json::from_value(event).unwrap()
        };
        statuses.iter().enumerate().map(event).collect()
    }

    #[test]
    fn a_straight_life_gives_four_times() {
        let timeline = Timeline::of(&events(&["pending", "queued", "starting", "running", "done"])).unwrap();
        assert_eq!(between(timeline.queued, timeline.done).unwrap(), Duration::from_secs(3));
        assert_eq!(between(timeline.claimed, timeline.running).unwrap(), Duration::from_secs(1));
    }

    #[test]
    fn a_retry_or_a_failure_is_not_measured() {
        for story in [
            &["queued", "starting", "failed"][..],
            &["queued", "starting", "queued", "starting", "running", "done"],
        ] {
            assert!(Timeline::of(&events(story)).is_err(), "{story:?}");
        }
    }
}
