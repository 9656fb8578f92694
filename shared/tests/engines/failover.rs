//! Nodes of a cluster that are lost: the queue goes on where its slot is served then.

use std::time::Duration;

use makima_shared::domain::{TaskId, WorkerId};
use makima_shared::queue::{LiveEvents, Queue};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Kind, OWNER};
use crate::server::{claim, eventually, free_port, next_stop, push};

const HOUR: Duration = Duration::from_secs(3600);

fn open(hosts: &str) -> Queue {
    Queue::open(&format!("redis://{hosts}"), "test").unwrap()
}

#[tokio::test]
async fn any_node_of_the_url_leads_to_the_queue_and_dead_ones_are_passed_over() {
    let cluster = Cluster::start(Kind::plain()).await;
    let task = push(&open(&cluster.hosts(&[0]))).await;
    let dead = format!("127.0.0.1:{}", free_port());
    let queue = open(&format!("{dead},{}", cluster.hosts(&[1])));
    eventually(async || queue.ping().await).await;
    assert_eq!(claim(&queue).await, [task]);
}

#[tokio::test]
async fn a_replica_serves_the_queue_once_its_node_is_dead() {
    let mut cluster = Cluster::start(Kind::plain()).await;
    cluster.add_replica().await;
    let queue = open(&cluster.hosts(&[0, 1]));
    push(&queue).await;
    let mut inbox = queue.inbox(WorkerId::new());
    assert_eq!(inbox.next(Duration::from_millis(10)).await.unwrap(), None);
    cluster.nodes[OWNER].kill();
    dispatches(&queue).await;
    let (worker, task) = (WorkerId::new(), TaskId::new());
    let mut inbox = queue.inbox(worker);
    eventually(async || queue.worker_stop(worker, task, 1.into()).await).await;
    assert_eq!(next_stop(&mut inbox).await, task);
}

#[tokio::test]
async fn a_replica_serves_the_queue_while_its_node_is_frozen_and_when_that_thaws() {
    let mut cluster = Cluster::start(Kind::plain()).await;
    cluster.add_replica().await;
    // The owner is in the URL too, and accepts connections while it is frozen.
    let queue = open(&cluster.hosts(&[OWNER, 0, 1]));
    push(&queue).await;
    cluster.nodes[OWNER].freeze();
    dispatches(&queue).await;
    cluster.nodes[OWNER].thaw();
    dispatches(&queue).await;
    // One that comes only now, by way of the node that is a replica by now or will be in a moment.
    dispatches(&open(&cluster.hosts(&[OWNER]))).await;
}

#[tokio::test]
async fn followers_are_told_of_what_comes_after_the_failover() {
    let mut cluster = Cluster::start(Kind::plain()).await;
    cluster.add_replica().await;
    let queue = open(&cluster.hosts(&[0, 1]));
    let (live, shutdown) = (LiveEvents::new(queue.clone()), CancellationToken::new());
    let (hub, token) = (live.clone(), shutdown.clone());
    tokio::spawn(async move { hub.run(token).await });
    let task = TaskId::new();
    let mut follower = live.follow(task);
    follower.changed(HOUR).await;
    cluster.nodes[OWNER].kill();
    // Told once when the hub has subscribed elsewhere, and from then on of what comes.
    follower.changed(HOUR).await;
    for _ in 0..3 {
        eventually(async || queue.events_announce(task, 1).await).await;
        follower.changed(HOUR).await;
    }
    shutdown.cancel();
}

/// Enters a task and claims it.
async fn dispatches(queue: &Queue) {
    let task = push(queue).await;
    let claimed = claim(queue).await;
    assert!(claimed.contains(&task), "{claimed:?}");
}
