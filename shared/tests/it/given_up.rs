//! Calls that nobody waits for to the end: a client that went away, a timeout, a shutdown.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use makima_shared::testing;
use sqlx::PgPool;

use crate::fixture::Fixture;

/// Drives a call on for a number of steps and then drops it.
async fn give_up_after(mut steps: usize, call: impl Future) {
    let mut call = pin!(call);
    poll_fn(|context| {
        if steps == 0 {
            return Poll::Ready(());
        }
        steps -= 1;
        call.as_mut().poll(context).map(|_answer| ())
    })
    .await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_call_that_is_given_up_anywhere_takes_no_later_write_with_it(pool: PgPool) {
    let f = Fixture::new(pool).await;
    // With one connection the next call gets the one that was left.
    let one = f.pool.options().clone().max_connections(1);
    let store = testing::store(&one.connect_lazy_with(f.pool.connect_options().as_ref().clone()));
    for steps in 0..40 {
        give_up_after(steps, store.slots_give(f.owner)).await;
        let name = format!("written after {steps} steps");
        store.owner_ensure(&name).await.unwrap();
        let seen = sqlx::query_scalar("SELECT count(*) FROM owners WHERE name = $1").bind(name);
        let seen: i64 = seen.fetch_one(&f.pool).await.unwrap();
        assert_eq!(seen, 1, "after {steps} steps");
    }
}
