//! Messages to the agent of an attempt: which of them its conversation lacks, and which it has taken up.
//!
//! The store has all messages of the task. What counts is whether a message is in the conversation that the agent goes
//! on with: those that are not wait here, in order, until the agent says that it has taken them up, or until its
//! conversation has them.

use std::sync::Arc;

use makima_shared::domain::EventKind;
use makima_shared::store::{Fenced, MessageKey, StoreError};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::prepare::{Prepared, accepted};
use super::threads::Threads;
use super::{Attempt, End};
use crate::agent::{self, Line, TakenUp, Turn, conversation};

/// How often a message is given to an agent that does not take it up.
const MAX_TRIES: u8 = 3;
/// How much of messages an agent gets at its start that does not listen while it runs.
const MAX_TOLD_BYTES: usize = 256 * 1024;

/// A message that the conversation lacks.
#[derive(Clone, Copy, Debug)]
struct Letter {
    key: MessageKey,
    /// The running agent has been given it.
    is_given: bool,
    tries: u8,
}

/// The messages to an agent.
pub(super) struct Mailbox<'a> {
    attempt: &'a Attempt<'a>,
    /// The number of the newest message that was read of.
    read_to: i32,
    /// In the order of their numbers.
    waiting: Vec<Letter>,
}

impl<'a> Mailbox<'a> {
    /// Reads of all messages of the task, and leaves out those that the conversation has which the agent goes on with.
    pub(super) async fn open(attempt: &'a Attempt<'a>, prepared: &Prepared) -> Result<Self, End> {
        let mut mailbox = Self { attempt, read_to: 0, waiting: Vec::new() };
        mailbox.look().await?;
        if prepared.conversation.is_some() {
            mailbox.compare(prepared).await?;
        }
        if !mailbox.waiting.is_empty() {
            info!(messages = mailbox.waiting.len(), "messages wait for the agent");
        }
        Ok(mailbox)
    }

    /// Tells whether there is nothing that the agent has not taken up, as far as is known.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Reads of new messages.
    pub(super) async fn look(&mut self) -> Result<(), End> {
        if self.attempt.task.agent.client().is_none() {
            return Ok(());
        }
        let (store, task, after) = (&self.attempt.context().store, self.attempt.task.id, self.read_to);
        let asking = || async { Ok(Fenced::Accepted(store.messages_after(task, after).await?)) };
        let found = accepted(self.attempt.insist(asking).await)?;
        self.read_to = found.last().map_or(after, |newest| newest.number);
        self.waiting.extend(found.into_iter().map(|key| Letter { key, is_given: false, tries: 0 }));
        Ok(())
    }

    /// Returns the messages for an agent that takes them at its start alone, as a part of what it is told.
    pub(super) async fn tell(&mut self) -> Result<String, End> {
        let adapter = agent::adapter(&self.attempt.task.agent);
        let mut told = String::new();
        if adapter.listens() {
            return Ok(told);
        }
        for place in 0..self.waiting.len() {
            let key = self.waiting[place].key;
            let Some(words) = adapter.say(key.id, &self.text(key).await?) else { break };
            if !told.is_empty() && told.len() + words.len() > MAX_TOLD_BYTES {
                break;
            }
            told.push_str(&words);
            self.waiting[place].is_given = true;
        }
        Ok(told)
    }

    /// Gives messages to the running agent if it listens, and notes what it takes up, until it has ended.
    pub(super) async fn serve(
        &mut self,
        line: Option<Line>,
        turn: watch::Receiver<Turn>,
        mut taken_up: mpsc::Receiver<TakenUp>,
        ended: &CancellationToken,
    ) {
        tokio::select! {
            biased;
            () = ended.cancelled() => {}
            served = self.talk(line, turn, &mut taken_up) => {
                if served.is_err() {
                    debug!("over: nobody may talk to the agent any more");
                }
                ended.cancelled().await;
            }
        }
        while let Ok(sign) = taken_up.try_recv() {
            if self.note(sign).await.is_err() {
                return;
            }
        }
    }

    async fn talk(
        &mut self,
        mut line: Option<Line>,
        mut turn: watch::Receiver<Turn>,
        taken_up: &mut mpsc::Receiver<TakenUp>,
    ) -> Result<(), End> {
        let mut newest = self.attempt.newest_message.clone();
        loop {
            if let Some(open) = &mut line {
                let now = *turn.borrow_and_update();
                newest.borrow_and_update();
                let given = self.give(open, now).await;
                // Behind the end of a turn nothing more is said: what comes later has a round of its own.
                if now != Turn::Open || !given? {
                    line = None;
                }
            }
            tokio::select! {
                Some(sign) = taken_up.recv() => self.note(sign).await?,
                Ok(()) = turn.changed(), if line.is_some() => {}
                Ok(()) = newest.changed(), if line.is_some() => {}
                else => return Ok(()),
            }
        }
    }

    /// Gives the agent what it has not been given; says whether it still reads.
    async fn give(&mut self, line: &mut Line, turn: Turn) -> Result<bool, End> {
        if turn == Turn::Lost {
            return Ok(false);
        }
        if line.open().await.is_err() {
            return Ok(false);
        }
        self.look().await?;
        let adapter = agent::adapter(&self.attempt.task.agent);
        for place in 0..self.waiting.len() {
            let Letter { key, is_given, .. } = self.waiting[place];
            if is_given {
                continue;
            }
            let Some(words) = adapter.say(key.id, &self.text(key).await?) else { return Ok(false) };
            self.waiting[place].is_given = true;
            if line.write(&words).await.is_err() {
                return Ok(false);
            }
            debug!(message = key.number, "given to the agent");
        }
        Ok(true)
    }

    /// Notes what the agent has taken up.
    async fn note(&mut self, sign: TakenUp) -> Result<(), End> {
        self.take_out(|letter| match sign {
            TakenUp::One(id) => letter.key.id == id,
            TakenUp::All => letter.is_given,
        })
        .await
    }

    /// Looks for what waits in the conversation that is in the agent's home.
    async fn compare(&mut self, prepared: &Prepared) -> Result<(), End> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (adapter, home) = (agent::adapter(&self.attempt.task.agent), prepared.workspace.home());
        let threads = Threads::default();
        let reading = threads.run(move || conversation::messages(adapter, &home));
        let interrupted = async {
            self.attempt.revoked().await;
            End::Over
        };
        let had = threads.guard(async { Ok(Arc::new(reading.await?)) }, interrupted).await?;
        self.take_out(|letter| had.contains(&letter.key.id)).await
    }

    /// Looks, after a good end of the agent, for what its conversation lacks, and for new messages.
    pub(super) async fn settle(&mut self, prepared: &Prepared) -> Result<(), End> {
        self.compare(prepared).await?;
        for letter in self.waiting.iter_mut().filter(|letter| letter.is_given) {
            letter.is_given = false;
            letter.tries += 1;
        }
        let refused = self.waiting.extract_if(.., |letter| letter.tries >= MAX_TRIES);
        let refused: Vec<_> = refused.map(|letter| letter.key.number).collect();
        for number in refused {
            self.tell_owner(number).await?;
        }
        self.look().await
    }

    async fn take_out(&mut self, is_taken_up: impl Fn(&Letter) -> bool) -> Result<(), End> {
        let taken = self.waiting.iter().filter(|letter| is_taken_up(letter));
        // One that was noted in an attempt before, and has stayed in the conversation, is as it was.
        let news = taken.filter(|letter| letter.is_given || !letter.key.is_delivered);
        let numbers: Vec<_> = news.map(|letter| letter.key.number).collect();
        if !numbers.is_empty() {
            let store = &self.attempt.context().store;
            let noting = self.attempt.insist(|| store.messages_delivered(self.attempt.key(), &numbers)).await;
            accepted(noting)?;
        }
        self.waiting.retain(|letter| !is_taken_up(letter));
        Ok(())
    }

    async fn text(&self, key: MessageKey) -> Result<String, End> {
        let (store, task) = (&self.attempt.context().store, self.attempt.task.id);
        let asking = || async { Ok(Fenced::Accepted(store.message_text(task, key.number).await?)) };
        // It is gone with its task alone, and so is the attempt then.
        accepted(self.attempt.insist(asking).await)?.ok_or(End::Over)
    }

    async fn tell_owner(&self, number: i32) -> Result<(), End> {
        warn!(message = number, "the agent does not take it up");
        let message =
            format!("message {number} was given to the agent {MAX_TRIES} times, and it did not take it up");
        let notices = [json!({ "code": "MESSAGE_NOT_TAKEN_UP", "message": message })];
        let (store, task) = (&self.attempt.context().store, self.attempt.task);
        let append = || store.events_append(task.id, task.epoch, EventKind::Notice, &notices);
        let noted: Result<Fenced<i64>, StoreError> = self.attempt.insist(append).await;
        accepted(noted).map(drop)
    }
}
