//! Why a task does not run now.

use chrono::{DateTime, Utc};

use crate::domain::{OwnerId, Task, TaskStatus, Transition};
use crate::store::{Store, StoreError};

/// What there is to know about a task that waits.
#[derive(Clone, Debug)]
pub struct WaitingFacts {
    /// How many tasks it waits for.
    pub undone: i64,
    /// One of them, by its name.
    pub undone_name: Option<String>,
    /// How many workers take tasks.
    pub live_workers: i64,
    /// How many of those offer what the task asks for.
    pub able_workers: i64,
    /// What the task asks for, with spaces between.
    pub labels: String,
    /// Only its owner's limits keep it.
    pub wants_slot: bool,
    /// How many of the able ones are in quarantine.
    pub quarantined_workers: i64,
    /// How many are not, and are excluded by the task.
    pub excluded_workers: i64,
    /// How many of them are not, and are not excluded by the task either.
    pub eligible_workers: i64,
    /// How many slots of eligible workers hold nothing.
    pub free_slots: i64,
    /// How many tasks of its owner stand before it.
    pub ahead: i64,
}

impl Store {
    /// Says in words why a task does not run now; `None` if it runs or has ended.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn task_waiting_for(&self, owner: OwnerId, task: &Task) -> Result<Option<String>, StoreError> {
        if !matches!(task.status, TaskStatus::Pending | TaskStatus::Queued) {
            return Ok(waiting_in_hand(task));
        }
        let facts = sqlx::query_as!(
            WaitingFacts,
            r#"
            WITH task AS (SELECT * FROM tasks WHERE owner_id = $1 AND id = $2),
            undone AS (
                SELECT p.id, p.name FROM task_dependencies d JOIN tasks p ON p.id = d.depends_on_task_id
                WHERE d.task_id = (SELECT id FROM task) AND p.status NOT IN ('done', 'merged')
            ), live AS (
                SELECT w.id, w.slots - (SELECT count(*) FROM tasks h WHERE h.worker_id = w.id) AS free,
                       task.labels <@ w.labels AS able,
                       task.labels <@ w.labels AND coalesce(w.quarantined_until > now(), false) AS quarantined,
                       task.labels <@ w.labels AND w.id = ANY(task.excluded_worker_ids) AS excluded,
                       task.labels <@ w.labels AND w.id <> ALL(task.excluded_worker_ids)
                           AND coalesce(w.quarantined_until <= now(), true) AS eligible
                FROM workers w, task WHERE w.ended_at IS NULL AND NOT w.draining AND w.lease_expires_at > now()
            )
            SELECT (SELECT count(*) FROM undone) AS "undone!",
                   (SELECT name FROM undone ORDER BY id LIMIT 1) AS undone_name,
                   (SELECT count(*) FROM live) AS "live_workers!",
                   (SELECT count(*) FROM live WHERE able) AS "able_workers!",
                   (SELECT array_to_string(labels, ' ') FROM task) AS "labels!",
                   (SELECT slot = 'waiting' FROM task) AS "wants_slot!",
                   (SELECT count(*) FROM live WHERE quarantined) AS "quarantined_workers!",
                   (SELECT count(*) FROM live WHERE excluded AND NOT quarantined) AS "excluded_workers!",
                   (SELECT count(*) FROM live WHERE eligible) AS "eligible_workers!",
                   (SELECT coalesce(sum(free), 0)::bigint FROM live WHERE eligible) AS "free_slots!",
                   (SELECT count(*) FROM (
                        SELECT FROM tasks q, task WHERE q.status = 'queued' AND q.owner_id = task.owner_id
                        AND (q.priority, task.queued_at) > (task.priority, q.queued_at) LIMIT 1000) AS before
                   ) AS "ahead!"
            "#,
            owner.uuid(),
            task.id.uuid(),
        )
        .fetch_one(&self.pool)
        .await?;
        let words = facts.words(task.status, task.not_before);
        let is_resting = task.status == TaskStatus::Pending && facts.undone == 0 && !facts.wants_slot;
        Ok(Some(limit_words(task).filter(|_| is_resting).unwrap_or(words)))
    }
}

/// Says what a task waits for whose agent met a limit.
fn limit_words(task: &Task) -> Option<String> {
    let until = task.not_before?;
    let what = match task.status_code.as_deref()? {
        "AGENT_USAGE_LIMIT" => "its agent's usage limit to end",
        "AGENT_RATE_LIMITED" => "its agent's rate limit to end",
        "AGENT_OVERLOADED" => "room at its agent's vendor",
        "AGENT_LOGIN_EXPIRED" => "a login of its agent's that is good",
        _ => return None,
    };
    Some(format!("{what}: tried again at {}", until.format("%Y-%m-%d %H:%M:%S UTC")))
}

fn waiting_in_hand(task: &Task) -> Option<String> {
    match task.status {
        TaskStatus::Interrupted if task.status_code.as_deref() == Some(Transition::OVER_BUDGET) => {
            Some("somebody to raise what it may spend and start it".to_owned())
        }
        TaskStatus::Starting => Some("its workspace, which is being prepared".to_owned()),
        TaskStatus::Paused => Some("somebody to resume it".to_owned()),
        TaskStatus::Interrupted => Some("somebody to decide".to_owned()),
        TaskStatus::Pending
        | TaskStatus::Queued
        | TaskStatus::Running
        | TaskStatus::Done
        | TaskStatus::Merged
        | TaskStatus::Failed
        | TaskStatus::Cancelled => None,
    }
}

impl WaitingFacts {
    fn words(&self, status: TaskStatus, not_before: Option<DateTime<Utc>>) -> String {
        if status == TaskStatus::Pending {
            return match (&self.undone_name, not_before) {
                (Some(name), _) if self.undone == 1 => format!("the task \"{name}\" to be done"),
                (Some(name), _) => format!("{} tasks to be done, \"{name}\" among them", self.undone),
                (None, _) if self.wants_slot => {
                    "one of its owner's running tasks to end: a limit is reached".to_owned()
                }
                (None, Some(time)) => format!("its time: {}", time.format("%Y-%m-%d %H:%M:%S UTC")),
                (None, None) => "the scheduler, which is about to release it".to_owned(),
            };
        }
        if self.live_workers == 0 {
            "a worker: none is alive".to_owned()
        } else if self.able_workers == 0 {
            format!("a worker that offers {}: none does", self.labels)
        } else if self.able_workers == self.quarantined_workers {
            "a worker: every one that may take it is in quarantine".to_owned()
        } else if self.eligible_workers == 0 {
            "a worker other than those that failed it; the least bad of them takes it if none comes"
                .to_owned()
        } else if self.free_slots <= 0 && self.excluded_workers > 0 {
            format!("a free slot of a worker that has not failed it{}", place(self.ahead))
        } else if self.free_slots <= 0 {
            format!("a free slot{}", place(self.ahead))
        } else {
            "a worker to claim it".to_owned()
        }
    }
}

/// Names a place in the line. The count stops at 1,000.
fn place(ahead: i64) -> String {
    match ahead {
        ..=0 => ", as the next in line".to_owned(),
        1 => ", behind 1 other task".to_owned(),
        2..1000 => format!(", behind {ahead} other tasks"),
        1000.. => ", behind 1,000 other tasks or more".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> WaitingFacts {
        WaitingFacts {
            undone: 0,
            undone_name: None,
            live_workers: 1,
            able_workers: 1,
            labels: "gpu".to_owned(),
            wants_slot: false,
            quarantined_workers: 0,
            excluded_workers: 0,
            eligible_workers: 1,
            free_slots: 0,
            ahead: 4,
        }
    }

    #[test]
    fn the_nearest_obstacle_is_named() {
        let queued = |facts: WaitingFacts| facts.words(TaskStatus::Queued, None);
        assert_eq!(queued(facts()), "a free slot, behind 4 other tasks");
        assert_eq!(queued(WaitingFacts { live_workers: 0, ..facts() }), "a worker: none is alive");
        let quarantined = WaitingFacts { quarantined_workers: 1, eligible_workers: 0, ..facts() };
        assert_eq!(queued(quarantined), "a worker: every one that may take it is in quarantine");
        assert_eq!(
            queued(WaitingFacts { able_workers: 0, ..facts() }),
            "a worker that offers gpu: none does"
        );
        let limited = WaitingFacts { wants_slot: true, ..facts() };
        assert_eq!(
            limited.words(TaskStatus::Pending, None),
            "one of its owner's running tasks to end: a limit is reached"
        );
        assert_eq!(
            queued(WaitingFacts { eligible_workers: 0, ..facts() }),
            "a worker other than those that failed it; the least bad of them takes it if none comes"
        );
        let preferred = queued(WaitingFacts { excluded_workers: 1, ahead: 0, ..facts() });
        assert_eq!(preferred, "a free slot of a worker that has not failed it, as the next in line");
        let blocked = WaitingFacts { undone: 2, undone_name: Some("build".to_owned()), ..facts() };
        assert_eq!(blocked.words(TaskStatus::Pending, None), "2 tasks to be done, \"build\" among them");
    }
}
