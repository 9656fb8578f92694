//! Redis over TLS with an authority of one's own.

use std::process::Command;

use makima_shared::queue::Queue;
use redis::{Client, ClientTlsConfig, TlsCertificates};
use tempfile::TempDir;

use crate::cluster::{Cluster, Kind};
use crate::server::{Server, claim, free_port, push};

/// Certificates and keys.
struct Files(TempDir);

impl Files {
    fn make() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/test-certificates.sh");
        assert!(Command::new(script).arg(directory.path()).status().unwrap().success());
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// What makes a server listen on a port, show a certificate, and ask for one or not.
    fn arguments(&self, port: u16, shown: &str, asks: &str) -> Vec<String> {
        let options = [
            ("--port", "0".to_owned()),
            ("--tls-port", port.to_string()),
            ("--tls-auth-clients", asks.to_owned()),
            ("--tls-cert-file", self.path(&format!("{shown}.pem"))),
            ("--tls-key-file", self.path(&format!("{shown}.key"))),
            ("--tls-ca-cert-file", self.path("authority.pem")),
        ];
        options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]).collect()
    }

    /// Starts a server.
    async fn serve(&self, shown: &str, asks: &str) -> Server {
        let port = free_port();
        let arguments = self.arguments(port, shown, asks);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        Server::start_at(port, &arguments, self.client(port)).await
    }

    /// How the tests themselves reach a server, whatever name it shows.
    fn client(&self, port: u16) -> Client {
        let read = |name| std::fs::read(self.path(name)).unwrap();
        let client_tls =
            Some(ClientTlsConfig { client_cert: read("here.pem"), client_key: read("here.key") });
        let certificates = TlsCertificates { client_tls, root_cert: Some(read("authority.pem")) };
        Client::build_with_tls(format!("rediss://127.0.0.1:{port}"), certificates).unwrap()
    }

    /// Opens a queue with files named in its URL.
    fn open(&self, server: &Server, files: &[(&str, &str)]) -> Queue {
        let files = files.iter().map(|(parameter, name)| format!("&{parameter}={}", self.path(name)));
        let url = format!("rediss://127.0.0.1:{}?{}", server.port, files.collect::<String>());
        Queue::open(&url, "test").unwrap()
    }
}

const TRUSTED: (&str, &str) = ("ssl_ca_certs", "authority.pem");

#[tokio::test]
async fn the_authority_of_the_url_is_trusted_and_no_other() {
    let files = Files::make();
    let server = files.serve("here", "no").await;
    push(&files.open(&server, &[TRUSTED])).await;
    for others in [&[][..], &[("ssl_ca_certs", "stranger.pem")]] {
        assert!(files.open(&server, others).ping().await.is_err());
    }
}

#[tokio::test]
async fn a_certificate_is_shown_to_a_server_that_asks_for_one() {
    let files = Files::make();
    let server = files.serve("here", "yes").await;
    push(&files.open(&server, &[TRUSTED, ("ssl_certfile", "here.pem"), ("ssl_keyfile", "here.key")])).await;
    assert!(files.open(&server, &[TRUSTED]).ping().await.is_err());
}

#[tokio::test]
async fn nodes_of_a_cluster_are_reached_over_tls_too() {
    let files = std::sync::Arc::new(Files::make());
    let (listening, asking) = (std::sync::Arc::clone(&files), std::sync::Arc::clone(&files));
    let cluster = Cluster::start(Kind {
        listen: Box::new(move |port| {
            let mut arguments = listening.arguments(port, "here", "no");
            arguments.extend(["--tls-cluster", "yes"].map(str::to_owned));
            arguments
        }),
        client: Box::new(move |port| asking.client(port)),
    })
    .await;
    let url = format!("rediss://{}?ssl_ca_certs={}", cluster.hosts(&[0]), files.path("authority.pem"));
    let queue = Queue::open(&url, "test").unwrap();
    let task = push(&queue).await;
    assert_eq!(claim(&queue).await, [task]);
}
