//! The slot of the queue goes from one node to another while the queue is in use.

use std::time::Duration;

use makima_shared::domain::{TaskId, WorkerId};
use makima_shared::queue::{Queue, WakeCall};
use redis::cmd;

use crate::cluster::{Cluster, Kind, OWNER, SLOT, command};
use crate::server::{claim, eventually, next_stop, push, ready};

#[tokio::test]
async fn the_queue_goes_with_its_slot() {
    let cluster = Cluster::start(Kind::plain()).await;
    let queue = Queue::open(&format!("redis://{}", cluster.hosts(&[1])), "test").unwrap();
    let (worker, stopped) = (WorkerId::new(), TaskId::new());
    let first = push(&queue).await;
    let mut inbox = queue.inbox(worker);
    queue.worker_stop(worker, stopped, 1.into()).await.unwrap();
    assert_eq!(next_stop(&mut inbox).await, stopped);
    move_slot(&cluster, 0).await;
    let second = push(&queue).await;
    assert_eq!(claim(&queue).await, [first, second]);
    queue.worker_stop(worker, stopped, 2.into()).await.unwrap();
    assert_eq!(next_stop(&mut inbox).await, stopped);
}

#[tokio::test]
async fn a_reader_that_waits_is_sent_after_the_slot() {
    let cluster = Cluster::start(Kind::plain()).await;
    let queue = Queue::open(&format!("redis://{}", cluster.hosts(&[0])), "test").unwrap();
    let (worker, stopped) = (WorkerId::new(), TaskId::new());
    let mut inbox = queue.inbox(worker);
    let waits = async { inbox.next(Duration::from_secs(3600)).await };
    let (sent_away, ()) = tokio::join!(waits, async {
        // The reader is there once the node has a client that it keeps waiting.
        let clients = cmd("INFO").arg("clients").take();
        eventually(async || {
            let clients: String = cluster.nodes[OWNER].ask(&clients).await;
            if clients.contains("blocked_clients:1") { Ok(()) } else { Err(clients) }
        })
        .await;
        move_slot(&cluster, 1).await;
    });
    assert!(sent_away.is_err(), "the node that lost the slot says so");
    queue.worker_stop(worker, stopped, 1.into()).await.unwrap();
    assert_eq!(next_stop(&mut inbox).await, stopped);
}

/// A hint that is lost while the slot is between two nodes is made up for; nobody hangs meanwhile.
#[tokio::test]
async fn calls_end_while_the_slot_is_between_two_nodes() {
    let cluster = Cluster::start(Kind::plain()).await;
    let queue = Queue::open(&format!("redis://{}", cluster.hosts(&[0, 1, 2])), "test").unwrap();
    let task = push(&queue).await;
    set_out(&cluster, 1).await;
    for _ in 0..20 {
        let _ = queue.ready_push(&[ready()]).await;
        let _ = queue.scheduler_wake(WakeCall::Settle).await;
    }
    arrive(&cluster, 1).await;
    assert!(claim(&queue).await.contains(&task), "it came along");
}

/// Who subscribes and who asks for subscribers meet on the node of the slot, whichever node each asked first.
#[tokio::test]
async fn a_sign_of_life_is_given_and_looked_for_where_the_queue_is() {
    let cluster = Cluster::start(Kind::plain()).await;
    let open = |node| Queue::open(&format!("redis://{}", cluster.hosts(&[node])), "test").unwrap();
    let (queue, scheduler, worker) = (open(0), open(1), WorkerId::new());
    let presence = queue.presence_open(worker).await.unwrap();
    assert_eq!(scheduler.workers_absent(&[worker]).await.unwrap(), []);
    move_slot(&cluster, 0).await;
    push(&scheduler).await;
    assert_eq!(scheduler.workers_absent(&[worker]).await.unwrap(), [worker]);
    presence.broken().await;
    let _presence = queue.presence_open(worker).await.unwrap();
    assert_eq!(scheduler.workers_absent(&[worker]).await.unwrap(), []);
}

async fn move_slot(cluster: &Cluster, to: usize) {
    set_out(cluster, to).await;
    arrive(cluster, to).await;
}

/// Marks the slot as one that leaves its owner for another node.
async fn set_out(cluster: &Cluster, to: usize) {
    let (from_id, to_id) = (cluster.id(OWNER).await, cluster.id(to).await);
    let slot = SLOT.to_string();
    cluster.nodes[to].ask::<()>(&command("SETSLOT", &[&slot, "IMPORTING", &from_id])).await;
    cluster.nodes[OWNER].ask::<()>(&command("SETSLOT", &[&slot, "MIGRATING", &to_id])).await;
}

/// Brings the keys over and gives the slot away.
async fn arrive(cluster: &Cluster, to: usize) {
    let (slot, to_id) = (SLOT.to_string(), cluster.id(to).await);
    let keys: Vec<String> = cluster.nodes[OWNER].ask(&command("GETKEYSINSLOT", &[&slot, "1000"])).await;
    if !keys.is_empty() {
        let mut migrate = cmd("MIGRATE");
        migrate.arg("127.0.0.1").arg(cluster.nodes[to].port).arg("").arg(0).arg(5000).arg("KEYS").arg(keys);
        cluster.nodes[OWNER].ask::<()>(&migrate).await;
    }
    for node in [to, OWNER] {
        cluster.nodes[node].ask::<()>(&command("SETSLOT", &[&slot, "NODE", &to_id])).await;
    }
}
