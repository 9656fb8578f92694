//! The flags that set settings, and the source of configuration that they make together with the environment and a file.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use makima_shared::config::{Config, ConfigSource};

/// Flags of everything that reads the configuration. Flags win over the environment, that over the file, that over the
/// defaults.
#[derive(Args, Clone)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct SettingsArgs {
    /// A TOML file with settings
    #[arg(long, value_name = "FILE", env = "MAKIMA_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// Any setting, such as worker.slots=4; `makima config` lists them. May be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) set: Vec<(String, String)>,

    #[arg(
        long,
        value_name = "URL",
        help = "Where PostgreSQL is; a password belongs into the environment, where no process list shows it \
                [env: MAKIMA_DATABASE_URL or DATABASE_URL]"
    )]
    pub(crate) database_url: Option<String>,

    #[arg(long, value_name = "URL", help = "Where Redis is [env: MAKIMA_REDIS_URL or REDIS_URL]")]
    pub(crate) redis_url: Option<String>,
}

/// Shows what [`ConfigSource`] does: no values.
impl fmt::Debug for SettingsArgs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SettingsArgs")
            .field("flags", &self.flags())
            .field("config", &self.config)
            .finish()
    }
}

impl SettingsArgs {
    fn flags(&self) -> ConfigSource {
        let set = self.set.iter();
        set.fold(ConfigSource::default(), |source, (key, value)| source.flag(key, Some(value)))
            .flag("database.url", self.database_url.as_ref())
            .flag("redis.url", self.redis_url.as_ref())
    }

    /// Gathers what flags, environment and file say.
    pub(crate) fn source(&self) -> ConfigSource {
        let source = self.flags().environment(unicode_environment());
        match &self.config {
            Some(path) => source.file(path),
            None => source,
        }
    }
}

/// Returns the environment without the variables that are no Unicode, none of which can be a setting.
fn unicode_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Names the URLs that a role needs and nobody gave.
pub(crate) fn require_urls(config: &Config, redis: bool) -> anyhow::Result<()> {
    let urls = [
        ("database.url", "PostgreSQL", &config.database.url, "DATABASE_URL", "--database-url"),
        ("redis.url", "Redis", &config.redis.url, "REDIS_URL", "--redis-url"),
    ];
    let needed = if redis { &urls[..] } else { &urls[..1] };
    let missing = needed.iter().filter(|(_, _, url, _, _)| url.is_empty());
    let words = missing.map(|(key, server, _, variable, flag)| {
        format!("{key} is not set: say where {server} is with {flag}, {variable} or the configuration file")
    });
    let mut words: Vec<_> = words.collect();
    let schemes: [&[&str]; 2] =
        [&["postgres", "postgresql"], &["redis", "rediss", "redis+unix", "unix", "valkey", "valkeys"]];
    for ((key, _, url, _, _), schemes) in needed.iter().zip(schemes) {
        let known = url.split_once("://").is_some_and(|(scheme, _)| schemes.contains(&scheme));
        // The URL of a Redis Cluster may name several hosts, so the queue reads it by itself.
        let readable = known && (*key == "redis.url" || url::Url::parse(url).is_ok());
        if !url.is_empty() && !readable {
            // Its text is not repeated: it may hold a password.
            words.push(format!("{key} is no URL such as {}://host/..", schemes[0]));
        }
    }
    if words.is_empty() { Ok(()) } else { Err(crate::failure::UsageError(words.join("; ")).into()) }
}

/// Reads `key=value`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    if key.trim().is_empty() {
        Err("the key is empty".to_owned())
    } else {
        Ok((key.trim().to_owned(), value.to_owned()))
    }
}

/// A value, or the word `none` in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrNone<T>(pub(crate) Option<T>);

impl<T: FromStr> FromStr for OrNone<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|value| Self(Some(value))) }
    }
}

/// Returns the environment variable that sets a setting.
pub(crate) fn variable(key: &str) -> String {
    format!("MAKIMA_{}", key.replace('.', "_").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_needs_a_key_and_keeps_further_equals_signs() {
        assert_eq!(
            key_value("log.filter=info,a=debug").unwrap(),
            ("log.filter".into(), "info,a=debug".into())
        );
        assert!(key_value("worker.slots").is_err());
        assert!(key_value("=4").is_err());
    }

    #[test]
    fn a_value_may_be_taken_away() {
        assert_eq!("none".parse(), Ok(OrNone::<i32>(None)));
        assert_eq!("7".parse(), Ok(OrNone(Some(7))));
        assert!("nobody".parse::<OrNone<i32>>().is_err());
    }

    #[test]
    fn what_is_written_for_debugging_holds_no_secret() {
        let url = Some("redis://:hunter2@host".to_owned());
        let set = vec![("database.url".to_owned(), "postgres://user:hunter2@host/db".to_owned())];
        let args = SettingsArgs { config: None, set, database_url: None, redis_url: url };
        let text = format!("{args:?}");
        assert!(text.contains("redis.url") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_missing_url_is_named_by_its_key() {
        let config = Config::load(&ConfigSource::default().flag("redis.url", Some("redis://h"))).unwrap();
        let error = require_urls(&config, true).unwrap_err().to_string();
        assert!(error.starts_with("database.url is not set"), "{error}");
        assert!(!error.contains("redis.url"));
    }
}
