//! Workers that wait no longer: those that are gone, and those that take nothing for a while.

use redis::Script;

use super::dispatch::INBOX_TTL_MS;
use super::{Queue, QueueError};
use crate::domain::WorkerId;

/// How many waiting workers are rung for a bell that was left unread: it does not say for which task it was, and not each
/// of them may have that one.
const HEIRS: u32 = 16;

impl Queue {
    /// Forgets a worker that is gone. A bell that it has not heard goes to others.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn worker_forget(&self, worker: WorkerId) -> Result<(), QueueError> {
        self.worker_depart(worker, true).await
    }

    /// Takes a worker out of those that wait, until it asks for a task again. A bell that it has not heard goes to others;
    /// other messages stay in its inbox.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn worker_step_aside(&self, worker: WorkerId) -> Result<(), QueueError> {
        self.worker_depart(worker, false).await
    }

    async fn worker_depart(&self, worker: WorkerId, is_gone: bool) -> Result<(), QueueError> {
        Script::new(include_str!("lua/forget_worker.lua"))
            .key(self.keys.root())
            .arg(worker.to_string())
            .arg(INBOX_TTL_MS)
            .arg(HEIRS)
            .arg(u8::from(is_gone))
            .invoke_async::<i64>(&mut self.connection.clone())
            .await?;
        Ok(())
    }
}
