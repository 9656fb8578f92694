//! A whole stack in a directory of its own, driven over HTTP as a client would.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;

use futures_util::StreamExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::process_tree;
use super::repository::Repository;

/// Everything that makes a test wait, shortened. Agents speak to tests by files outside of their workspaces, so that only
/// tests of the sandbox have one.
const SETTINGS: [&str; 8] = [
    "worker.sandbox=none",
    "worker.lease_ms=3000",
    "worker.beat_ms=300",
    "worker.stop_grace_ms=1000",
    "retry.base_delay_ms=100",
    "scheduler.sweep_ms=200",
    "scheduler.lease_ms=2000",
    "scheduler.exclusion_grace_ms=1000",
];

/// How a stack is made.
pub(crate) struct Options {
    pub(crate) workers: u32,
    pub(crate) slots: u32,
    /// Whether PostgreSQL and Redis keep what they have confirmed when they are killed.
    pub(crate) durable: bool,
    /// Where workers look for programs before anywhere else.
    pub(crate) programs: Option<PathBuf>,
}

/// A running `makima up` and a client of its API.
pub(crate) struct Stack {
    options: Options,
    /// Settings of this stack's own, over those of all.
    settings: Vec<&'static str>,
    /// What its processes find in their environment besides.
    environment: Vec<(String, String)>,
    /// The user whom it runs as; this process's own without one.
    user: Option<u32>,
    directory: TempDir,
    pub(crate) repository: Repository,
    up: Option<Child>,
    http: reqwest::Client,
    url: String,
}

impl Stack {
    /// Starts everything and waits until it is ready.
    pub(crate) async fn start(workers: u32, slots: u32) -> Self {
        Self::start_with(Options { workers, slots, durable: false, programs: None }).await
    }

    /// Starts everything as told, and waits until it is ready.
    pub(crate) async fn start_with(options: Options) -> Self {
        Self::start_set(options, &[]).await
    }

    /// Starts everything as told and with settings of its own, and waits until it is ready.
    pub(crate) async fn start_set(options: Options, settings: &[&'static str]) -> Self {
        let mut stack = Self::prepared(options);
        stack.settings = settings.to_vec();
        stack.up().await;
        stack
    }

    /// Makes what a stack needs, and starts nothing.
    pub(crate) fn prepared(options: Options) -> Self {
        install_tls();
        let directory = tempfile::tempdir().unwrap();
        // As root the servers run as another user, who has to get in.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let repository = Repository::make(directory.path());
        Self {
            options,
            settings: Vec::new(),
            environment: Vec::new(),
            user: None,
            directory,
            repository,
            up: None,
            http: reqwest::Client::new(),
            url: String::new(),
        }
    }

    /// Gives it settings of its own, over those of all.
    pub(crate) fn set(&mut self, settings: &[&'static str]) {
        self.settings = settings.to_vec();
    }

    /// Lets everything run as another user, to whom its directory belongs from now on. For root.
    pub(crate) fn run_as(&mut self, user: u32) {
        self.user = Some(user);
        let owner = format!("{user}:{user}");
        assert!(
            Command::new("chown").arg("-R").arg(owner).arg(self.directory.path()).status().unwrap().success()
        );
        let home = self.directory.path().to_str().unwrap().to_owned();
        self.set_env("HOME", home);
    }

    /// Puts a variable into the environment of everything that is started from now on.
    pub(crate) fn set_env(&mut self, name: &str, value: impl Into<String>) {
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Starts `makima up` on the stack's directory, and waits until it says that it is ready.
    pub(crate) async fn up(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_makima"));
        command.arg("up").arg("--data-dir").arg(self.data_dir());
        // The pipe that is its standard input closes with this process, however that ends.
        command.args(["--listen", "127.0.0.1:0", "--exit-with-parent"]);
        if !self.options.durable {
            command.arg("--no-fsync");
        }
        command.arg("--workers").arg(self.options.workers.to_string());
        command.arg("--slots").arg(self.options.slots.to_string());
        for setting in SETTINGS.iter().chain(&self.settings) {
            command.args(["--set", setting]);
        }
        for variable in ["DATABASE_URL", "REDIS_URL"] {
            // Servers of its own, unless `make test-engines` has others for it.
            match std::env::var_os(format!("MAKIMA_TEST_STACK_{variable}")) {
                Some(url) => command.env(variable, url),
                None => command.env_remove(variable),
            };
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(programs) = &self.options.programs {
            let path = std::env::var("PATH").unwrap();
            command.env("PATH", format!("{}:{path}", programs.display()));
        }
        if let Some(user) = self.user {
            // The template of `makima services` belongs to this process's own user.
            command.uid(user).gid(user).env_remove("MAKIMA_PG_TEMPLATE");
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().unwrap())
            .process_group(0);
        let mut child = command.spawn().unwrap();
        let (ready_sink, ready) = oneshot::channel();
        copy_lines(child.stdout.take().unwrap(), log, ready_sink);
        self.up = Some(child);
        assert!(ready.await.is_ok(), "makima up ended:\n{}", self.log());
        let client: Value =
            serde_json::from_slice(&std::fs::read(self.data_dir().join("client.json")).unwrap()).unwrap();
        self.url = format!("{}/api/v1", client["url"].as_str().unwrap());
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert(
            "authorization",
            format!("Bearer {}", client["apiKey"].as_str().unwrap()).parse().unwrap(),
        );
        self.http = reqwest::Client::builder().default_headers(headers).build().unwrap();
    }

    /// Kills `up` and everything below it at the same moment, the servers too: for durable stacks, since others may
    /// then forget what they confirmed a moment ago.
    pub(crate) fn kill_everything(&mut self) {
        assert!(self.options.durable, "servers without fsync may forget what they confirmed");
        let mut up = self.up.take().unwrap();
        process_tree::kill_tree(i32::try_from(up.id()).unwrap());
        up.wait().unwrap();
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Returns a path outside of all workspaces that agents and tests share.
    pub(crate) fn shared(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a command of the product as the stack's client.
    pub(crate) fn makima(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_makima"));
        command.args(args).arg("--client").arg(self.data_dir().join("client.json")).output().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("up.log")
    }

    /// Returns the body of a task whose agent is a shell script.
    pub(crate) fn script(&self, name: &str, script: &str) -> Value {
        json!({
            "name": name, "plan": format!("Carry out {name}"), "repositoryUrl": self.repository.url(),
            "agent": {"kind": "command", "argv": ["sh", "-euc", script]},
            "checkpointIntervalSecs": 1, "completionAction": "push",
        })
    }

    /// Submits a task and returns its id.
    pub(crate) async fn submit(&self, body: &Value) -> String {
        let response = self.http.post(format!("{}/mesh/tasks", self.url)).json(body).send().await.unwrap();
        let status = response.status();
        let task: Value = response.json().await.unwrap();
        assert_eq!(status, 201, "{task}");
        task["id"].as_str().unwrap().to_owned()
    }

    /// Submits whatever it is given, and returns status and body.
    pub(crate) async fn submit_raw(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request =
            self.http.post(format!("{}/mesh/tasks", self.url)).header("content-type", "application/json");
        let response = request.body(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub(crate) async fn post(&self, path: &str) -> Value {
        self.http.post(format!("{}{path}", self.url)).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Value {
        let answer = self.http.put(format!("{}{path}", self.url)).json(body).send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{body}");
        body
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn task(&self, id: &str) -> Value {
        self.get(&format!("/mesh/tasks/{id}")).await
    }

    /// Returns the API's metrics page.
    pub(crate) async fn metrics(&self) -> String {
        let page = self.http.get(self.url.replace("/api/v1", "/metrics"));
        page.send().await.unwrap().text().await.unwrap()
    }

    /// Returns all events of a task.
    pub(crate) async fn events(&self, id: &str) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        loop {
            let after = events.last().map_or(0, |event| event["sequence"].as_i64().unwrap());
            let page = self.get(&format!("/mesh/tasks/{id}/events?after={after}&limit=500")).await;
            let page = page["events"].as_array().unwrap().clone();
            if page.is_empty() {
                return events;
            }
            events.extend(page);
        }
    }

    /// Follows a task's events until one of them is wanted, and returns that. Panics if the task ends before.
    pub(crate) async fn wait_for(&self, id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut after = 0;
        loop {
            let url = format!("{}/mesh/tasks/{id}/stream?after={after}", self.url);
            let Ok(response) = self.http.get(url).send().await else { continue };
            let mut chunks = response.bytes_stream();
            let mut text = String::new();
            while let Some(Ok(chunk)) = chunks.next().await {
                text.push_str(&String::from_utf8_lossy(&chunk));
                while let Some((message, rest)) = text.split_once("\n\n") {
                    let fields = message.lines().filter_map(|line| line.split_once(": "));
                    let fields: Vec<_> =
                        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                    text = rest.to_owned();
                    let field = |name: &str| {
                        fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
                    };
                    if field("event") == Some("end") {
                        panic!("the task ended without {what}: {:#}\n{}", self.task(id).await, self.log());
                    }
                    let Some(event) = field("data").and_then(|data| serde_json::from_str::<Value>(data).ok())
                    else {
                        continue;
                    };
                    after = event["sequence"].as_i64().unwrap_or(after);
                    if wanted(&event) {
                        return event;
                    }
                }
            }
        }
    }

    /// Waits for a status of a certain epoch.
    pub(crate) async fn wait_for_status(&self, id: &str, epoch: i64, status: &str) -> Value {
        let what = format!("status {status} in epoch {epoch}");
        self.wait_for(id, &what, |event| {
            event["kind"] == "status" && event["epoch"] == epoch && event["data"]["to"] == status
        })
        .await
    }

    /// Waits for the first stored checkpoint of an epoch with at least this number.
    pub(crate) async fn wait_for_checkpoint(&self, id: &str, epoch: i64, number: i64) -> Value {
        self.wait_for(id, "a checkpoint", |event| {
            event["kind"] == "checkpoint"
                && event["epoch"] == epoch
                && event["data"]["number"].as_i64() >= Some(number)
        })
        .await
    }

    /// Waits until a task has ended, and returns it.
    pub(crate) async fn wait_for_end(&self, id: &str) -> Value {
        loop {
            let url = format!("{}/mesh/tasks/{id}/stream?after=0", self.url);
            if let Ok(response) = self.http.get(url).send().await {
                // The stream ends with the task, or with the API.
                let _ = response.bytes().await;
            }
            let task = self.task(id).await;
            if !task["finishedAt"].is_null() {
                return task;
            }
        }
    }

    /// Returns the process of the worker that holds a task.
    pub(crate) async fn worker_of(&self, id: &str) -> (String, Pid) {
        let worker = self.task(id).await["workerId"].as_str().expect("a worker holds the task").to_owned();
        let pid = self.get(&format!("/mesh/workers/{worker}")).await["pid"].as_i64().unwrap();
        (worker, Pid::from_raw(i32::try_from(pid).unwrap()))
    }

    /// Returns the URL of the stack's PostgreSQL.
    pub(crate) fn database_url(&self) -> String {
        let secrets: Value =
            serde_json::from_slice(&std::fs::read(self.data_dir().join("secrets.json")).unwrap()).unwrap();
        let password = secrets["postgres_password"].as_str().unwrap();
        let base = format!("postgres://makima:{password}@localhost:5432/makima?sslmode=disable");
        let run = self.data_dir().join("run");
        url::Url::parse_with_params(&base, [("host", run.to_str().unwrap())]).unwrap().into()
    }

    /// Opens a connection to the stack's Redis.
    pub(crate) fn redis(&self) -> redis::Connection {
        let secrets: Value =
            serde_json::from_slice(&std::fs::read(self.data_dir().join("secrets.json")).unwrap()).unwrap();
        let socket = std::fs::read_dir(self.data_dir().join("run")).unwrap().flatten().find_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            (name.contains("redis") && name.ends_with(".sock")).then(|| entry.path())
        });
        let url = format!(
            "redis+unix://{}?pass={}",
            socket.unwrap().display(),
            secrets["redis_password"].as_str().unwrap()
        );
        redis::Client::open(url).unwrap().get_connection().unwrap()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let Some(mut up) = self.up.take() else { return };
        // In order, so that the way out is walked by every test.
        let _ = kill(Pid::from_raw(i32::try_from(up.id()).unwrap()), Signal::SIGTERM);
        let _ = up.wait();
        if std::thread::panicking() {
            eprintln!("--- makima up ---\n{}", self.log());
        }
    }
}

/// Copies what `up` says to its log, and tells when it says that everything is ready.
fn copy_lines(stdout: ChildStdout, mut log: File, ready: oneshot::Sender<()>) {
    std::thread::spawn(move || {
        let mut ready = Some(ready);
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            writeln!(log, "{line}").unwrap();
            if line.contains("| ready:")
                && let Some(ready) = ready.take()
            {
                // The test may have failed meanwhile.
                let _ = ready.send(());
            }
        }
    });
}

fn install_tls() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Returns a script that appends numbered lines to `lines.txt`, going on from those that are there, until a file exists.
pub(crate) fn lines_until(gate: &Path) -> String {
    format!(
        "n=$(cat lines.txt 2>/dev/null | wc -l)\n\
         while [ ! -e '{}' ]; do n=$((n + 1)); echo $n >> lines.txt; echo line $n; sleep 0.05; done",
        gate.display()
    )
}

/// Panics unless a text is the numbers from 1, one to a line, and returns how many.
pub(crate) fn count_lines(text: &str) -> usize {
    for (line, number) in text.lines().zip(1..) {
        assert_eq!(line, number.to_string(), "a line is missing or stands twice in {text}");
    }
    text.lines().count()
}
