//! The shared connection to the Redis that holds the queue: a server by itself, or the right node of a cluster.
//!
//! All keys of a queue share a slot (see [`super::keys`]), so in a cluster too there is one node to talk to, and every other
//! node names it (`MOVED`). The connection follows, and goes back to the nodes of the URL when the one that it found is
//! lost. A server by itself never sends it anywhere, so nobody has to say which of the two it is.
//!
//! What carries no key (PUBLISH, PUBSUB) is answered by any node, and not every answer is the same there. So a node is first
//! asked for a key of the queue, and nothing else goes to it until it has answered that.
//!
//! A refused command was not carried out, so it is sent again. Whatever else failed is not: it was a hint, and hints are
//! made up for. That is also what becomes of commands while a slot is on its way from one node to another (`ASK`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, Cmd, ConnectionAddr, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind,
    Value,
};

use super::RESPONSE_TIMEOUT;

/// How many nodes a command is sent on by at most. One that has just joined may name one that has just lost the slot.
const MAX_LEFT: u32 = 3;

/// A connection that mends itself and is made when it is needed. Clones share it.
#[derive(Clone)]
pub(super) struct Connection {
    route: Arc<Route>,
}

struct Route {
    /// The nodes of the URL.
    seeds: Vec<Client>,
    /// Asks for a key of the queue, which need not be there.
    probe: Cmd,
    node: Mutex<Arc<Node>>,
}

/// The node that is asked now.
struct Node {
    client: Client,
    manager: ConnectionManager,
    /// How many nodes were left before this one.
    turn: usize,
    is_seed: bool,
    /// It has answered the probe, and so serves the slot.
    is_found: AtomicBool,
}

impl Node {
    fn new(client: Client, turn: usize, is_seed: bool) -> RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_min_delay(Duration::from_millis(20))
            .set_max_delay(Duration::from_millis(500))
            .set_number_of_retries(1);
        let manager = client.get_connection_manager_lazy(config)?;
        Ok(Self { client, manager, turn, is_seed, is_found: AtomicBool::new(false) })
    }
}

/// What is sent: a command or a pipeline, of which there is one answer or several.
#[derive(Clone, Copy)]
enum Request<'a> {
    Command(&'a Cmd),
    Pipeline { pipeline: &'a Pipeline, offset: usize, count: usize },
}

impl Request<'_> {
    async fn send(self, mut manager: ConnectionManager) -> RedisResult<Vec<Value>> {
        match self {
            Self::Command(command) => Ok(vec![manager.send_packed_command(command).await?]),
            Self::Pipeline { pipeline, offset, count } => {
                manager.send_packed_commands(pipeline, offset, count).await
            }
        }
    }
}

/// Returns why nothing of a request was done. Commands of a pipeline that come first are carried out first, so one whose
/// first command was refused did nothing at all.
fn refusal(answer: &RedisResult<Vec<Value>>) -> Option<RedisError> {
    match answer {
        Err(error) => Some(error.clone()),
        Ok(values) => match values.first() {
            Some(Value::ServerError(error)) => Some(error.clone().into()),
            Some(_) | None => None,
        },
    }
}

impl Connection {
    /// Opens a connection to the queue whose keys share the slot of `key`, by way of the nodes of a URL, of which there
    /// is at least one.
    pub(super) fn open(seeds: Vec<Client>, key: &str) -> RedisResult<Self> {
        let first = seeds.first().cloned();
        let first = first.ok_or((ErrorKind::InvalidClientConfig, "the URL names no host"))?;
        let node = Mutex::new(Arc::new(Node::new(first, 0, true)?));
        let probe = redis::cmd("EXISTS").arg(key).take();
        Ok(Self { route: Arc::new(Route { seeds, probe, node }) })
    }

    /// Returns a client of the node that serves the queue, for connections of another kind.
    pub(super) async fn client(&self) -> RedisResult<Client> {
        Ok(self.find().await?.client.clone())
    }

    /// Asks for a key of the queue, and returns the node that has answered.
    async fn find(&self) -> RedisResult<Arc<Node>> {
        let (node, answer) = self.follow(Request::Command(&self.route.probe)).await;
        match refusal(&answer) {
            Some(error) => Err(error),
            None => {
                node.is_found.store(true, Ordering::Relaxed);
                Ok(node)
            }
        }
    }

    async fn answer(&self, request: Request<'_>) -> RedisResult<Vec<Value>> {
        if !self.node().is_found.load(Ordering::Relaxed) {
            self.find().await?;
        }
        self.follow(request).await.1
    }

    /// Sends a request to the node that is asked now, and on to those that are named in its place. Returns the last one
    /// with its answer.
    async fn follow(&self, request: Request<'_>) -> (Arc<Node>, RedisResult<Vec<Value>>) {
        let mut left = 0;
        loop {
            let node = self.node();
            let answer = request.send(node.manager.clone()).await;
            match refusal(&answer) {
                Some(error) if self.leave(&node, &error) && left < MAX_LEFT => left += 1,
                Some(_) | None => return (node, answer),
            }
        }
    }

    fn node(&self) -> Arc<Node> {
        Arc::clone(&self.route.node.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Leaves a node for the one that it names, or for the next of the URL if it is lost. Tells whether to ask again at
    /// once.
    fn leave(&self, node: &Node, error: &RedisError) -> bool {
        if let Some(owner) = moved(node, error) {
            self.go(node, owner, false);
            return true;
        }
        let elsewhere = !node.is_seed || self.route.seeds.len() > 1;
        if is_demoted(error) || (elsewhere && is_lost(error)) {
            let next = self.route.seeds[(node.turn + 1) % self.route.seeds.len()].clone();
            self.go(node, next, true);
        }
        false
    }

    /// Goes from one node to another, unless somebody else has left that node already.
    fn go(&self, from: &Node, to: Client, is_seed: bool) {
        let mut node = self.route.node.lock().unwrap_or_else(PoisonError::into_inner);
        if node.turn == from.turn
            && let Ok(next) = Node::new(to, from.turn + 1, is_seed)
        {
            *node = Arc::new(next);
        }
    }
}

/// Returns a client of the node that `MOVED` names, reached in the same way as the one that was asked.
fn moved(node: &Node, error: &RedisError) -> Option<Client> {
    if error.kind() != ErrorKind::Server(ServerErrorKind::Moved) {
        return None;
    }
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let info = node.client.get_connection_info();
    let addr = match info.addr().clone() {
        ConnectionAddr::Tcp(asked, _port) => ConnectionAddr::Tcp(named_or(host, asked), port),
        ConnectionAddr::TcpTls { host: asked, port: _, insecure, tls_params } => {
            ConnectionAddr::TcpTls { host: named_or(host, asked), port, insecure, tls_params }
        }
        // A path leads to no other node.
        ConnectionAddr::Unix(_) | _ => return None,
    };
    Client::open(info.clone().set_addr(addr)).ok()
}

/// A node that does not know its own name leaves it out; it means the one that was asked.
fn named_or(named: &str, asked: String) -> String {
    if named.is_empty() { asked } else { named.to_owned() }
}

/// Tells whether a node is not to be had, or is cut off from the others.
fn is_lost(error: &RedisError) -> bool {
    let down = [ServerErrorKind::ClusterDown, ServerErrorKind::MasterDown];
    error.is_io_error() || down.map(ErrorKind::Server).contains(&error.kind())
}

/// Tells whether a server has become another's replica. Its name may lead to the new one by now.
fn is_demoted(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut answers = self.answer(Request::Command(cmd)).await?;
            Ok(answers.pop().unwrap_or(Value::Nil))
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.answer(Request::Pipeline { pipeline, offset, count }))
    }

    fn get_db(&self) -> i64 {
        self.node().client.get_connection_info().redis_settings().db()
    }
}
