//! A Redis of a test's own, which may be frozen and killed.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use chrono::Utc;
use makima_shared::domain::{OwnerId, TaskId, WorkerId};
use makima_shared::queue::{Inbox, InboxMessage, Queue, QueueError};
use makima_shared::store::ReadyTask;
use redis::{Client, Cmd, FromRedisValue};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything that is waited for takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that dies with this value.
pub(crate) struct Server {
    process: Child,
    directory: TempDir,
    pub(crate) port: u16,
    client: Client,
}

impl Server {
    /// Starts a server without TLS.
    pub(crate) async fn start() -> Self {
        let port = free_port();
        let client = Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        Self::start_at(port, &["--port", &port.to_string()], client).await
    }

    /// Starts a server with `arguments`, which make it listen on `port`, where `client` reaches it.
    pub(crate) async fn start_at(port: u16, arguments: &[&str], client: Client) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = std::env::var("MAKIMA_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--dir"]).arg(directory.path()).args(arguments);
        let process = command.stdout(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
        let server = Self { process, directory, port, client };
        eventually(async || server.client.get_multiplexed_async_connection().await).await;
        server
    }

    /// Sends the server a command.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        // A busy machine may take longer than redis-rs waits for a connection.
        let mut connection = eventually(async || self.client.get_multiplexed_async_connection().await).await;
        command.query_async(&mut connection).await.unwrap()
    }

    /// Stops the server in its tracks; the kernel still takes what is sent to it.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        assert!(kill.arg(format!("-{name}")).arg(self.process.id().to_string()).status().unwrap().success());
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed by the test; a frozen one dies as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
        debug_assert!(self.directory.path().exists(), "the directory outlives the server");
    }
}

/// Returns a port that nobody listens on, nor on the one that Redis Cluster adds 10,000 to get. No other test gets it, so
/// that no node of a cluster comes upon one of another, and both lie below those that the system gives to clients.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let first = u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = 12_000 + (first + TAKEN.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
}

/// Asks until there is an answer.
pub(crate) async fn eventually<T, E: std::fmt::Debug>(mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    let started = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(started.elapsed() < PATIENCE, "still {error:?}"),
        }
        sleep(Duration::from_millis(20)).await; // why: nothing tells that a server is there
    }
}

/// Makes a call that must fail, and soon.
pub(crate) async fn fails_within<T>(limit: Duration, call: impl Future<Output = Result<T, QueueError>>) {
    let answer = timeout(limit, call).await.expect("the call is given up in time");
    assert!(answer.is_err(), "Redis answered");
}

/// A ready task for everybody.
pub(crate) fn ready() -> ReadyTask {
    ReadyTask {
        id: TaskId::new(),
        owner_id: OwnerId::new(),
        owner_weight: 1,
        priority: 50,
        queued_at: Utc::now(),
        labels: Vec::new(),
        excluded_worker_ids: Vec::new(),
    }
}

/// Enters a task as ready, as soon as there is a Redis to take it.
pub(crate) async fn push(queue: &Queue) -> TaskId {
    let task = ready();
    eventually(async || queue.ready_push(std::slice::from_ref(&task)).await).await;
    task.id
}

/// Takes all tasks that are ready, as soon as there is a Redis to give them.
pub(crate) async fn claim(queue: &Queue) -> Vec<TaskId> {
    eventually(async || queue.ready_claim(WorkerId::new(), &[], 100).await).await
}

/// Reads an inbox until there is word to stop a task, and returns which.
pub(crate) async fn next_stop(inbox: &mut Inbox) -> TaskId {
    let read = async || match inbox.next(Duration::from_millis(200)).await {
        Ok(Some(InboxMessage::Stop(attempt))) => Ok(attempt.task_id),
        other => Err(format!("{other:?}")),
    };
    eventually(read).await
}
