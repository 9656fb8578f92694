//! What surrounds every route: a log line and metrics for each request, a limit to its time, and a net below panics.
//!
//! Method, the route's template, status and latency are logged; never a body, a key, or an id of the path.

use std::any::Any;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::{ErrorCode, ErrorResponse};
use crate::requests;

/// How long a request may take up to the head of its answer. What streams after it has no limit.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Measures and logs a request.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let (status, latency) = (response.status(), started.elapsed());
    let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
    if status.is_server_error() {
        tracing::warn!(%method, route, status = status.as_u16(), latency_ms, "request");
    } else {
        tracing::debug!(%method, route, status = status.as_u16(), latency_ms, "request");
    }
    requests::count(&method, route, status, latency);
    response
}

/// Ends a request that takes too long.
pub(crate) async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => ErrorResponse::new(
            ErrorCode::RequestTimeout,
            "the request took longer than 30 seconds; whether it was carried out is not known",
        )
        .into_response(),
    }
}

/// Tells browsers not to guess what an answer is: agents' output is served as it comes.
pub(crate) async fn no_guessing(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Answers for a handler that panicked.
#[allow(clippy::needless_pass_by_value, reason = "the signature that the layer asks for")]
pub(crate) fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response {
    let words = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&'static str>().copied());
    ErrorResponse::internal_because(words.unwrap_or("a panic without words")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_answered_without_its_words() {
        let response = panicked(Box::new("secret".to_owned()));
        assert_eq!(response.status().as_u16(), 500);
    }
}
