//! A Redis that does not answer: nobody waits for it for long, and all goes on once it does.

use std::time::Duration;

use makima_shared::domain::{TaskId, WorkerId};
use makima_shared::queue::{LiveEvents, Queue, WakeCall};
use tokio_util::sync::CancellationToken;

use crate::server::{Server, eventually, fails_within, push, ready};

/// The response timeout, the same for a connection that has to be made first, twice, and what a busy machine adds.
const LIMIT: Duration = Duration::from_secs(4);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn calls_are_given_up_while_it_is_frozen_and_answered_when_it_thaws() {
    let server = Server::start().await;
    let queue = Queue::open(&format!("redis://127.0.0.1:{}", server.port), "test").unwrap();
    let (task, worker) = (push(&queue).await, WorkerId::new());
    server.freeze();
    fails_within(LIMIT, queue.ping()).await;
    fails_within(LIMIT, queue.ready_push(&[ready()])).await;
    fails_within(LIMIT, queue.ready_claim(WorkerId::new(), &[], 1)).await;
    fails_within(LIMIT, queue.worker_stop(worker, task, 1.into())).await;
    fails_within(LIMIT, queue.scheduler_wake(WakeCall::Settle)).await;
    fails_within(LIMIT, queue.events_announce(task, 1)).await;
    server.thaw();
    eventually(async || queue.ping().await).await;
}

#[tokio::test]
async fn an_inbox_is_given_up_while_it_is_frozen_and_read_when_it_thaws() {
    let server = Server::start().await;
    let queue = Queue::open(&format!("redis://127.0.0.1:{}", server.port), "test").unwrap();
    let worker = WorkerId::new();
    let patience = Duration::from_millis(200);
    let mut inbox = queue.inbox(worker);
    assert_eq!(inbox.next(patience).await.unwrap(), None);
    server.freeze();
    fails_within(LIMIT, inbox.next(patience)).await;
    fails_within(LIMIT, inbox.next(patience)).await;
    server.thaw();
    // A message may still go to a reader that was given up, as when a worker loses its connection: hence several.
    eventually(async || {
        queue.worker_stop(worker, TaskId::new(), 1.into()).await.map_err(|error| error.to_string())?;
        let heard = inbox.next(patience).await;
        if let Ok(Some(_)) = heard { Ok(()) } else { Err(format!("{heard:?}")) }
    })
    .await;
}

#[tokio::test]
async fn followers_are_told_again_when_it_thaws() {
    let server = Server::start().await;
    let queue = Queue::open(&format!("redis://127.0.0.1:{}", server.port), "test").unwrap();
    let (live, shutdown) = (LiveEvents::new(queue.clone()), CancellationToken::new());
    let (hub, token) = (live.clone(), shutdown.clone());
    tokio::spawn(async move { hub.run(token).await });
    let (early_task, late_task) = (TaskId::new(), TaskId::new());
    let mut early = live.follow(early_task);
    early.changed(HOUR).await;
    server.freeze();
    let mut late = live.follow(late_task);
    fails_within(LIMIT, queue.ping()).await;
    server.thaw();
    late.changed(HOUR).await;
    for (task, follower) in [(early_task, &mut early), (late_task, &mut late)] {
        eventually(async || queue.events_announce(task, 1).await).await;
        follower.changed(HOUR).await;
    }
    shutdown.cancel();
}
