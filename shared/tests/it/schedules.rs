//! Cron schedules: each due time is dealt with once, in time or late, and leaves one entry.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use makima_shared::domain::{
    NewSchedule, OwnerId, RunOutcome, ScheduleId, ScheduleRun, ScheduleSubmission, SubmissionPolicy, TaskId,
    TaskStatus, Transition,
};
use makima_shared::store::{FiredRun, Store, StoreError, SubmitError};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, HOUR, wide};

/// A schedule that is due each minute, with changes; those of `task` change its task.
fn new_schedule(changes: &Value) -> NewSchedule {
    let mut body = json!({
        "name": "minutely", "cron": "* * * * *",
        "task": {
            "name": "tidy up", "plan": "tidy up", "repositoryUrl": "https://host/a.git",
            "agent": {"kind": "command", "argv": ["true"]},
        },
    });
    for (key, value) in changes.as_object().unwrap() {
        match value.as_object() {
            Some(of_task) => {
                of_task.iter().for_each(|(key, value)| body["task"][key] = value.clone());
            }
            None => body[key] = value.clone(),
        }
    }
    let submission: ScheduleSubmission = serde_json::from_value(body).unwrap();
    submission.check(&SubmissionPolicy { allow_local_repositories: false }).unwrap()
}

struct Schedules {
    f: Fixture,
}

impl Schedules {
    async fn new(pool: PgPool) -> Self {
        Self { f: Fixture::new(pool).await }
    }

    async fn create(&self, changes: Value) -> ScheduleId {
        self.f.store.schedule_create(self.f.owner, &new_schedule(&changes)).await.unwrap().summary.id
    }

    /// Moves the due time of a schedule to some seconds ago, and returns it.
    async fn make_due(&self, schedule: ScheduleId, seconds_ago: i32) -> DateTime<Utc> {
        let make = sqlx::query_scalar(
            "UPDATE schedules SET next_due_at = date_trunc('second', now()) - make_interval(secs => $2)
             WHERE id = $1 RETURNING next_due_at",
        );
        make.bind(schedule).bind(f64::from(seconds_ago)).fetch_one(&self.f.pool).await.unwrap()
    }

    async fn next_due(&self, schedule: ScheduleId) -> Option<DateTime<Utc>> {
        let stored = self.f.store.schedule_get(self.f.owner, schedule).await.unwrap();
        stored.unwrap().summary.next_due_at
    }

    /// Fires a schedule that became due some seconds ago.
    async fn fire(&self, schedule: ScheduleId, seconds_ago: i32) -> FiredRun {
        let due_at = self.make_due(schedule, seconds_ago).await;
        self.f.store.schedule_fire(schedule, due_at).await.unwrap().expect("nobody else fires it")
    }

    async fn runs(&self, schedule: ScheduleId) -> Vec<ScheduleRun> {
        self.f.store.schedule_runs(self.f.owner, schedule, 1000).await.unwrap()
    }

    async fn tasks(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM tasks").fetch_one(&self.f.pool).await.unwrap()
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_new_schedule_is_due_at_its_next_time_and_has_submitted_nothing(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let before: DateTime<Utc> = sqlx::query_scalar("SELECT now()").fetch_one(&s.f.pool).await.unwrap();
    let id = s.create(json!({"cron": "* * * * * *"})).await;
    let due = s.next_due(id).await.unwrap();
    assert!(due > before && due <= before + TimeDelta::seconds(60), "{due} after {before}");
    assert_eq!((s.tasks().await, s.runs(id).await), (0, vec![]));
    let daily = s.create(json!({"cron": "@daily", "timeZone": "Asia/Kathmandu"})).await;
    assert_eq!(s.next_due(daily).await.unwrap().format("%H:%M:%S").to_string(), "18:15:00");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_schedule_whose_task_could_not_be_submitted_now_is_refused(pool: PgPool) {
    let s = Schedules::new(pool.clone()).await;
    let foreign = Fixture::new(pool).await.submit(json!({})).await;
    for stranger in [TaskId::new(), foreign] {
        let body = new_schedule(&json!({"task": {"dependsOn": [stranger]}}));
        let refused = s.f.store.schedule_create(s.f.owner, &body).await;
        assert!(matches!(refused, Err(SubmitError::DependencyNotFound(id)) if id == stranger));
        let body = new_schedule(&json!({"task": {"parentTaskId": stranger}}));
        let refused = s.f.store.schedule_create(s.f.owner, &body).await;
        assert!(matches!(refused, Err(SubmitError::ParentNotFound(id)) if id == stranger));
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM schedules").fetch_one(&s.f.pool).await.unwrap();
    assert_eq!(count, 0);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_due_time_submits_the_task_and_moves_the_schedule_on(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let id = s.create(json!({"task": {"priority": 80, "env": {"A": "1"}}})).await;
    let due_at = s.make_due(id, 5).await;
    let due = s.f.store.schedules_due(HOUR, 10).await.unwrap();
    assert_eq!((due.len(), due[0].id, due[0].due_at, due[0].wait.is_zero()), (1, id, due_at, true));
    let run = s.f.store.schedule_fire(id, due_at).await.unwrap().unwrap();
    assert_eq!(run.outcome, RunOutcome::Submitted);
    assert!((5000..60_000).contains(&run.late_ms), "{}", run.late_ms);
    let ready = run.ready.unwrap();
    assert_eq!((Some(ready.id), ready.priority), (run.task_id, 80));
    let task = s.f.task(ready.id).await;
    assert_eq!((task.status, task.env["A"].as_str()), (TaskStatus::Queued, "1"));
    s.f.assert_history_gives_status(task.id).await;
    let runs = s.runs(id).await;
    assert_eq!((runs.len(), runs[0].due_at, runs[0].task_id), (1, due_at, Some(task.id)));
    assert_eq!((runs[0].outcome, runs[0].missed_until), (RunOutcome::Submitted, None));
    let next = s.next_due(id).await.unwrap();
    assert!(next > due_at && next <= due_at + TimeDelta::seconds(60), "{next} after {due_at}");
    let stored = s.f.store.schedule_get(s.f.owner, id).await.unwrap().unwrap();
    assert_eq!(stored.summary.last_task_id, Some(task.id));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_of_a_schedule_waits_for_its_dependencies(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let parent = s.f.submit(json!({})).await;
    let id = s.create(json!({"task": {"dependsOn": [parent]}})).await;
    let run = s.fire(id, 0).await;
    assert!(run.ready.is_none());
    assert_eq!(s.f.status(run.task_id.unwrap()).await, TaskStatus::Pending);
}

#[sqlx::test(migrations = "../migrations")]
async fn no_due_time_is_dealt_with_before_it_has_come(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let id = s.create(json!({})).await;
    let due_at = s.make_due(id, -30).await;
    assert!(s.f.store.schedule_fire(id, due_at).await.unwrap().is_none());
    assert_eq!(s.tasks().await, 0);
    let due = s.f.store.schedules_due(HOUR, 10).await.unwrap();
    assert!((1..=30).contains(&due[0].wait.as_secs()), "{due:?}");
    assert!(s.f.store.schedules_due(std::time::Duration::from_secs(1), 10).await.unwrap().is_empty());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_due_time_that_many_fire_at_once_submits_one_task(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let id = s.create(json!({})).await;
    let wide = wide(&s.f.pool);
    for round in 1..=10 {
        let due_at = s.make_due(id, 30 - round).await;
        let mut firing = JoinSet::new();
        for _ in 0..12 {
            let store = Store::from_pool(wide.clone());
            firing.spawn(async move { store.schedule_fire(id, due_at).await.unwrap() });
        }
        let fired: Vec<_> = firing.join_all().await.into_iter().flatten().collect();
        assert_eq!((fired.len(), s.tasks().await), (1, i64::from(round)));
    }
    assert_eq!(s.runs(id).await.len(), 10);
    wide.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_due_time_that_has_its_run_already_submits_nothing_again(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let id = s.create(json!({})).await;
    s.fire(id, 30).await;
    let again = s.runs(id).await[0].due_at;
    let turn_back = sqlx::query("UPDATE schedules SET next_due_at = $2 WHERE id = $1");
    turn_back.bind(id).bind(again).execute(&s.f.pool).await.unwrap();
    assert!(s.f.store.schedule_fire(id, again).await.unwrap().is_none());
    assert_eq!((s.tasks().await, s.runs(id).await.len()), (1, 1));
    assert!(s.next_due(id).await.unwrap() > again);
}

/// The connection dies between the task's row and the commit.
#[sqlx::test(migrations = "../migrations")]
async fn a_crash_before_the_commit_leaves_nothing_and_the_next_try_makes_up_for_it(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let id = s.create(json!({})).await;
    let due_at = s.make_due(id, 10).await;
    let crash = "CREATE SEQUENCE crashes;
        CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('crashes') <= 3 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER crash BEFORE UPDATE ON schedules FOR EACH ROW EXECUTE FUNCTION crash();";
    sqlx::raw_sql(crash).execute(&s.f.pool).await.unwrap();
    for _ in 0..3 {
        let fired = s.f.store.schedule_fire(id, due_at).await;
        assert!(matches!(fired, Err(StoreError::Unavailable(_))), "{fired:?}");
        assert_eq!((s.tasks().await, s.runs(id).await, s.next_due(id).await), (0, vec![], Some(due_at)));
    }
    assert!(s.f.store.schedule_fire(id, due_at).await.unwrap().is_some());
    assert!(s.f.store.schedule_fire(id, due_at).await.unwrap().is_none());
    assert_eq!((s.tasks().await, s.runs(id).await.len()), (1, 1));
}

#[sqlx::test(migrations = "../migrations")]
async fn missed_due_times_are_skipped_in_one_entry(pool: PgPool) {
    let s = Schedules::new(pool).await;
    // Half a minute from each end of the time in which a due time that has come is not missed.
    let second = (Utc::now().second() + 30) % 60;
    let id = s.create(json!({"cron": format!("{second} * * * * *")})).await;
    let run = s.fire(id, 7 * 86_400).await;
    assert_eq!((run.outcome, s.tasks().await), (RunOutcome::SkippedMissed, 0));
    let runs = s.runs(id).await;
    assert_eq!((runs.len(), runs[0].outcome, runs[0].task_id), (1, RunOutcome::SkippedMissed, None));
    let until = runs[0].missed_until.unwrap();
    let next = s.next_due(id).await.unwrap();
    assert!(next > until && next <= until + TimeDelta::minutes(1), "{next} after {until}");
    assert!(s.f.store.schedule_fire(id, next).await.unwrap().unwrap().task_id.is_some());
}

#[sqlx::test(migrations = "../migrations")]
async fn missed_due_times_submit_one_task_together_if_that_is_asked(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let id = s.create(json!({"cron": "* * * * * *", "missedRuns": "runOnce"})).await;
    assert_eq!(s.fire(id, 7 * 86_400).await.outcome, RunOutcome::Submitted);
    let runs = s.runs(id).await;
    assert_eq!((s.tasks().await, runs.len()), (1, 1));
    assert!(runs[0].missed_until.unwrap() < s.next_due(id).await.unwrap());
    // One alone is no several.
    let daily = s.create(json!({"cron": "@yearly", "missedRuns": "runOnce"})).await;
    assert_eq!(s.fire(daily, 3600).await.outcome, RunOutcome::Submitted);
    assert_eq!(s.runs(daily).await[0].missed_until, None);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_schedule_without_overlap_waits_for_the_end_of_its_task(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let id = s.create(json!({"allowOverlap": false})).await;
    let first = s.fire(id, 30).await.task_id.unwrap();
    let open = s.f.run(first).await;
    for seconds_ago in [26, 22] {
        assert_eq!(s.fire(id, seconds_ago).await.outcome, RunOutcome::SkippedOverlap);
    }
    assert_eq!((s.tasks().await, s.runs(id).await[0].task_id), (1, None));
    s.f.complete(open).await;
    let second = s.fire(id, 18).await.task_id.unwrap();
    s.f.apply(second, &Transition::cancelled()).await;
    // Nor does a task that is gone keep the next one.
    let third = s.fire(id, 10).await.task_id.unwrap();
    sqlx::query("DELETE FROM tasks WHERE id = $1").bind(third).execute(&s.f.pool).await.unwrap();
    assert_eq!(s.fire(id, 0).await.outcome, RunOutcome::Submitted);
}

#[sqlx::test(migrations = "../migrations")]
async fn tasks_of_a_schedule_overlap_if_nothing_else_is_asked(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let id = s.create(json!({})).await;
    for seconds_ago in [30, 20, 10] {
        assert_eq!(s.fire(id, seconds_ago).await.outcome, RunOutcome::Submitted);
    }
    assert_eq!(s.tasks().await, 3);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_can_no_longer_be_taken_is_refused_with_words_and_the_schedule_goes_on(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let parent = s.f.submit(json!({})).await;
    let id = s.create(json!({"task": {"dependsOn": [parent]}})).await;
    sqlx::query("DELETE FROM tasks WHERE id = $1").bind(parent).execute(&s.f.pool).await.unwrap();
    assert_eq!(s.fire(id, 10).await.outcome, RunOutcome::Refused);
    let runs = s.runs(id).await;
    assert_eq!(runs[0].message, Some(format!("the dependency {parent} does not exist")));
    assert!(s.next_due(id).await.unwrap() > runs[0].due_at);
    assert_eq!(s.tasks().await, 0);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_the_database_refuses_does_not_keep_the_schedule(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let (id, other) = (s.create(json!({})).await, s.create(json!({})).await);
    let forbid = "ALTER TABLE tasks ADD CONSTRAINT none CHECK (priority < 0)";
    sqlx::raw_sql(forbid).execute(&s.f.pool).await.unwrap();
    assert_eq!(s.fire(id, 10).await.outcome, RunOutcome::Refused);
    sqlx::raw_sql("ALTER TABLE tasks DROP CONSTRAINT none").execute(&s.f.pool).await.unwrap();
    let break_it = sqlx::query("UPDATE schedules SET task = '{\"name\": 7}' WHERE id = $1");
    break_it.bind(id).execute(&s.f.pool).await.unwrap();
    assert!(s.fire(id, 5).await.message.unwrap().starts_with("its task cannot be read any more"));
    let break_it = sqlx::query("UPDATE schedules SET cron = 'x' WHERE id = $1");
    break_it.bind(other).execute(&s.f.pool).await.unwrap();
    assert!(s.fire(other, 5).await.message.unwrap().starts_with("cron must have five fields"));
    assert_eq!(s.next_due(other).await, None);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_run_outlives_its_task_and_a_task_its_schedule(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let id = s.create(json!({})).await;
    let (first, second) = (s.fire(id, 20).await.task_id.unwrap(), s.fire(id, 10).await.task_id.unwrap());
    sqlx::query("DELETE FROM tasks WHERE id = $1").bind(second).execute(&s.f.pool).await.unwrap();
    let runs = s.runs(id).await;
    assert_eq!([runs[0].task_id, runs[1].task_id], [None, Some(first)]);
    assert_eq!(runs[0].outcome, RunOutcome::Submitted);
    let stored = s.f.store.schedule_get(s.f.owner, id).await.unwrap().unwrap();
    assert_eq!(stored.summary.last_task_id, None);
    assert!(s.f.store.schedule_delete(s.f.owner, id).await.unwrap());
    assert!(!s.f.store.schedule_delete(s.f.owner, id).await.unwrap());
    assert_eq!(s.f.status(first).await, TaskStatus::Queued);
    assert!(s.f.store.schedules_due(HOUR, 10).await.unwrap().is_empty());
}

#[sqlx::test(migrations = "../migrations")]
async fn the_history_is_bounded_by_count_and_age_but_never_empty(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let (frequent, rare) = (s.create(json!({})).await, s.create(json!({})).await);
    let fill = "INSERT INTO schedule_runs (schedule_id, due_at, outcome)
        SELECT $1, now() - make_interval(mins => n * $2), 'skipped_missed' FROM generate_series(1, 1100) n";
    for (id, minutes_apart) in [(frequent, 1), (rare, 20 * 24 * 60)] {
        sqlx::query(fill).bind(id).bind(minutes_apart).execute(&s.f.pool).await.unwrap();
    }
    let page = s.f.store.schedules_page(None, 1).await.unwrap();
    assert_eq!(page, [frequent]);
    assert_eq!(s.f.store.schedules_page(page.last().copied(), 10).await.unwrap(), [rare]);
    assert_eq!(s.f.store.schedule_runs_prune(frequent, 60).await.unwrap(), 60);
    assert_eq!(s.f.store.schedule_runs_prune(frequent, 60).await.unwrap(), 40);
    assert_eq!(s.f.store.schedule_runs_prune(rare, 5000).await.unwrap(), 1080);
    assert_eq!((s.runs(frequent).await.len(), s.runs(rare).await.len()), (1000, 20));
    let newest = s.runs(frequent).await[0].due_at;
    assert!(newest > Utc::now() - TimeDelta::minutes(5), "the newest are kept");
}

#[sqlx::test(migrations = "../migrations")]
async fn nobody_reaches_a_schedule_of_another_owner(pool: PgPool) {
    let s = Schedules::new(pool).await;
    let id = s.create(json!({})).await;
    s.fire(id, 0).await;
    let stranger = s.f.store.owner_ensure(&OwnerId::new().to_string()).await.unwrap();
    let all = makima_shared::store::ScheduleFilter::default();
    assert!(s.f.store.schedules_list(stranger, &all, 10).await.unwrap().schedules.is_empty());
    assert!(s.f.store.schedule_get(stranger, id).await.unwrap().is_none());
    assert!(s.f.store.schedule_runs(stranger, id, 10).await.unwrap().is_empty());
    assert!(!s.f.store.schedule_delete(stranger, id).await.unwrap());
    let owners = "SELECT count(*) FROM tasks t WHERE t.owner_id <> $1";
    let others: i64 = sqlx::query_scalar(owners).bind(s.f.owner).fetch_one(&s.f.pool).await.unwrap();
    assert_eq!(others, 0);
}
