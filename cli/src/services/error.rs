//! What can keep the private servers from running, in words that say what to do about it.

use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::server::ServerName;

/// Why the private servers do not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServicesError {
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },

    #[error("the data directory {} is in use by another makima; stop that one or choose another directory", .0.display())]
    DataDirInUse(PathBuf),

    #[error("{} {why}; choose a data directory (or TMPDIR) elsewhere", dir.display())]
    UntrustedPlace { dir: PathBuf, why: &'static str },

    #[error("the data directory {} must have a name in UTF-8 without control characters", .0.display())]
    DataDirName(PathBuf),

    #[error(
        "the data directory {} has too long a name: the unix socket {} is {length} bytes, the limit is {limit}; choose a shorter one",
        data_dir.display(), socket.display()
    )]
    SocketPathTooLong { data_dir: PathBuf, socket: PathBuf, length: usize, limit: usize },

    #[error(
        "the servers run as user {user} when makima runs as root, and {user} cannot enter {}; \
         choose a data directory (or TMPDIR) elsewhere or run: chmod o+x {}",
        blocked.display(), blocked.display()
    )]
    CannotTraverse { user: String, blocked: PathBuf },

    #[error(
        "makima runs as root, PostgreSQL must not, and this machine has neither a user postgres nor nobody"
    )]
    NoAccount,

    #[error(
        "no PostgreSQL server of release {minimum} or newer on this machine{found}; run scripts/setup.sh, or set DATABASE_URL"
    )]
    PostgresMissing { minimum: u32, found: Found },

    #[error("{} was made by PostgreSQL {major}, and this machine has no PostgreSQL {major}{found}; install that release", cluster.display())]
    PostgresRelease { cluster: PathBuf, major: u32, found: Found },

    #[error(
        "no Redis 6.2 or newer and no Valkey on this machine{found}; run scripts/setup.sh, or set REDIS_URL"
    )]
    RedisMissing { found: Found },

    #[error("{} holds the passwords of the servers and is missing or unreadable; put it back, or remove {} and lose its tasks", secrets.display(), cluster.display())]
    SecretsLost { secrets: PathBuf, cluster: PathBuf },

    #[error("{} is no stopped template of makima's", .0.display())]
    Template(PathBuf),

    #[error("cannot initialise PostgreSQL: {program} ended with {status}:\n{output}")]
    Initdb { program: String, status: ExitStatus, output: String },

    #[error("{server} ended with {status} before it was ready; the end of {}:\n{tail}", log.display())]
    ExitedEarly { server: ServerName, status: ExitStatus, log: PathBuf, tail: String },

    #[error("{server} is not ready after {seconds} s ({reason}); see {}", log.display())]
    NotReady { server: ServerName, seconds: u64, reason: String, log: PathBuf },

    #[error("an older {server} (process {pid}) still runs in this data directory and does not end")]
    OrphanStays { server: ServerName, pid: i32 },
}

impl ServicesError {
    /// Wraps an I/O error with what was tried on which path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// The unsuitable programs that a search came upon, for an error message.
#[derive(Debug, Default)]
pub(crate) struct Found(pub(super) Vec<String>);

impl Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (found: {})", self.0.join(", ")) }
    }
}
