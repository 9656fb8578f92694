//! `makima-chaos`: breaks a whole makima under load, at random from a seed, and judges whether its invariants hold.
//!
//! ```text
//!  scratch ▶ stack (servers, roles, a proxy on each way) ▶ load + faults ▶ settle ▶ evidence ▶ checks ▶ report
//! ```
//!
//! Everything is real: processes of the `makima` binary, PostgreSQL with fsync, Redis, git, agents that are shell scripts.
//! Roles are killed, frozen and cut off from outside; nothing in them knows that it is tested. The checker looks at rows,
//! files, processes and its own ledger, never at what a role believes.
//!
//! To add a fault: a variant of `FaultKind`, a function below `faults/`, a line in `faults/strike.rs`. To add an
//! invariant: a file below `checks/` and a line in `checks.rs`.

mod checks;
mod client;
mod evidence;
mod faults;
mod ledger;
mod load;
mod options;
mod processes;
mod proxy;
mod remote;
mod report;
mod run;
mod scratch;
mod servers;
mod settle;
mod stack;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use options::Options;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<ExitCode> {
    // reqwest wants a provider even for addresses without TLS; an error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // One thread: a process that was reaped is never signalled, because nothing runs between the two.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { run::run(options, interrupted()?).await })
}

/// Returns what ends when the process is asked to end. The handlers stand when it returns.
fn interrupted() -> anyhow::Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
