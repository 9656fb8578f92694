//! Saves the work of an agent while it runs: by the interval, when it falls silent, when it asks; and looks now and then
//! whether the workspace is still there.

mod quiet;

use std::time::Duration;

use makima_shared::domain::CheckpointTrigger;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::Attempt;
use super::run_agent::StopCause;
use crate::checkpoint::{Checkpointer, Taken};
use crate::checkpoint_request::{Answer, Ask};
use quiet::Quiet;

/// How long a vanished workspace goes unnoticed at most, however long the task's interval is.
const LOOK_PERIOD: Duration = Duration::from_secs(60);

/// What is to be done next.
enum Due {
    Interval,
    Quiet,
    Asked(Ask),
    Look,
}

/// Takes checkpoints until the agent has ended, or one of them tells that it must. One that is under way is brought to
/// its end, because no two may read the tree at the same time.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    checkpointer: &mut Checkpointer<'_>,
    activity: &Notify,
    mut asks: mpsc::Receiver<Ask>,
    ended: &CancellationToken,
    verdict: oneshot::Sender<StopCause>,
) {
    let period = Duration::from_secs(attempt.task.checkpoint_interval_secs.unsigned_abs().into());
    let (mut ticks, mut looks) = (every(period), every(LOOK_PERIOD));
    let mut quiet = Quiet::new(activity);
    let cause = loop {
        let due = tokio::select! {
            biased;
            () = ended.cancelled() => return,
            Some(ask) = asks.recv() => Due::Asked(ask),
            _ = ticks.tick() => Due::Interval,
            () = quiet.fallen() => Due::Quiet,
            _ = looks.tick() => Due::Look,
        };
        let begun = Instant::now();
        let is_look = matches!(due, Due::Look);
        let taken = carry_out(checkpointer, due).await;
        match taken {
            Taken::Saved(_) | Taken::NotStored(_) if is_look => {}
            Taken::Saved(_) | Taken::NotStored(_) => {
                ticks.reset();
                looks.reset();
                quiet.looked(begun.elapsed());
            }
            Taken::Over => break StopCause::Revoked,
            Taken::WorkspaceGone => break StopCause::WorkspaceGone,
        }
    };
    // Nobody listens any more when the agent has ended meanwhile.
    let _ = verdict.send(cause);
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn carry_out(checkpointer: &mut Checkpointer<'_>, due: Due) -> Taken {
    match due {
        Due::Interval => checkpointer.take(CheckpointTrigger::Interval, None).await,
        Due::Quiet => checkpointer.take(CheckpointTrigger::Quiet, None).await,
        Due::Look => checkpointer.look().await,
        Due::Asked(Ask { message, reply }) => {
            let taken = checkpointer.take(CheckpointTrigger::Asked, message).await;
            // The agent may have given up.
            let _ = reply.send(answer(&taken));
            taken
        }
    }
}

fn answer(taken: &Taken) -> Answer {
    match taken {
        Taken::Saved(Some(number)) => Answer::Stored(*number),
        Taken::Saved(None) => Answer::Unchanged,
        Taken::NotStored(reason) => Answer::Refused(reason.clone()),
        Taken::Over => Answer::Refused("the attempt is over".to_owned()),
        Taken::WorkspaceGone => Answer::Refused("the workspace has vanished".to_owned()),
    }
}
