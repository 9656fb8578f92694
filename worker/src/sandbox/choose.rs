//! Which sandbox a worker gets: the first one that its settings allow and that was seen to hold.

use std::path::{Path, PathBuf};

use makima_shared::config::{SandboxMode, WorkerConfig};

use super::self_test::{self, Report};
use super::{Bubblewrap, Level, Sandbox};
use crate::private_dir::create_private;

/// A sandbox that holds, and what was seen of it: nothing, where it is none.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The sandbox.
    pub sandbox: Sandbox,
    /// What the self-test saw.
    pub report: Report,
    /// Better ones that were tried, and why they were not taken.
    pub passed_over: Vec<String>,
}

/// No sandbox that the settings allow holds.
#[derive(Debug, thiserror::Error)]
#[error("no sandbox holds ({}); install bubblewrap, or run agents without one by --sandbox none", tried.join("; "))]
pub struct NoSandbox {
    /// What was tried, and why it was not taken.
    pub tried: Vec<String>,
}

/// Chooses the sandbox of a worker. `sockets` are those of its servers, for the self-test to try.
///
/// # Errors
/// None holds.
pub async fn choose(
    config: &WorkerConfig,
    executable: &Path,
    sockets: &[PathBuf],
) -> Result<Chosen, NoSandbox> {
    let mut tried = Vec::new();
    for level in levels(config.sandbox.mode, &mut tried) {
        let sandbox = Sandbox::new(level, &config.sandbox, &config.agent_env, &config.data_dir, executable);
        if *sandbox.level() == Level::None {
            let report = Report { level: sandbox.level().name(), findings: Vec::new() };
            return Ok(Chosen { sandbox, report, passed_over: tried });
        }
        match test(&sandbox, &config.data_dir, executable, sockets).await {
            Ok(report) => {
                let failures: Vec<_> =
                    report.failures().map(|it| format!("{}: {}", it.check, it.detail)).collect();
                if failures.is_empty() {
                    return Ok(Chosen { sandbox, report, passed_over: tried });
                }
                tried.push(format!("{} does not hold: {}", report.level, failures.join(", ")));
            }
            Err(why) => tried.push(format!("{} does not work: {why}", sandbox.level().name())),
        }
    }
    Err(NoSandbox { tried })
}

async fn test(
    sandbox: &Sandbox,
    data_dir: &Path,
    executable: &Path,
    sockets: &[PathBuf],
) -> Result<Report, String> {
    create_private(data_dir).map_err(|error| format!("{}: {error}", data_dir.display()))?;
    let place = tempfile::Builder::new().prefix("self-test-").tempdir_in(data_dir);
    let place = place.map_err(|error| error.to_string())?;
    self_test::run(sandbox, place.path(), executable, sockets).await.map_err(|error| error.to_string())
}

/// Returns the levels that come into question, best first.
fn levels(mode: SandboxMode, tried: &mut Vec<String>) -> Vec<Level> {
    let mut bubblewrap = || {
        let found = Bubblewrap::find();
        if found.is_none() {
            tried.push("bubblewrap is not installed: there is no bwrap on PATH".to_owned());
        }
        found.map(Level::Bubblewrap)
    };
    match mode {
        SandboxMode::Auto => bubblewrap().into_iter().chain([Level::Landlock]).collect(),
        SandboxMode::Bubblewrap => bubblewrap().into_iter().collect(),
        SandboxMode::Landlock => vec![Level::Landlock],
        SandboxMode::None => vec![Level::None],
    }
}
