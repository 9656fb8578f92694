//! Who gets a task.

use std::collections::HashMap;
use std::time::Duration;

use makima_shared::domain::{AttemptOutcome, TaskId, TaskStatus, Transition};
use makima_shared::store::Renewal;
use makima_shared::testing;
use serde_json::json;
use sqlx::PgPool;
use tokio::task::{JoinSet, yield_now};

use crate::fixture::{Fixture, HOUR, agent_failure, moved, wide};

#[sqlx::test(migrations = "../migrations")]
async fn a_claim_opens_the_next_epoch_and_its_attempt(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (task, worker) = (f.submit(json!({"env": {"A": "1"}, "timeoutSecs": 9})).await, f.worker().await);
    let claimed = f.store.tasks_claim(worker, &[task]).await.unwrap().pop().unwrap();
    assert_eq!((claimed.id, claimed.owner_id, claimed.epoch.number()), (task, f.owner, 1));
    assert_eq!((claimed.env["A"].as_str(), claimed.timeout_secs), ("1", Some(9)));
    let row = f.task(task).await;
    assert_eq!((row.status, row.worker_id, row.version), (TaskStatus::Starting, Some(worker), 2));
    let attempts = f.store.attempts_list(f.owner, task).await.unwrap();
    assert_eq!((attempts.len(), attempts[0].worker_id, attempts[0].ended_at), (1, worker, None));
    let held = f.store.attempts_of_worker(worker).await.unwrap();
    assert_eq!((held.len(), held[0].attempt.task_id, held[0].attempt.epoch), (1, task, claimed.epoch));
    f.assert_history_gives_status(task).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn only_queued_tasks_are_claimed(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (starting, running, done) =
        (f.submit(json!({})).await, f.submit(json!({})).await, f.submit(json!({})).await);
    let pending = f.submit(json!({"dependsOn": [starting]})).await;
    let cancelled = f.submit(json!({})).await;
    f.apply(cancelled, &Transition::cancelled()).await;
    f.claim(f.worker().await, starting).await;
    f.run(running).await;
    f.complete(f.run(done).await).await;
    let queued = f.submit(json!({})).await;
    let asked = [starting, running, done, pending, cancelled, TaskId::new(), queued, queued];
    let claimed = f.store.tasks_claim(f.worker().await, &asked).await.unwrap();
    assert_eq!(claimed.iter().map(|task| task.id).collect::<Vec<_>>(), [queued]);
    assert!(f.store.tasks_claim(f.worker().await, &[]).await.unwrap().is_empty());
}

#[sqlx::test(migrations = "../migrations")]
async fn an_excluded_worker_gets_nothing(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (task, worker) = (f.submit(json!({})).await, f.worker().await);
    let mut failure = agent_failure();
    failure.exclude = Some(worker);
    f.fail(f.claim(worker, task).await, failure).await;
    assert_eq!(f.release().await, [task]);
    assert!(f.store.tasks_claim(worker, &[task]).await.unwrap().is_empty());
    assert_eq!(f.claim(f.worker().await, task).await.epoch.number(), 2);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_worker_that_ended_drains_or_outlived_its_lease_gets_nothing(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    let (ended, draining) = (f.worker().await, f.worker().await);
    let expired = f.worker_with_lease(Duration::ZERO).await;
    f.store.worker_end(ended).await.unwrap();
    f.store.worker_drain(draining).await.unwrap();
    for worker in [ended, draining, expired] {
        assert!(f.store.tasks_claim(worker, &[task]).await.unwrap().is_empty());
    }
    f.claim(f.worker().await, task).await;
}

/// Eight workers want all tasks at once, and hand back what they got, again and again.
#[sqlx::test(migrations = "../migrations")]
async fn each_task_goes_to_one_of_many_claimers_and_epochs_are_dense(pool: PgPool) {
    const ROUNDS: i64 = 4;
    let f = Fixture::new(pool).await;
    let wide = wide(&f.pool);
    let wide_store = testing::store(&wide);
    let mut tasks = Vec::new();
    for _ in 0..25 {
        tasks.push(f.submit(json!({})).await);
    }
    for round in 1..=ROUNDS {
        let mut claims = JoinSet::new();
        for _ in 0..8 {
            let (store, worker, tasks) = (wide_store.clone(), f.worker().await, tasks.clone());
            claims.spawn(async move { store.tasks_claim(worker, &tasks).await.unwrap() });
        }
        let claimed: Vec<_> = claims.join_all().await.into_iter().flatten().collect();
        let epochs: HashMap<_, _> = claimed.iter().map(|task| (task.id, task.epoch.number())).collect();
        assert_eq!((claimed.len(), epochs.len()), (tasks.len(), tasks.len()));
        assert!(epochs.values().all(|epoch| *epoch == round));
        for task in claimed {
            f.apply(task.id, &Transition::handed_back(task.epoch)).await;
        }
    }
    for task in tasks {
        let attempts = f.store.attempts_list(f.owner, task).await.unwrap();
        let epochs: Vec<_> = attempts.iter().map(|attempt| attempt.epoch.number()).collect();
        assert_eq!(epochs, (1..=ROUNDS).collect::<Vec<_>>());
        assert_eq!(f.task(task).await.retry_count, 0);
        f.assert_history_gives_status(task).await;
    }
    wide.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_claim_waits_for_no_lock_and_holds_no_renewal_up(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (locked, free, worker) = (f.submit(json!({})).await, f.submit(json!({})).await, f.worker().await);
    let mut submission = f.pool.begin().await.unwrap();
    let lock = sqlx::query("SELECT FROM tasks WHERE id = $1 FOR SHARE").bind(locked);
    lock.execute(&mut *submission).await.unwrap();
    let claimed = f.store.tasks_claim(worker, &[locked, free]).await.unwrap();
    assert_eq!(claimed.iter().map(|task| task.id).collect::<Vec<_>>(), [free]);
    submission.rollback().await.unwrap();
    assert_eq!(f.store.tasks_claim(worker, &[locked]).await.unwrap().len(), 1);

    // A claim that has not ended yet, however long it takes, lets its worker renew.
    let mut claim = f.pool.begin().await.unwrap();
    let reference = sqlx::query("SELECT FROM workers WHERE id = $1 FOR KEY SHARE").bind(worker);
    reference.execute(&mut *claim).await.unwrap();
    assert_eq!(f.store.worker_renew(worker, HOUR, HOUR).await.unwrap(), Renewal::Held(None));
    claim.rollback().await.unwrap();
}

/// Waits until this many statements of the test wait for a lock.
async fn until_waiting(pool: &PgPool, wanted: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(pool).await.unwrap() < wanted {
        yield_now().await;
    }
}

/// The cancel has begun before the claim ends, so that it moves a row that is newer than its snapshot.
#[sqlx::test(migrations = "../migrations")]
async fn a_cancel_that_waited_for_a_claim_ends_the_attempt_of_that_claim(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (task, worker) = (f.submit(json!({})).await, f.worker().await);
    let mut gate = f.pool.begin().await.unwrap();
    // The claim moves the task, then waits here with the attempt that it enters: somebody else has that key for the moment.
    let attempt = sqlx::query("INSERT INTO attempts (task_id, epoch, worker_id) VALUES ($1, 1, $2)");
    attempt.bind(task).bind(worker).execute(&mut *gate).await.unwrap();
    let (ids, cancel) = ([task], Transition::cancelled());
    let claim = f.store.tasks_claim(worker, &ids);
    let cancel = async {
        until_waiting(&f.pool, 1).await;
        f.store.task_transition(task, &cancel).await
    };
    let open = async {
        until_waiting(&f.pool, 2).await;
        gate.rollback().await.unwrap();
    };
    let (claimed, cancelled, ()) = tokio::join!(claim, cancel, open);
    let (claimed, cancelled) = (claimed.unwrap(), moved(cancelled.unwrap()));
    assert_eq!((cancelled.held_by, cancelled.epoch), (Some(worker), claimed[0].epoch));
    let attempts = f.store.attempts_list(f.owner, task).await.unwrap();
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Cancelled));
    f.assert_history_gives_status(task).await;
}

/// A claim does not wait for the end of its worker. Whichever comes first, no task stays with a dead one.
#[sqlx::test(migrations = "../migrations")]
async fn a_claim_that_races_with_the_end_of_its_worker_is_found_as_lost(pool: PgPool) {
    let f = Fixture::new(pool).await;
    for _ in 0..50 {
        let (task, worker) = (f.submit(json!({})).await, f.worker().await);
        let ids = [task];
        let (claimed, ended) = tokio::join!(f.store.tasks_claim(worker, &ids), f.store.worker_end(worker));
        ended.unwrap();
        let lost = f.store.attempts_lost(10).await.unwrap();
        let lost: Vec<_> = lost.iter().map(|attempt| (attempt.task_id, attempt.epoch)).collect();
        let held: Vec<_> = claimed.unwrap().iter().map(|task| (task.id, task.epoch)).collect();
        assert_eq!(lost, held);
        f.apply(task, &Transition::cancelled()).await;
    }
}
