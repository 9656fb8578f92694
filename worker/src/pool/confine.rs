//! A worker takes tasks only once it knows that its sandbox holds. Until then it is in quarantine, with the reason for all
//! to see, and looks again from time to time: somebody may install what is missing.

use std::sync::Arc;
use std::time::Duration;

use makima_shared::store::answered;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Life, RETRY_DELAY};
use crate::sandbox::{self, Chosen, Level};

/// How long it is until the sandbox is tried again.
const QUARANTINE: Duration = Duration::from_secs(30);

/// Tells whether agents can be held as they should. If not, the worker is in quarantine when this returns.
pub(super) async fn is_ready(life: &Arc<Life>) -> bool {
    let context = &life.context;
    if context.sandbox.initialized() || !context.runner.runs_agents() {
        return true;
    }
    let sockets = context.config.server_sockets();
    match sandbox::choose(&context.config.worker, &context.executable, &sockets).await {
        Ok(chosen) => {
            tell(&chosen);
            // Nobody else sets it.
            let _ = context.sandbox.set(chosen.sandbox);
            true
        }
        Err(error) => {
            let reason = format!("its agents cannot be confined: {error}");
            warn!(worker.id = %life.id, reason, "taking no tasks");
            match answered(context.store.worker_quarantine_itself(life.id, QUARANTINE, &reason)).await {
                Ok(quarantine) => drop(life.lease.quarantine.send_replace(quarantine)),
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "cannot say why no tasks are taken");
                    sleep(RETRY_DELAY).await; // why: back-off before the next try
                }
            }
            false
        }
    }
}

fn tell(chosen: &Chosen) {
    let (sandbox, report) = (&chosen.sandbox, &chosen.report);
    for why in &chosen.passed_over {
        warn!(sandbox = report.level, "{why}");
    }
    if *sandbox.level() == Level::None {
        warn!("agents run without a sandbox, as this worker's user");
        return;
    }
    for finding in &report.findings {
        let held = if finding.holds { "holds" } else { "does not hold" };
        info!(sandbox = report.level, held, detail = finding.detail, "self-test: {}", finding.check);
    }
    info!(sandbox = report.level, network = ?sandbox.network(), limits = sandbox.limits_in_words(), "agents are confined");
}
