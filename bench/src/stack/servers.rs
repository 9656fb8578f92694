//! The PostgreSQL and Redis of a running stack, to measure what they cost by themselves.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, ensure};
use makima_shared::queue::Queue;
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Row};

/// The private PostgreSQL's superuser, database and port, as `makima up` sets them.
const NAME: &str = "makima";
const PORT: u16 = 5432;

/// The passwords, as `makima up` keeps them.
#[derive(Deserialize)]
struct Secrets {
    postgres_password: String,
    redis_password: String,
}

/// Where both servers are.
pub(crate) struct Servers {
    database: PgConnectOptions,
    redis_url: String,
}

impl Servers {
    /// Finds the servers of a data directory, or those that the environment names in their place.
    pub(super) fn of(data_dir: &Path) -> anyhow::Result<Self> {
        let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (database_url, redis_url) = (given("DATABASE_URL"), given("REDIS_URL"));
        if let (Some(database_url), Some(redis_url)) = (&database_url, &redis_url) {
            return Ok(Self {
                database: PgConnectOptions::from_str(database_url)?,
                redis_url: redis_url.clone(),
            });
        }
        let secrets =
            std::fs::read(data_dir.join("secrets.json")).context("makima up keeps no secrets.json")?;
        let secrets: Secrets = serde_json::from_slice(&secrets).context("secrets.json cannot be read")?;
        let run = data_dir.join("run");
        let database = match database_url {
            Some(url) => PgConnectOptions::from_str(&url)?,
            None => PgConnectOptions::new_without_pgpass()
                .socket(&run)
                .port(PORT)
                .ssl_mode(PgSslMode::Disable)
                .username(NAME)
                .database(NAME)
                .password(&secrets.postgres_password),
        };
        let socket = run.join("redis.sock");
        let redis_url = redis_url
            .unwrap_or_else(|| format!("redis+unix://{}?pass={}", socket.display(), secrets.redis_password));
        Ok(Self { database, redis_url })
    }

    /// Connects to PostgreSQL, and makes sure that a commit waits for the disk there.
    pub(crate) async fn connect(&self) -> anyhow::Result<PgConnection> {
        let options = self.database.clone().application_name("makima-bench").disable_statement_logging();
        let mut connection = options.connect().await.context("PostgreSQL cannot be reached")?;
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

    /// Opens Redis as makima itself does.
    pub(crate) fn queue(&self) -> anyhow::Result<Queue> {
        Ok(Queue::open(&self.redis_url, "makima-bench")?)
    }
}

async fn show(connection: &mut PgConnection, setting: &str) -> anyhow::Result<String> {
    let row = sqlx::query("SELECT current_setting($1)").bind(setting).fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}
