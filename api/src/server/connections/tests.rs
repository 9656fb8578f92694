use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, Bytes};
use axum::routing::get;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
/// Long enough never to be reached.
const NEVER: Duration = Duration::from_secs(3600);
const LIMITS: Limits = Limits { connections: 8, head_within: NEVER, stall: NEVER, buffer_bytes: 16 * 1024 };

/// Serves, until the guard that it returns is dropped.
async fn start(app: Router, limits: Limits) -> (SocketAddr, tokio_util::sync::DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
    tokio::spawn(serve(listener, app, limits, shutdown.clone()));
    (address, shutdown.drop_guard())
}

/// Reads an answer whose body is `ok`.
async fn read_ok(client: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok") {
        assert!(client.read_buf(&mut answer).await.unwrap() > 0, "{answer:?}");
    }
}

#[tokio::test]
async fn a_request_whose_head_does_not_come_is_cut_off() {
    let app = Router::new().route("/", get(async || "ok"));
    let (address, _server) = start(app, Limits { head_within: Duration::from_millis(50), ..LIMITS }).await;
    for half in [&GET[..20], b""] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(half).await.unwrap();
        assert_eq!(client.read(&mut [0; 64]).await.unwrap(), 0);
    }
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(GET).await.unwrap();
    read_ok(&mut idle).await;
    assert_eq!(idle.read(&mut [0; 64]).await.unwrap(), 0, "after an answer, too");
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_answer() {
    let (sender, dropped) = oneshot::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(Some(sender)));
    let app = Router::new().route(
        "/",
        get(async move || {
            let held = held.lock().unwrap().take();
            let endless = stream::repeat_with(move || {
                assert!(held.is_some());
                Ok::<_, io::Error>(Bytes::from_static(&[7; 4096]))
            });
            Body::from_stream(endless)
        }),
    );
    let (address, _server) = start(app, Limits { stall: Duration::from_millis(50), ..LIMITS }).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(GET).await.unwrap();
    // The answer holds the sender: it is dropped with it.
    assert!(dropped.await.is_err());
}

#[tokio::test]
async fn a_connection_too_many_waits_until_another_ends() {
    let served = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&served);
    let app = Router::new().route(
        "/",
        get(async move || {
            counter.fetch_add(1, Ordering::SeqCst);
            "ok"
        }),
    );
    let (address, _server) = start(app, Limits { connections: 1, ..LIMITS }).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(GET).await.unwrap();
    read_ok(&mut first).await;
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(GET).await.unwrap();
    for _ in 0..50 {
        first.write_all(GET).await.unwrap();
        read_ok(&mut first).await;
    }
    assert_eq!(served.load(Ordering::SeqCst), 51, "the second one is not served");
    drop(first);
    read_ok(&mut second).await;
}

#[tokio::test]
async fn the_end_waits_for_the_request_under_way_and_for_no_idle_connection() {
    let (entered, mut under_way) = tokio::sync::mpsc::channel(1);
    let gate = Arc::new(Semaphore::new(0));
    let passed = Arc::clone(&gate);
    let app = Router::new().route("/idle", get(async || "ok")).route(
        "/",
        get(async move || {
            entered.send(()).await.unwrap();
            passed.acquire().await.unwrap().forget();
            "ok"
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
    let server = tokio::spawn(serve(listener, app, LIMITS, shutdown.clone()));
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /idle HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_ok(&mut idle).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(GET).await.unwrap();
    under_way.recv().await.unwrap();
    shutdown.cancel();
    assert_eq!(idle.read(&mut [0; 64]).await.unwrap(), 0);
    assert!(!server.is_finished());
    gate.add_permits(1);
    read_ok(&mut busy).await;
    server.await.unwrap();
}
