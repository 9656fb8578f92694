//! The way of one role to one server: a relay between unix sockets that can be blocked, shut, cut, and made to lose one
//! answer.
//!
//! On a way to PostgreSQL a `Watcher` reads along, so that a fault hits exactly a write or its answer, and so that
//! refused writes of fenced attempts are counted whatever the role itself says.

mod frames;
mod relay;
mod statement;
mod watcher;

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::net::UnixListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// They pass.
    Open,
    /// They wait, and pass later: a network that swallows everything for a while.
    Stuck,
    /// Writes to PostgreSQL wait, and pass later; all else passes. So there are more writes that come too late, because a
    /// client that asks for a sign of life before each statement gets it.
    WritesStuck,
    /// Connections break, and no new one comes about.
    Shut,
}

/// What a trap does with the next write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    /// The connection breaks before the write arrives: in the middle of its transaction if it is in one.
    CutBefore,
    /// The write arrives and is committed; the connection breaks in place of the answer.
    LoseAnswer,
}

/// Which server a way leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Postgres,
    Redis,
}

/// A trap that waits for a write, and whom it tells what it caught.
struct ArmedTrap {
    trap: Trap,
    caught: oneshot::Sender<String>,
}

/// What all connections of one way share.
struct Shared {
    upstream: PathBuf,
    protocol: Protocol,
    state: watch::Sender<State>,
    trap: Mutex<Option<ArmedTrap>>,
    refused: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    flow: Flow,
    /// Rises with each cut, which ends the connections of before.
    cuts: u64,
}

impl Shared {
    /// Springs the trap, if one is set.
    fn spring(&self, caught: &str) -> Option<Trap> {
        let armed = self.trap.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        // Nobody waits for it any more: then it is no fault of anybody's list.
        armed.caught.send(caught.to_owned()).ok().map(|()| armed.trap)
    }
}

/// One way. Dropping it shuts it for good.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Flow::Shut);
    }
}

impl Proxy {
    /// Listens at `socket`, whose directory is made if it is missing, and relays to `upstream`.
    pub(crate) fn listen(socket: &Path, upstream: PathBuf, protocol: Protocol) -> anyhow::Result<Self> {
        let directory = socket.parent().context("a socket needs a directory")?;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let listener =
            UnixListener::bind(socket).with_context(|| format!("cannot listen at {}", socket.display()))?;
        let (state, _) = watch::channel(State { flow: Flow::Open, cuts: 0 });
        let shared = Arc::new(Shared {
            upstream,
            protocol,
            state,
            trap: Mutex::default(),
            refused: AtomicU64::new(0),
        });
        let for_accepting = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay::serve(Arc::clone(&for_accepting), client));
            }
        });
        Ok(Self { shared, accepting })
    }

    /// Decides what becomes of bytes from now on.
    pub(crate) fn set(&self, flow: Flow) {
        self.shared.state.send_modify(|state| state.flow = flow);
    }

    /// Breaks all connections of this moment.
    pub(crate) fn cut(&self) {
        self.shared.state.send_modify(|state| state.cuts += 1);
    }

    /// Sets a trap, in the place of one that waits. The receiver hears what was caught, or that the trap was replaced.
    pub(crate) fn set_trap(&self, trap: Trap) -> oneshot::Receiver<String> {
        let (caught, hears) = oneshot::channel();
        let armed = ArmedTrap { trap, caught };
        *self.shared.trap.lock().unwrap_or_else(PoisonError::into_inner) = Some(armed);
        hears
    }

    /// Returns how many fenced writes PostgreSQL has refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }
}
