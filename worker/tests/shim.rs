//! Real agents under real shims: how they end, and that nothing of them stays.
//!
//! The program is its own shim, its own hostile agents ([`agents`]) and, for the test that kills one, its own worker.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test program without the standard harness")]

#[path = "shim/agents.rs"]
mod agents;
#[path = "shim/cases.rs"]
mod cases;
#[path = "shim/handover.rs"]
mod handover;
#[path = "shim/marked.rs"]
mod marked;
#[path = "shim/sandboxed.rs"]
mod sandboxed;
#[path = "shim/stage.rs"]
mod stage;

use std::panic::catch_unwind;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(end) = makima_worker::shim::dispatch(std::env::args_os()) {
        return end;
    }
    let args: Vec<_> = std::env::args().skip(1).collect();
    if let Some(end) = agents::play(&args) {
        return end;
    }
    let all = || cases::ALL.iter().chain(handover::ALL).chain(sandboxed::ALL);
    let cases: Vec<_> = all().filter(|(name, _)| is_chosen(name, &args)).collect();
    if args.iter().any(|arg| arg == "--list") {
        cases.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let failed: Vec<_> =
        cases.iter().filter(|(name, case)| !passes(name, *case)).map(|(name, _)| *name).collect();
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    let (passed, filtered) = (cases.len() - failed.len(), all().count() - cases.len());
    println!(
        "\ntest result: {verdict}. {passed} passed; {} failed; 0 ignored; 0 measured; {filtered} filtered out",
        failed.len()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_chosen(name: &str, args: &[String]) -> bool {
    let mut wanted = args.iter().filter(|arg| !arg.starts_with('-')).peekable();
    wanted.peek().is_none() || wanted.any(|part| name.contains(part))
}

fn passes(name: &str, case: fn()) -> bool {
    let passed = catch_unwind(case).is_ok();
    println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    passed
}
