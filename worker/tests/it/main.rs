//! Tests of the worker against real git repositories.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod any_work;
mod cancel;
mod commits;
mod fixture;
mod ignore;
mod odd_files;
mod push;
mod repository;
mod restore;
mod result;
mod served;
mod snapshot;
mod traps;
mod workspace;
