//! Puts workers that fail one task after the other into quarantine, and lets the least bad one go if that leaves nobody.

use tracing::warn;

use crate::Context;
use crate::report::{ReconcileError, Report};

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    if context.config.quarantine.is_zero() {
        return Ok(Report { changed: 0, more: false });
    }
    let quarantined = context.store.workers_quarantine(context.config.quarantine).await?;
    for worker in &quarantined {
        warn!(worker.id = %worker.id, worker.name = worker.name, reason = worker.reason, "quarantined");
        // A hint like any other: it saves the tasks of the next moments a way there and back.
        let _ = context.queue.worker_step_aside(worker.id).await;
    }
    let let_go = context.store.workers_let_go(context.config.exclusion_grace).await?;
    if let Some(worker) = &let_go {
        warn!(worker.id = %worker.id, worker.name = worker.name, "let go: every live worker was in quarantine");
    }
    Ok(Report { changed: quarantined.len() + usize::from(let_go.is_some()), more: false })
}
