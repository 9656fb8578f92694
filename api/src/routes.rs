//! Every route, in one table per noun.

#![allow(unused_qualifications, reason = "the code that utoipa writes for parameters names them twice")]

mod checkpoints;
mod overview;
mod schedules;
mod secrets;
mod service;
mod tasks;
mod workers;

use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::error::{ErrorCode, ErrorResponse};
use crate::extract::MAX_BODY_BYTES;
use crate::observe;
use crate::openapi::Frame;
use crate::state::AppState;

pub(crate) use service::{healthz, metrics_answer};

/// Returns all routes with their descriptions.
pub(crate) fn described() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Frame::openapi())
        .routes(routes!(tasks::submit::submit, tasks::list::list))
        .routes(routes!(tasks::bulk::submit))
        .routes(routes!(tasks::show::show, tasks::change::change, tasks::delete::delete))
        .routes(routes!(tasks::start::start))
        .routes(routes!(tasks::stop::stop))
        .routes(routes!(tasks::retry_completion::retry_completion))
        .routes(routes!(tasks::message::message))
        .routes(routes!(tasks::messages::messages))
        .routes(routes!(tasks::events::events))
        .routes(routes!(tasks::output::output))
        .routes(routes!(tasks::conversation::conversation))
        .routes(routes!(tasks::stream::stream))
        .routes(routes!(checkpoints::list))
        .routes(routes!(checkpoints::patch))
        .routes(routes!(schedules::create::create, schedules::list::list))
        .routes(routes!(schedules::show::show, schedules::delete::delete))
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::set, secrets::delete))
        .routes(routes!(workers::list))
        .routes(routes!(workers::show))
        .routes(routes!(overview::overview))
        .routes(routes!(service::healthz))
        .routes(routes!(service::readyz))
        .routes(routes!(service::metrics))
}

/// Returns the whole API: routes, the document and its reader, and what surrounds them.
pub fn app(state: AppState) -> Router {
    let (router, document) = described().split_for_parts();
    router
        .merge(SwaggerUi::new("/docs").url("/api/v1/openapi.json", document))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(observe::limit_time))
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(middleware::from_fn(observe::no_guessing))
        .layer(middleware::from_fn(observe::observe))
        .with_state(state)
}

pub(crate) async fn unknown_route(uri: Uri) -> ErrorResponse {
    let path: String = uri.path().chars().take(200).collect();
    ErrorResponse::new(ErrorCode::NotFound, format!("there is no {path}; /docs lists what there is"))
}

async fn wrong_method(method: Method) -> ErrorResponse {
    ErrorResponse::new(ErrorCode::MethodNotAllowed, format!("this route does not know {method}"))
}
