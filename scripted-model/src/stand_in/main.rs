//! Stands in for the clients of the vendors in tests: under the name `claude` or `codex` it asks a scripted model for steps,
//! runs its commands, keeps its conversation and prints its lines where the real client would.
//!
//! It does what the real ones were seen to do (`docs/AGENTS.md`), traps included, and nothing else: `make test-agents` runs
//! the same cases with the real ones.

mod claude;
mod claude_lines;
mod codex;
mod codex_thread;
mod model;
mod prompts;
mod shell;

use std::path::Path;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    // Loopback needs no TLS, but the client of HTTP asks for it all the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut args = std::env::args();
    let name = args.next().unwrap_or_default();
    let args: Vec<String> = args.collect();
    match Path::new(&name).file_name().and_then(|name| name.to_str()) {
        Some("claude") => claude::run(&args).await,
        Some("codex") => codex::run(&args).await,
        _ => anyhow::bail!("call it claude or codex"),
    }
}

/// Prints a line as it happens: whoever reads it may kill this in the next moment.
fn print(line: &serde_json::Value) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// Returns the value of an option, given after it or behind `=`.
fn option<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    args.iter().enumerate().find_map(|(at, arg)| match arg.strip_prefix(name)? {
        "" => args.get(at + 1).map(String::as_str),
        rest => rest.strip_prefix('='),
    })
}
