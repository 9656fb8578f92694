//! Whole stacks of real processes: `makima up` with its servers, roles, shims and agents, and what becomes of tasks when
//! those are killed, frozen, wiped or fed nonsense.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod agents;
mod bad_input;
mod clients;
mod commits;
mod completion;
mod drain;
mod everything_killed;
mod frozen_worker;
mod killed_worker;
mod loop_mode;
mod main_job;
mod messages;
mod metrics;
mod operations;
mod process_tree;
mod quarantine;
mod redis_wiped;
mod remote_away;
mod repository;
mod sandbox;
mod saturated;
mod schedules;
mod secrets;
mod silent_worker;
mod stack;
mod start_points;
mod top;
