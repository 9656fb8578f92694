//! How many tasks an owner may submit: one bucket for all processes of the API.

use std::time::Duration;

use redis::Script;

use super::{Queue, QueueError};
use crate::domain::OwnerId;

impl Queue {
    /// Takes `tasks` out of what an owner may submit at `per_minute` tasks a minute. Returns how long to wait until
    /// they can be had, if that is not now; nothing is taken then.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn allowance_take(
        &self,
        owner: OwnerId,
        tasks: u32,
        per_minute: u32,
    ) -> Result<Option<Duration>, QueueError> {
        let wait_ms = self.allowance_move(owner, i64::from(tasks), per_minute).await?;
        Ok((wait_ms > 0).then(|| Duration::from_millis(wait_ms)))
    }

    /// Gives back what was taken for tasks that were not accepted after all.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn allowance_give_back(
        &self,
        owner: OwnerId,
        tasks: u32,
        per_minute: u32,
    ) -> Result<(), QueueError> {
        self.allowance_move(owner, -i64::from(tasks), per_minute).await?;
        Ok(())
    }

    async fn allowance_move(&self, owner: OwnerId, tasks: i64, per_minute: u32) -> Result<u64, QueueError> {
        let wait_ms = Script::new(include_str!("lua/take_allowance.lua"))
            .key(self.keys.root())
            .arg(owner.to_string())
            .arg(tasks)
            .arg(per_minute)
            .invoke_async(&mut self.connection.clone())
            .await?;
        Ok(wait_ms)
    }
}
