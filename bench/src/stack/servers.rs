//! The PostgreSQL and Redis of a running stack, to measure what they cost by themselves.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, ensure};
use makima_shared::queue::Queue;
use makima_shared::store::Store;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Row};

/// The private PostgreSQL's superuser, database and port, as `makima up` sets them.
const NAME: &str = "makima";
const PORT: u16 = 5432;
/// What all keys of the stack's queue start with.
pub(crate) const QUEUE: &str = "makima";

/// The passwords, as `makima up` keeps them.
#[derive(Deserialize)]
struct Secrets {
    postgres_password: String,
    redis_password: String,
}

/// Where both servers are.
pub(crate) struct Servers {
    database_url: String,
    redis_url: String,
}

impl Servers {
    /// Finds the servers of a data directory, or those that the environment names in their place.
    pub(super) fn of(data_dir: &Path) -> anyhow::Result<Self> {
        let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (database_url, redis_url) = (given("DATABASE_URL"), given("REDIS_URL"));
        if let (Some(database_url), Some(redis_url)) = (&database_url, &redis_url) {
            return Ok(Self { database_url: database_url.clone(), redis_url: redis_url.clone() });
        }
        let secrets =
            std::fs::read(data_dir.join("secrets.json")).context("makima up keeps no secrets.json")?;
        let secrets: Secrets = serde_json::from_slice(&secrets).context("secrets.json cannot be read")?;
        let run = data_dir.join("run");
        let (password, host) = (&secrets.postgres_password, run.display());
        let database_url = database_url.unwrap_or_else(|| {
            format!("postgres://{NAME}:{password}@localhost:{PORT}/{NAME}?sslmode=disable&host={host}")
        });
        let socket = run.join("redis.sock");
        let redis_url = redis_url
            .unwrap_or_else(|| format!("redis+unix://{}?pass={}", socket.display(), secrets.redis_password));
        Ok(Self { database_url, redis_url })
    }

    /// Connects to PostgreSQL, and makes sure that a commit waits for the disk there.
    pub(crate) async fn connect(&self) -> anyhow::Result<PgConnection> {
        let options = PgConnectOptions::from_str(&self.database_url)?.application_name("makima-bench");
        let mut connection =
            options.disable_statement_logging().connect().await.context("PostgreSQL cannot be reached")?;
        for setting in ["fsync", "synchronous_commit"] {
            let value = show(&mut connection, setting).await?;
            ensure!(value != "off", "PostgreSQL runs with {setting} = off: the figures would mean nothing");
        }
        Ok(connection)
    }

    /// Returns PostgreSQL's version.
    pub(crate) async fn postgres_version(&self) -> anyhow::Result<String> {
        let text = show(&mut self.connect().await?, "server_version").await?;
        Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
    }

    /// Opens PostgreSQL as makima itself does.
    pub(crate) fn store(&self) -> anyhow::Result<Store> {
        Ok(Store::open(&self.database_url, 4, "makima-bench")?)
    }

    /// Opens Redis as makima itself does.
    pub(crate) fn queue(&self) -> anyhow::Result<Queue> {
        Ok(Queue::open(&self.redis_url, QUEUE)?)
    }

    /// Connects to Redis.
    pub(crate) async fn redis(&self) -> anyhow::Result<MultiplexedConnection> {
        let client = redis::Client::open(&*self.redis_url)?;
        client
            .get_multiplexed_async_connection_with_config(
                &AsyncConnectionConfig::new().set_response_timeout(None),
            )
            .await
            .context("Redis cannot be reached")
    }

    /// Returns what a role finds in its environment.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 2] {
        [("MAKIMA_DATABASE_URL", &self.database_url), ("MAKIMA_REDIS_URL", &self.redis_url)]
    }
}

async fn show(connection: &mut PgConnection, setting: &str) -> anyhow::Result<String> {
    let row = sqlx::query("SELECT current_setting($1)").bind(setting).fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}
