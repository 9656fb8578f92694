//! A Redis Cluster of a test's own: three nodes with a third of the slots each, and replicas where they are asked for.

use redis::{Client, Cmd, cmd};

use crate::server::{Server, eventually, free_port};

/// The slot of the hash tag `{q}`, which all keys of a queue have.
pub(crate) const SLOT: u16 = 11_958;
/// The node that has it at first.
pub(crate) const OWNER: usize = 2;
const SLOTS: u16 = 16_384;

/// How nodes are started and reached.
pub(crate) struct Kind {
    /// What makes a node listen on a port.
    pub(crate) listen: Box<dyn Fn(u16) -> Vec<String>>,
    /// How the test itself reaches the node of a port.
    pub(crate) client: Box<dyn Fn(u16) -> Client>,
}

impl Kind {
    /// Without TLS.
    pub(crate) fn plain() -> Self {
        Self {
            listen: Box::new(|port| vec!["--port".to_owned(), port.to_string()]),
            client: Box::new(|port| Client::open(format!("redis://127.0.0.1:{port}")).unwrap()),
        }
    }
}

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
    kind: Kind,
}

impl Cluster {
    /// Starts three nodes and waits until each knows that all slots are served.
    pub(crate) async fn start(kind: Kind) -> Self {
        let mut cluster = Self { nodes: Vec::new(), kind };
        let mut from = 0;
        for upto in [SLOTS / 3, SLOTS / 3 * 2, SLOTS] {
            let node = cluster.add().await;
            let slots: Vec<_> = (from..upto).collect();
            cluster.nodes[node].ask::<()>(cmd("CLUSTER").arg("ADDSLOTS").arg(slots)).await;
            from = upto;
        }
        cluster.until_all_know_all().await;
        cluster
    }

    /// Gives the owner of the queue's slot a replica, and waits until that has caught up. Returns which node it is.
    pub(crate) async fn add_replica(&mut self) -> usize {
        let node = self.add().await;
        self.until_all_know_all().await;
        let master = self.id(OWNER).await;
        let (replicate, role) = (command("REPLICATE", &[&master]), cmd("ROLE"));
        eventually(async || self.try_ask::<()>(node, &replicate).await).await;
        eventually(async || {
            let role: Vec<redis::Value> = self.nodes[node].ask(&role).await;
            let text = format!("{role:?}");
            if text.contains("'connected'") || text.contains("\"connected\"") { Ok(()) } else { Err(text) }
        })
        .await;
        node
    }

    async fn add(&mut self) -> usize {
        let port = free_port();
        let mut arguments = (self.kind.listen)(port);
        arguments.extend(["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"].map(str::to_owned));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let node = Server::start_at(port, &arguments, (self.kind.client)(port)).await;
        if let Some(first) = self.nodes.first() {
            first.ask::<()>(&command("MEET", &["127.0.0.1", &port.to_string()])).await;
        }
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    async fn until_all_know_all(&self) {
        let (count, info) = (self.nodes.len(), cmd("CLUSTER").arg("INFO").take());
        for node in &self.nodes {
            eventually(async || {
                let info: String = node.ask(&info).await;
                let whole = info.contains("cluster_state:ok")
                    && info.contains(&format!("cluster_known_nodes:{count}\r"));
                if whole { Ok(()) } else { Err(info) }
            })
            .await;
        }
    }

    pub(crate) async fn id(&self, node: usize) -> String {
        self.nodes[node].ask(&command("MYID", &[])).await
    }

    async fn try_ask<T: redis::FromRedisValue>(&self, node: usize, command: &Cmd) -> redis::RedisResult<T> {
        let client = (self.kind.client)(self.nodes[node].port);
        command.query_async(&mut client.get_multiplexed_async_connection().await?).await
    }

    /// The nodes' addresses, with commas between, in the order asked for.
    pub(crate) fn hosts(&self, nodes: &[usize]) -> String {
        let hosts: Vec<_> =
            nodes.iter().map(|node| format!("127.0.0.1:{}", self.nodes[*node].port)).collect();
        hosts.join(",")
    }
}

/// Makes a command of `CLUSTER`.
pub(crate) fn command(name: &str, arguments: &[&str]) -> Cmd {
    cmd("CLUSTER").arg(name).arg(arguments).take()
}
