//! What reaches a worker, and what wakes the scheduler.

use std::time::Duration;

use makima_shared::domain::{Epoch, TaskId, WorkerId};
use makima_shared::queue::{InboxMessage, WakeCall};
use makima_shared::store::OpenAttempt;

use crate::redis_fixture::{OwnQueue, ready_now};

/// Longer than any test runs: what is due has come already.
const PATIENCE: Duration = Duration::from_secs(600);

#[tokio::test]
async fn messages_come_in_order_and_survive_a_reconnect() {
    let own = OwnQueue::new();
    let worker = WorkerId::new();
    let attempts: Vec<_> =
        (1..=4).map(|epoch| OpenAttempt { task_id: TaskId::new(), epoch: Epoch::from(epoch) }).collect();
    let mut inbox = own.queue.inbox(worker);
    for attempt in &attempts[..2] {
        own.queue.worker_stop(worker, attempt.task_id, attempt.epoch).await.unwrap();
    }
    assert_eq!(inbox.next(PATIENCE).await.unwrap(), Some(InboxMessage::Stop(attempts[0])));
    drop(inbox);
    for attempt in &attempts[2..] {
        own.queue.worker_stop(worker, attempt.task_id, attempt.epoch).await.unwrap();
    }
    let mut inbox = OwnQueue::over(&own.prefix).inbox(worker);
    for attempt in &attempts[1..] {
        assert_eq!(inbox.next(PATIENCE).await.unwrap(), Some(InboxMessage::Stop(*attempt)));
    }
}

#[tokio::test]
async fn a_message_wakes_the_worker_that_waits_for_it() {
    let own = OwnQueue::new();
    let worker = WorkerId::new();
    assert!(own.queue.ready_claim(worker, &[], 1).await.unwrap().is_empty());
    let mut inbox = own.queue.inbox(worker);
    let push = [ready_now()];
    let (message, pushed) = tokio::join!(inbox.next(PATIENCE), own.queue.ready_push(&push));
    pushed.unwrap();
    assert_eq!(message.unwrap(), Some(InboxMessage::Claim));
    assert_eq!(own.queue.ready_claim(worker, &[], 1).await.unwrap(), [push[0].id]);
}

#[tokio::test]
async fn an_inbox_without_messages_says_so_and_goes_on() {
    let own = OwnQueue::new();
    let worker = WorkerId::new();
    let mut inbox = own.queue.inbox(worker);
    let patience = Duration::from_millis(10);
    assert_eq!(inbox.next(patience).await.unwrap(), None);
    let attempt = OpenAttempt { task_id: TaskId::new(), epoch: Epoch::from(1) };
    own.queue.worker_stop(worker, attempt.task_id, attempt.epoch).await.unwrap();
    assert_eq!(inbox.next(patience).await.unwrap(), Some(InboxMessage::Stop(attempt)));
}

#[tokio::test]
async fn calls_that_came_while_no_scheduler_listened_are_heard_together() {
    let own = OwnQueue::new();
    let called = [WakeCall::Settle, WakeCall::Slots, WakeCall::Settle];
    for call in called {
        own.queue.scheduler_wake(call).await.unwrap();
    }
    let mut calls = own.queue.wake_calls();
    assert_eq!(calls.next(PATIENCE).await.unwrap(), called);
    let (heard, called) = tokio::join!(calls.next(PATIENCE), own.queue.scheduler_wake(WakeCall::Slots));
    called.unwrap();
    assert_eq!(heard.unwrap(), [WakeCall::Slots]);
}
