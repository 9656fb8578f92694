//! Requests to end: the first one is for the orderly way, a second one for the quick way.

use std::io;

use makima_shared::shutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Hears of SIGINT, SIGTERM, SIGHUP and, where a parent holds standard input, of its end.
pub(super) struct Ending {
    first: CancellationToken,
    hangup: Signal,
    second: Option<(Signal, Signal)>,
}

impl Ending {
    /// Begins to listen.
    pub(super) fn listen(exit_with_parent: bool) -> io::Result<Self> {
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self { first: shutdown::on_signals(exit_with_parent)?, hangup, second: None })
    }

    /// Waits for the next request.
    pub(super) async fn asked(&mut self) {
        if let Some((interrupt, terminate)) = &mut self.second {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
        tokio::select! {
            () = self.first.cancelled() => {}
            _ = self.hangup.recv() => {}
        }
        // What was heard so far was the first request; these hear of later ones alone.
        let later =
            signal(SignalKind::interrupt()).and_then(|one| Ok((one, signal(SignalKind::terminate())?)));
        self.second = later.ok();
    }
}
