//! Connections: accepted while there is room, served by HTTP/1.1, and ended in order.
//!
//! `axum::serve` sets no timer, so that half a request would be waited for without end, and takes any number of
//! connections; hence hyper itself.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::limits::Limits;
use super::stall::StallBound;

/// How long to rest when the process has no file descriptor left, or the like.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves until the token is cancelled and the requests that were under way then have finished. Dropping the future cuts
/// them off.
pub(super) async fn serve(listener: TcpListener, app: Router, limits: Limits, shutdown: CancellationToken) {
    let (room, open) = (Arc::new(Semaphore::new(limits.connections)), TaskTracker::new());
    let cut = CancellationToken::new();
    let _cut_on_drop = cut.clone().drop_guard();
    while let Some(Some((stream, permit))) = shutdown.run_until_cancelled(accept(&listener, &room)).await {
        let connection = connection(stream, app.clone(), limits, shutdown.clone());
        let cut = cut.clone();
        open.spawn(async move {
            let _permit = permit;
            cut.run_until_cancelled(connection).await
        });
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// Waits for room, then for a connection. None if there is no more room for ever, which does not happen.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _address)) => return Some((stream, permit)),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await; // why: descriptors come back as connections end
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(stream: TcpStream, app: Router, limits: Limits, shutdown: CancellationToken) {
    // Events and answers are small and wanted at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let io = TokioIo::new(StallBound::new(stream, limits.stall));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_within)
            .max_buf_size(limits.buffer_bytes)
            .serve_connection(io, TowerToHyperService::new(app))
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error.cause = crate::error::chain(&error), "a connection broke");
    }
}

#[cfg(test)]
mod tests;
