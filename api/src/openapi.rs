//! The OpenAPI document. The routes describe themselves; here is what they have in common.

use std::collections::BTreeMap;

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi};

use crate::error::ErrorBody;
use crate::routes;
use crate::views::event::EndView;

/// The document's frame.
#[derive(OpenApi)]
#[openapi(
    info(title = "makima", description = "A job-queue worker pool for coding agents."),
    tags(
        (name = "tasks", description = "Submit tasks, look at them, follow and stop them."),
        (name = "schedules", description = "Tasks that are submitted again and again, by cron."),
        (name = "secrets", description = "What agents find in their environment and nobody sees again."),
        (name = "workers", description = "The fleet."),
        (name = "service", description = "How the process itself does.")
    ),
    components(schemas(ErrorBody, EndView)),
    modifiers(&BearerKeys)
)]
pub(crate) struct Frame;

struct BearerKeys;

impl Modify for BearerKeys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A key that `makima keys create` made."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Answers that every route with a key may give.
pub(crate) struct Always;

impl IntoResponses for Always {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let answers = [
            ("401", "`UNAUTHORIZED`: the key is missing, unknown or revoked"),
            (
                "422",
                "`VALIDATION_FAILED`: a field or a parameter cannot be taken or is unknown; `fields` names each",
            ),
            ("500", "`INTERNAL`: a bug; the message carries the id that the logs know it by"),
            (
                "503",
                "`STORE_UNAVAILABLE`, `OVERLOADED` or `REQUEST_TIMEOUT`: try again after `Retry-After` seconds",
            ),
        ];
        answers
            .into_iter()
            .map(|(status, words)| (status.to_owned(), RefOr::T(error_response(words))))
            .collect()
    }
}

fn error_response(description: &str) -> Response {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
    ResponseBuilder::new().description(description).content("application/json", body).build()
}

/// Returns the OpenAPI document of all routes.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    routes::described().into_openapi()
}
