//! Tests of the store and the queue against a real PostgreSQL and a real Redis.
//!
//! `DATABASE_URL` names a PostgreSQL in which each test makes a database of its own, `REDIS_URL` a Redis in which each
//! has a prefix of its own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

mod allowance;
mod api_keys;
mod bulk;
mod change;
mod checkpoints;
mod claim;
mod connections;
mod constraints;
mod delete;
mod departure;
mod dispatch;
mod events;
mod exclusions;
mod fairness;
mod fence;
mod fixture;
mod given_up;
mod inbox;
mod isolation;
mod leader;
mod life_cycle;
mod live_events;
mod messages;
mod overview;
mod owners;
mod presence;
mod prune;
mod quarantine;
mod redis_fixture;
mod release;
mod retry_completion;
mod schedules;
mod secrets;
mod slots;
mod spend;
mod start;
mod start_points;
mod streak;
mod submission;
mod transitions;
mod waiting;
mod workers;
