//! What becomes of the bells of a worker that waits no longer.

use std::time::Duration;

use makima_shared::domain::{TaskId, WorkerId};
use makima_shared::queue::{InboxMessage, Queue};

use crate::redis_fixture::{OwnQueue, ready_now};

/// Longer than any test runs: what is due has come already.
const PATIENCE: Duration = Duration::from_secs(600);

/// Workers that have asked in vain, in this order.
async fn waiting(queue: &Queue, count: usize) -> Vec<WorkerId> {
    let workers: Vec<_> = (0..count).map(|_| WorkerId::new()).collect();
    for worker in &workers {
        assert!(queue.ready_claim(*worker, &[], 1).await.unwrap().is_empty());
    }
    workers
}

#[tokio::test]
async fn a_bell_that_a_dead_worker_has_not_read_is_heard_by_those_who_wait() {
    let own = OwnQueue::new();
    let workers = waiting(&own.queue, 3).await;
    let task = ready_now();
    own.queue.ready_push(std::slice::from_ref(&task)).await.unwrap();
    own.queue.worker_forget(workers[0]).await.unwrap();
    for worker in &workers[1..] {
        let message = own.queue.inbox(*worker).next(PATIENCE).await.unwrap();
        assert_eq!(message, Some(InboxMessage::Claim));
    }
    assert_eq!(own.queue.ready_claim(workers[1], &[], 1).await.unwrap(), [task.id]);
}

#[tokio::test]
async fn a_bell_that_a_worker_read_before_it_died_is_heard_by_another_one() {
    let own = OwnQueue::new();
    let workers = waiting(&own.queue, 2).await;
    own.queue.ready_push(&[ready_now()]).await.unwrap();
    assert!(own.queue.inbox(workers[0]).next(PATIENCE).await.unwrap().is_some());
    own.queue.worker_forget(workers[0]).await.unwrap();
    assert_eq!(own.queue.inbox(workers[1]).next(PATIENCE).await.unwrap(), Some(InboxMessage::Claim));
}

#[tokio::test]
async fn a_worker_that_still_waited_leaves_no_bell_and_no_key() {
    let own = OwnQueue::new();
    let workers = waiting(&own.queue, 2).await;
    own.queue.worker_stop(workers[0], TaskId::new(), 1.into()).await.unwrap();
    own.queue.worker_forget(workers[0]).await.unwrap();
    let keys = own.keys().await;
    assert!(keys.iter().all(|key| !key.contains(":inbox:")), "nobody was rung: {keys:?}");
    own.queue.worker_forget(workers[1]).await.unwrap();
    assert_eq!(own.keys().await, [""; 0]);
}

#[tokio::test]
async fn a_worker_that_steps_aside_is_passed_over_and_still_hears_of_stops() {
    let own = OwnQueue::new();
    let workers = waiting(&own.queue, 2).await;
    let stopped = TaskId::new();
    own.queue.worker_stop(workers[0], stopped, 1.into()).await.unwrap();
    own.queue.worker_step_aside(workers[0]).await.unwrap();
    own.queue.ready_push(&[ready_now()]).await.unwrap();
    assert_eq!(own.queue.inbox(workers[1]).next(PATIENCE).await.unwrap(), Some(InboxMessage::Claim));
    let message = own.queue.inbox(workers[0]).next(PATIENCE).await.unwrap();
    assert!(matches!(message, Some(InboxMessage::Stop(attempt)) if attempt.task_id == stopped));
}
