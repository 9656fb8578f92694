//! Whether a sandbox holds: a real agent is started in it, in a workspace that looks like any, and tries to get out.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use makima_shared::config::NetworkMode;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use super::probe::{self, Check, Finding, Targets, none_of};
use super::{Places, Sandbox, machine};
use crate::checkpoint_request::Reachable;
use crate::process::{AgentCommand, AgentEnd, AgentProcess, DeadManSwitches, StartError, boottime_ms};

/// How long a probe may take. It takes milliseconds.
const LIMIT: Duration = Duration::from_secs(30);
const LIMIT_MS: u64 = 30_000;
/// How much a probe may say.
const MAX_OUTPUT_BYTES: u64 = 64 << 10;

/// Where PostgreSQL and Redis listen if nobody says otherwise.
const USUAL_SOCKETS: [&str; 5] = [
    "/run/postgresql/.s.PGSQL.5432",
    "/tmp/.s.PGSQL.5432",
    "/run/redis/redis-server.sock",
    "/run/docker.sock",
    "/run/dbus/system_bus_socket",
];

/// What a sandbox held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How agents are held.
    pub level: &'static str,
    /// What came of each check.
    pub findings: Vec<Finding>,
}

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// The stage could not be set.
    #[error("the self-test's workspace cannot be made: {0}")]
    Stage(#[from] io::Error),
    /// No process could be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The probe did not end as it should, for this reason.
    #[error("{0}")]
    Probe(String),
}

impl Report {
    /// Returns what does not hold although it has to at this level.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.holds && is_required(self.level, finding.check))
    }

    /// Returns what does not hold and need not at this level.
    pub fn gaps(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.holds && !is_required(self.level, finding.check))
    }
}

/// Tells whether a level is of no use without a check.
fn is_required(level: &str, check: Check) -> bool {
    match check {
        Check::OwnWork => true,
        // What Landlock has no word for, or only in new kernels.
        Check::Signals | Check::Processes | Check::Sockets => level == "bubblewrap",
        Check::OtherWorkspaces
        | Check::Homes
        | Check::WritesOutside
        | Check::Environments
        | Check::Tracing
        | Check::Network => level != "none",
    }
}

/// Runs a probe in a sandbox. `place` is an empty directory of the worker's, `executable` the program with the probe in it,
/// `sockets` are those of the worker's servers.
///
/// # Errors
/// No probe could be run, or it said nothing that makes sense.
pub async fn run(
    sandbox: &Sandbox,
    place: &Path,
    executable: &Path,
    sockets: &[PathBuf],
) -> Result<Report, SelfTestError> {
    let stage = Stage::set(place, sandbox.network(), sockets)?;
    let places = Places { writable: stage.targets.own_directories.clone(), readable: stage.readable() };
    let program = executable.canonicalize()?;
    let command = AgentCommand {
        shim: executable.to_owned(),
        argv: vec![program.into(), OsString::from(probe::COMMAND)],
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        cwd: stage.targets.own_directories[0].clone(),
        stdin_file: stage.plan.clone(),
        confined: sandbox.confine(&places)?,
    };
    let said = perform(&command).await?;
    let mut findings: Vec<Finding> = serde_json::from_str(&said)
        .map_err(|error| SelfTestError::Probe(format!("the probe's report: {error}")))?;
    findings.push(stage.found_writes());
    findings.sort_by_key(|finding| finding.check);
    Ok(Report { level: sandbox.level().name(), findings })
}

/// Runs an agent to its end and returns what it said.
async fn perform(command: &AgentCommand) -> Result<String, SelfTestError> {
    let switches = DeadManSwitches::new();
    switches.extend(boottime_ms().saturating_add(LIMIT_MS));
    let mut process = AgentProcess::start(command, &switches).await?;
    let (stdout, stderr) = (process.stdout(), process.stderr());
    let running = async { tokio::join!(read(stdout), read(stderr), process.wait()) };
    let ended = timeout(LIMIT, running).await;
    let (said, complaint, end) =
        ended.map_err(|_| SelfTestError::Probe("the probe does not end".to_owned()))?;
    match end {
        AgentEnd::Exited { code: 0, .. } => Ok(said),
        AgentEnd::NotStarted { error } => Err(SelfTestError::Probe(format!("{error}: {}", complaint.trim()))),
        end @ (AgentEnd::Exited { .. } | AgentEnd::Signaled { .. } | AgentEnd::Lost { .. }) => {
            Err(SelfTestError::Probe(format!("the probe ended with {end:?}: {}", complaint.trim())))
        }
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What came before an error is all there is.
        let _ = stream.take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A workspace with neighbours, and what there is to steal.
struct Stage {
    plan: PathBuf,
    targets: Targets,
    _listeners: (UnixListener, UnixListener, Option<TcpListener>),
}

impl Stage {
    fn set(place: &Path, network: &NetworkMode, known_sockets: &[PathBuf]) -> io::Result<Self> {
        let place = place.canonicalize()?;
        let (own, other, objects) = (place.join("own"), place.join("other"), place.join("copy/objects"));
        let own_directories = ["tree", "home", "tmp"].map(|name| own.join(name)).to_vec();
        for directory in own_directories.iter().chain([&other.join("tree"), &own.join("host.git"), &objects])
        {
            fs::create_dir_all(directory)?;
        }
        let secret = |path: PathBuf| fs::write(&path, "secret").map(|()| path);
        let other_files = vec![
            secret(other.join("tree/secret"))?,
            secret(own.join("host.git/secret"))?,
            secret(place.join("credentials"))?,
        ];
        let own_files = vec![secret(objects.join("object"))?];
        let (own_socket, other_socket) = (own.join("checkpoint.sock"), place.join("server.sock"));
        let listeners = (bind(&own_socket)?, bind(&other_socket)?, listener_of(network)?);
        let homes = machine::homes();
        let mark = format!(".makima-sandbox-probe-{}", std::process::id());
        let outside =
            [other.join("tree"), place.clone(), objects, PathBuf::from("/usr"), PathBuf::from("/etc")];
        let writes = outside.iter().chain(&homes).map(|directory| directory.join(&mark)).collect();
        let mut sockets = vec![other_socket];
        sockets.extend(known_sockets.iter().cloned().chain(USUAL_SOCKETS.map(PathBuf::from)));
        let targets = Targets {
            own_directories,
            own_files,
            own_socket,
            other_files,
            homes,
            writes,
            worker_pid: std::process::id().cast_signed(),
            sockets,
            port: listeners.2.as_ref().and_then(|listener| Some(listener.local_addr().ok()?.port())),
        };
        let plan = own.join("plan.txt");
        serde_json::to_writer(File::create_new(&plan)?, &targets)?;
        Ok(Self { plan, targets, _listeners: listeners })
    }

    /// Returns what the probe may read, as an agent might: plan, socket, objects.
    fn readable(&self) -> Vec<PathBuf> {
        let objects = self.targets.own_files.iter().filter_map(|file| file.parent().map(Path::to_owned));
        objects.chain([self.plan.clone(), self.targets.own_socket.clone()]).collect()
    }

    /// Looks which files the probe made that are really there, and removes them.
    fn found_writes(&self) -> Finding {
        none_of(Check::WritesOutside, self.targets.writes.iter().filter(|path| fs::remove_file(path).is_ok()))
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    UnixListener::bind(&Reachable::new(path)?.path)
}

fn listener_of(network: &NetworkMode) -> io::Result<Option<TcpListener>> {
    (*network == NetworkMode::Off).then(|| TcpListener::bind(("127.0.0.1", 0))).transpose()
}
