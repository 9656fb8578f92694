//! Cron schedules: each due time runs once, whoever leads and whoever dies.

use makima_shared::domain::{
    RunOutcome, ScheduleId, ScheduleRun, ScheduleSubmission, SubmissionPolicy, TaskId, TaskStatus,
};
use serde_json::json;
use sqlx::PgPool;

use crate::crew::Worker;
use crate::fixture::{CALLED, EAGER, Fixture};

const EVERY_SECOND: &str = "* * * * * *";

async fn create(f: &Fixture, cron: &str) -> ScheduleId {
    let body = json!({
        "name": "scheduled", "cron": cron, "timeZone": "Europe/Berlin",
        "task": {
            "name": "scheduled", "plan": "x", "repositoryUrl": "https://host/a.git",
            "agent": {"kind": "command", "argv": ["true"]},
        },
    });
    let submission: ScheduleSubmission = serde_json::from_value(body).unwrap();
    let schedule = submission.check(&SubmissionPolicy { allow_local_repositories: false }).unwrap();
    f.store.schedule_create(f.owner, &schedule).await.unwrap().summary.id
}

/// A schedule that is due once, since a moment ago.
async fn create_due(f: &Fixture) -> ScheduleId {
    let id = create(f, "@yearly").await;
    let make_due =
        sqlx::query("UPDATE schedules SET next_due_at = now() - interval '1 second' WHERE id = $1");
    make_due.bind(id).execute(&f.pool).await.unwrap();
    id
}

/// Its runs, oldest first.
async fn runs(f: &Fixture, schedule: ScheduleId) -> Vec<ScheduleRun> {
    let mut runs = f.store.schedule_runs(f.owner, schedule, 1000).await.unwrap();
    runs.reverse();
    runs
}

/// Waits until a schedule has so many runs.
async fn until_runs(f: &Fixture, schedule: ScheduleId, count: usize) {
    let mut moves = f.moves().await;
    while runs(f, schedule).await.len() < count {
        moves.recv().await.unwrap();
    }
}

async fn count(f: &Fixture, what: &'static str) -> i64 {
    sqlx::query_scalar(what).fetch_one(&f.pool).await.unwrap()
}

/// Checks that every second has its run, every run its task, and that there are no others.
async fn assert_each_second_ran_once(f: &Fixture, schedule: ScheduleId) {
    let runs = runs(f, schedule).await;
    for pair in runs.windows(2) {
        assert_eq!((pair[1].due_at - pair[0].due_at).num_milliseconds(), 1000, "{runs:#?}");
    }
    assert!(runs.iter().all(|run| run.outcome == RunOutcome::Submitted && run.task_id.is_some()));
    let mut tasks: Vec<TaskId> = runs.iter().filter_map(|run| run.task_id).collect();
    tasks.sort_unstable();
    tasks.dedup();
    assert_eq!(tasks.len(), runs.len());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_schedule_runs_at_its_time_and_a_waiting_worker_gets_the_task(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let id = create(&f, EVERY_SECOND).await;
    let mut worker = Worker::join(&f).await;
    // It looks once an hour: whatever runs is run by the alarm.
    let scheduler = f.schedule(&CALLED);
    for _ in 0..2 {
        let task = worker.work_quietly().await;
        assert_eq!(f.story(task.id).await, ["submitted", "claimed", "started", "completed"]);
    }
    scheduler.stop().await;
    assert_each_second_ran_once(&f, id).await;
}

/// Each scheduler has a lead of its own, as if it had not noticed that it lost the only one.
#[sqlx::test(migrations = "../migrations")]
async fn two_schedulers_that_both_believe_to_lead_run_each_due_time_once(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let two_leads = "CREATE FUNCTION own_lead() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.duty := NEW.duty || NEW.holder; RETURN NEW; END $$;
        CREATE TRIGGER own_lead BEFORE INSERT ON leader_leases FOR EACH ROW EXECUTE FUNCTION own_lead();";
    sqlx::raw_sql(two_leads).execute(&f.pool).await.unwrap();
    let mut due = Vec::new();
    for _ in 0..120 {
        due.push(create_due(&f).await);
    }
    let recurring = create(&f, EVERY_SECOND).await;
    let (first, second) = (f.schedule(&EAGER), f.schedule(&EAGER));
    for id in &due {
        until_runs(&f, *id, 1).await;
    }
    until_runs(&f, recurring, 3).await;
    assert_eq!(count(&f, "SELECT count(*) FROM leader_leases").await, 2);
    first.stop().await;
    second.stop().await;
    assert_each_second_ran_once(&f, recurring).await;
    let (tasks, runs) = ("SELECT count(*) FROM tasks", "SELECT count(*) FROM schedule_runs");
    assert_eq!(count(&f, tasks).await, count(&f, runs).await);
}

#[sqlx::test(migrations = "../migrations")]
async fn every_due_time_runs_once_while_leaders_die(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let id = create(&f, EVERY_SECOND).await;
    for deaths in 1..=5 {
        let leader = f.schedule(&EAGER);
        until_runs(&f, id, deaths).await;
        leader.crash().await;
    }
    let last = f.schedule(&EAGER);
    until_runs(&f, id, 7).await;
    last.stop().await;
    assert_each_second_ran_once(&f, id).await;
    let (tasks, runs) = ("SELECT count(*) FROM tasks", "SELECT count(*) FROM schedule_runs");
    assert_eq!(count(&f, tasks).await, count(&f, runs).await);
}

/// The connection dies after the task's row was written, three times.
#[sqlx::test(migrations = "../migrations")]
async fn a_due_time_whose_commit_fails_runs_once_in_the_end(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let id = create_due(&f).await;
    let crash = "CREATE SEQUENCE crashes;
        CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('crashes') <= 3 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER crash BEFORE UPDATE ON schedules FOR EACH ROW EXECUTE FUNCTION crash();";
    sqlx::raw_sql(crash).execute(&f.pool).await.unwrap();
    let scheduler = f.schedule(&EAGER);
    until_runs(&f, id, 1).await;
    scheduler.stop().await;
    assert_eq!(count(&f, "SELECT last_value FROM crashes").await, 4);
    assert_eq!(count(&f, "SELECT count(*) FROM tasks").await, 1);
}

#[sqlx::test(migrations = "../migrations")]
async fn schedules_run_while_redis_is_away_and_their_tasks_are_found_when_it_is_back(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (first, second) = (create_due(&f).await, create_due(&f).await);
    let without_redis = f.schedule_over(&EAGER, f.queue_without_redis());
    until_runs(&f, first, 1).await;
    until_runs(&f, second, 1).await;
    without_redis.stop().await;
    let scheduler = f.schedule(&EAGER);
    let mut worker = Worker::join(&f).await;
    worker.work().await;
    worker.work().await;
    scheduler.stop().await;
    for id in [first, second] {
        let task = runs(&f, id).await[0].task_id.unwrap();
        assert_eq!(f.task(task).await.status, TaskStatus::Done);
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_leader_prunes_the_history_of_every_schedule(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let ids = [create(&f, "@yearly").await, create(&f, "@yearly").await];
    for id in ids {
        let fill = "INSERT INTO schedule_runs (schedule_id, due_at, outcome)
            SELECT $1, now() - make_interval(secs => n), 'skipped_missed' FROM generate_series(1, 1700) n";
        sqlx::query(fill).bind(id).execute(&f.pool).await.unwrap();
    }
    let mut moves = f.moves().await;
    let scheduler = f.schedule(&CALLED);
    while count(&f, "SELECT count(*) FROM schedule_runs").await > 2000 {
        moves.recv().await.unwrap();
    }
    scheduler.stop().await;
    for id in ids {
        assert_eq!(runs(&f, id).await.len(), 1000);
    }
}
