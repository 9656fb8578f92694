//! Shows tasks while they run, to their end or to where they wait for a person.
//!
//! Agents' output goes to standard output. Everything about it goes to standard error: on a terminal with a line that
//! moves (status and elapsed time), elsewhere as a line per change.

mod progress;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use futures_util::{StreamExt, stream};
use makima_shared::domain::{EventKind, TaskEvent, TaskId, TaskStatus};
use nix::sys::signal::Signal;

use crate::client::{Client, Follow, Followed};
use crate::failure;
use crate::render::{self, EventLine, Form, event_line};
use progress::Progress;

/// How many tasks are followed at once; what follows later ends no later for it.
const STREAMS: usize = 16;

/// What of a task is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// Output and changes, for people.
    Everything,
    /// The same, with the lines of clients as they wrote them.
    Raw,
    /// Each event as one line of JSON.
    Json,
    /// Changes on standard error, nothing on standard output.
    Changes,
}

/// Follows one task to its end, or to where it waits for a person, and returns where it stands. With `known` the API
/// was there a moment ago.
pub(crate) async fn watch(
    client: &Client,
    task: TaskId,
    show: Show,
    known: bool,
) -> anyhow::Result<TaskStatus> {
    let mut progress = Progress::start(&task.short(), show != Show::Json);
    let form = match (show, io::stdout().is_terminal()) {
        (Show::Raw, _) => Form::Raw,
        (_, true) => Form::Terminal,
        (_, false) => Form::Plain,
    };
    let mut follow = Follow::new(client, task, known);
    let mut connected = true;
    while let Some(step) = follow.next().await? {
        match step {
            Followed::Event(event) => {
                connected = true;
                show_event(&mut progress, &event, show, form)?;
            }
            // Once is enough, however often it fails.
            Followed::Interrupted(reason) => {
                if std::mem::take(&mut connected) {
                    progress.talk(&format!("-- {reason}; trying again"))?;
                }
            }
        }
        if let Some(status) = follow.status() {
            progress.status(status);
        }
    }
    progress.finish()?;
    let status = match follow.status() {
        Some(status) => status,
        None => client.task(task).await?.task.status,
    };
    if show != Show::Json {
        say_how_to_go_on(client, task, status).await?;
    }
    Ok(status)
}

/// Says what a person may do about a task that waits for one.
async fn say_how_to_go_on(client: &Client, task: TaskId, status: TaskStatus) -> anyhow::Result<()> {
    if status.is_held() {
        writeln!(io::stderr(), "-- {}", render::how_to_go_on(&client.task(task).await?.task))?;
    }
    Ok(())
}

fn show_event(progress: &mut Progress, event: &TaskEvent, show: Show, form: Form) -> anyhow::Result<()> {
    if show == Show::Json {
        writeln!(io::stdout().lock(), "{}", render::json_line(event)?)?;
        return Ok(());
    }
    if show == Show::Changes && event.kind != EventKind::Status {
        return Ok(());
    }
    match event_line(event, form) {
        EventLine::Output { text, partial } => progress.output(&text, partial)?,
        EventLine::Talk(line) => progress.talk(&line)?,
        EventLine::Nothing => {}
    }
    Ok(())
}

/// Waits until each task has ended or waits for a person, and returns where each stands, in the order in which they got
/// there.
pub(crate) async fn watch_all(
    client: &Client,
    tasks: &[TaskId],
) -> anyhow::Result<Vec<(TaskId, TaskStatus)>> {
    let mut progress = Progress::start(&format!("0 of {} ended", tasks.len()), true);
    let mut ended = Vec::with_capacity(tasks.len());
    let mut ends =
        stream::iter(tasks.iter().copied().map(|task| end_of(client, task))).buffer_unordered(STREAMS);
    while let Some(end) = ends.next().await {
        let (task, status) = end?;
        ended.push((task, status));
        progress.talk(&format!("{} {}", task.short(), render::status_for_stderr(status)))?;
        progress.label(&format!("{} of {} ended", ended.len(), tasks.len()));
    }
    progress.finish()?;
    for (task, status) in &ended {
        say_how_to_go_on(client, *task, *status).await?;
    }
    Ok(ended)
}

async fn end_of(client: &Client, task: TaskId) -> anyhow::Result<(TaskId, TaskStatus)> {
    let detail = client.task(task).await?;
    if detail.task.status.is_terminal() || detail.task.status.is_held() {
        return Ok((task, detail.task.status));
    }
    let mut follow = Follow::new(client, task, true);
    while follow.next().await?.is_some() {}
    match follow.status() {
        Some(status) => Ok((task, status)),
        None => Ok((task, client.task(task).await?.task.status)),
    }
}

/// Returns the exit code for where tasks stand: 0 only if all ended well, and [`failure::HELD`] where the others wait for a
/// person.
pub(crate) fn exit_code(ends: impl IntoIterator<Item = TaskStatus>) -> ExitCode {
    let mut others = ends.into_iter().filter(|status| !TaskStatus::SATISFIED.contains(status)).peekable();
    if others.peek().is_none() {
        ExitCode::SUCCESS
    } else if others.all(TaskStatus::is_held) {
        ExitCode::from(failure::HELD)
    } else {
        ExitCode::FAILURE
    }
}

/// Carries out what watches tasks, until Ctrl-C: that ends the watching, not the tasks.
pub(crate) async fn until_interrupted(
    watching: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    tokio::select! {
        end = watching => end,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            writeln!(io::stderr(), "\nno longer watching; what runs goes on, and `makima stop ID` stops it")?;
            Ok(failure::ended_by(Signal::SIGINT))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_failures_from_tasks_that_wait_for_a_person() {
        let code = |ends: &[TaskStatus]| format!("{:?}", exit_code(ends.iter().copied()));
        let is = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(code(&[TaskStatus::Done, TaskStatus::Merged]), is(0));
        assert_eq!(code(&[TaskStatus::Done, TaskStatus::Interrupted]), is(3));
        assert_eq!(code(&[TaskStatus::Interrupted, TaskStatus::Failed]), is(1));
        assert_eq!(code(&[TaskStatus::Cancelled]), is(1));
    }
}
