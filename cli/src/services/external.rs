//! Servers that stand elsewhere: whoever runs them names them by URL, and makima starts none in their place.

use std::fmt;

/// The URLs of the servers that are not makima's own; each is private unless its URL is given.
#[derive(Clone, Default)]
pub(crate) struct External {
    /// A PostgreSQL database, `postgres://...`.
    pub(crate) database_url: Option<String>,
    /// A Redis, `redis://...` or `redis+unix://...`.
    pub(crate) redis_url: Option<String>,
}

impl External {
    /// Takes `DATABASE_URL` and `REDIS_URL`; an empty value counts as none.
    pub(crate) fn from_env() -> Self {
        let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self { database_url: given("DATABASE_URL"), redis_url: given("REDIS_URL") }
    }
}

/// Without the URLs, which hold passwords.
impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (postgres, redis) = (self.database_url.is_some(), self.redis_url.is_some());
        f.debug_struct("External").field("postgres", &postgres).field("redis", &redis).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_printed() {
        let database_url = Some("postgres://user:hidden@host/db".to_owned());
        let external = External { database_url, redis_url: None };
        assert_eq!(format!("{external:?}"), "External { postgres: true, redis: false }");
    }
}
