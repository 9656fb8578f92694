//! The `makima` binary: every role as a subcommand, `up` for one machine, and the client of the HTTP API.
//!
//! **Architecture invariant.** Client commands reach makima over HTTP alone; the store and the queue are opened only to
//! start a role, to migrate and to make keys.

mod client;
mod commands;
mod demo;
mod directories;
mod exporter;
mod failure;
mod pager;
mod render;
mod role;
mod services;
mod settings;
mod top;
mod up;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: an agent's supervisor must run before any thread exists, and starts within a millisecond.
    if let Some(end) = makima_worker::shim::dispatch(std::env::args_os()) {
        return end;
    }
    commands::run()
}
