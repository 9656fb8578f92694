//! The store and the queue over the servers that people run: a Redis that freezes, clusters that change, TLS, a pooler.
//!
//! `make test-engines` runs them: they start servers of their own and take their time. `MAKIMA_TEST_REDIS_SERVER` names the
//! program of Redis or Valkey, `MAKIMA_TEST_POOLER` a PgBouncer in transaction mode before the PostgreSQL of `DATABASE_URL`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

mod cluster;
mod failover;
mod frozen;
mod pooler;
mod server;
mod slot;
mod tls;
