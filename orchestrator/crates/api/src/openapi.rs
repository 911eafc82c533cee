//! The `OpenAPI` 3.1 document, generated from the routes.

use serde_json::Value;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use crate::auth::COOKIE;
use crate::dto;
use crate::links;
use crate::problem::ProblemBody;
use crate::routes;
use crate::state::ApiState;

/// Where all routes stand.
pub const BASE: &str = "/api/v1";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Updraft",
        description = "Workflows, runs, logs and everything that the command line can do. Times are RFC 3339 in UTC, durations \
            are seconds. Errors are RFC 9457 problems whose `code` is stable. Lists have pages: give `next` as `cursor`.",
    ),
    components(schemas(
        ProblemBody,
        dto::CellExtra,
        dto::EventEntry,
        dto::LogLine,
        dto::LogPage,
        dto::Plan,
        dto::Effects,
    )),
    tags(
        (name = "session", description = "Who is asking"),
        (name = "home", description = "The first page"),
        (name = "workflows", description = "Workflows and their versions"),
        (name = "runs", description = "Runs, task runs, attempts, logs, events"),
        (name = "schedules", description = "Fires to come"),
        (name = "connections", description = "Named, typed connections"),
        (name = "accounts", description = "Users, tokens, audit log"),
        (name = "status", description = "The installation"),
    ),
)]
struct Document;

/// The routes with their document.
pub(crate) fn router() -> (axum::Router<ApiState>, OpenApi) {
    let mut document = Document::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("updraft token").build();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(COOKIE))));
    let (router, mut document) = OpenApiRouter::with_openapi(document).nest(BASE, routes::table()).split_for_parts();
    links::add(&mut document);
    (router, document)
}

/// The document as text, as `GET /api/v1/openapi.json` answers it and as `openapi.json` beside this crate holds it.
///
/// # Panics
/// Never: the document is plain data.
pub fn openapi_json() -> String {
    let mut document = serde_json::to_value(router().1).expect("the document is plain data");
    in_order(&mut document);
    let mut text = serde_json::to_string_pretty(&document).expect("the document is plain data");
    text.push('\n');
    text
}

/// Puts extensions (`x-…`) last and in order: their maker keeps them in a hash map.
fn in_order(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<String> = fields.keys().filter(|name| name.starts_with("x-")).cloned().collect();
            names.sort();
            for name in names {
                if let Some(extension) = fields.shift_remove(&name) {
                    fields.insert(name, extension);
                }
            }
            fields.values_mut().for_each(in_order);
        }
        Value::Array(items) => items.iter_mut().for_each(in_order),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
