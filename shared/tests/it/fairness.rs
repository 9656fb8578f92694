//! Shares: whose task is next where several owners wait, and what workers may have.

use std::collections::HashMap;

use chrono::{Duration, Utc};
use makima_shared::domain::{OwnerId, TaskId, WorkerId};
use makima_shared::queue::Queue;
use makima_shared::store::ReadyTask;
use proptest::prelude::*;

use crate::redis_fixture::{OwnQueue, ready_now};

fn tasks_of(owner: OwnerId, weight: i32, labels: &[&str], count: usize) -> Vec<ReadyTask> {
    let task = |_| ReadyTask {
        owner_id: owner,
        owner_weight: weight,
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        ..ready_now()
    };
    (0..count).map(task).collect()
}

fn labels(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

/// Claims one task after the other, and tells whose each was.
async fn claim_one_by_one(queue: &Queue, owners: &HashMap<TaskId, OwnerId>, count: usize) -> Vec<OwnerId> {
    let mut order = Vec::new();
    for _ in 0..count {
        let claimed = queue.ready_claim(WorkerId::new(), &[], 1).await.unwrap();
        order.extend(claimed.iter().map(|id| owners[id]));
    }
    order
}

fn owners(tasks: &[ReadyTask]) -> HashMap<TaskId, OwnerId> {
    tasks.iter().map(|task| (task.id, task.owner_id)).collect()
}

#[tokio::test]
async fn a_flood_of_one_owner_delays_another_by_one_task() {
    let q = OwnQueue::new().queue;
    let (greedy, modest) = (OwnerId::new(), OwnerId::new());
    let mut all = tasks_of(greedy, 1, &[], 3000);
    for task in &mut all {
        task.priority = 100;
    }
    q.ready_push(&all).await.unwrap();
    claim_one_by_one(&q, &owners(&all), 500).await;
    let late = tasks_of(modest, 1, &[], 5);
    q.ready_push(&late).await.unwrap();
    all.extend(late);
    let order = claim_one_by_one(&q, &owners(&all), 10).await;
    assert_eq!(
        order.iter().filter(|owner| **owner == modest).count(),
        5,
        "every other one is the modest owner's"
    );
    assert!(order[..2].contains(&modest));
}

#[tokio::test]
async fn owners_get_shares_by_their_weights_in_one_claim_as_in_many() {
    for at_once in [1, 7, 400] {
        let q = OwnQueue::new().queue;
        let (light, heavy) = (OwnerId::new(), OwnerId::new());
        let all = [tasks_of(light, 1, &[], 300), tasks_of(heavy, 3, &[], 300)].concat();
        q.ready_push(&all).await.unwrap();
        let whose = owners(&all);
        let mut order = Vec::new();
        while order.len() < 400 {
            let claimed = q.ready_claim(WorkerId::new(), &[], at_once.min(400 - order.len())).await.unwrap();
            order.extend(claimed.iter().map(|id| whose[id]));
        }
        let of_heavy = order.iter().filter(|owner| **owner == heavy).count();
        assert!((299..=301).contains(&of_heavy), "{of_heavy} of 400, {at_once} at once");
    }
}

#[tokio::test]
async fn leaving_and_coming_back_after_each_claim_gains_nothing() {
    let q = OwnQueue::new().queue;
    let (one_by_one, steady) = (OwnerId::new(), [OwnerId::new(), OwnerId::new(), OwnerId::new()]);
    let mut whose = HashMap::new();
    for owner in steady {
        let tasks = tasks_of(owner, 1, &[], 200);
        q.ready_push(&tasks).await.unwrap();
        whose.extend(owners(&tasks));
    }
    let mut got = 0;
    for _ in 0..200 {
        if !whose.values().any(|owner| *owner == one_by_one) {
            let task = tasks_of(one_by_one, 1, &[], 1);
            q.ready_push(&task).await.unwrap();
            whose.extend(owners(&task));
        }
        let claimed = q.ready_claim(WorkerId::new(), &[], 1).await.unwrap();
        let owner = whose.remove(&claimed[0]).unwrap();
        got += usize::from(owner == one_by_one);
    }
    assert!((48..=52).contains(&got), "a quarter is its share: {got} of 200");
}

#[tokio::test]
async fn who_was_away_for_long_has_saved_nothing_up() {
    let q = OwnQueue::new().queue;
    let (steady, away) = (OwnerId::new(), OwnerId::new());
    let first = tasks_of(away, 1, &[], 1);
    let steadily = tasks_of(steady, 1, &[], 1000);
    q.ready_push(&first).await.unwrap();
    q.ready_push(&steadily).await.unwrap();
    let mut whose = owners(&steadily);
    whose.extend(owners(&first));
    claim_one_by_one(&q, &whose, 500).await;
    let back = tasks_of(away, 1, &[], 100);
    q.ready_push(&back).await.unwrap();
    whose.extend(owners(&back));
    let order = claim_one_by_one(&q, &whose, 100).await;
    assert!((49..=51).contains(&order.iter().filter(|owner| **owner == away).count()));
}

#[tokio::test]
async fn a_task_goes_to_a_worker_that_offers_all_its_labels() {
    let own = OwnQueue::new();
    let (q, owner, worker) = (&own.queue, OwnerId::new(), WorkerId::new());
    let plain = tasks_of(owner, 1, &[], 1);
    let gpu = tasks_of(owner, 1, &["gpu"], 1);
    let both = tasks_of(owner, 1, &["eu", "gpu"], 1);
    q.ready_push(&[plain.clone(), gpu.clone(), both.clone()].concat()).await.unwrap();
    assert_eq!(q.ready_claim(worker, &[], 10).await.unwrap(), [plain[0].id]);
    assert!(q.ready_claim(worker, &labels(&["eu", "gp"]), 10).await.unwrap().is_empty());
    assert_eq!(q.ready_claim(worker, &labels(&["gpu"]), 10).await.unwrap(), [gpu[0].id]);
    assert_eq!(q.ready_claim(worker, &labels(&["cuda", "eu", "gpu"]), 10).await.unwrap(), [both[0].id]);
    q.worker_forget(worker).await.unwrap();
    assert_eq!(own.keys().await, [""; 0]);
}

#[tokio::test]
async fn priority_goes_before_age_across_the_label_sets_of_an_owner() {
    let q = OwnQueue::new().queue;
    let owner = OwnerId::new();
    let mut tasks = [tasks_of(owner, 1, &[], 2), tasks_of(owner, 1, &["gpu"], 2)].concat();
    tasks[1].priority = 80;
    tasks[3].priority = 90;
    tasks[2].queued_at = Utc::now() - Duration::hours(1);
    q.ready_push(&tasks).await.unwrap();
    let order = [3, 1, 2, 0].map(|place: usize| tasks[place].id);
    assert_eq!(q.ready_claim(WorkerId::new(), &labels(&["gpu"]), 4).await.unwrap(), order);
}

/// Work that only some workers can do must not make an owner wait for what all can do.
#[tokio::test]
async fn what_an_owner_got_elsewhere_delays_it_by_one_task_at_most() {
    let q = OwnQueue::new().queue;
    let (with_gpu, other) = (OwnerId::new(), OwnerId::new());
    let rival = OwnerId::new();
    let gpu = [tasks_of(with_gpu, 1, &["gpu"], 400), tasks_of(rival, 1, &["gpu"], 400)].concat();
    q.ready_push(&gpu).await.unwrap();
    let plain = tasks_of(other, 1, &[], 400);
    q.ready_push(&plain).await.unwrap();
    let mut whose = owners(&plain);
    whose.extend(owners(&gpu));
    claim_one_by_one(&q, &whose, 3).await;
    for _ in 0..60 {
        assert_eq!(q.ready_claim(WorkerId::new(), &labels(&["gpu"]), 5).await.unwrap().len(), 5);
    }
    let late = tasks_of(with_gpu, 1, &[], 20);
    q.ready_push(&late).await.unwrap();
    whose.extend(owners(&late));
    let order = claim_one_by_one(&q, &whose, 20).await;
    assert!((9..=11).contains(&order.iter().filter(|owner| **owner == with_gpu).count()), "{order:?}");
}

#[tokio::test]
async fn many_owners_that_exclude_a_worker_keep_nobody_back() {
    let q = OwnQueue::new().queue;
    let worker = WorkerId::new();
    for _ in 0..200 {
        let mut task = tasks_of(OwnerId::new(), 1, &[], 1);
        task[0].excluded_worker_ids = vec![worker];
        q.ready_push(&task).await.unwrap();
    }
    let free = tasks_of(OwnerId::new(), 1, &[], 1);
    q.ready_push(&free).await.unwrap();
    assert_eq!(q.ready_claim(worker, &[], 1).await.unwrap(), [free[0].id]);
    assert_eq!(q.ready_claim(WorkerId::new(), &[], 500).await.unwrap().len(), 200);
}

#[tokio::test]
async fn a_worker_is_rung_for_what_it_offers_alone() {
    let q = OwnQueue::new().queue;
    let mut plain = Vec::new();
    for _ in 0..100 {
        let worker = WorkerId::new();
        assert!(q.ready_claim(worker, &[], 1).await.unwrap().is_empty());
        plain.push(worker);
    }
    let able = WorkerId::new();
    assert!(q.ready_claim(able, &labels(&["gpu"]), 1).await.unwrap().is_empty());
    q.ready_push(&tasks_of(OwnerId::new(), 1, &["gpu"], 1)).await.unwrap();
    let heard = q.inbox(able).next(std::time::Duration::from_secs(3600)).await.unwrap();
    assert_eq!(heard, Some(makima_shared::queue::InboxMessage::Claim));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is pushed, in whatever order, comes out once, to a worker that may have it, and leaves no key.
    #[test]
    fn everything_comes_out_once(
        pushes in prop::collection::vec((0_usize..6, 0_usize..4, 1_i32..5, 0_i16..=100), 1..120),
        at_once in 1_usize..40,
    ) {
        const SETS: [&[&str]; 4] = [&[], &["gpu"], &["eu"], &["eu", "gpu"]];
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let own = OwnQueue::new();
            let all_owners: Vec<_> = (0..6).map(|_| OwnerId::new()).collect();
            let tasks: Vec<_> = pushes
                .iter()
                .map(|(owner, set, weight, priority)| {
                    let mut task = tasks_of(all_owners[*owner], *weight, SETS[*set], 1).remove(0);
                    task.priority = *priority;
                    task
                })
                .collect();
            for part in tasks.chunks(9) {
                own.queue.ready_push(part).await.unwrap();
            }
            let mut waiting: HashMap<TaskId, &ReadyTask> = tasks.iter().map(|task| (task.id, task)).collect();
            let worker = WorkerId::new();
            for offered in [&["gpu"][..], &["eu", "gpu"]] {
                loop {
                    let claimed = own.queue.ready_claim(worker, &labels(offered), at_once).await.unwrap();
                    for id in &claimed {
                        let task = waiting.remove(id).unwrap();
                        assert!(task.labels.iter().all(|label| offered.contains(&label.as_str())));
                    }
                    if claimed.is_empty() {
                        break;
                    }
                }
            }
            assert!(waiting.is_empty());
            own.queue.worker_forget(worker).await.unwrap();
            assert_eq!(own.keys().await, [""; 0]);
        });
    }
}
