//! The whole of it: routes, pages, and what every request passes through, from outside to inside.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};
use tower_http::timeout::TimeoutLayer;

use crate::problem::Problem;
use crate::routes::Access;
use crate::state::ApiState;
use crate::{auth, docs_page, etag, metrics, openapi, problem, request_id, security, statics};

/// Largest body of a request.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// Longest time to the head of an answer; streams go on behind it.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The service that [`crate::serve`] serves.
pub fn app(state: ApiState) -> Router {
    let (api, _) = openapi::router();
    // Event streams are never compressed: a packer holds back what should be seen at once.
    let packed = SizeAbove::new(512)
        .and(NotForContentType::new("text/event-stream"))
        .and(NotForContentType::IMAGES)
        .and(NotForContentType::new("font/"));
    Router::new()
        .merge(api)
        .route(
            &format!("{}{}", openapi::BASE, docs_page::PATH),
            get(docs_page::page).route_layer(from_fn_with_state(Access::Known, auth::guard)),
        )
        .route("/livez", get(|| async { StatusCode::OK }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::scrape))
        .route("/login-link", get(crate::routes::login_link))
        .fallback(statics::page)
        // From inside to outside.
        .layer(from_fn(etag::tag))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(state.clone(), auth::door))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, state.request_timeout()))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(problem::finish))
        .layer(CompressionLayer::new().gzip(true).br(true).compress_when(packed))
        .layer(from_fn_with_state(state.clone(), metrics::measure))
        .layer(from_fn(security::headers))
        .layer(from_fn(request_id::assign))
        .with_state(state)
}

/// Whether requests can be served: the store answers. Says nothing more.
async fn ready(axum::extract::State(api): axum::extract::State<ApiState>) -> StatusCode {
    let look = tokio::time::timeout(Duration::from_secs(2), api.history().stats()).await;
    match look {
        Ok(Ok(_)) if !api.stop().is_cancelled() => StatusCode::OK,
        Ok(Ok(_) | Err(_)) | Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text =
        panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    Problem::internal(format!("a handler panicked: {}", text.unwrap_or_default())).into_response()
}
