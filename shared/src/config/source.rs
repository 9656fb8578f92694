//! Where settings come from, and the reader that gathers what is wrong with them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::LogFormat;
use super::settings::{self, SETTINGS, Setting};
use crate::domain::{MAX_LABELS, is_label, sorted_labels};
use crate::vault::Vault;

/// How many characters an error shows of a key that is none.
const MAX_SHOWN_KEY: usize = 64;

/// Values from flags, the environment and a file, in that order of precedence.
#[derive(Clone, Default)]
pub struct ConfigSource {
    flags: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    file: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

/// Names the settings that were given, without their values, which may be passwords.
impl fmt::Debug for ConfigSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flags, env, file, problems } = self;
        let known = |given: &BTreeMap<String, String>| -> Vec<&'static str> {
            given.keys().filter_map(|key| settings::find(key)).map(|setting| setting.key).collect()
        };
        formatter
            .debug_struct("ConfigSource")
            .field("flags", &known(flags))
            .field("env", &known(env))
            .field("file", &known(file))
            .field("problems", problems)
            .finish()
    }
}

/// One setting that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: expected {expected}")]
pub struct Problem {
    what: String,
    expected: String,
}

/// All settings that are wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the configuration is wrong")?;
        self.0.iter().try_for_each(|problem| write!(formatter, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}

impl ConfigSource {
    /// Sets a value as a flag does.
    #[must_use]
    pub fn flag(mut self, key: &str, value: Option<impl fmt::Display>) -> Self {
        if let Some(value) = value {
            self.check_key(key, "a flag");
            self.flags.insert(key.to_owned(), value.to_string());
        }
        self
    }

    /// Takes what the environment has for known settings.
    #[must_use]
    pub fn environment(mut self, vars: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut vars: BTreeMap<_, _> = vars.into_iter().collect();
        for setting in SETTINGS {
            let standard = match setting.key {
                "database.url" => vars.remove("DATABASE_URL"),
                "redis.url" => vars.remove("REDIS_URL"),
                _ => None,
            };
            if let Some(value) = vars.remove(&variable(setting.key)).or(standard) {
                self.env.insert(setting.key.to_owned(), value);
            }
        }
        self
    }

    /// Takes what a TOML file says.
    #[must_use]
    pub fn file(mut self, path: &Path) -> Self {
        let name = path.display();
        let problem =
            |what: String| Problem { what, expected: "a TOML file with tables of settings".to_owned() };
        match std::fs::read_to_string(path).map(|text| text.parse::<toml::Table>()) {
            Err(error) => self.problems.push(problem(format!("{name} cannot be read ({error})"))),
            Ok(Err(error)) => self.problems.push(problem(format!("{name} is no TOML ({})", error.message()))),
            Ok(Ok(tables)) => self.take_tables(&tables, &name.to_string()),
        }
        self
    }

    fn take_tables(&mut self, tables: &toml::Table, name: &str) {
        for (table, entries) in tables {
            let Some(entries) = entries.as_table() else {
                self.check_key(table, name);
                continue;
            };
            for (entry, value) in entries {
                let key = format!("{table}.{entry}");
                self.check_key(&key, name);
                let words = |list: &Vec<toml::Value>| {
                    list.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(" ")
                };
                let text = value.as_str().map(str::to_owned).or_else(|| value.as_array().map(words));
                self.file.insert(key, text.unwrap_or_else(|| value.to_string()));
            }
        }
    }

    fn check_key(&mut self, key: &str, origin: &str) {
        if settings::find(key).is_none() {
            let what = format!("{} (from {origin}) is no setting", shown_key(key));
            self.problems
                .push(Problem { what, expected: "one of those that `makima config` lists".to_owned() });
        }
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { source: self, problems: self.problems.clone() }
    }

    /// Returns a setting's value and where it came from, if anybody gave one.
    #[must_use]
    pub fn given(&self, key: &str) -> Option<(&str, String)> {
        if let Some(value) = self.flags.get(key) {
            return Some((value, "a flag".to_owned()));
        }
        if let Some(value) = self.env.get(key) {
            return Some((value, format!("the environment, {}", variable(key))));
        }
        self.file.get(key).map(|value| (value.as_str(), "the configuration file".to_owned()))
    }
}

/// Returns what an error shows of a key that is none: what does not look like one may be a slip that holds a secret.
fn shown_key(key: &str) -> Cow<'_, str> {
    if key.is_empty() || !key.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_' | b'.')) {
        "something that does not look like a key".into()
    } else if key.len() > MAX_SHOWN_KEY {
        format!("{}..", &key[..MAX_SHOWN_KEY]).into()
    } else {
        key.into()
    }
}

/// Returns the environment variable of a key.
fn variable(key: &str) -> String {
    format!("MAKIMA_{}", key.replace('.', "_").to_uppercase())
}

/// Reads typed values and gathers what is wrong.
pub(super) struct Reader<'a> {
    source: &'a ConfigSource,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn value<T>(&mut self, key: &str, fallback: T, parse: impl Fn(&Setting, &str) -> Option<T>) -> T {
        let Some(setting) = settings::find(key) else { return fallback };
        let (value, origin) = self.source.given(key).unwrap_or((setting.default, "the defaults".to_owned()));
        parse(setting, value.trim()).unwrap_or_else(|| {
            // A URL may carry a password, so its text is not repeated.
            let is_private = key.ends_with(".url") || key.starts_with("secrets.") || key == "worker.network";
            let shown = if is_private { "".into() } else { format!(" = {value:?}") };
            let what = format!("{key}{shown} (from {origin})");
            self.problems.push(Problem { what, expected: setting.expects.to_owned() });
            fallback
        })
    }

    pub(super) fn text(&mut self, key: &str) -> String {
        self.value(key, String::new(), |_setting, value| Some(value.to_owned()))
    }

    pub(super) fn words(&mut self, key: &str) -> Vec<String> {
        self.text(key).split_whitespace().map(str::to_owned).collect()
    }

    pub(super) fn parsed<T: std::str::FromStr + Default>(&mut self, key: &str) -> T {
        self.value(key, T::default(), |_setting, value| value.parse().ok())
    }

    /// Reads absolute paths with colons between.
    pub(super) fn paths(&mut self, key: &str) -> Vec<PathBuf> {
        self.value(key, Vec::new(), |_setting, value| {
            let paths = value.split(':').filter(|path| !path.is_empty()).map(PathBuf::from);
            paths.map(|path| path.is_absolute().then_some(path)).collect()
        })
    }

    pub(super) fn labels(&mut self, key: &str) -> Vec<String> {
        let read = |value: &str| -> Option<Vec<String>> {
            let labels: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
            (labels.len() <= MAX_LABELS && labels.iter().all(|label| is_label(label))).then_some(labels)
        };
        sorted_labels(self.value(key, Vec::new(), |_setting, value| read(value)))
    }

    pub(super) fn boolean(&mut self, key: &str) -> bool {
        self.value(key, false, |_setting, value| value.parse().ok())
    }

    pub(super) fn address(&mut self, key: &str) -> SocketAddr {
        let fallback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        self.value(key, fallback, |_setting, value| value.parse().ok())
    }

    pub(super) fn optional_address(&mut self, key: &str) -> Option<SocketAddr> {
        self.value(
            key,
            None,
            |_setting, value| {
                if value.is_empty() { Some(None) } else { value.parse().ok().map(Some) }
            },
        )
    }

    pub(super) fn log_format(&mut self, key: &str) -> LogFormat {
        self.value(key, LogFormat::Text, |_setting, value| match value {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        })
    }

    pub(super) fn number<T: TryFrom<u64> + Default>(&mut self, key: &str) -> T {
        self.value(key, T::default(), |setting, value| {
            let (low, high) = setting.range;
            let number = value.parse().ok().filter(|number| (low..=high).contains(number))?;
            T::try_from(number).ok()
        })
    }

    pub(super) fn millis(&mut self, key: &str) -> Duration {
        Duration::from_millis(self.number(key))
    }

    /// Reads the keys of secrets; none without a current one.
    pub(super) fn vault(&mut self) -> Option<Vault> {
        for key in ["secrets.key", "secrets.key_previous"] {
            // Process lists show arguments to everybody.
            self.require(
                !self.source.flags.contains_key(key),
                key,
                "it in the environment or the configuration file",
            );
        }
        let is_key = |text: &str| Vault::parse(text, None).is_ok();
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        let mut text = |key| {
            self.value(key, None, |_setting, value| {
                (value.is_empty() || is_key(value)).then(|| given(value.to_owned()))
            })
        };
        let (current, previous) = (text("secrets.key"), text("secrets.key_previous"));
        self.require(
            current.is_some() || previous.is_none(),
            "secrets.key",
            "a key beside secrets.key_previous",
        );
        Vault::parse(&current?, previous.as_deref()).ok()
    }

    pub(super) fn require(&mut self, holds: bool, key: &str, expected: &str) {
        if self.problems.is_empty() && !holds {
            self.problems.push(Problem { what: key.to_owned(), expected: expected.to_owned() });
        }
    }

    pub(super) fn finish<T>(self, config: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() { Ok(config) } else { Err(ConfigError(self.problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, GITHUB_TOKEN_VARIABLES};

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let file = std::env::temp_dir().join(format!("makima-config-{}.toml", std::process::id()));
        std::fs::write(&file, "[worker]\nslots = 3\nname = 'file'\nbeat_ms = 500\n").unwrap();
        let source = ConfigSource::default()
            .flag("worker.slots", Some(5))
            .environment(env(&[("MAKIMA_WORKER_SLOTS", "4"), ("MAKIMA_WORKER_NAME", "env")]))
            .file(&file);
        std::fs::remove_file(&file).unwrap();
        let worker = Config::load(&source).unwrap().worker;
        assert_eq!((worker.slots, worker.name.as_str(), worker.beat.as_millis()), (5, "env", 500));
        assert_eq!(worker.lease.as_millis(), 10_000);
    }

    #[test]
    fn every_wrong_value_is_named_with_its_key_and_what_would_be_right() {
        let source = ConfigSource::default()
            .flag("worker.slots", Some("many"))
            .flag("worker.colour", Some("red"))
            .environment(env(&[("MAKIMA_API_LISTEN", "everywhere"), ("MAKIMA_METRICS_LISTEN", "7421")]));
        let text = Config::load(&source).unwrap_err().to_string();
        for part in [
            "worker.slots = \"many\" (from a flag): expected a whole number from 1 to 1024",
            "api.listen = \"everywhere\" (from the environment, MAKIMA_API_LISTEN): expected an address",
            "metrics.listen = \"7421\" (from the environment, MAKIMA_METRICS_LISTEN): expected an address",
            "worker.colour (from a flag) is no setting",
        ] {
            assert!(text.contains(part), "{part} not in {text}");
        }
    }

    #[test]
    fn an_unknown_key_is_shown_only_if_it_looks_like_one_and_never_at_length() {
        let problem = |key: &str| {
            let source = ConfigSource::default().flag(key, Some("x"));
            assert!(!format!("{source:?}").contains("hunter2"));
            Config::load(&source).unwrap_err().to_string()
        };
        assert!(problem("worker.colour").contains("worker.colour (from a flag)"));
        let long = problem(&"a".repeat(65));
        assert!(long.contains(&format!("\n  {}.. (from a flag)", "a".repeat(64))), "{long}");
        for key in ["postgres://user:hunter2@host/db?sslmode", "hunter2", "worker.slots\u{202e}", ""] {
            let text = problem(key);
            assert!(text.contains("\n  something that does not look like a key (from a flag)"), "{text}");
        }
    }

    #[test]
    fn what_is_written_for_debugging_holds_no_secret() {
        let source = ConfigSource::default()
            .flag("worker.slots", Some(3))
            .flag("redis.url", Some("rediss://:hunter2@host/"))
            .environment(env(&[("DATABASE_URL", "postgres://user:hunter2@host/db?password=hunter2")]));
        let text = format!("{source:?} {:?}", Config::load(&source).unwrap());
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains(r#"flags: ["redis.url", "worker.slots"], env: ["database.url"]"#), "{text}");
    }

    #[test]
    fn a_beat_as_long_as_the_lease_is_refused() {
        let source = ConfigSource::default().flag("worker.beat_ms", Some(10_000));
        let error = Config::load(&source).unwrap_err().to_string();
        assert!(error.contains("worker.beat_ms: expected at most a third of worker.lease_ms"), "{error}");
    }

    #[test]
    fn no_agent_gets_the_token_for_pull_requests() {
        for name in GITHUB_TOKEN_VARIABLES {
            let source = ConfigSource::default().flag("worker.agent_env", Some(format!("PATH {name}")));
            let error = Config::load(&source).unwrap_err().to_string();
            assert!(error.contains("worker.agent_env: expected no variable that holds the token"), "{error}");
        }
    }

    #[test]
    fn keys_of_secrets_are_checked_and_never_shown() {
        let load = |pairs: &[(&str, &str)]| Config::load(&ConfigSource::default().environment(env(pairs)));
        assert!(load(&[]).unwrap().api.vault.is_none());
        let (key, hex) = (Vault::new_key(), "0f".repeat(32));
        let config = load(&[("MAKIMA_SECRETS_KEY", &key), ("MAKIMA_SECRETS_KEY_PREVIOUS", &hex)]).unwrap();
        assert!(config.api.vault.is_some() && config.worker.vault.is_some());
        assert!(!format!("{config:?}").contains(key.as_str()));
        for pairs in [
            &[("MAKIMA_SECRETS_KEY", "hunter2")][..],
            &[("MAKIMA_SECRETS_KEY", &key), ("MAKIMA_SECRETS_KEY_PREVIOUS", "hunter2")],
            &[("MAKIMA_SECRETS_KEY_PREVIOUS", &hex)],
        ] {
            let text = load(pairs).unwrap_err().to_string();
            assert!(text.contains("secrets.key") && !text.contains("hunter2"), "{text}");
        }
        let flag = ConfigSource::default().flag("secrets.key", Some(hex.as_str()));
        let text = Config::load(&flag).unwrap_err().to_string();
        assert!(
            text.contains("secrets.key: expected it in the environment") && !text.contains(&hex),
            "{text}"
        );
        let passed = ConfigSource::default().flag("worker.agent_env", Some("PATH MAKIMA_SECRETS_KEY"));
        assert!(Config::load(&passed).is_err());
    }

    #[test]
    fn every_default_is_a_value_that_its_setting_takes() {
        assert!(Config::load(&ConfigSource::default()).is_ok());
    }
}
