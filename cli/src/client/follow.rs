//! Follows a task's events to where it ends or waits for a person, over broken connections, without a gap and without a
//! repeat.
//!
//! Events carry the numbers 1, 2, 3 .., so the client itself sees what is missing: a number that it has is dropped, a
//! number that leaves some out makes it ask again behind the last one that it has. If they are left out then too, they are
//! no more: the output of a task that ended long ago is deleted.

use std::collections::VecDeque;
use std::time::Duration;

use makima_shared::domain::{EventKind, StatusChange, TaskEvent, TaskId, TaskStatus};
use reqwest::Response;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use super::sse::{Frame, Parser};
use super::{Client, ClientError};

/// A stream that says nothing for so long, not even a comment, is taken for dead.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a server that was there before may be away.
const PATIENCE: Duration = Duration::from_secs(120);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// What following a task brings.
#[derive(Debug)]
pub(crate) enum Followed {
    /// The next event.
    Event(TaskEvent),
    /// The connection is lost; the next call makes another.
    Interrupted(String),
}

/// The data of the last message of a stream.
#[derive(Deserialize)]
struct End {
    status: TaskStatus,
}

/// The numbers of the events that came.
#[derive(Debug, Default)]
struct Numbers {
    last: i64,
    /// A number that came where another was due.
    ahead: Option<i64>,
    /// It came again when the one that was due had been asked for: there are numbers without events.
    has_holes: bool,
}

/// What to do with an event.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    /// It is the next one.
    Next,
    /// It came before.
    Known,
    /// Some before it may be missing: ask again.
    Ahead,
}

impl Numbers {
    fn take(&mut self, number: i64) -> Taken {
        if number <= self.last {
            return Taken::Known;
        }
        if number > self.last + 1 && !self.has_holes {
            self.has_holes = self.ahead.replace(number) == Some(number);
            if !self.has_holes {
                return Taken::Ahead;
            }
        }
        self.last = number;
        Taken::Next
    }
}

/// The stream of one task.
pub(crate) struct Follow<'a> {
    client: &'a Client,
    task: TaskId,
    numbers: Numbers,
    status: Option<TaskStatus>,
    ended: bool,
    stream: Option<(Response, Parser)>,
    frames: VecDeque<Frame>,
    /// Until when failures are forgiven; nothing is before the first answer.
    patient_until: Option<Instant>,
    pause: Duration,
}

impl<'a> Follow<'a> {
    /// Follows a task from its first event. With `known` the API was there a moment ago and may be away for a while.
    pub(crate) fn new(client: &'a Client, task: TaskId, known: bool) -> Self {
        Self {
            client,
            task,
            numbers: Numbers::default(),
            status: None,
            ended: false,
            stream: None,
            frames: VecDeque::new(),
            patient_until: known.then(|| Instant::now() + PATIENCE),
            pause: FIRST_PAUSE,
        }
    }

    /// Where the task stood at the last word of it.
    pub(crate) fn status(&self) -> Option<TaskStatus> {
        self.status
    }

    /// Waits for what comes next; `None` where the task has ended or waits for a person.
    pub(crate) async fn next(&mut self) -> Result<Option<Followed>, ClientError> {
        loop {
            while let Some(frame) = self.frames.pop_front() {
                if let Some(event) = self.take_frame(&frame)? {
                    return Ok(Some(Followed::Event(event)));
                }
            }
            if self.ended {
                return Ok(None);
            }
            match self.read_more().await {
                Ok(true) => {}
                // The API shuts down, and comes back.
                Ok(false) => self.rest().await,
                Err(error) => return self.forgive(error).await.map(Some),
            }
        }
    }

    /// Reads what the stream brings, from a new one if there is none. `false` means that the server ended it.
    async fn read_more(&mut self) -> Result<bool, ClientError> {
        if self.stream.is_none() {
            self.stream = Some((self.client.stream(self.task, self.numbers.last).await?, Parser::default()));
        }
        let Some((response, parser)) = &mut self.stream else { return Ok(false) };
        let lost = |reason: String| ClientError::Unreachable { url: self.client.url().to_owned(), reason };
        let chunk = match timeout(SILENCE, response.chunk()).await {
            Err(_elapsed) => Err(lost(format!("silence for {} s", SILENCE.as_secs()))),
            Ok(Err(error)) => Err(ClientError::unreachable(self.client.url(), &error)),
            Ok(Ok(chunk)) => Ok(chunk),
        };
        match chunk {
            Ok(Some(bytes)) => {
                self.frames.extend(parser.push(&bytes));
                self.patient_until = Some(Instant::now() + PATIENCE);
                Ok(true)
            }
            Ok(None) => {
                self.stream = None;
                Ok(false)
            }
            Err(error) => {
                self.stream = None;
                Err(error)
            }
        }
    }

    /// Takes the event of a frame, if it is the next one.
    fn take_frame(&mut self, frame: &Frame) -> Result<Option<TaskEvent>, ClientError> {
        if frame.event.as_deref() == Some("end") {
            let end: End = serde_json::from_str(&frame.data).map_err(|source| self.client.unknown(source))?;
            self.status = Some(end.status);
            self.ended = true;
        }
        // What carries no number is no event of the task, but word of the stream itself.
        if frame.id.is_none() {
            return Ok(None);
        }
        let event: TaskEvent =
            serde_json::from_str(&frame.data).map_err(|source| self.client.unknown(source))?;
        match self.numbers.take(event.sequence) {
            Taken::Next => {}
            Taken::Known => return Ok(None),
            Taken::Ahead => {
                self.stream = None;
                self.frames.clear();
                return Ok(None);
            }
        }
        self.pause = FIRST_PAUSE;
        if event.kind == EventKind::Status {
            self.status = StatusChange::deserialize(&event.data).ok().map(|change| change.to);
        }
        Ok(Some(event))
    }

    /// Takes a passing failure for an interruption, and rests; any other is the caller's.
    async fn forgive(&mut self, error: ClientError) -> Result<Followed, ClientError> {
        let patient = self.patient_until.is_some_and(|until| Instant::now() < until);
        if !patient || !error.is_passing() {
            return Err(error);
        }
        self.rest().await;
        Ok(Followed::Interrupted(error.brief()))
    }

    async fn rest(&mut self) {
        sleep(self.pause).await; // why: back-off before the next connection
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_asked_for_once() {
        let mut numbers = Numbers::default();
        let mut take = |number| numbers.take(number);
        assert_eq!([1, 2, 2, 4].map(&mut take), [Taken::Next, Taken::Next, Taken::Known, Taken::Ahead]);
        // It was only late.
        assert_eq!([3, 4].map(&mut take), [Taken::Next, Taken::Next]);
        assert_eq!([9, 9, 12, 13].map(take), [Taken::Ahead, Taken::Next, Taken::Next, Taken::Next]);
    }
}
