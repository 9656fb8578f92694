//! What an owner may submit: one bucket for all who ask.

use std::time::Duration;

use makima_shared::domain::OwnerId;

use crate::redis_fixture::OwnQueue;

#[tokio::test]
async fn a_full_bucket_gives_a_minutes_worth_and_then_says_how_long_to_wait() {
    let own = OwnQueue::new();
    let (owner, other) = (OwnerId::new(), OwnerId::new());
    assert_eq!(own.queue.allowance_take(owner, 60, 60).await.unwrap(), None);
    let wait = own.queue.allowance_take(owner, 10, 60).await.unwrap().unwrap();
    assert!(wait > Duration::from_secs(8) && wait <= Duration::from_secs(10), "{wait:?}");
    // What is refused takes nothing, and others are not concerned.
    let one = own.queue.allowance_take(owner, 1, 60).await.unwrap().unwrap();
    assert!(one <= Duration::from_secs(1), "{one:?}");
    assert_eq!(own.queue.allowance_take(other, 60, 60).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_given_back_can_be_had_again() {
    let own = OwnQueue::new();
    let owner = OwnerId::new();
    assert_eq!(own.queue.allowance_take(owner, 7, 7).await.unwrap(), None);
    assert!(own.queue.allowance_take(owner, 3, 7).await.unwrap().is_some());
    own.queue.allowance_give_back(owner, 3, 7).await.unwrap();
    assert_eq!(own.queue.allowance_take(owner, 3, 7).await.unwrap(), None);
    own.queue.allowance_give_back(owner, 7, 7).await.unwrap();
    assert!(own.keys().await.is_empty(), "a full bucket is no key");
    // More than there is room for is lost.
    own.queue.allowance_give_back(owner, 100, 7).await.unwrap();
    assert_eq!(own.queue.allowance_take(owner, 7, 7).await.unwrap(), None);
    assert!(own.queue.allowance_take(owner, 1, 7).await.unwrap().is_some());
}

#[tokio::test]
async fn more_than_the_bucket_holds_is_taken_when_it_is_full_and_paid_off_after_that() {
    let own = OwnQueue::new();
    let owner = OwnerId::new();
    assert_eq!(own.queue.allowance_take(owner, 1, 100).await.unwrap(), None);
    let wait = own.queue.allowance_take(owner, 1000, 100).await.unwrap().unwrap();
    assert!(wait <= Duration::from_millis(600), "until it is full: {wait:?}");
    own.queue.allowance_give_back(owner, 1, 100).await.unwrap();
    assert_eq!(own.queue.allowance_take(owner, 1000, 100).await.unwrap(), None);
    let wait = own.queue.allowance_take(owner, 1, 100).await.unwrap().unwrap();
    assert!(wait > Duration::from_secs(9 * 60 - 5) && wait <= Duration::from_secs(9 * 60 + 1), "{wait:?}");
}

#[tokio::test]
async fn many_who_take_at_once_never_get_more_than_there_is() {
    let own = OwnQueue::new();
    let owner = OwnerId::new();
    let takes = (0..100).map(|_| {
        let queue = own.queue.clone();
        tokio::spawn(async move { queue.allowance_take(owner, 1, 20).await.unwrap().is_none() })
    });
    let mut taken = 0;
    for take in takes.collect::<Vec<_>>() {
        taken += usize::from(take.await.unwrap());
    }
    // One comes back every three seconds.
    assert!((20..=23).contains(&taken), "{taken}");
}
