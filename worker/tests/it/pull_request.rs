//! Pull requests, against a server on loopback that answers as GitHub does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use makima_worker::github::{GitHub, PullRequest, PullRequestError, RepositoryName};
use serde_json::{Value, json};

const TOKEN: &str = "ghp_secret0123";
const REQUEST: PullRequest<'_> =
    PullRequest { title: "Tidy up", body: "Tidy it up", head: "makima/1-tidy", base: "main" };

/// What came in.
#[derive(Debug)]
struct Asked {
    /// Method, path and query.
    line: String,
    headers: HeaderMap,
    body: Value,
}

type Answers = VecDeque<(u16, Vec<(&'static str, &'static str)>, String)>;

#[derive(Clone, Default)]
struct Server {
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Mutex<Answers>>,
}

impl Server {
    fn new(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let answers = answers.into_iter().map(|(status, body)| (status, Vec::new(), body.to_string()));
        Self { answers: Arc::new(Mutex::new(answers.collect())), ..Self::default() }
    }

    /// Makes every answer so far carry a header.
    fn with_header(self, name: &'static str, value: &'static str) -> Self {
        self.answers.lock().unwrap().iter_mut().for_each(|answer| answer.1.push((name, value)));
        self
    }

    /// Serves until the test ends, and returns a client of it.
    async fn client(&self) -> GitHub {
        static PROVIDER: std::sync::Once = std::sync::Once::new();
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v3/", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        GitHub::new(&url, Some(format!("{TOKEN}\n")))
    }

    async fn open(&self) -> Result<String, PullRequestError> {
        let client = self.client().await;
        let repository = client.repository("ssh://git@127.0.0.1/team/project.git").unwrap();
        client.open_pull_request(&repository, &REQUEST).await
    }

    fn lines(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|asked| asked.line.clone()).collect()
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let headers = request.headers().clone();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    server.asked.lock().unwrap().push(Asked { line, headers, body });
    let (status, headers, body) = server.answers.lock().unwrap().pop_front().expect("an answer is left");
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn opened() -> Value {
    json!({"number": 7, "html_url": "https://git.example/team/project/pull/7"})
}

#[tokio::test]
async fn request_is_opened_with_title_branches_and_token() {
    let server = Server::new([(201, opened())]);
    assert_eq!(server.open().await.unwrap(), "https://git.example/team/project/pull/7");
    let asked = server.asked.lock().unwrap();
    assert_eq!(asked[0].line, "POST /api/v3/repos/team/project/pulls");
    let expected = json!({"title": "Tidy up", "body": "Tidy it up", "head": "makima/1-tidy", "base": "main"});
    assert_eq!(asked[0].body, expected);
    assert_eq!(asked[0].headers["authorization"], format!("Bearer {TOKEN}"));
    assert!(asked[0].headers["user-agent"].to_str().unwrap().starts_with("makima/"));
}

#[tokio::test]
async fn request_that_is_open_already_is_found() {
    let refusal =
        json!({"message": "Validation Failed", "errors": [{"message": "A pull request already exists"}]});
    let server = Server::new([(422, refusal), (200, json!([opened()]))]);
    assert_eq!(server.open().await.unwrap(), "https://git.example/team/project/pull/7");
    let query = "head=team%3Amakima%2F1-tidy&base=main&state=open&per_page=1";
    assert_eq!(server.lines()[1], format!("GET /api/v3/repos/team/project/pulls?{query}"));
}

#[tokio::test]
async fn refusal_carries_the_reason_of_the_server() {
    let refusal =
        json!({"message": "Validation Failed", "errors": [{"message": "No commits between main and x"}]});
    let server = Server::new([(422, refusal), (200, json!([]))]);
    let error = server.open().await.unwrap_err();
    assert_eq!(error.code(), "PULL_REQUEST_REFUSED");
    let text = error.to_string();
    assert!(text.contains("422: Validation Failed; No commits between main and x"), "{text}");
    let server = Server::new([(401, json!({"message": "Bad credentials"}))]);
    let text = server.open().await.unwrap_err().to_string();
    assert!(text.contains("401: Bad credentials") && !text.contains(TOKEN), "{text}");
    assert_eq!(server.lines().len(), 1, "what will not change is not asked again");
}

#[tokio::test]
async fn server_that_is_away_or_busy_is_asked_again_when_it_wants_to_be() {
    let busy = [503, 429, 403].map(|status| (status, json!({"message": "later"})));
    let server = Server::new(busy.into_iter().chain([(201, opened())])).with_header("retry-after", "0");
    assert!(server.open().await.is_ok());
    assert_eq!(server.lines().len(), 4);
    let down = (0..5).map(|_| (502, json!({"message": "down"})));
    let server = Server::new(down).with_header("retry-after", "0");
    assert_eq!(server.open().await.unwrap_err().code(), "PULL_REQUEST_REFUSED");
    assert_eq!(server.lines().len(), 4, "it gives up");
}

#[tokio::test]
async fn server_that_wants_to_be_left_alone_for_long_is_not_waited_for() {
    let server = Server::new([(429, json!({"message": "later"}))]).with_header("retry-after", "86400");
    assert!(matches!(server.open().await, Err(PullRequestError::Refused { status: 429, .. })));
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn forbidden_without_a_time_is_final() {
    let server = Server::new([(403, json!({"message": "Resource not accessible"}))]);
    assert!(matches!(server.open().await, Err(PullRequestError::Refused { status: 403, .. })));
}

#[tokio::test]
async fn token_does_not_follow_a_redirect() {
    let server = Server::new([(307, json!({})), (201, opened())]).with_header("location", "/elsewhere");
    assert!(matches!(server.open().await, Err(PullRequestError::Refused { status: 307, .. })));
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn answers_that_are_too_long_or_nonsense_are_no_answers() {
    let long = json!({"html_url": format!("https://host/{}", "x".repeat(2 << 20))});
    for answer in [long, json!({"html_url": "javascript:alert(1)"}), json!({"html_url": 7}), json!("no")] {
        let server = Server::new([(201, answer)]);
        let error = server.open().await.unwrap_err();
        assert_eq!(error.code(), "GITHUB_ANSWER_UNUSABLE", "{error}");
    }
}

#[tokio::test]
async fn nothing_is_asked_without_a_token_or_for_a_repository_of_elsewhere() {
    let client = GitHub::new("https://api.github.com", None);
    let repository = client.repository("git@github.com:team/project.git").unwrap();
    assert_eq!(repository, RepositoryName { owner: "team".to_owned(), name: "project".to_owned() });
    let error = client.open_pull_request(&repository, &REQUEST).await.unwrap_err();
    assert_eq!(error.code(), "GITHUB_TOKEN_MISSING");
    let error = client.repository("https://gitlab.com/team/project").unwrap_err();
    assert_eq!(error.code(), "NOT_ON_GITHUB");
    assert!(error.to_string().contains("none of github.com"), "{error}");
}

#[test]
fn what_is_written_for_debugging_holds_no_token() {
    let text = format!("{:?}", GitHub::new("https://api.github.com", Some(TOKEN.to_owned())));
    assert!(!text.contains(TOKEN), "{text}");
}
