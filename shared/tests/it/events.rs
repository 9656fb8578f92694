//! A task's history.

use makima_shared::domain::{EventKind, TaskStatus, Transition};
use makima_shared::store::Fenced;
use makima_shared::testing;
use serde_json::json;
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, HOUR, accepted, agent_failure, checkpoint, wide};

#[sqlx::test(migrations = "../migrations")]
async fn numbers_have_no_gaps_whoever_writes_at_once(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let wide = wide(&f.pool);
    let wide_store = testing::store(&wide);
    let attempt = f.run(f.submit(json!({})).await).await;
    let mut writers = JoinSet::new();
    for writer in 0..8_usize {
        let store = wide_store.clone();
        writers.spawn(async move {
            for batch in 0..10_usize {
                let lines: Vec<_> =
                    (0..=writer % 3).map(|line| json!({"w": writer, "b": batch, "l": line})).collect();
                let kind = if writer == 0 { EventKind::Notice } else { EventKind::Output };
                accepted(store.events_append(attempt.task_id, attempt.epoch, kind, &lines).await.unwrap());
                if writer == 1 {
                    let saved = checkpoint(&[1]);
                    let stored = store.checkpoint_create(attempt.task_id, attempt.epoch, &saved, HOUR).await;
                    accepted(stored.unwrap());
                }
            }
        });
    }
    writers.join_all().await;
    f.complete(attempt).await;
    f.assert_history_gives_status(attempt.task_id).await;
    // Each writer's lines stand in its order, and those of one batch next to one another.
    let events = f.history(attempt.task_id).await;
    for writer in 0..8_usize {
        let own: Vec<_> = events.iter().filter(|event| event.data["w"] == json!(writer)).collect();
        let expected =
            (0..10_usize).flat_map(|batch| (0..=writer % 3).map(move |line| (json!(batch), json!(line))));
        assert!(own.iter().map(|event| (event.data["b"].clone(), event.data["l"].clone())).eq(expected));
        let batches = own.chunk_by(|a, b| a.data["b"] == b.data["b"]);
        assert!(
            batches.map(|b| b[b.len() - 1].sequence - b[0].sequence).all(|span| span == (writer % 3) as i64)
        );
    }
    wide.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn no_output_stands_behind_the_cancel_that_it_raced_with(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let wide = wide(&f.pool);
    let wide_store = testing::store(&wide);
    for _ in 0..20 {
        let attempt = f.run(f.submit(json!({})).await).await;
        let mut writers = JoinSet::new();
        for _ in 0..4 {
            let store = wide_store.clone();
            writers.spawn(async move {
                let line = [json!({"text": "x"})];
                let mut taken = 0_usize;
                while let Fenced::Accepted(_) = store
                    .events_append(attempt.task_id, attempt.epoch, EventKind::Output, &line)
                    .await
                    .unwrap()
                {
                    taken += 1;
                }
                taken
            });
        }
        f.apply(attempt.task_id, &Transition::cancelled()).await;
        let taken: usize = writers.join_all().await.into_iter().sum();
        let events = f.history(attempt.task_id).await;
        assert_eq!(events.last().unwrap().data["transition"], "cancelled");
        assert_eq!(events.iter().filter(|event| event.kind == EventKind::Output).count(), taken);
        f.assert_history_gives_status(attempt.task_id).await;
    }
    wide.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn folding_a_long_life_gives_its_status_at_every_step(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let parent = f.submit(json!({})).await;
    let task = f.submit(json!({"dependsOn": [parent], "maxRetries": 1})).await;
    f.assert_history_gives_status(task).await;
    f.complete(f.run(parent).await).await;
    f.release().await;
    f.assert_history_gives_status(task).await;
    let drained = f.run(task).await;
    f.output(drained).await;
    f.apply(task, &Transition::handed_back(drained.epoch)).await;
    f.assert_history_gives_status(task).await;
    let mut failure = agent_failure();
    failure.exclude = f.store.workers_list().await.unwrap().pop().map(|worker| worker.id);
    f.fail(f.claim(f.worker().await, task).await, failure).await;
    f.assert_history_gives_status(task).await;
    f.release().await;
    f.complete(f.run(task).await).await;
    f.assert_history_gives_status(task).await;
    assert_eq!((f.status(task).await, f.task(task).await.epoch.number()), (TaskStatus::Done, 3));
}

#[sqlx::test(migrations = "../migrations")]
async fn events_are_read_by_number_kind_and_page(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    let lines: Vec<_> = (0..5).map(|line| json!({"text": line})).collect();
    let last =
        f.store.events_append(attempt.task_id, attempt.epoch, EventKind::Output, &lines).await.unwrap();
    assert_eq!(accepted(last), 8);
    let list = |after, limit, only| f.store.events_list(f.owner, attempt.task_id, after, limit, only);
    let numbers = |events: Option<Vec<makima_shared::domain::TaskEvent>>| {
        events.unwrap().iter().map(|event| event.sequence).collect::<Vec<_>>()
    };
    assert_eq!(numbers(list(2, 3, None).await.unwrap()), [3, 4, 5]);
    assert_eq!(numbers(list(0, 2, Some(EventKind::Output)).await.unwrap()), [4, 5]);
    assert_eq!(numbers(list(8, 2, None).await.unwrap()), [0_i64; 0]);
}

#[sqlx::test(migrations = "../migrations")]
async fn no_events_are_appended_as_none(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    let before = f.rows(attempt.task_id).await;
    let last = f.store.events_append(attempt.task_id, attempt.epoch, EventKind::Output, &[]).await.unwrap();
    assert_eq!(accepted(last), 3);
    assert_eq!(f.rows(attempt.task_id).await, before);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_batch_of_output_that_is_sent_again_is_written_once(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    let (task, epoch) = (attempt.task_id, attempt.epoch);
    let append = |batch, text: &str| {
        let lines = [json!({"stream": "stdout", "text": text})];
        let store = f.store.clone();
        async move { store.output_append(task, epoch, batch, &lines).await.unwrap() }
    };
    let first = accepted(append(0, "one").await);
    assert!(first.is_some());
    assert_eq!(append(0, "one").await, Fenced::Accepted(None), "the reply was lost, the batch was not");
    assert_eq!(accepted(append(1, "two").await), first.map(|sequence| sequence + 1));

    // Both copies are under way at once, behind a lock.
    let mut gate = f.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM tasks WHERE id = $1 FOR UPDATE").bind(task).execute(&mut *gate).await.unwrap();
    let (a, b, ()) = tokio::join!(append(2, "three"), append(2, "three"), async {
        gate.commit().await.unwrap();
    });
    assert_eq!([a, b].iter().filter(|answer| matches!(answer, Fenced::Accepted(Some(_)))).count(), 1);
    let texts: Vec<_> = f
        .history(task)
        .await
        .into_iter()
        .filter_map(|event| event.data["text"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(texts, ["one", "two", "three"]);

    // The next attempt counts from 0 again, and this one writes no more.
    f.apply(task, &Transition::handed_back(epoch)).await;
    assert_eq!(append(3, "late").await, Fenced::Stale);
    let next = f.run(task).await;
    let lines = [json!({"stream": "stdout", "text": "again"})];
    accepted(f.store.output_append(task, next.epoch, 0, &lines).await.unwrap());
    f.assert_history_gives_status(task).await;
}
