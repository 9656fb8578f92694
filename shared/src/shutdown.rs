//! The orderly way out: one token per process, cancelled by SIGTERM, SIGINT, or the end of standard input where a parent
//! holds it.

use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Returns a token that is cancelled when the process is asked to end.
///
/// With `parent_holds_stdin` the end of standard input asks for it too: it comes when the parent dies, however it dies.
///
/// # Errors
/// The signal handlers cannot be installed.
pub fn on_signals(parent_holds_stdin: bool) -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stdin_closed(), if parent_holds_stdin => {}
        }
        cancelled.cancel();
    });
    Ok(token)
}

async fn stdin_closed() {
    let mut stdin = tokio::io::stdin();
    let mut sink = [0; 64];
    while stdin.read(&mut sink).await.is_ok_and(|count| count > 0) {}
}
