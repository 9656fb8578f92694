//! What is over is deleted after a while.

use makima_shared::config::{RetentionConfig, SchedulerConfig};
use makima_shared::domain::{EventKind, TaskId};
use serde_json::json;
use sqlx::PgPool;
use std::time::Duration;

use crate::crew::Worker;
use crate::fixture::{CALLED, Fixture};

/// A task that is done, with some output.
async fn done(f: &Fixture) -> TaskId {
    f.submit("task", &[], json!({})).await;
    let mut worker = Worker::join(f).await;
    let task = worker.start().await;
    let lines = vec![json!({"stream": "stdout", "text": "x"}); 6_000];
    let _ = f.store.events_append(task.id, task.epoch, EventKind::Output, &lines).await.unwrap();
    f.complete(&task).await;
    task.id
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_over_is_deleted_and_what_is_young_stays(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let tell = "CREATE TRIGGER tell AFTER DELETE ON task_events EXECUTE FUNCTION tell();
        CREATE TRIGGER tell AFTER DELETE ON deleted_tasks EXECUTE FUNCTION tell();
        CREATE TRIGGER tell AFTER DELETE ON workers EXECUTE FUNCTION tell();
        CREATE TRIGGER tell AFTER DELETE ON idempotency_keys EXECUTE FUNCTION tell();";
    sqlx::raw_sql(tell).execute(&f.pool).await.unwrap();
    let (old, deleted, young) = (done(&f).await, done(&f).await, done(&f).await);
    f.store.task_delete(f.owner, deleted).await.unwrap();
    let idle = Worker::join(&f).await.id;
    f.store.worker_end(idle).await.unwrap();
    let age = "UPDATE tasks SET finished_at = now() - interval '2 hours' WHERE id = $1";
    sqlx::query(age).bind(old).execute(&f.pool).await.unwrap();
    let keys = "INSERT INTO idempotency_keys (owner_id, key, request_sha256, task_id, created_at)
        SELECT owner_id, id::text, sha256('x'), id, finished_at FROM tasks";
    sqlx::query(keys).execute(&f.pool).await.unwrap();
    let age = "UPDATE workers SET ended_at = now() - interval '8 days' WHERE id = $1";
    sqlx::query(age).bind(idle).execute(&f.pool).await.unwrap();

    let mut moves = f.moves().await;
    let hour = Duration::from_secs(3600);
    let retention = RetentionConfig { output: hour, idempotency_keys: hour };
    let scheduler = f.schedule(&SchedulerConfig { retention, ..CALLED });
    let left = "SELECT (SELECT count(*) FROM task_events WHERE task_id = $1 AND kind = 'output')
                     + (SELECT count(*) FROM task_events WHERE task_id = $2)
                     + (SELECT count(*) FROM deleted_tasks) + (SELECT count(*) FROM workers WHERE id = $3)
                     + (SELECT count(*) FROM idempotency_keys WHERE task_id = $1)";
    let left = || sqlx::query_scalar::<_, i64>(left).bind(old).bind(deleted).bind(idle).fetch_one(&f.pool);
    while left().await.unwrap() > 0 {
        moves.recv().await.unwrap();
    }
    scheduler.stop().await;
    assert_eq!(f.store.events_list(f.owner, young, 0, 10_000, None).await.unwrap().unwrap().len(), 6_004);
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM idempotency_keys").fetch_one(&f.pool).await.unwrap();
    assert_eq!(kept, 1);
}
