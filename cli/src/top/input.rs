//! What the person at the terminal wants: keys and signals.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, Stdin};
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

use crate::failure;

/// What was asked for.
#[derive(Debug)]
pub(super) enum Wish {
    /// The end.
    Leave(ExitCode),
    /// Another frame, as the terminal has another size.
    Redraw,
    /// To stop for a while (Ctrl-Z).
    Stop,
}

/// Where wishes come from.
pub(super) struct Input {
    /// None once it ended, or if it is no terminal.
    keys: Option<Stdin>,
    interrupt: Listener,
    terminate: Listener,
    hangup: Listener,
    resized: Listener,
    stop: Listener,
}

impl Input {
    /// Begins to listen: from here on none of these signals ends or stops the process by itself.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            keys: io::stdin().is_terminal().then(tokio::io::stdin),
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            resized: signal(SignalKind::window_change())?,
            stop: signal(SignalKind::from_raw(Signal::SIGTSTP as i32))?,
        })
    }

    /// Waits for the next wish. May be dropped and called again without losing one.
    pub(super) async fn next(&mut self) -> Wish {
        let ended_by = |signal| Wish::Leave(failure::ended_by(signal));
        tokio::select! {
            () = wait_for_q(&mut self.keys) => Wish::Leave(ExitCode::SUCCESS),
            _ = self.interrupt.recv() => ended_by(Signal::SIGINT),
            _ = self.terminate.recv() => ended_by(Signal::SIGTERM),
            _ = self.hangup.recv() => ended_by(Signal::SIGHUP),
            _ = self.resized.recv() => Wish::Redraw,
            _ = self.stop.recv() => Wish::Stop,
        }
    }
}

/// Waits for the key q, for ever if there are no keys.
async fn wait_for_q(keys: &mut Option<Stdin>) {
    let mut typed = [0; 64];
    while let Some(stdin) = keys {
        match stdin.read(&mut typed).await {
            Ok(0) | Err(_) => *keys = None,
            Ok(count) if typed[..count].iter().any(|key| matches!(key, b'q' | b'Q')) => return,
            Ok(_) => {}
        }
    }
    std::future::pending().await
}
