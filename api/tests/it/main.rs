//! The API over a real PostgreSQL (a database of its own per test) and a real Redis (a prefix of its own per test).
//!
//! Requests go through the whole router, without a socket between where none is needed. What a worker would do is done
//! on the store, as a worker does it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod allowance;
mod auth;
mod bad_input;
mod bulk;
mod change;
mod checkpoints;
mod delete;
mod document;
mod events;
mod exporter;
mod full;
mod health;
mod isolation;
mod messages;
mod outage;
mod overview;
mod retry_completion;
mod schedules;
mod secrets;
mod service;
mod stage;
mod start;
mod start_points;
mod stop;
mod stream;
mod submit;
mod tasks;
mod workers;
