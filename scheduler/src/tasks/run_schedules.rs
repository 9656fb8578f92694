//! Submits the tasks of cron schedules whose time has come, and sets the alarm for the next one that is close.

use makima_shared::domain::RunOutcome;
use makima_shared::store::{DueSchedule, FiredRun, ReadyTask, StoreError};
use makima_shared::telemetry::names;
use tracing::{error, info, warn};

use crate::Context;
use crate::alarm::Alarm;
use crate::report::{ReconcileError, Report};

const LIMIT: i64 = 100;

pub(crate) async fn run_once(context: &Context, alarm: &Alarm) -> Result<Report, ReconcileError> {
    let close = context.store.schedules_due(context.config.sweep, LIMIT).await?;
    let mut ready = Vec::new();
    let fired = fire_all(context, alarm, &close, &mut ready).await;
    // What was committed is told even if the store failed after it.
    context.queue.ready_push(&ready).await?;
    let changed = fired?;
    // A schedule that was due may be due again already.
    Ok(Report { changed, more: changed > 0 })
}

async fn fire_all(
    context: &Context,
    alarm: &Alarm,
    close: &[DueSchedule],
    ready: &mut Vec<ReadyTask>,
) -> Result<usize, ReconcileError> {
    let mut changed = 0;
    for schedule in close {
        if !schedule.wait.is_zero() {
            alarm.set(schedule.wait);
            break;
        }
        // Boxed, because it is large and rare.
        match Box::pin(context.store.schedule_fire(schedule.id, schedule.due_at)).await {
            Ok(Some(run)) => {
                changed += 1;
                note(schedule, &run);
                if run.waits_for_slot {
                    context.signals.slots();
                }
                ready.extend(run.ready);
            }
            Ok(None) => {}
            // One schedule that cannot be fired must not keep the others.
            Err(error @ StoreError::Database(_)) => {
                error!(schedule.id = %schedule.id, error = &error as &dyn std::error::Error, "not fired");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(changed)
}

fn note(schedule: &DueSchedule, run: &FiredRun) {
    let outcome = run.outcome.as_str();
    metrics::counter!(names::SCHEDULE_RUNS, "outcome" => outcome).increment(1);
    let (schedule_id, due_at, late_ms) = (schedule.id, schedule.due_at, run.late_ms);
    match run.outcome {
        RunOutcome::Submitted => {
            let task = run.task_id.map(|task| task.to_string());
            info!(schedule.id = %schedule_id, %due_at, late_ms, task.id = task, "a schedule submitted its task");
        }
        RunOutcome::SkippedMissed | RunOutcome::SkippedOverlap | RunOutcome::Refused => {
            let message = run.message.as_deref();
            warn!(schedule.id = %schedule_id, %due_at, late_ms, outcome, message, "a schedule submitted nothing");
        }
    }
}
