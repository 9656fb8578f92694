//! Tests of the worker against real git repositories.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod any_work;
mod cancel;
mod commits;
mod copy_files;
mod fixture;
mod fuzz_names;
mod fuzz_restore;
mod fuzz_tree_names;
#[path = "../../src/fuzzing.rs"]
mod fuzzing;
mod ignore;
mod keep_ignored;
mod large_trees;
mod merge;
mod odd_files;
mod old_modes;
mod pull_request;
mod push;
mod repository;
mod restore;
mod result;
mod secrets;
mod served;
mod shallow;
mod snapshot;
mod traps;
mod workspace;
