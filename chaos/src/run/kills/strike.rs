//! One kill, and how the work went on after it.

use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use makima_shared::domain::TaskId;
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use super::plan::{Kill, Way};
use super::standing::{Attempt, Standing, progress, start_after};
use crate::evidence::{Note, Noted, Witness};
use crate::processes::kill_with_descendants;
use crate::stack::{Role, Stack};

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// An agent that has not moved on by then never will.
const PATIENCE: Duration = Duration::from_secs(600);

/// What one kill hit, and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Killed {
    pub(super) at: DateTime<Utc>,
    pub(super) story: String,
    pub(super) had_checkpoint: bool,
}

/// Kills the worker that runs the task when the plan says so, and waits until an agent goes on. None if the run was
/// over first.
pub(super) async fn strike(
    stack: &Stack,
    task: TaskId,
    kill: Kill,
    number: usize,
) -> anyhow::Result<Option<Killed>> {
    let Some(()) = reached(stack, task, kill).await? else { return Ok(None) };
    sleep(kill.delay).await; // why: a kill falls anywhere in a step
    let before = Standing::of(&stack.pool, task).await?;
    let Some((epoch, _)) = progress(&notes(stack, task)?) else { return Ok(None) };
    let attempt = Attempt::of(&stack.pool, task, epoch).await?;
    let role = attempt.role().and_then(|name| stack.workers.iter().find(|member| member.role.name() == name));
    let role = &role.context("the attempt is of no worker of this run")?.role;
    if before.is_over {
        return Ok(None);
    }
    let what = end(stack, role, kill.way, number)?;
    let at = Utc::now();
    let Some((next, start)) = went_on(stack, task, epoch).await? else { return Ok(None) };
    let notes = notes(stack, task)?;
    let had = last_step(&notes, epoch);
    let (lost, lost_secs) = lost(&notes, epoch, start.number, at);
    let story = format!(
        "{} {what} at step {had}, after checkpoint {}; goes on behind step {} on {} {} {:.1} s later: \
         {lost} steps ({lost_secs:.1} s) lost",
        attempt.worker.as_deref().unwrap_or("a worker"),
        before.checkpoints,
        start.number,
        next.worker.as_deref().unwrap_or("another worker"),
        next.beginning(),
        (start.at - at).as_seconds_f64(),
    );
    Ok(Some(Killed { at, story, had_checkpoint: before.checkpoints > 0 }))
}

/// Waits until the agent has made the step of the plan; none if the task ends before.
async fn reached(stack: &Stack, task: TaskId, kill: Kill) -> anyhow::Result<Option<()>> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let standing = Standing::of(&stack.pool, task).await?;
        if standing.is_over {
            return Ok(None);
        }
        let is_far = progress(&notes(stack, task)?).is_some_and(|(_, step)| step >= kill.step);
        if is_far && (standing.checkpoints > 0 || !kill.wants_checkpoint) {
            return Ok(Some(()));
        }
        ensure!(Instant::now() < give_up, "the agent does not get to step {}", kill.step);
        sleep(LOOK_EVERY).await; // why: an agent tells in its notes alone
    }
}

/// Kills, and takes the disk away where that is asked for. Nothing else of this program runs in between.
fn end(stack: &Stack, role: &Role, way: Way, number: usize) -> anyhow::Result<&'static str> {
    if way == Way::Worker {
        role.signal(Signal::SIGKILL).context("the worker is dead already")?;
        return Ok("is killed alone");
    }
    kill_with_descendants(role.pid().context("the worker is dead already")?);
    if way == Way::Processes {
        return Ok("is killed with its agent");
    }
    let disk = stack.scratch.worker(role.name());
    std::fs::rename(&disk, disk.with_extension(format!("lost-{number}")))?;
    Ok("is killed with its agent and its disk")
}

/// Waits until an agent of a later attempt begins, and returns the attempt with its first note; none if the task ends
/// before.
async fn went_on(stack: &Stack, task: TaskId, epoch: i64) -> anyhow::Result<Option<(Attempt, Note)>> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(start) = start_after(&notes(stack, task)?, epoch) {
            return Ok(Some((Attempt::of(&stack.pool, task, start.epoch).await?, *start)));
        }
        if Standing::of(&stack.pool, task).await?.is_over {
            return Ok(None);
        }
        ensure!(Instant::now() < give_up, "nobody goes on with the task");
        sleep(LOOK_EVERY).await; // why: an agent tells in its notes alone
    }
}

fn notes(stack: &Stack, task: TaskId) -> anyhow::Result<Vec<Note>> {
    Ok(Witness::read(&stack.scratch.witness())?.of(task).to_vec())
}

/// Returns the last step of an attempt.
fn last_step(notes: &[Note], epoch: i64) -> u32 {
    notes.iter().rfind(|note| note.epoch == epoch).map_or(0, |note| note.number)
}

/// Returns how many steps of an attempt were not found by the next one, and how long ago the first of them began.
fn lost(notes: &[Note], epoch: i64, found: u32, killed: DateTime<Utc>) -> (u32, f64) {
    let steps = last_step(notes, epoch).saturating_sub(found);
    let kept = notes
        .iter()
        .rfind(|note| note.epoch == epoch && (note.noted == Noted::Start || note.number <= found));
    let since = kept.map_or(0, |note| (killed - note.at).num_milliseconds());
    (steps, Duration::from_millis(u64::try_from(since).unwrap_or(0)).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_what_the_next_agent_does_not_find() {
        let at = |second: i64| DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap();
        let note = |noted, number, second| Note { noted, epoch: 1, number, at: at(second) };
        let steps = (1..=4_u32).map(|number| note(Noted::Write, number, i64::from(number) * 10));
        let notes: Vec<_> = std::iter::once(note(Noted::Start, 0, 5)).chain(steps).collect();
        assert_eq!(lost(&notes, 1, 4, at(41)), (0, 1.0));
        assert_eq!(lost(&notes, 1, 2, at(41)), (2, 21.0));
        assert_eq!(lost(&notes, 1, 0, at(41)), (4, 36.0));
    }
}
