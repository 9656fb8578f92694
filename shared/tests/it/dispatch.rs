//! Ready tasks: who gets which, and who is rung.

use std::time::Duration;

use chrono::{Duration as Span, Utc};
use makima_shared::domain::{TaskId, WorkerId};
use makima_shared::queue::{InboxMessage, Queue};
use tokio::task::JoinSet;

use crate::redis_fixture::{OwnQueue, ready, ready_now};

/// Reads what lies in an inbox already: a marker is put behind it, so nothing has to be waited for.
async fn rung(queue: &Queue, worker: WorkerId) -> usize {
    let marker = TaskId::new();
    queue.worker_stop(worker, marker, 0.into()).await.unwrap();
    let (mut inbox, mut bells) = (queue.inbox(worker), 0);
    loop {
        match inbox.next(Duration::from_secs(600)).await.unwrap() {
            Some(InboxMessage::Claim) => bells += 1,
            Some(InboxMessage::Stop(attempt)) if attempt.task_id == marker => return bells,
            Some(InboxMessage::Stop(_) | InboxMessage::Message { .. }) | None => {}
        }
    }
}

#[tokio::test]
async fn tasks_are_given_out_by_priority_then_age() {
    let q = OwnQueue::new().queue;
    let now = Utc::now();
    let ago = |secs| now - Span::seconds(secs);
    let tasks = [
        ready(50, ago(1), &[]),
        ready(100, ago(0), &[]),
        ready(0, ago(100_000_000), &[]),
        ready(50, ago(2), &[]),
        ready(51, ago(0), &[]),
        ready(50, ago(0), &[]),
        ready(0, now + Span::days(300_000), &[]),
        ready(1, now + Span::days(300_000), &[]),
    ];
    q.ready_push(&tasks).await.unwrap();
    let order = [1, 4, 3, 0, 5, 7, 2, 6].map(|place: usize| tasks[place].id);
    let worker = WorkerId::new();
    let mut given = q.ready_claim(worker, &[], 3).await.unwrap();
    given.extend(q.ready_claim(worker, &[], 100).await.unwrap());
    assert_eq!(given, order);
    assert!(q.ready_claim(worker, &[], 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_excluded_worker_is_passed_over_and_keeps_nobody_back() {
    let q = OwnQueue::new().queue;
    let (one, two, three) = (WorkerId::new(), WorkerId::new(), WorkerId::new());
    // More than one page of them, all before the one that the worker may have.
    let barred: Vec<_> = (0..100).map(|_| ready(90, Utc::now(), &[two, one])).collect();
    let free = ready_now();
    q.ready_push(&barred).await.unwrap();
    q.ready_push(std::slice::from_ref(&free)).await.unwrap();
    assert_eq!(q.ready_claim(one, &[], 5).await.unwrap(), [free.id]);
    assert!(q.ready_claim(two, &[], 5).await.unwrap().is_empty());
    assert_eq!(q.ready_claim(three, &[], 200).await.unwrap().len(), 100);
}

#[tokio::test]
async fn an_exclusion_that_was_lifted_is_forgotten() {
    let q = OwnQueue::new().queue;
    let worker = WorkerId::new();
    let mut task = ready(50, Utc::now(), &[worker]);
    q.ready_push(std::slice::from_ref(&task)).await.unwrap();
    assert!(q.ready_claim(worker, &[], 1).await.unwrap().is_empty());
    task.excluded_worker_ids.clear();
    q.ready_push(std::slice::from_ref(&task)).await.unwrap();
    assert_eq!(rung(&q, worker).await, 1);
    assert_eq!(q.ready_claim(worker, &[], 1).await.unwrap(), [task.id]);
}

#[tokio::test]
async fn what_was_read_of_a_task_before_its_exclusion_was_lifted_does_not_bring_that_back() {
    let q = OwnQueue::new().queue;
    let worker = WorkerId::new();
    let before = ready(50, Utc::now(), &[worker]);
    let mut now = before.clone();
    now.excluded_worker_ids.clear();
    q.ready_push(std::slice::from_ref(&now)).await.unwrap();
    q.ready_restore(std::slice::from_ref(&before)).await.unwrap();
    assert_eq!(q.ready_claim(worker, &[], 1).await.unwrap(), [now.id]);
    // One that is missing is entered all the same.
    q.ready_restore(std::slice::from_ref(&now)).await.unwrap();
    assert_eq!(q.ready_claim(worker, &[], 1).await.unwrap(), [now.id]);
}

#[tokio::test]
async fn a_waiting_worker_is_rung_for_a_task_that_it_may_have_and_for_no_other() {
    let q = OwnQueue::new().queue;
    let (barred, free, busy) = (WorkerId::new(), WorkerId::new(), WorkerId::new());
    for worker in [barred, free] {
        assert!(q.ready_claim(worker, &[], 1).await.unwrap().is_empty());
    }
    q.ready_push(&[ready(50, Utc::now(), &[barred])]).await.unwrap();
    assert_eq!([rung(&q, barred).await, rung(&q, free).await, rung(&q, busy).await], [0, 1, 0]);
    // Who was rung is rung again only once it has asked in vain again; who was not is still waiting.
    q.ready_push(&[ready(50, Utc::now(), &[barred])]).await.unwrap();
    assert_eq!([rung(&q, barred).await, rung(&q, free).await], [0, 0]);
    q.ready_push(&[ready_now()]).await.unwrap();
    assert_eq!([rung(&q, barred).await, rung(&q, free).await], [1, 0]);
}

#[tokio::test]
async fn as_many_waiting_workers_are_rung_as_there_are_tasks() {
    let q = OwnQueue::new().queue;
    let workers: Vec<_> = (0..4).map(|_| WorkerId::new()).collect();
    for worker in &workers {
        assert!(q.ready_claim(*worker, &[], 1).await.unwrap().is_empty());
    }
    q.ready_push(&[ready_now(), ready_now(), ready_now()]).await.unwrap();
    let mut bells = 0;
    for worker in &workers {
        bells += rung(&q, *worker).await;
    }
    assert_eq!(bells, 3);
}

#[tokio::test]
async fn the_worker_that_has_waited_longest_is_rung_first() {
    let q = OwnQueue::new().queue;
    let workers: Vec<_> = (0..5).map(|_| WorkerId::new()).collect();
    for worker in workers.iter().chain(&workers[..1]) {
        // Asking again keeps the first one's place.
        assert!(q.ready_claim(*worker, &[], 1).await.unwrap().is_empty());
    }
    for worker in &workers {
        q.ready_push(&[ready_now()]).await.unwrap();
        assert_eq!(rung(&q, *worker).await, 1);
    }
}

/// A worker that asks in vain and a task that comes in at the same time: it gets the task or the bell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_between_an_empty_claim_and_a_push() {
    let own = OwnQueue::new();
    let mut asked_in_vain = 0;
    for round in 0..500 {
        // Connections of their own, so that Redis alone decides who comes first.
        let (worker, task) = (WorkerId::new(), ready_now());
        let (claimer, pusher) = (own.queue.clone(), OwnQueue::over(&own.prefix));
        let mut race = JoinSet::new();
        let pushed = task.clone();
        race.spawn(async move { claimer.ready_claim(worker, &[], 1).await.unwrap() });
        race.spawn(async move {
            pusher.ready_push(std::slice::from_ref(&pushed)).await.unwrap();
            Vec::new()
        });
        let claimed: Vec<_> = race.join_all().await.into_iter().flatten().collect();
        if claimed.is_empty() {
            asked_in_vain += 1;
            assert_eq!(rung(&own.queue, worker).await, 1, "round {round}");
            assert_eq!(own.queue.ready_claim(worker, &[], 1).await.unwrap(), [task.id]);
        } else {
            assert_eq!(claimed, [task.id]);
        }
        own.queue.worker_forget(worker).await.unwrap();
    }
    assert!(asked_in_vain > 0, "the race was no race");
}

#[tokio::test]
async fn many_claimers_at_once_get_each_task_once() {
    let q = OwnQueue::new().queue;
    let tasks: Vec<_> = (0..1200).map(|_| ready_now()).collect();
    q.ready_push(&tasks).await.unwrap();
    let mut claims = JoinSet::new();
    for _ in 0..8 {
        let q = q.clone();
        claims.spawn(async move {
            let mut all = Vec::new();
            loop {
                let some = q.ready_claim(WorkerId::new(), &[], 7).await.unwrap();
                if some.is_empty() {
                    return all;
                }
                all.extend(some);
            }
        });
    }
    let mut given: Vec<_> = claims.join_all().await.into_iter().flatten().collect();
    given.sort();
    assert_eq!(given, tasks.iter().map(|task| task.id).collect::<Vec<_>>());
}

#[tokio::test]
async fn pushing_a_task_again_is_harmless() {
    let own = OwnQueue::new();
    let (task, worker) = (ready_now(), WorkerId::new());
    for _ in 0..100 {
        own.queue.ready_push(std::slice::from_ref(&task)).await.unwrap();
    }
    own.queue.ready_push(&vec![task.clone(); 100]).await.unwrap();
    assert_eq!(own.queue.ready_claim(worker, &[], 10).await.unwrap(), [task.id]);
    assert!(own.queue.ready_claim(worker, &[], 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_removed_task_is_given_to_nobody_and_leaves_no_key() {
    let own = OwnQueue::new();
    let barred = ready(50, Utc::now(), &[WorkerId::new()]);
    own.queue.ready_push(&[barred.clone(), ready_now()]).await.unwrap();
    own.queue.ready_remove(barred.id, barred.owner_id, &[]).await.unwrap();
    let worker = WorkerId::new();
    assert_eq!(own.queue.ready_claim(worker, &[], 10).await.unwrap().len(), 1);
    assert!(own.queue.ready_claim(worker, &[], 10).await.unwrap().is_empty());
    own.queue.worker_stop(worker, barred.id, 1.into()).await.unwrap();
    own.queue.worker_forget(worker).await.unwrap();
    assert_eq!(own.keys().await, [""; 0]);
}

#[tokio::test]
async fn what_redis_lost_is_found_missing_and_comes_back_once_pushed() {
    let own = OwnQueue::new();
    let tasks = [ready_now(), ready_now(), ready_now()];
    own.queue.ready_push(&tasks).await.unwrap();
    let missing = || async {
        let missing = own.queue.ready_missing(tasks.to_vec()).await.unwrap();
        missing.into_iter().map(|task| task.id).collect::<Vec<_>>()
    };
    assert!(missing().await.is_empty());
    assert!(own.queue.ready_missing(Vec::new()).await.unwrap().is_empty());
    let taken = own.queue.ready_claim(WorkerId::new(), &[], 1).await.unwrap();
    assert_eq!(missing().await, taken);
    own.lose_everything().await;
    assert_eq!(missing().await, tasks.each_ref().map(|task| task.id));
    own.queue.ready_push(&tasks).await.unwrap();
    assert!(missing().await.is_empty());
    assert_eq!(own.queue.ready_claim(WorkerId::new(), &[], 10).await.unwrap().len(), 3);
}
