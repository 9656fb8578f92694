//! One role as a process of this same binary: how it is started, told to end, and ended.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use makima_shared::config::{Config, ConfigSource};
use makima_worker::shim;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::UpOptions;
use super::log_lines::LogLines;
use super::targets::Targets;
use crate::services::{Services, make_private_dir};
use crate::settings::variable;

/// The API and the scheduler finish what they have at hand in less.
const ENDS_WITHIN: Duration = Duration::from_secs(15);
/// On top of the time that agents get, a worker takes last checkpoints and hands its tasks back.
const DRAINS_WITHIN: Duration = Duration::from_secs(60);
/// What a dead process wrote last is in the pipe already.
const LAST_LINES_WITHIN: Duration = Duration::from_millis(500);

/// How to start a role.
#[derive(Clone)]
pub(super) struct RoleProcess {
    name: String,
    command: String,
    environment: Vec<(String, OsString)>,
    /// A worker's own.
    directory: Option<PathBuf>,
    /// Where it shows its metrics: the how manieth place is its own.
    metrics: Option<(Arc<Targets>, u16)>,
    ends_within: Duration,
}

/// Without the environment, which holds passwords.
impl fmt::Debug for RoleProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoleProcess").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A role that runs. Dropping it kills the process.
pub(super) struct RunningRole {
    child: Child,
    /// The role ends when this does.
    _stdin: Option<ChildStdin>,
    output: Vec<JoinHandle<()>>,
}

impl RoleProcess {
    /// The API or the scheduler.
    pub(super) fn new(
        name: &str,
        options: &UpOptions,
        source: &ConfigSource,
        services: &Services,
        listen: SocketAddr,
        targets: Option<&Arc<Targets>>,
    ) -> Self {
        let mut environment = environment(options, source, services);
        environment.push((variable("api.listen"), listen.to_string().into()));
        Self {
            name: name.to_owned(),
            command: name.to_owned(),
            environment,
            directory: None,
            // The API shows its metrics on its own address.
            metrics: targets.filter(|_| name != "api").map(|targets| (Arc::clone(targets), 0)),
            ends_within: ENDS_WITHIN,
        }
    }

    /// A worker, with a directory of its own.
    pub(super) fn worker(
        number: u32,
        options: &UpOptions,
        source: &ConfigSource,
        services: &Services,
        config: &Config,
        targets: Option<&Arc<Targets>>,
    ) -> Self {
        let name = format!("worker-{number}");
        let directory = options.data_dir.join(&name);
        let mut environment = environment(options, source, services);
        environment.push((variable("worker.data_dir"), directory.clone().into()));
        Self {
            command: "worker".to_owned(),
            environment,
            name,
            directory: Some(directory),
            metrics: targets.map(|targets| (Arc::clone(targets), u16::try_from(number).unwrap_or(u16::MAX))),
            ends_within: config.worker.stop_grace + DRAINS_WITHIN,
        }
    }

    /// Gives it the key that seals secrets, if the configuration has none.
    pub(super) fn with_secrets_key(mut self, key: Option<&str>) -> Self {
        self.environment.extend(key.map(|key| (variable("secrets.key"), key.into())));
        self
    }

    /// What to call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Starts it for the `life`th time, with its lines going to `lines`.
    pub(super) fn start(&self, life: u32, lines: &LogLines) -> io::Result<RunningRole> {
        if let Some(directory) = &self.directory {
            make_private_dir(directory)?;
        }
        let mut command = Command::new(executable()?);
        command.arg0("makima").args([&self.command, "--exit-with-parent"]);
        if self.directory.is_some() {
            command.args(["--name", &self.worker_name(life)]);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some((targets, number)) = &self.metrics {
            command.env(variable("metrics.listen"), targets.place(&self.name, *number)?.to_string());
        }
        command.env_remove("DATABASE_URL").env_remove("REDIS_URL");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
        let mut output = Vec::new();
        if let Some(stream) = child.stdout.take() {
            output.push(tokio::spawn(lines.clone().pass_on(self.name.clone(), stream)));
        }
        if let Some(stream) = child.stderr.take() {
            output.push(tokio::spawn(lines.clone().pass_on(self.name.clone(), stream)));
        }
        Ok(RunningRole { _stdin: child.stdin.take(), child, output })
    }

    /// A worker that comes back is another one to the rest of makima, and tasks tell who had them.
    fn worker_name(&self, life: u32) -> String {
        if life == 1 { self.name.clone() } else { format!("{}.{life}", self.name) }
    }

    /// Asks it to end, and kills it if it does not in time; `true` if it had to be killed.
    pub(super) async fn end(&self, mut role: RunningRole) -> bool {
        role.signal(Signal::SIGTERM);
        let late = timeout(self.ends_within, role.child.wait()).await.is_err();
        if late {
            role.signal(Signal::SIGKILL);
            let _ = role.child.wait().await;
        }
        role.last_lines().await;
        late
    }
}

impl RunningRole {
    /// Its process id, while it runs.
    pub(super) fn pid(&self) -> Option<i32> {
        self.child.id().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Waits for its end.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Waits until what it wrote is passed on; something else may hold its pipes open, so not for ever.
    pub(super) async fn last_lines(self) {
        let all = async {
            for reader in self.output {
                let _ = reader.await;
            }
        };
        let _ = timeout(LAST_LINES_WITHIN, all).await;
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It may have ended by itself in this moment.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// Returns what every role finds in its environment: the settings of this process, and the servers.
fn environment(options: &UpOptions, source: &ConfigSource, services: &Services) -> Vec<(String, OsString)> {
    let mut all: Vec<(String, OsString)> =
        options.settings.set.iter().map(|(key, value)| (variable(key), value.into())).collect();
    if let Some(file) = &options.settings.config {
        all.push(("MAKIMA_CONFIG".to_owned(), file.into()));
    }
    if source.given("repositories.allow_local").is_none() {
        all.push((variable("repositories.allow_local"), "true".into()));
    }
    all.push((variable("database.url"), services.database_url().into()));
    all.push((variable("redis.url"), services.redis_url().into()));
    all
}

/// Finds this binary: by its path, so that process lists show its name, or by way of the running process where the file
/// was replaced meanwhile.
fn executable() -> io::Result<PathBuf> {
    match std::env::current_exe() {
        Ok(path) if path.is_file() => Ok(path),
        _ => shim::own_executable(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_not_printed() {
        let role = RoleProcess {
            name: "api".to_owned(),
            command: "api".to_owned(),
            environment: vec![("MAKIMA_DATABASE_URL".to_owned(), "postgres://user:hidden@host/db".into())],
            directory: None,
            metrics: None,
            ends_within: ENDS_WITHIN,
        };
        assert_eq!(format!("{role:?}"), r#"RoleProcess { name: "api", .. }"#);
    }
}
