//! Tests of the worker against real git repositories.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cancel;
mod copy_files;
mod fixture;
mod ignore;
mod keep_ignored;
mod odd_files;
mod push;
mod repository;
mod restore;
mod result;
mod served;
mod snapshot;
mod traps;
mod workspace;
