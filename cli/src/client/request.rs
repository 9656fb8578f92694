//! Requests and their answers.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use url::{Host, Url};

use super::ClientError;

/// A connection that is not made by then is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer that is not complete by then is given up. Streams have no such end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A passing failure is tried again after these pauses.
const RETRY_PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(900)];

/// An API and the key for it.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
}

impl Client {
    /// Takes an address and a key. Nothing is sent yet.
    pub(crate) fn new(url: &str, api_key: &str) -> Result<Self, ClientError> {
        let wrong = || ClientError::Url { url: url.to_owned() };
        let mut base = Url::parse(url).map_err(|_syntax| wrong())?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(wrong());
        }
        base.set_query(None);
        base.set_fragment(None);
        let mut key = HeaderValue::from_str(&format!("Bearer {api_key}"))
            .map_err(|_control_characters| ClientError::KeyMalformed)?;
        key.set_sensitive(true);
        let http = builder(&base)
            .connect_timeout(CONNECT_TIMEOUT)
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, key)]))
            .build()
            .map_err(ClientError::Setup)?;
        Ok(Self { http, base })
    }

    /// Returns the address, to be shown.
    pub(crate) fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Tells whether the API says that it and its servers are there.
    pub(crate) async fn is_ready(&self) -> bool {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("readyz");
        }
        let answer = self.http.get(url).timeout(CONNECT_TIMEOUT).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Begins a request to a path below `/api/v1`, given in its segments.
    pub(super) fn request(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.http.request(method, url)
    }

    /// Sends a request and returns an answer that is a success.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let answer = request.send().await.map_err(|error| ClientError::unreachable(self.url(), &error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await.unwrap_or_default();
        Err(ClientError::from_answer(self.url(), status.as_u16(), &body))
    }

    /// Sends a request and reads the answer's bytes.
    pub(super) async fn bytes(&self, request: RequestBuilder) -> Result<Vec<u8>, ClientError> {
        let answer = self.send(request.timeout(ANSWER_TIMEOUT)).await?;
        let body = answer.bytes().await.map_err(|error| ClientError::unreachable(self.url(), &error))?;
        Ok(body.into())
    }

    /// Reads on in an answer that is too long to be held; `None` at its end.
    pub(super) async fn next_piece(&self, answer: &mut Response) -> Result<Option<Vec<u8>>, ClientError> {
        let piece = answer.chunk().await.map_err(|error| ClientError::unreachable(self.url(), &error))?;
        Ok(piece.map(Vec::from))
    }

    /// Sends a request and reads the answer's JSON.
    pub(super) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let body = self.bytes(request).await?;
        serde_json::from_slice(&body).map_err(|source| self.unknown(source))
    }

    /// Like [`Client::json`] for a request that may be sent twice: passing failures are tried again for a while.
    pub(super) async fn json_retrying<T: DeserializeOwned>(
        &self,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<T, ClientError> {
        for pause in RETRY_PAUSES {
            match self.json(request()).await {
                Err(error) if error.is_passing() => tokio::time::sleep(pause).await, // why: back-off before the next try
                answer => return answer,
            }
        }
        self.json(request()).await
    }

    /// Wraps what could not be understood.
    pub(crate) fn unknown(&self, source: serde_json::Error) -> ClientError {
        ClientError::Unknown { url: self.url().to_owned(), source }
    }
}

/// Chooses how to reach the address: no proxy stands before this machine itself, and a plain address needs none of the
/// machine's certificates, which a small machine may not have.
fn builder(base: &Url) -> reqwest::ClientBuilder {
    crate::role::install_tls();
    let loopback = match base.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let mut builder = reqwest::Client::builder();
    if loopback {
        builder = builder.no_proxy();
    }
    if base.scheme() == "http" {
        // A redirect to another scheme would be a surprise as well.
        builder = builder.tls_certs_only([]).redirect(reqwest::redirect::Policy::none());
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_and_kept_below_the_address() {
        let client = Client::new("http://host:1/makima/", "mk_1").unwrap();
        let request = client
            .request(Method::GET, &["mesh", "tasks", "../x y"], &[("q", "a&b".to_owned())])
            .build()
            .unwrap();
        assert_eq!(request.url().as_str(), "http://host:1/makima/api/v1/mesh/tasks/..%2Fx%20y?q=a%26b");
    }

    #[test]
    fn what_is_no_address_or_key_is_refused() {
        for url in ["127.0.0.1:7420", "ftp://host", "nonsense"] {
            assert!(matches!(Client::new(url, "mk_1"), Err(ClientError::Url { .. })), "{url}");
        }
        assert!(matches!(Client::new("http://h", "a\nb"), Err(ClientError::KeyMalformed)));
    }
}
