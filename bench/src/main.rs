//! `makima-bench`: what makima costs, beside what the machine costs, from one run on the machine itself.
//!
//! ```text
//!  scratch ▶ stack (`makima up`) ▶ plane: each measurement between its floors ─┐
//!         ├▶ stack (`makima up`) ▶ agents: floors ▶ measurements ▶ floors ─────┼▶ report
//!         ├▶ stacks (`makima up`) ▶ around: times and memory of a client's tasks ┤
//!         └▶ stack (`makima up`) ▶ workspaces beside git's own commands ───────┘
//! ```
//!
//! One file per measurement, each a function to rows of the [`Report`]; to add a row, add such a file and call it in
//! `plane.rs`, `agents.rs`, `around.rs` or `workspaces.rs`. Everything is real: HTTP, PostgreSQL with fsync, Redis,
//! git, processes. What a run starts it ends, and what it writes it removes, Ctrl-C included.
//!
//! Left out on purpose: judging. The figures are printed; whether they are good enough is for people to say.

mod agents;
mod around;
mod client;
mod floors;
mod machine;
mod options;
mod plane;
mod progress;
mod report;
mod samples;
mod scratch;
mod stack;
mod timeline;
mod workspaces;

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use agents::agent_stamp;
use around::client_stamp;
use options::Options;
use plane::null_worker;
use progress::Progress;
use report::Report;
use scratch::Scratch;
use stack::Stack;

fn main() -> ExitCode {
    // Before anything else: as an agent, this program's start is what is measured.
    let started = SystemTime::now();
    if let Some(file) = agent_stamp::requested() {
        return agent_stamp::write(started, &file);
    }
    if client_stamp::is_requested() {
        return client_stamp::run(started);
    }
    if let Some(end) = null_worker::dispatch() {
        return end;
    }
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<ExitCode> {
    // reqwest wants a provider even for addresses without TLS; an error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run_and_clean_up(options))
}

async fn run_and_clean_up(options: &Options) -> anyhow::Result<ExitCode> {
    let interrupted = interrupted()?;
    let scratch = Scratch::make(options)?;
    let mut running = None;
    let outcome = tokio::select! {
        outcome = Box::pin(measure(options, &scratch, &mut running)) => Some(outcome),
        () = interrupted => None,
    };
    eprintln!("bench: stopping everything");
    stop(&mut running).await;
    scratch.remove().await;
    let Some(outcome) = outcome else {
        eprintln!("bench: interrupted");
        return Ok(ExitCode::from(130));
    };
    outcome?.publish(options)?;
    Ok(ExitCode::SUCCESS)
}

/// Measures one part after the other, each over a stack of its own; one that fails is left in `running`.
async fn measure(
    options: &Options,
    scratch: &Scratch,
    running: &mut Option<Stack>,
) -> anyhow::Result<Report> {
    let progress = Progress::new();
    let (mut parts, mut machine) = (Vec::new(), None);
    for part in [Parts::Plane, Parts::Agents, Parts::Around, Parts::Workspaces, Parts::LargeWorkspaces] {
        if !part.names().iter().any(|name| options.wants(name)) {
            continue;
        }
        parts.push(match part {
            Parts::Plane => plane::measure(options, scratch, &progress, running).await?,
            Parts::Agents => agents::measure(options, scratch, &progress, running).await?,
            Parts::Around => around::measure(options, scratch, &progress, running).await?,
            Parts::Workspaces => workspaces::measure(options, scratch, &progress, running).await?,
            Parts::LargeWorkspaces => workspaces::measure_large(options, scratch, &progress, running).await?,
        });
        if let Some(stack) = running {
            machine = Some(machine::describe(scratch.path(), &stack.servers()?).await?);
        }
        stop(running).await;
    }
    Ok(Report::new(machine.context("nothing was measured")?, parts))
}

#[derive(Clone, Copy)]
enum Parts {
    Plane,
    Agents,
    Around,
    Workspaces,
    LargeWorkspaces,
}

impl Parts {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Plane => &plane::NAMES,
            Self::Agents => &agents::NAMES,
            Self::Around => &around::NAMES,
            Self::Workspaces => &workspaces::NAMES,
            Self::LargeWorkspaces => &workspaces::LARGE_NAMES,
        }
    }
}

async fn stop(running: &mut Option<Stack>) {
    if let Some(stack) = running.take() {
        stack.stop().await;
    }
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
