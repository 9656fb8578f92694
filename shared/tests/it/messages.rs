//! Messages to agents: their order, their bounds, and who may note them.

use makima_shared::domain::{Epoch, MessageId, MessageText, TaskId};
use makima_shared::store::{Fenced, MessageError, OpenAttempt};
use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{Fixture, HOUR};

fn text(words: &str) -> MessageText {
    MessageText::new(words.to_owned()).unwrap()
}

async fn say(fixture: &Fixture, task: TaskId, words: &str) -> Result<i32, MessageError> {
    let taken = fixture.store.message_add(fixture.owner, task, MessageId::new(), &text(words)).await?;
    Ok(taken.number)
}

async fn claude(fixture: &Fixture) -> TaskId {
    fixture.submit(json!({"agent": {"kind": "claude"}})).await
}

#[sqlx::test(migrations = "../migrations")]
async fn messages_are_numbered_in_order_and_bounded_while_they_wait(pool: PgPool) {
    let fixture = Fixture::new(pool.clone()).await;
    let task = claude(&fixture).await;
    for number in 1..=100 {
        assert_eq!(say(&fixture, task, "x").await.unwrap(), number);
    }
    assert!(matches!(say(&fixture, task, "x").await, Err(MessageError::TooManyWaiting)));
    sqlx::query("UPDATE tasks SET last_message = 1000").execute(&pool).await.unwrap();
    sqlx::query("UPDATE task_messages SET delivered_at = now(), delivered_epoch = 1")
        .execute(&pool)
        .await
        .unwrap();
    assert!(matches!(say(&fixture, task, "x").await, Err(MessageError::TooMany)));
    let keys = fixture.store.messages_after(task, 98).await.unwrap();
    assert_eq!(keys.iter().map(|key| key.number).collect::<Vec<_>>(), [99, 100]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_stale_attempt_notes_no_delivery(pool: PgPool) {
    let fixture = Fixture::new(pool.clone()).await;
    let task = claude(&fixture).await;
    say(&fixture, task, "x").await.unwrap();
    let worker = fixture.worker_that_offers(&["agent:claude"], HOUR).await;
    let open = fixture.claim(worker, task).await;
    let held = fixture.store.attempts_of_worker(worker).await.unwrap();
    assert_eq!(held[0].last_message, 1);
    let stale = OpenAttempt { epoch: Epoch::from(open.epoch.number() + 1), ..open };
    assert_eq!(fixture.store.messages_delivered(stale, &[1]).await.unwrap(), Fenced::Stale);
    assert_eq!(fixture.store.messages_delivered(open, &[1]).await.unwrap(), Fenced::Accepted(()));
    let listed = fixture.store.messages_list(fixture.owner, task, 0, 10).await.unwrap().unwrap();
    assert_eq!(listed[0].delivered_epoch, Some(open.epoch));
}
