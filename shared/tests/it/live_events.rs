//! Word of new events.

use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use makima_shared::domain::TaskId;
use makima_shared::queue::{LiveEvents, Subscription};
use tokio_util::sync::CancellationToken;

use crate::redis_fixture::OwnQueue;

/// Longer than any test runs: a follower that nobody tells hangs.
const PATIENCE: Duration = Duration::from_secs(3600);

fn serve(live: &LiveEvents) -> CancellationToken {
    let (live, token) = (live.clone(), CancellationToken::new());
    let shutdown = token.clone();
    tokio::spawn(async move { live.run(shutdown).await });
    token
}

/// Follows as a stream does: looks, and waits for word while there is nothing new.
async fn see(subscription: &mut Subscription, newest: &AtomicU64, wanted: u64) {
    while newest.load(Ordering::SeqCst) < wanted {
        subscription.changed(PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_written_after_follow_is_told() {
    let own = OwnQueue::new();
    let live = LiveEvents::new(own.queue.clone());
    let token = serve(&live);
    for _ in 0..200 {
        let (task, newest) = (TaskId::new(), Arc::new(AtomicU64::new(0)));
        let mut one = live.follow(task);
        let (queue, written) = (own.queue.clone(), Arc::clone(&newest));
        let writer = tokio::spawn(async move {
            for number in 1..=3 {
                written.store(number, Ordering::SeqCst);
                queue.events_announce(task, 1).await.unwrap();
            }
        });
        let mut two = live.follow(task);
        tokio::join!(see(&mut one, &newest, 3), see(&mut two, &newest, 3));
        writer.await.unwrap();
    }
    token.cancel();
}

#[tokio::test]
async fn a_follower_that_came_before_the_hub_is_told_when_it_runs() {
    let own = OwnQueue::new();
    let live = LiveEvents::new(own.queue.clone());
    let (task, newest) = (TaskId::new(), AtomicU64::new(1));
    let mut follower = live.follow(task);
    own.queue.events_announce(task, 1).await.unwrap();
    let token = serve(&live);
    follower.changed(PATIENCE).await;
    see(&mut follower, &newest, 1).await;
    token.cancel();
}

/// The last two followers of a task leave at the same moment.
#[tokio::test]
async fn followers_that_left_leave_no_subscription_behind() {
    let own = OwnQueue::new();
    let live = LiveEvents::new(own.queue.clone());
    let barrier = Barrier::new(2);
    for _ in 0..3000 {
        let task = TaskId::new();
        let pair = [live.follow(task), live.follow(task)];
        std::thread::scope(|scope| {
            for subscription in pair {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    drop(subscription);
                });
            }
        });
    }
    let marker = TaskId::new();
    let mut last = live.follow(marker);
    let token = serve(&live);
    last.changed(PATIENCE).await;
    // Everything has been subscribed to by then, and the marker's word comes last for want of others.
    own.queue.events_announce(marker, 1).await.unwrap();
    last.changed(PATIENCE).await;
    let channels = own.channels().await;
    assert!(channels.len() == 1 && channels[0].ends_with(&marker.to_string()), "{}", channels.len());
    token.cancel();
}

#[tokio::test]
async fn a_task_followed_again_is_told_again() {
    let own = OwnQueue::new();
    let live = LiveEvents::new(own.queue.clone());
    let token = serve(&live);
    let (task, newest) = (TaskId::new(), AtomicU64::new(0));
    for number in 1..=50 {
        let mut follower = live.follow(task);
        newest.store(number, Ordering::SeqCst);
        own.queue.events_announce(task, 1).await.unwrap();
        follower.changed(PATIENCE).await;
        see(&mut follower, &newest, number).await;
    }
    token.cancel();
}
