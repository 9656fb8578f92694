//! Configuration: flags before environment before a TOML file before defaults.
//!
//! [`SETTINGS`] lists every key with its default and what a value may be; a wrong value is named with its key, where it
//! came from, and what would be right. A key `a.b` is the environment variable `MAKIMA_A_B` and the entry `b` of the
//! table `[a]` in the file; `DATABASE_URL` and `REDIS_URL` are read too.

mod sandbox;
mod settings;
mod source;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use sandbox::{AgentLimits, NetworkMode, SandboxConfig, SandboxMode};
pub use settings::{SETTINGS, Setting};
pub use source::{ConfigError, ConfigSource, Problem};

use crate::domain::{RetryPolicy, SubmissionPolicy};
use crate::vault::Vault;

/// Variables of a worker's environment that hold the token for pull requests, the first one first. No agent gets them.
pub const GITHUB_TOKEN_VARIABLES: [&str; 2] = ["MAKIMA_GITHUB_TOKEN", "GITHUB_TOKEN"];

/// Variables that hold the keys of secrets. No agent gets them.
pub const SECRETS_KEY_VARIABLES: [&str; 2] = ["MAKIMA_SECRETS_KEY", "MAKIMA_SECRETS_KEY_PREVIOUS"];

/// Everything that a role may be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where PostgreSQL is.
    pub database: DatabaseConfig,
    /// Where Redis is.
    pub redis: RedisConfig,
    /// For the API.
    pub api: ApiConfig,
    /// For the scheduler.
    pub scheduler: SchedulerConfig,
    /// For workers.
    pub worker: WorkerConfig,
    /// For schedulers and workers.
    pub metrics: MetricsConfig,
    /// For every role.
    pub log: LogConfig,
}

/// Where PostgreSQL is.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// A `postgres://` URL.
    pub url: String,
    /// The most connections that a role opens.
    pub max_connections: u32,
}

/// Where Redis is.
#[derive(Clone)]
pub struct RedisConfig {
    /// A `redis://`, `rediss://` or `redis+unix://` URL.
    pub url: String,
    /// What all keys start with.
    pub prefix: String,
}

/// Leaves out the URL, which may hold a password.
impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, max_connections } = self;
        formatter
            .debug_struct("DatabaseConfig")
            .field("max_connections", max_connections)
            .finish_non_exhaustive()
    }
}

/// Leaves out the URL, which may hold a password.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, prefix } = self;
        formatter.debug_struct("RedisConfig").field("prefix", prefix).finish_non_exhaustive()
    }
}

/// For the API.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// What submissions may ask for.
    pub policy: SubmissionPolicy,
    /// Seals secrets; none can be set without.
    pub vault: Option<Vault>,
}

/// For the scheduler.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    /// How long a dead leader keeps the lead.
    pub lease: Duration,
    /// How often everything is looked at, woken or not.
    pub sweep: Duration,
    /// How long a task waits for a worker that it does not exclude.
    pub exclusion_grace: Duration,
    /// How long a worker gets no tasks that has failed too many; not at all if zero.
    pub quarantine: Duration,
    /// How long a lost task rests.
    pub retry: RetryPolicy,
    /// How long things are kept.
    pub retention: RetentionConfig,
}

/// How long things are kept that are over.
#[derive(Clone, Copy, Debug)]
pub struct RetentionConfig {
    /// The output of a task, after its end.
    pub output: Duration,
    /// An idempotency key.
    pub idempotency_keys: Duration,
}

/// For workers.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// What people call the worker.
    pub name: String,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// What it offers to tasks that ask for it.
    pub labels: Vec<String>,
    /// Where repository copies and workspaces lie.
    pub data_dir: PathBuf,
    /// How long the worker holds its tasks without a beat.
    pub lease: Duration,
    /// How often it renews its lease.
    pub beat: Duration,
    /// How long an agent may take to end when it is asked to.
    pub stop_grace: Duration,
    /// The most output of an attempt that is kept, in bytes.
    pub max_output_bytes: u64,
    /// The largest patch that is stored, in bytes, compressed.
    pub max_patch_bytes: u64,
    /// How long patches are kept.
    pub keep_patches: Duration,
    /// Variables of the worker's environment that agents get.
    pub agent_env: Vec<String>,
    /// What confines agents.
    pub sandbox: SandboxConfig,
    /// Where the program of Claude Code is; nothing if tasks for it are not wanted.
    pub claude_path: String,
    /// The same of Codex.
    pub codex_path: String,
    /// Paths of this machine as repositories.
    pub allow_local_repositories: bool,
    /// How much the copies of repositories may take, in bytes.
    pub max_cache_bytes: u64,
    /// How many generations of commits are fetched at first; 0 for all of them.
    pub repository_depth: u32,
    /// How much of the disk must be free, in bytes.
    pub min_free_bytes: u64,
    /// How many workspaces stand ready.
    pub ready_workspaces: u32,
    /// How long a failed task rests.
    pub retry: RetryPolicy,
    /// Who results and merges are committed as.
    pub commit_author: CommitAuthor,
    /// Where pull requests are opened.
    pub github_api_url: String,
    /// Opens secrets; tasks that name any fail without.
    pub vault: Option<Vault>,
}

/// Who results and merges are committed as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitAuthor {
    /// Name.
    pub name: String,
    /// Mail address.
    pub email: String,
}

/// For the roles that serve nothing else over HTTP.
#[derive(Clone, Debug)]
pub struct MetricsConfig {
    /// The address to show metrics on; none if nobody shall see them.
    pub listen: Option<SocketAddr>,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// For every role.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The form of log lines.
    pub format: LogFormat,
    /// Directives in the form of `tracing-subscriber`'s `EnvFilter`.
    pub filter: String,
}

impl Config {
    /// Returns the unix sockets of PostgreSQL and Redis, where the URLs name some.
    #[must_use]
    pub fn server_sockets(&self) -> Vec<PathBuf> {
        sandbox::server_sockets(&self.database.url, &self.redis.url)
    }

    /// Reads all settings.
    ///
    /// # Errors
    /// Names every setting that is wrong, not only the first.
    pub fn load(source: &ConfigSource) -> Result<Self, ConfigError> {
        let mut read = source.reader();
        let retry = RetryPolicy {
            base_delay: read.millis("retry.base_delay_ms"),
            max_delay: read.millis("retry.max_delay_ms"),
        };
        let allow_local_repositories = read.boolean("repositories.allow_local");
        let vault = read.vault();
        let config = Self {
            database: DatabaseConfig {
                url: read.text("database.url"),
                max_connections: read.number("database.max_connections"),
            },
            redis: RedisConfig { url: read.text("redis.url"), prefix: read.text("redis.prefix") },
            api: ApiConfig {
                listen: read.address("api.listen"),
                policy: SubmissionPolicy { allow_local_repositories },
                vault: vault.clone(),
            },
            scheduler: SchedulerConfig {
                lease: read.millis("scheduler.lease_ms"),
                sweep: read.millis("scheduler.sweep_ms"),
                exclusion_grace: read.millis("scheduler.exclusion_grace_ms"),
                quarantine: read.millis("scheduler.quarantine_ms"),
                retry,
                retention: RetentionConfig {
                    output: days(read.number("retention.output_days")),
                    idempotency_keys: days(read.number("retention.idempotency_days")),
                },
            },
            worker: WorkerConfig {
                name: read.text("worker.name"),
                slots: read.number("worker.slots"),
                data_dir: PathBuf::from(read.text("worker.data_dir")),
                lease: read.millis("worker.lease_ms"),
                beat: read.millis("worker.beat_ms"),
                stop_grace: read.millis("worker.stop_grace_ms"),
                max_output_bytes: read.number("worker.max_output_bytes"),
                max_patch_bytes: read.number("checkpoint.max_patch_bytes"),
                keep_patches: days(read.number("checkpoint.keep_days")),
                labels: read.labels("worker.labels"),
                agent_env: read.words("worker.agent_env"),
                sandbox: sandbox(&mut read),
                claude_path: read.text("worker.claude_path"),
                codex_path: read.text("worker.codex_path"),
                allow_local_repositories,
                max_cache_bytes: read.number("repositories.max_cache_bytes"),
                repository_depth: read.number("repositories.depth"),
                min_free_bytes: read.number("worker.min_free_bytes"),
                ready_workspaces: read.number("worker.ready_workspaces"),
                retry,
                commit_author: CommitAuthor {
                    name: read.text("commit.author_name"),
                    email: read.text("commit.author_email"),
                },
                github_api_url: read.text("github.api_url"),
                vault,
            },
            metrics: MetricsConfig { listen: read.optional_address("metrics.listen") },
            log: LogConfig { format: read.log_format("log.format"), filter: read.text("log.filter") },
        };
        read.require(
            config.worker.beat * 3 <= config.worker.lease,
            "worker.beat_ms",
            "at most a third of worker.lease_ms, so that one lost beat does not cost the lease",
        );
        read.require(
            config.scheduler.sweep * 3 <= config.scheduler.lease,
            "scheduler.sweep_ms",
            "at most a third of scheduler.lease_ms",
        );
        read.require(
            !config.worker.agent_env.iter().any(|name| GITHUB_TOKEN_VARIABLES.contains(&name.as_str())),
            "worker.agent_env",
            "no variable that holds the token for pull requests",
        );
        read.require(
            !config.worker.agent_env.iter().any(|name| SECRETS_KEY_VARIABLES.contains(&name.as_str())),
            "worker.agent_env",
            "no variable that holds a key of secrets",
        );
        let github = &config.worker.github_api_url;
        read.require(
            ["https://", "http://"].iter().any(|scheme| github.starts_with(scheme)),
            "github.api_url",
            "an https:// or http:// URL",
        );
        read.finish(config)
    }
}

fn sandbox(read: &mut source::Reader<'_>) -> SandboxConfig {
    SandboxConfig {
        mode: read.parsed("worker.sandbox"),
        network: read.parsed("worker.network"),
        read_paths: read.paths("worker.sandbox_read_paths"),
        write_paths: read.paths("worker.sandbox_write_paths"),
        limits: AgentLimits {
            max_memory_bytes: read.number("worker.max_memory_bytes"),
            max_processes: read.number("worker.max_processes"),
            max_cpus: read.number("worker.max_cpus"),
        },
    }
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 3600)
}
