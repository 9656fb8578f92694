//! The one constructor for git commands of the worker.
//!
//! Invariants: every command starts from an empty environment with a fixed locale, asks nobody anything, runs no hook,
//! no fsmonitor and no background upkeep, reads null stdin unless it is fed, keeps a bounded part of what it prints,
//! and is killed with its whole process group at its deadline or when it is cancelled ([`Cancel`]). [`Git::local`] sees
//! no configuration but that of its git directory; [`Git::network`] also sees the worker's own (`~/.gitconfig`, ssh
//! agent, proxies), so that credential helpers work.
//!
//! **Architecture invariant:** nobody points a command of this module at a git directory that an agent can write. Arguments
//! that come from people go behind `--`; the callers see to that.

mod cancel;
mod child;
mod common_dir;
mod url;

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub use cancel::Cancel;
use child::Terms;

pub(crate) use child::Output;
pub(crate) use common_dir::forget_common_dir;
pub(crate) use url::{scrub_credentials, without_credentials};

/// How long a command that touches only local files may take.
const LOCAL_DEADLINE: Duration = Duration::from_secs(300);

/// Settings that hold for every command, whatever the configuration says.
const SETTINGS: [&str; 12] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.quotePath=true",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "protocol.ext.allow=never",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
];

/// Variables of the worker that a network command inherits: where credentials, proxies and certificates are found.
const NETWORK_VARIABLES: [&str; 19] = [
    "HOME",
    "USER",
    "LOGNAME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "SSH_AUTH_SOCK",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "GIT_CONFIG_GLOBAL",
];

/// Why a git command gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git program.
    #[error("git is not installed, or not on PATH")]
    NotFound,
    /// The program could not be started.
    #[error("git {command} could not be started")]
    Spawn {
        /// The subcommand.
        command: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It ran and said no.
    #[error("git {command} failed{}: {stderr}", exit_code.map_or(String::new(), |code| format!(" with exit code {code}")))]
    Failed {
        /// The subcommand.
        command: &'static str,
        /// Its exit code; none if a signal ended it.
        exit_code: Option<i32>,
        /// The last lines of what it said, without credentials.
        stderr: String,
    },
    /// It was killed at its deadline.
    #[error("git {command} was stopped after {} s", deadline.as_secs())]
    TimedOut {
        /// The subcommand.
        command: &'static str,
        /// The time it was given.
        deadline: Duration,
    },
    /// It was killed, or never started, because nobody wants it any more.
    #[error("git was cancelled")]
    Cancelled,
    /// It printed more than the caller can use.
    #[error("git {command} printed more than {limit_bytes} bytes")]
    OutputTooLong {
        /// The subcommand.
        command: &'static str,
        /// How much is taken at most.
        limit_bytes: usize,
    },
    /// What it was to be fed could not be read, or what it printed could not be stored.
    #[error("the data of git {command} broke off")]
    Data {
        /// The subcommand.
        command: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// One git command in the making.
#[derive(Debug)]
pub struct Git {
    subcommand: &'static str,
    git_dir: PathBuf,
    work_tree: Option<PathBuf>,
    settings: Vec<OsString>,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    deadline: Duration,
    cancel: Cancel,
}

impl Git {
    /// Begins a command that touches only local files. Its working directory is `git_dir`.
    pub fn local(git_dir: &Path, subcommand: &'static str) -> Self {
        let environment = vec![
            ("HOME", OsString::from("/nonexistent")),
            ("GIT_CONFIG_GLOBAL", OsString::from("/dev/null")),
        ];
        Self::new(git_dir, subcommand, environment, LOCAL_DEADLINE)
    }

    /// Begins a command that talks to a remote with the credentials of the worker, for `deadline` at most.
    pub fn network(git_dir: &Path, subcommand: &'static str, deadline: Duration) -> Self {
        let mut environment: Vec<_> = NETWORK_VARIABLES
            .iter()
            .filter_map(|name| std::env::var_os(name).map(|value| (*name, value)))
            .collect();
        if !environment.iter().any(|(name, _)| matches!(*name, "GIT_SSH" | "GIT_SSH_COMMAND")) {
            let ssh = "ssh -oBatchMode=yes -oConnectTimeout=20 -oServerAliveInterval=15";
            environment.push(("GIT_SSH_COMMAND", ssh.into()));
        }
        Self::new(git_dir, subcommand, environment, deadline)
    }

    fn new(
        git_dir: &Path,
        subcommand: &'static str,
        mut environment: Vec<(&'static str, OsString)>,
        deadline: Duration,
    ) -> Self {
        environment.extend([
            ("LC_ALL", OsString::from("C")),
            ("GIT_TERMINAL_PROMPT", "0".into()),
            ("GIT_ASKPASS", "".into()),
            ("SSH_ASKPASS", "".into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_ATTR_NOSYSTEM", "1".into()),
            ("GIT_ALLOW_PROTOCOL", "file:https:http:ssh:git".into()),
            ("GIT_OPTIONAL_LOCKS", "0".into()),
            ("GIT_NO_REPLACE_OBJECTS", "1".into()),
            ("GIT_NO_LAZY_FETCH", "1".into()),
        ]);
        Self {
            subcommand,
            git_dir: std::path::absolute(git_dir).unwrap_or_else(|_| git_dir.to_owned()),
            work_tree: None,
            settings: SETTINGS.iter().map(OsString::from).collect(),
            arguments: Vec::new(),
            environment,
            deadline,
            cancel: Cancel::default(),
        }
    }

    /// Sets the work tree; without one, the command must not need any.
    #[must_use]
    pub fn work_tree(mut self, work_tree: &Path) -> Self {
        self.work_tree = Some(std::path::absolute(work_tree).unwrap_or_else(|_| work_tree.to_owned()));
        self
    }

    /// Makes the command use another index than that of its git directory.
    #[must_use]
    pub fn index_file(mut self, index: &Path) -> Self {
        self.environment.push(("GIT_INDEX_FILE", index.into()));
        self
    }

    /// Adds a setting, `key=value`, that outranks every configuration file.
    #[must_use]
    pub fn setting(mut self, setting: &str) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// Gives the command less time than usual.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = self.deadline.min(deadline);
        self
    }

    /// Makes the command end when `cancel` is cancelled.
    #[must_use]
    pub fn cancelled_by(mut self, cancel: &Cancel) -> Self {
        self.cancel = cancel.clone();
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Runs the command and returns what it printed (16 MiB at most).
    pub fn output(self) -> Result<Vec<u8>, GitError> {
        let name = self.subcommand;
        self.run()?.success(name)
    }

    /// Runs the command and returns how it ended and what it printed, whether it succeeded or not.
    pub(crate) fn run(self) -> Result<Output, GitError> {
        let mut command = self.command();
        command.stdin(Stdio::null());
        child::capture(command, &self.terms(), None)
    }

    /// Runs the command with `input` on its stdin and returns what it printed (16 MiB at most). An error of `input`
    /// ends the command.
    pub fn feed(self, input: &mut dyn Read) -> Result<Vec<u8>, GitError> {
        let mut command = self.command();
        command.stdin(Stdio::piped());
        child::capture(command, &self.terms(), Some(input))?.success(self.subcommand)
    }

    /// Runs the command and writes what it prints into `sink` as it comes. An error of `sink` ends the command.
    pub fn stream(self, sink: &mut dyn Write) -> Result<(), GitError> {
        let mut command = self.command();
        command.stdin(Stdio::null());
        child::stream(command, &self.terms(), sink)
    }

    fn terms(&self) -> Terms<'_> {
        Terms { name: self.subcommand, deadline: self.deadline, cancel: &self.cancel }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.git_dir);
        command.arg(prefixed("--git-dir=", &self.git_dir));
        if let Some(work_tree) = &self.work_tree {
            command.arg(prefixed("--work-tree=", work_tree));
        }
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        command.arg(self.subcommand).args(&self.arguments);
        command
    }
}

fn prefixed(prefix: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(prefix);
    argument.push(path);
    argument
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git_dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("objects")).unwrap();
        std::fs::create_dir_all(dir.path().join("refs")).unwrap();
        std::fs::write(dir.path().join("HEAD"), "ref: refs/heads/none\n").unwrap();
        dir
    }

    #[test]
    fn failure_carries_exit_code_and_last_words() {
        let dir = git_dir();
        let error = Git::local(dir.path(), "cat-file").args(["-p", "HEAD"]).output().unwrap_err();
        assert!(
            matches!(&error, GitError::Failed { exit_code: Some(128), stderr, .. } if stderr.contains("HEAD")),
            "{error}"
        );
    }

    #[test]
    fn command_is_killed_at_its_deadline_with_its_group() {
        let dir = git_dir();
        let mut git = Git::local(dir.path(), "wait").setting("alias.wait=!sleep 600");
        git.deadline = Duration::from_millis(100);
        let error = git.output().unwrap_err();
        assert!(matches!(error, GitError::TimedOut { .. }), "{error}");
    }

    #[test]
    fn cancelled_command_is_killed_with_its_group_and_no_other_starts() {
        let dir = git_dir();
        let cancel = Cancel::default();
        let begun = dir.path().join("begun");
        let wait = || {
            let script = format!("alias.wait=!touch {}; sleep 600", begun.display());
            Git::local(dir.path(), "wait").setting(&script).cancelled_by(&cancel)
        };
        let error = std::thread::scope(|scope| {
            let running = scope.spawn(|| wait().output().unwrap_err());
            while !begun.exists() {
                std::thread::yield_now();
            }
            cancel.cancel();
            running.join().unwrap()
        });
        assert!(matches!(error, GitError::Cancelled), "{error}");
        std::fs::remove_file(&begun).unwrap();
        assert!(matches!(wait().output(), Err(GitError::Cancelled)));
        assert!(!begun.exists());
    }

    #[test]
    fn environment_of_worker_does_not_reach_local_commands() {
        let dir = git_dir();
        let seen = Git::local(dir.path(), "shown").setting("alias.shown=!env").output().unwrap();
        let seen = String::from_utf8(seen).unwrap();
        assert!(seen.contains("HOME=/nonexistent"), "{seen}");
        assert!(!seen.contains("CARGO"), "{seen}");
    }
}
