//! Work that nobody wants any more ends at once.

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use makima_worker::git::Cancel;
use makima_worker::repository::RepositoryError;
use makima_worker::workspace::{PushError, push};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::fixture::{Fixture, git};

/// A remote that takes connections and never answers.
struct Silent {
    listener: TcpListener,
    url: String,
}

impl Silent {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("git://{}/x.git", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Waits until somebody asks, calls `cancel`, and then waits until that connection is closed.
    fn cancel_when_asked(&self, cancel: &Cancel) {
        let (mut connection, _) = self.listener.accept().unwrap();
        connection.read_exact(&mut [0]).unwrap();
        cancel.cancel();
        let _ = connection.read_to_end(&mut Vec::new());
    }
}

#[test]
fn cancelled_fetch_and_push_end_with_their_processes() {
    let fixture = Fixture::new();
    let silent = Silent::new();
    let cancel = Cancel::default();
    let error = std::thread::scope(|scope| {
        let fetching = scope.spawn(|| fixture.cache.fetch(&silent.url, None, &cancel).unwrap_err());
        silent.cancel_when_asked(&cancel);
        fetching.join().unwrap()
    });
    assert!(matches!(error, RepositoryError::Cancelled), "{error}");

    let cancel = Cancel::default();
    let workspace = fixture.workspace().cancelled_by(&cancel);
    let remote = fixture.cache.remote(&silent.url).unwrap();
    let commit = workspace.base_commit();
    let error = std::thread::scope(|scope| {
        let pushing = scope.spawn(|| push(&workspace, &remote, &commit, "b", &[]).unwrap_err());
        silent.cancel_when_asked(&cancel);
        pushing.join().unwrap()
    });
    assert!(matches!(error, PushError::Repository(RepositoryError::Cancelled)), "{error}");
}

/// Makes a remote stop in the middle of moving a branch, with its lock: the branch's log is a pipe that nobody reads.
/// Returns the lock: git writes the commit into it once its signal handler knows of it.
fn stop_while_moving(remote: &Path, branch: &str) -> PathBuf {
    git(remote, &["config", "core.logAllRefUpdates", "always"]);
    std::fs::create_dir_all(remote.join("logs/refs/heads")).unwrap();
    mkfifo(&remote.join("logs/refs/heads").join(branch), Mode::S_IRWXU).unwrap();
    remote.join("refs/heads").join(format!("{branch}.lock"))
}

#[test]
fn cancelled_push_leaves_no_lock_in_a_remote_of_this_machine() {
    let fixture = Fixture::new();
    let cancel = Cancel::default();
    let workspace = fixture.workspace().cancelled_by(&cancel);
    let (commit, remote) = (workspace.base_commit(), fixture.address());
    let lock = stop_while_moving(&fixture.remote(), "b");
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| push(&workspace, &remote, &commit, "b", &[]).unwrap_err());
        while !lock.metadata().is_ok_and(|lock| lock.len() > 0) && !pushing.is_finished() {
            std::thread::yield_now();
        }
        cancel.cancel();
        let error = pushing.join().unwrap();
        assert!(matches!(error, PushError::Repository(RepositoryError::Cancelled)), "{error}");
    });
    assert!(!lock.exists());
}

#[test]
fn who_waits_for_the_fetch_of_another_can_give_up() {
    let fixture = Fixture::new();
    let silent = Silent::new();
    let (first, second) = (Cancel::default(), Cancel::default());
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| fixture.cache.fetch(&silent.url, None, &first).unwrap_err());
        let (connection, _) = silent.listener.accept().unwrap();
        let waiting = scope.spawn(|| fixture.cache.fetch(&silent.url, None, &second).unwrap_err());
        second.cancel();
        assert!(matches!(waiting.join().unwrap(), RepositoryError::Cancelled));
        assert!(!fetching.is_finished());
        drop(connection);
        assert!(matches!(fetching.join().unwrap(), RepositoryError::Unreachable { .. }));
    });
}
