//! The private PostgreSQL and Redis of a run, whose lives and deaths are the run's own to decide.
//!
//! Both listen on unix sockets alone, in directories that nobody else may enter, so they ask for no password. PostgreSQL
//! keeps what it has confirmed (fsync is on); Redis keeps nothing.

mod account;
mod child;
mod postgres;
mod programs;
mod redis;

use std::path::Path;

use tokio::sync::Mutex;

pub(crate) use child::end_abandoned;
pub(crate) use postgres::{Postgres, SOCKET as POSTGRES_SOCKET, url as postgres_url};
pub(crate) use redis::{Redis, url as redis_url};

use account::Account;

/// Both servers. Each has a lock, so that two faults never start or stop the same one at once.
pub(crate) struct Servers {
    pub(crate) postgres: Mutex<Postgres>,
    pub(crate) redis: Mutex<Redis>,
}

impl Servers {
    /// Makes and starts both below `root`, and waits until they answer.
    pub(crate) async fn start(root: &Path) -> anyhow::Result<Self> {
        let account = Account::choose()?;
        let mut postgres = Postgres::make(root, account.clone()).await?;
        let mut redis = Redis::make(root, account)?;
        postgres.start().await?;
        postgres.create_database().await?;
        redis.start().await?;
        Ok(Self { postgres: Mutex::new(postgres), redis: Mutex::new(redis) })
    }

    /// Ends both.
    pub(crate) async fn stop(&self) {
        self.postgres.lock().await.stop().await;
        self.redis.lock().await.kill().await;
    }
}
