//! Work that nobody wants any more ends at once.

use std::io::Read;
use std::net::TcpListener;

use makima_worker::git::Cancel;
use makima_worker::repository::RepositoryError;
use makima_worker::workspace::{PushError, push};

use crate::fixture::Fixture;

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
