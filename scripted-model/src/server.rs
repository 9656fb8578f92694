//! The server: takes requests on loopback, keeps them, and answers each with its step.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::conversation::{Turn, next_step};
use crate::gates::Gates;
use crate::request::Request;
use crate::script::{Do, Refusal, Step};
use crate::{messages, responses};

/// A conversation is sent whole each time, and with it whatever its tools brought.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// How many requests are kept, the latest.
const MAX_REQUESTS: usize = 1000;

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub struct ScriptedModel {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<std::io::Result<()>>,
}

#[derive(Debug)]
struct Shared {
    gates: Gates,
    requests: Mutex<VecDeque<Request>>,
}

impl ScriptedModel {
    /// Starts a server on a free port of loopback.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start() -> std::io::Result<Self> {
        Self::start_at(0).await
    }

    /// Starts a server on a port of loopback; 0 is any that is free.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start_at(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { gates: Gates::new(), requests: Mutex::default() });
        let server = tokio::spawn(axum::serve(listener, router(Arc::clone(&shared))).into_future());
        Ok(Self { address, shared, server })
    }

    /// Returns where it listens. Anthropic's clients want this, `OpenAI`'s this and `/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Opens a gate, for all that wait at it and all that will come.
    pub fn open(&self, gate: &str) {
        self.shared.gates.open(gate);
    }

    /// Waits until so many requests have come to a gate since the start.
    pub async fn arrived(&self, gate: &str, count: usize) {
        self.shared.gates.arrived(gate, count).await;
    }

    /// Returns the requests for answers so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        // Claude Code looks whether anybody is there.
        .route("/", get(async || StatusCode::OK))
        .route("/v1/messages", post(on_messages))
        .route("/v1/messages/count_tokens", post(async || Json(json!({"input_tokens": 10}))))
        .route("/v1/responses", post(on_responses))
        .route("/v1/models", get(async || Json(json!({"object": "list", "data": [], "models": []}))))
        .route("/gates/{name}", post(on_open))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(shared)
}

/// Opens a gate, for those who try things by hand.
async fn on_open(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> StatusCode {
    shared.gates.open(&name);
    StatusCode::NO_CONTENT
}

async fn on_messages(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Response {
    let step = shared.step("/v1/messages", &body, &messages::turns(&body)).await;
    match &step.what {
        Do::Refuse(refusal) => refuse(refusal),
        Do::Say { .. } | Do::Run { .. } | Do::Use { .. } | Do::Break(_) => messages::answer(&body, &step),
    }
}

async fn on_responses(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Response {
    let step = shared.step("/v1/responses", &body, &responses::turns(&body)).await;
    match &step.what {
        Do::Refuse(refusal) => refuse(refusal),
        Do::Say { .. } | Do::Run { .. } | Do::Use { .. } | Do::Break(_) => responses::answer(&body, &step),
    }
}

impl Shared {
    /// Keeps a request, and returns its step once the step may be answered.
    async fn step(&self, path: &str, body: &Value, turns: &[Turn]) -> Step {
        self.keep(Request { path: path.to_owned(), body: body.clone() });
        // What has no tools is no part of the work: a title, a summary.
        if body["tools"].as_array().is_none_or(Vec::is_empty) {
            return Step::say("A title");
        }
        let step = next_step(turns, |gate| self.gates.is_open(gate));
        if let Some(gate) = &step.wait {
            self.gates.pass(gate).await;
        }
        step
    }

    fn keep(&self, request: Request) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() == MAX_REQUESTS {
            requests.pop_front();
        }
        requests.push_back(request);
    }
}

/// Answers an error in the form that both vendors give it.
fn refuse(refusal: &Refusal) -> Response {
    let mut error = refusal.fields.clone();
    error.insert("type".to_owned(), refusal.kind.as_str().into());
    error.insert("message".to_owned(), refusal.message.as_str().into());
    let status = StatusCode::from_u16(refusal.refuse).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(json!({"type": "error", "error": error}))).into_response();
    for (name, value) in &refusal.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<axum::http::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
