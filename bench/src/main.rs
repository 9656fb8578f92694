//! `makima-bench`: what makima costs, beside what the machine costs, from one run on the machine itself.
//!
//! ```text
//!  scratch ▶ stack (`makima up`) ▶ warm-up ▶ floors ▶ latency ▶ life ▶ throughput ▶ floors ▶ report
//! ```
//!
//! One file per measurement, each a function from a [`Bench`] to rows of the [`Report`]; to add a row, add such a file and
//! call it in [`measure`]. Everything is real: HTTP, PostgreSQL with fsync, Redis, git, processes. What a run starts it
//! ends, and what it writes it removes, Ctrl-C included.
//!
//! Left out on purpose: judging. The figures are printed; whether they are good enough is for people to say.

mod agent_stamp;
mod bench;
mod client;
mod floors;
mod latency;
mod life;
mod machine;
mod options;
mod progress;
mod report;
mod repository;
mod samples;
mod scratch;
mod stack;
mod throughput;
mod timeline;
mod warm_up;

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use bench::Bench;
use floors::Floors;
use options::Options;
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
    let mut stack = Stack::spawn(options, &scratch)?;
    let outcome = tokio::select! {
        outcome = measure(options, &scratch, &mut stack) => Some(outcome),
        () = interrupted => None,
    };
    eprintln!("bench: stopping everything");
    stack.stop().await;
    scratch.remove().await;
    let Some(outcome) = outcome else {
        eprintln!("bench: interrupted");
        return Ok(ExitCode::from(130));
    };
    outcome?.publish(options)?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(options: &Options, scratch: &Scratch, stack: &mut Stack) -> anyhow::Result<Report> {
    let progress = Progress::new();
    let repository = repository::make(scratch).await?;
    let api = stack.ready(options, &progress).await?;
    let servers = stack.servers()?;
    let bench = Bench { options, scratch, progress, repository, api };
    warm_up::run(&bench).await?;
    let mut floors = Floors::default();
    // Half before and half after, so that a machine that changes its pace on the way does not skew the ratios.
    floors.measure_half(&bench, &servers).await?;
    let mut rows = latency::measure(&bench).await?;
    rows.extend(life::measure(&bench).await?);
    floors.measure_bare_half(&bench, &servers).await?;
    rows.extend(throughput::measure(&bench).await?);
    floors.measure_bare_half(&bench, &servers).await?;
    floors.measure_half(&bench, &servers).await?;
    let machine = machine::describe(scratch.path(), &servers).await?;
    Ok(Report::new(options, machine, floors, rows))
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
