//! Every setting there is.

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name: a table and an entry.
    pub key: &'static str,
    /// What holds if nobody says otherwise. Empty for what has to be given or is worked out.
    pub default: &'static str,
    /// What a value may be.
    pub expects: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// The smallest and the largest number, where it is one.
    pub(super) range: (u64, u64),
}

const fn text(
    key: &'static str,
    default: &'static str,
    expects: &'static str,
    help: &'static str,
) -> Setting {
    Setting { key, default, expects, help, range: (0, 0) }
}

const fn number(
    key: &'static str,
    default: &'static str,
    range: (u64, u64),
    expects: &'static str,
    help: &'static str,
) -> Setting {
    Setting { key, default, expects, help, range }
}

/// Every setting, in the order of the documentation.
pub const SETTINGS: &[Setting] = &[
    text("database.url", "", "a postgres:// URL", "where PostgreSQL is (also DATABASE_URL)"),
    number(
        "database.max_connections",
        "16",
        (2, 1000),
        "a whole number from 2 to 1000",
        "connections of a role",
    ),
    text("redis.url", "", "a redis://, rediss:// or redis+unix:// URL", "where Redis is (also REDIS_URL)"),
    text("redis.prefix", "makima", "a word", "what all keys start with"),
    text(
        "api.listen",
        "127.0.0.1:7420",
        "an address and a port, such as 127.0.0.1:7420",
        "where the API listens",
    ),
    text(
        "repositories.allow_local",
        "false",
        "true or false",
        "take paths of the worker's own machine as repositories",
    ),
    number(
        "repositories.max_cache_bytes",
        "21474836480",
        (1 << 20, 1 << 50),
        "1048576 to 1125899906842624 bytes",
        "how much the worker's copies of repositories may take; those in use may take more",
    ),
    number(
        "repositories.depth",
        "50",
        (0, 1_000_000),
        "0 to 1000000",
        "how many generations of commits are fetched until more are needed (0: the whole history)",
    ),
    number(
        "scheduler.lease_ms",
        "3000",
        (300, 600_000),
        "300 to 600000 milliseconds",
        "how long a dead leader keeps the lead",
    ),
    number(
        "scheduler.sweep_ms",
        "1000",
        (50, 60_000),
        "50 to 60000 milliseconds",
        "how often everything is looked at, woken or not",
    ),
    number(
        "scheduler.exclusion_grace_ms",
        "15000",
        (0, 3_600_000),
        "0 to 3600000 milliseconds",
        "how long a task waits for a worker that has not lost it",
    ),
    number(
        "scheduler.quarantine_ms",
        "600000",
        (0, 86_400_000),
        "0 to 86400000 milliseconds",
        "how long a worker that failed three tasks gets none (0: no quarantine)",
    ),
    number(
        "retry.base_delay_ms",
        "1000",
        (0, 3_600_000),
        "0 to 3600000 milliseconds",
        "the longest rest before the first retry",
    ),
    number(
        "retry.max_delay_ms",
        "60000",
        (0, 86_400_000),
        "0 to 86400000 milliseconds",
        "the longest rest before any retry",
    ),
    text(
        "worker.name",
        "",
        "a word",
        "what people call the worker; the host's name and the process id if none",
    ),
    number(
        "worker.slots",
        "2",
        (1, 1024),
        "a whole number from 1 to 1024",
        "how many tasks the worker runs at once",
    ),
    text(
        "worker.labels",
        "",
        "up to 16 words with spaces between, such as gpu region=eu",
        "what the worker offers to tasks that ask for it",
    ),
    text("worker.data_dir", "", "a directory", "where repository copies and workspaces lie"),
    number(
        "worker.min_free_bytes",
        "1073741824",
        (0, 1 << 50),
        "0 to 1125899906842624 bytes",
        "how much of the disk must be free for the worker to take tasks",
    ),
    number(
        "worker.ready_workspaces",
        "2",
        (0, 64),
        "a whole number from 0 to 64",
        "how many workspaces stand ready before a task asks for one",
    ),
    number(
        "worker.lease_ms",
        "10000",
        (1000, 600_000),
        "1000 to 600000 milliseconds",
        "how long the worker holds its tasks without a beat",
    ),
    number(
        "worker.beat_ms",
        "2000",
        (100, 200_000),
        "100 to 200000 milliseconds",
        "how often the worker renews its lease",
    ),
    number(
        "worker.stop_grace_ms",
        "5000",
        (0, 600_000),
        "0 to 600000 milliseconds",
        "how long an agent may take to end when asked to",
    ),
    number(
        "worker.max_output_bytes",
        "16777216",
        (1024, 1 << 32),
        "1024 to 4294967296 bytes",
        "the most output of an attempt that is kept",
    ),
    text(
        "worker.agent_env",
        "PATH LANG LC_ALL LC_CTYPE TZ TERM USER LOGNAME SSL_CERT_FILE SSL_CERT_DIR RUSTUP_HOME CARGO_HOME",
        "names with spaces between",
        "variables of the worker's environment that agents get",
    ),
    text(
        "worker.sandbox",
        "auto",
        "auto, bubblewrap, landlock or none",
        "what confines agents; auto takes bubblewrap, else Landlock, else no tasks",
    ),
    text(
        "worker.network",
        "on",
        "on, off or proxy:ADDRESS",
        "what agents reach of the network; a proxy is only told to them, not forced upon them",
    ),
    text(
        "worker.sandbox_read_paths",
        "",
        "absolute paths with colons between",
        "what agents may read besides the system's programs and those on PATH",
    ),
    text(
        "worker.sandbox_write_paths",
        "",
        "absolute paths with colons between",
        "what agents may write outside of their workspace, all of them together",
    ),
    number(
        "worker.max_memory_bytes",
        "0",
        (0, 1 << 50),
        "0 to 1125899906842624 bytes",
        "how much memory an agent may use with all that it starts (0: no limit)",
    ),
    number(
        "worker.max_processes",
        "0",
        (0, 1 << 22),
        "a whole number from 0 to 4194304",
        "how many processes and threads an agent may have (0: no limit)",
    ),
    number(
        "worker.max_cpus",
        "0",
        (0, 4096),
        "a whole number from 0 to 4096",
        "how many processors an agent may use (0: no limit)",
    ),
    text(
        "worker.claude_path",
        "claude",
        "a program, found on PATH if it is a bare name, or nothing",
        "Claude Code; a worker that has it offers agent:claude",
    ),
    text(
        "worker.codex_path",
        "codex",
        "a program, found on PATH if it is a bare name, or nothing",
        "Codex; a worker that has it offers agent:codex",
    ),
    number(
        "checkpoint.max_patch_bytes",
        "10485760",
        (1024, 10_485_760),
        "1024 to 10485760 bytes",
        "the largest patch that is stored, compressed",
    ),
    number("checkpoint.keep_days", "7", (1, 3650), "1 to 3650 days", "how long patches are kept"),
    text("commit.author_name", "makima", "a name", "who results and merges are committed as"),
    text(
        "commit.author_email",
        "makima@localhost",
        "a mail address",
        "the address of who results are committed as",
    ),
    text(
        "github.api_url",
        "https://api.github.com",
        "an https:// or http:// URL",
        "where pull requests are opened; the token is in MAKIMA_GITHUB_TOKEN or GITHUB_TOKEN of the worker",
    ),
    text(
        "secrets.key",
        "",
        "32 bytes in base64 or hexadecimal, in the environment or the file",
        "seals the owners' secrets in the database; the API and the workers need the same one",
    ),
    text(
        "secrets.key_previous",
        "",
        "the secrets.key of before, where that was replaced",
        "opens secrets that were sealed with it",
    ),
    text(
        "metrics.listen",
        "",
        "an address and a port, such as 127.0.0.1:7421, or nothing",
        "where a scheduler or a worker shows its metrics; the API does on its own address",
    ),
    number(
        "retention.output_days",
        "30",
        (1, 3650),
        "1 to 3650 days",
        "how long the output of a task is kept after its end",
    ),
    number(
        "retention.idempotency_days",
        "30",
        (1, 3650),
        "1 to 3650 days",
        "how long an Idempotency-Key stands for the tasks that it made",
    ),
    text("log.format", "text", "text or json", "the form of log lines"),
    text("log.filter", "info", "directives such as info,makima_worker=debug", "which log lines are written"),
];

/// Finds a setting by its key.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}
