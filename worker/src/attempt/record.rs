//! Brings an agent's output to the store, in order and once.
//!
//! A batch that is given to the store again after a lost reply is known by its number. Followers are told beside the
//! writing, so that a slow Redis holds no agent back.

use makima_shared::domain::{EventKind, OutputStream};
use makima_shared::store::{Fenced, StoreError};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, watch};

use super::Attempt;
use crate::hints;
use crate::output::{Batch, OutputLine, Stream, Truncated};

/// Writes batches until the agent's output ends or the attempt is over. Batches that come after that are dropped by
/// closing the channel; the pump goes on draining the pipes.
/// Each batch is told to whoever waits for `activity`. `written` counts the attempt's batches that the store has taken.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    mut batches: mpsc::Receiver<Batch>,
    activity: &Notify,
    written: &mut i64,
) {
    let (news, heard) = watch::channel(0);
    let write = async {
        let mut recorder = Recorder { attempt, written, news };
        while let Some(batch) = batches.recv().await {
            activity.notify_one();
            if let Err(stop) = recorder.take(&batch).await {
                return recorder.give_up(stop).await;
            }
        }
    };
    tokio::join!(write, announce(attempt, heard));
}

/// Tells followers of the newest event, as fast as Redis takes it.
async fn announce(attempt: &Attempt<'_>, mut heard: watch::Receiver<i64>) {
    while heard.changed().await.is_ok() {
        let sequence = *heard.borrow_and_update();
        hints::announce(&attempt.context().queue, attempt.task.id, sequence).await;
    }
}

/// Tells the owner that output is missing from here on.
pub(super) async fn note_cut(attempt: &Attempt<'_>, message: &str) {
    let notices = [json!({ "code": "OUTPUT_CUT", "message": message })];
    let store = &attempt.context().store;
    let (task, epoch) = (attempt.task.id, attempt.task.epoch);
    let noted = attempt.insist(|| store.events_append(task, epoch, EventKind::Notice, &notices)).await;
    if let Err(error) = noted {
        tracing::error!(error = &error as &dyn std::error::Error, "missing output cannot be noted");
    }
}

fn line_event(line: &OutputLine) -> Value {
    let stream = match line.stream {
        Stream::Stdout => OutputStream::Stdout,
        Stream::Stderr => OutputStream::Stderr,
    };
    let mut event = json!({ "stream": stream, "text": line.text });
    if line.partial {
        event["partial"] = true.into();
    }
    if let Some(parsed) = &line.parsed {
        event["parsed"] = json!(parsed);
    }
    event
}

fn cut_event(cut: &Truncated) -> Value {
    let message = format!("the output is over its limit: {} bytes so far are not kept", cut.dropped_bytes);
    json!({ "code": "OUTPUT_CUT", "message": message, "droppedBytes": cut.dropped_bytes })
}

/// Why no more is written.
enum Stop {
    Over,
    Refused(StoreError),
}

struct Recorder<'a> {
    attempt: &'a Attempt<'a>,
    /// How many batches the store has taken.
    written: &'a mut i64,
    news: watch::Sender<i64>,
}

impl Recorder<'_> {
    async fn take(&mut self, batch: &Batch) -> Result<(), Stop> {
        let store = &self.attempt.context().store;
        let (task, epoch, number) = (self.attempt.task.id, self.attempt.task.epoch, *self.written);
        if !batch.lines.is_empty() {
            let lines: Vec<Value> = batch.lines.iter().map(line_event).collect();
            let answer = self.attempt.insist(|| store.output_append(task, epoch, number, &lines)).await;
            let last = taken(answer)?;
            *self.written += 1;
            self.news.send_modify(|newest| *newest = last.unwrap_or(*newest));
        }
        if let Some(cut) = &batch.truncated {
            // Told twice after a lost reply, it does no harm.
            let notices = [cut_event(cut)];
            let append = || store.events_append(task, epoch, EventKind::Notice, &notices);
            self.news.send_replace(taken(self.attempt.insist(append).await)?);
        }
        Ok(())
    }

    async fn give_up(&self, stop: Stop) {
        if let Stop::Refused(error) = stop {
            tracing::error!(error = &error as &dyn std::error::Error, "output cannot be stored");
            note_cut(self.attempt, "the output cannot be stored: what follows is missing").await;
        }
    }
}

fn taken<T>(answer: Result<Fenced<T>, StoreError>) -> Result<T, Stop> {
    match answer {
        Ok(Fenced::Accepted(value)) => Ok(value),
        Ok(Fenced::Stale) => Err(Stop::Over),
        Err(error) => Err(Stop::Refused(error)),
    }
}
