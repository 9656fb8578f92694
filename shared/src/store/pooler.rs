//! Finds out at the start whether the URL tells of a pooler that stands before PostgreSQL, so that a wrong one is an error
//! with words to it, and not statements that fail at random.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::timeout;

use super::Store;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// The URL does not fit what it leads to.
#[derive(Debug, thiserror::Error)]
pub enum PoolerError {
    /// There is a pooler that the URL does not tell of.
    #[error(
        "the URL of the database leads to a connection pooler that does not take the settings of a session; \
         add pgbouncer=true to it"
    )]
    Untold,
    /// The pooler follows prepared statements and loses them.
    #[error(
        "the connection pooler loses prepared statements; PgBouncer has to be 1.22 or newer, or have \
         max_prepared_statements = 0"
    )]
    LosesStatements,
}

impl Store {
    /// Makes sure that the URL fits what it leads to. A PostgreSQL that cannot be reached is none of this function's
    /// concern.
    ///
    /// # Errors
    /// It does not.
    pub async fn check_pooler(&self) -> Result<(), PoolerError> {
        let check = async {
            if self.pool.is_pooler() { self.check_statements().await } else { self.check_session().await }
        };
        timeout(PATIENCE, check).await.unwrap_or(Ok(()))
    }

    /// Looks whether a direct connection has the settings that it asked for. The simple protocol is used, which every
    /// pooler can follow.
    async fn check_session(&self) -> Result<(), PoolerError> {
        let settings =
            sqlx::raw_sql("SELECT 1 FROM pg_settings WHERE name = 'statement_timeout' AND setting = '60000'");
        match settings.fetch_optional(&self.pool).await {
            Ok(None) => Err(PoolerError::Untold),
            Err(error) if is_refused_parameter(&error) => Err(PoolerError::Untold),
            Ok(Some(_)) | Err(_) => Ok(()),
        }
    }

    /// Looks whether one statement can be prepared twice. A pooler that follows prepared statements sends it once, and
    /// must have noticed that it was cleared away meanwhile.
    async fn check_statements(&self) -> Result<(), PoolerError> {
        for _ in 0..2 {
            let echo = sqlx::query("SELECT $1::integer").bind(1).fetch_one(&self.pool).await;
            if echo.is_err_and(|error| code(&error).is_some_and(|code| code == "26000")) {
                return Err(PoolerError::LosesStatements);
            }
        }
        Ok(())
    }
}

/// Tells whether a connection was refused for the settings that it asked for, which PostgreSQL itself takes.
fn is_refused_parameter(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.message().starts_with("unsupported startup parameter"))
}

fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}
