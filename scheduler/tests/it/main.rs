//! Tests of the whole scheduler against a real PostgreSQL and a real Redis, with workers that are clients of the store.
//!
//! `DATABASE_URL` names a PostgreSQL in which each test makes a database of its own, `REDIS_URL` a Redis in which each
//! has a prefix of its own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

mod crew;
mod dependencies;
mod fixture;
mod leadership;
mod prune;
mod quarantine;
mod requeue;
mod rescue;
mod schedules;
mod silence;
