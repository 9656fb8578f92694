//! Pull requests, by GitHub's REST API or that of a GitHub Enterprise server.
//!
//! The token goes to the configured address alone: no redirect is followed. It is never logged and no agent gets it
//! (`makima_shared::config` sees to that). Answers are read up to a limit, every request has a deadline, and what may pass
//! is tried again a few times.

mod address;

use std::fmt;
use std::time::Duration;

use makima_shared::config::GITHUB_TOKEN_VARIABLES;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;
use tracing::warn;

pub use address::RepositoryName;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The waits between tries, where the server names none.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(10)];
/// The longest wait that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const MAX_ANSWER_BYTES: usize = 1 << 20;
const MAX_URL_BYTES: usize = 1024;
/// How much of the server's reason is told.
const MAX_REASON_CHARS: usize = 500;

/// Why no pull request is open.
#[derive(Debug, thiserror::Error)]
pub enum PullRequestError {
    /// The worker has no token.
    #[error("the worker has no token: set {} or {} in its environment", GITHUB_TOKEN_VARIABLES[0], GITHUB_TOKEN_VARIABLES[1])]
    TokenMissing,
    /// The address of the API cannot be used.
    #[error("github.api_url is no address of an API")]
    BadApiUrl,
    /// The repository lies elsewhere.
    #[error("the repository is none of {host}, where pull requests are opened (github.api_url)")]
    NotOnGitHub {
        /// The host whose repositories can have one.
        host: String,
    },
    /// The server said no.
    #[error("the server refused the pull request with status {status}: {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        reason: String,
    },
    /// The server gave no answer.
    #[error("the server gave no answer: {reason}")]
    Unavailable {
        /// What went wrong.
        reason: String,
    },
    /// The server's answer cannot be used.
    #[error("the server's answer cannot be used: {reason}")]
    Unusable {
        /// What is wrong with it.
        reason: String,
    },
}

impl PullRequestError {
    /// Returns the stable code for clients.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TokenMissing => "GITHUB_TOKEN_MISSING",
            Self::BadApiUrl => "GITHUB_API_URL_WRONG",
            Self::NotOnGitHub { .. } => "NOT_ON_GITHUB",
            Self::Refused { .. } => "PULL_REQUEST_REFUSED",
            Self::Unavailable { .. } => "GITHUB_UNAVAILABLE",
            Self::Unusable { .. } => "GITHUB_ANSWER_UNUSABLE",
        }
    }
}

/// A pull request to open.
#[derive(Clone, Copy, Debug)]
pub struct PullRequest<'a> {
    /// Its title.
    pub title: &'a str,
    /// What it says.
    pub body: &'a str,
    /// The branch with the work.
    pub head: &'a str,
    /// The branch that the work shall go to.
    pub base: &'a str,
}

/// A server, and the token for it.
pub struct GitHub {
    api_url: String,
    token: Option<String>,
}

/// Leaves out the token.
impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHub").field("api_url", &self.api_url).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Opened {
    html_url: String,
}

impl GitHub {
    /// Uses the API at `api_url`. Nothing is looked at before it is needed.
    #[must_use]
    pub fn new(api_url: &str, token: Option<String>) -> Self {
        Self { api_url: api_url.to_owned(), token }
    }

    /// Uses the API at `api_url` with the token of the worker's environment.
    #[must_use]
    pub fn of_environment(api_url: &str) -> Self {
        let mut tokens = GITHUB_TOKEN_VARIABLES.iter().filter_map(|name| std::env::var(name).ok());
        Self::new(api_url, tokens.find(|token| !token.trim().is_empty()))
    }

    /// Finds the repository that a task's address names.
    ///
    /// # Errors
    /// It lies on another host.
    pub fn repository(&self, url: &str) -> Result<RepositoryName, PullRequestError> {
        let api = Url::parse(&self.api_url).map_err(|_syntax| PullRequestError::BadApiUrl)?;
        let host = address::web_host(&api).ok_or(PullRequestError::BadApiUrl)?;
        RepositoryName::of_url(url, &host).ok_or(PullRequestError::NotOnGitHub { host })
    }

    /// Opens a pull request, or finds the open one of the same branches, and returns where people look at it.
    ///
    /// # Errors
    /// There is no token, or the server says no or nothing.
    pub async fn open_pull_request(
        &self,
        repository: &RepositoryName,
        request: &PullRequest<'_>,
    ) -> Result<String, PullRequestError> {
        let connection = Connection::new(self, repository)?;
        let body = json!({
            "title": request.title, "body": request.body, "head": request.head, "base": request.base,
        });
        let (status, answer) =
            connection.send(|| connection.request(Method::POST, &connection.pulls).json(&body)).await?;
        if status == StatusCode::CREATED {
            return link(read::<Opened>(&answer)?);
        }
        // The words for "there is one already" are nobody's promise, so it is looked for whatever they are.
        if status == StatusCode::UNPROCESSABLE_ENTITY
            && let Some(open) = connection.find_open(repository, request).await?
        {
            return link(open);
        }
        Err(refusal(status, &answer))
    }
}

/// A client for one repository.
struct Connection {
    http: Client,
    token: HeaderValue,
    pulls: Url,
}

impl Connection {
    fn new(github: &GitHub, repository: &RepositoryName) -> Result<Self, PullRequestError> {
        let token = github.token.as_deref().ok_or(PullRequestError::TokenMissing)?;
        let mut token = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .map_err(|_unprintable| PullRequestError::TokenMissing)?;
        token.set_sensitive(true);
        let mut pulls = Url::parse(&github.api_url).map_err(|_syntax| PullRequestError::BadApiUrl)?;
        pulls.path_segments_mut().map_err(|()| PullRequestError::BadApiUrl)?.pop_if_empty().extend([
            "repos",
            &repository.owner,
            &repository.name,
            "pulls",
        ]);
        let http = Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(REQUEST_LIMIT)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| unavailable(&error))?;
        Ok(Self { http, token, pulls })
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        self.http
            .request(method, url.clone())
            .header(AUTHORIZATION, self.token.clone())
            .header(ACCEPT, "application/vnd.github+json")
            .header("X-GitHub-Api-Version", "2022-11-28")
            .header(USER_AGENT, concat!("makima/", env!("CARGO_PKG_VERSION")))
    }

    /// Finds the open pull request between the branches.
    async fn find_open(
        &self,
        repository: &RepositoryName,
        request: &PullRequest<'_>,
    ) -> Result<Option<Opened>, PullRequestError> {
        let mut url = self.pulls.clone();
        url.query_pairs_mut()
            .append_pair("head", &format!("{}:{}", repository.owner, request.head))
            .append_pair("base", request.base)
            .append_pair("state", "open")
            .append_pair("per_page", "1");
        let (status, answer) = self.send(|| self.request(Method::GET, &url)).await?;
        if status != StatusCode::OK {
            return Err(refusal(status, &answer));
        }
        Ok(read::<Vec<Opened>>(&answer)?.into_iter().next())
    }

    /// Sends a request until the server answers for good, and returns that answer.
    async fn send(
        &self,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<(StatusCode, Vec<u8>), PullRequestError> {
        let mut pauses = PAUSES.iter();
        loop {
            let sent = async { take(request().send().await.map_err(|error| unavailable(&error))?).await };
            let (outcome, asked) = match sent.await {
                Ok(answer) if !answer.may_pass() => return Ok((answer.status, answer.body)),
                Ok(answer) => (Err(refusal(answer.status, &answer.body)), answer.retry_after),
                Err(error @ PullRequestError::Unavailable { .. }) => (Err(error), None),
                Err(error) => return Err(error),
            };
            let Some(pause) = pauses.next() else { return outcome };
            // A server that wants to be left alone for longer is asked again by a retry of the completion.
            let Some(pause) = asked.or(Some(*pause)).filter(|pause| *pause <= LONGEST_PAUSE) else {
                return outcome;
            };
            warn!(pause_secs = pause.as_secs(), "the server for pull requests is away, trying again");
            sleep(pause).await; // why: back-off before the next try
        }
    }
}

/// An answer that was read to its end.
struct Answer {
    status: StatusCode,
    /// How long the server wants to be left alone.
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Answer {
    /// Tells whether the same request may be answered otherwise a little later.
    fn may_pass(&self) -> bool {
        let limited = self.status == StatusCode::FORBIDDEN && self.retry_after.is_some();
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS || limited
    }
}

async fn take(mut response: Response) -> Result<Answer, PullRequestError> {
    let status = response.status();
    let seconds =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unavailable(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            let reason = format!("it is longer than {MAX_ANSWER_BYTES} bytes");
            return Err(PullRequestError::Unusable { reason });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, retry_after: seconds.map(Duration::from_secs), body })
}

fn read<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, PullRequestError> {
    serde_json::from_slice(answer).map_err(|error| PullRequestError::Unusable {
        reason: format!("it is not what was asked for: {error}"),
    })
}

/// Takes only an address that a person can be shown.
fn link(opened: Opened) -> Result<String, PullRequestError> {
    let url = opened.html_url;
    let is_sane = url.len() <= MAX_URL_BYTES
        && ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme))
        && !url.contains(|c: char| c.is_control() || c.is_whitespace());
    if is_sane {
        Ok(url)
    } else {
        Err(PullRequestError::Unusable { reason: "it names no address".to_owned() })
    }
}

/// Returns what the server said, in its own words.
fn refusal(status: StatusCode, answer: &[u8]) -> PullRequestError {
    #[derive(Deserialize)]
    struct Said {
        message: String,
        #[serde(default)]
        errors: Vec<serde_json::Value>,
    }
    let reason = serde_json::from_slice::<Said>(answer).map_or_else(
        |_other| "it did not say why".to_owned(),
        |said| {
            let details = said.errors.iter().take(5).filter_map(|error| error["message"].as_str());
            details.fold(said.message, |text, detail| format!("{text}; {detail}"))
        },
    );
    let reason = reason.chars().filter(|c| !c.is_control()).take(MAX_REASON_CHARS).collect();
    PullRequestError::Refused { status: status.as_u16(), reason }
}

/// Says what went wrong on the way, with its causes and without the address.
fn unavailable(error: &reqwest::Error) -> PullRequestError {
    let mut reason = if error.is_timeout() { "it took too long" } else { "the connection failed" }.to_owned();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        reason = format!("{reason}: {next}");
        cause = next.source();
    }
    PullRequestError::Unavailable { reason }
}
