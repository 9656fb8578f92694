//! Counts requests, by handles that are made once for each method, route and status: a request then builds no label.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use makima_shared::telemetry::names;
use metrics::{Counter, Histogram};

static ROUTES: LazyLock<RwLock<Routes>> = LazyLock::new(RwLock::default);

/// The handles, by method and by the template of the route. There are as many as the API has routes.
type Routes = HashMap<&'static str, HashMap<String, Handles>>;

struct Handles {
    seconds: Histogram,
    by_status: HashMap<StatusCode, Counter>,
}

/// Counts a request that was answered.
pub(crate) fn count(method: &Method, route: &str, status: StatusCode, latency: Duration) {
    let method = known(method);
    {
        let routes = ROUTES.read().unwrap_or_else(PoisonError::into_inner);
        let handles = routes.get(method).and_then(|routes| routes.get(route));
        if let Some(handles) = handles
            && let Some(counter) = handles.by_status.get(&status)
        {
            handles.seconds.record(latency);
            return counter.increment(1);
        }
    }
    let mut routes = ROUTES.write().unwrap_or_else(PoisonError::into_inner);
    let handles = routes.entry(method).or_default().entry(route.to_owned()).or_insert_with(|| Handles {
        seconds: metrics::histogram!(names::HTTP_REQUEST_SECONDS, "method" => method, "route" => route.to_owned()),
        by_status: HashMap::new(),
    });
    let counter = handles.by_status.entry(status).or_insert_with(|| {
        let (route, status) = (route.to_owned(), status.as_str().to_owned());
        metrics::counter!(names::HTTP_REQUESTS, "method" => method, "route" => route, "status" => status)
    });
    handles.seconds.record(latency);
    counter.increment(1);
}

/// Returns the method as a label: a client must not be able to invent labels.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
