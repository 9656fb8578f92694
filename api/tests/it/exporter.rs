//! The metrics of a process that serves nothing else.

use makima_shared::telemetry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn metrics_and_health_are_shown_and_nothing_else_until_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let metrics = telemetry::init_metrics().unwrap();
    let serving = tokio::spawn(makima_api::export(listener, metrics, shutdown.clone()));
    let shown = get(address, "/metrics").await;
    assert!(
        shown.starts_with("HTTP/1.1 200") && shown.contains("# HELP makima_claims_total Tasks"),
        "{shown}"
    );
    assert!(shown.contains("\nmakima_stale_writes_total "), "{shown}");
    assert!(get(address, "/healthz").await.ends_with(r#"{"status":"ok"}"#));
    assert!(get(address, "/api/v1/mesh/tasks").await.starts_with("HTTP/1.1 404"));
    // A client that sends half a request does not hold up the end.
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /metr").await.unwrap();
    shutdown.cancel();
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
