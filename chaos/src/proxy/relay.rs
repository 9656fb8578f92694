//! One connection through a way.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::sleep;

use super::watcher::Watcher;
use super::{Flow, Protocol, Shared, State, Trap};

/// How long the answers to a client that is gone are still looked at.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
const CHUNK_BYTES: usize = 64 * 1024;

/// Relays one connection to its end.
pub(super) async fn serve(shared: Arc<Shared>, client: UnixStream) {
    let mut state = shared.state.subscribe();
    let cuts = state.borrow().cuts;
    if !passes(&mut state, cuts).await {
        return;
    }
    let Ok(server) = UnixStream::connect(&shared.upstream).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let watcher = (shared.protocol == Protocol::Postgres).then(|| Mutex::new(Watcher::default()));
    let connection = Connection { shared: &shared, watcher: watcher.as_ref(), cuts };
    let broken = async {
        let mut state = shared.state.subscribe();
        // Fails only with the way itself.
        let _ = state.wait_for(|state| state.flow == Flow::Shut || state.cuts != cuts).await;
    };
    tokio::select! {
        biased;
        () = broken => {}
        () = connection.requests(from_client, to_server) => {}
        () = connection.answers(from_server, to_client) => {}
    }
}

/// Waits while bytes are stuck; `false` if the connection is to end.
async fn passes(state: &mut watch::Receiver<State>, cuts: u64) -> bool {
    let decided = state.wait_for(|state| state.flow != Flow::Stuck || state.cuts != cuts).await;
    decided.is_ok_and(|state| state.flow != Flow::Shut && state.cuts == cuts)
}

/// Waits while writes are stuck; `false` if the connection is to end.
async fn writes_pass(state: &mut watch::Receiver<State>, cuts: u64) -> bool {
    let is_stuck = |flow| matches!(flow, Flow::Stuck | Flow::WritesStuck);
    let decided = state.wait_for(|state| !is_stuck(state.flow) || state.cuts != cuts).await;
    decided.is_ok_and(|state| state.flow == Flow::Open && state.cuts == cuts)
}

struct Connection<'a> {
    shared: &'a Shared,
    watcher: Option<&'a Mutex<Watcher>>,
    cuts: u64,
}

impl Connection<'_> {
    /// Passes on what the client sends, until it breaks off, or a trap does.
    async fn requests(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut state = self.shared.state.subscribe();
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(count @ 1..) = from.read(&mut chunk).await {
            if !passes(&mut state, self.cuts).await {
                return;
            }
            let write = self.watcher().and_then(|mut watcher| watcher.sent(&chunk[..count]));
            if let Some(write) = write
                && !(writes_pass(&mut state, self.cuts).await && self.may_pass(&write))
            {
                return;
            }
            if to.write_all(&chunk[..count]).await.is_err() {
                return;
            }
        }
        // What a client sent before it went away arrives all the same, and its answer tells whether it was taken.
        let _ = to.shutdown().await;
        sleep(LAST_ANSWERS).await; // why: the answers' end ends the connection before
    }

    /// Springs the trap on a write; `false` if the write is not to arrive.
    fn may_pass(&self, write: &str) -> bool {
        match self.shared.spring(write) {
            Some(Trap::CutBefore) => false,
            Some(Trap::LoseAnswer) => {
                if let Some(mut watcher) = self.watcher() {
                    watcher.lose_answer();
                }
                true
            }
            None => true,
        }
    }

    /// Passes on what the server answers, except for an answer that is to be lost.
    async fn answers(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut state = self.shared.state.subscribe();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut client_is_there = true;
        while let Ok(count @ 1..) = from.read(&mut chunk).await {
            let passes_on = match self.watcher() {
                Some(mut watcher) => {
                    let answer = watcher.answered(&chunk[..count]);
                    self.shared.refused.fetch_add(answer.refused, Ordering::Relaxed);
                    if answer.ends_connection {
                        return;
                    }
                    !answer.is_lost
                }
                None => true,
            };
            if !passes_on {
                continue;
            }
            if !passes(&mut state, self.cuts).await {
                return;
            }
            client_is_there = client_is_there && to.write_all(&chunk[..count]).await.is_ok();
        }
    }

    fn watcher(&self) -> Option<MutexGuard<'_, Watcher>> {
        self.watcher.map(|watcher| watcher.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
