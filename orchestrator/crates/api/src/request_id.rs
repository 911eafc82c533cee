//! Every request has an id: the caller's `X-Request-Id` if it is a plain one, else a new one. It goes back in the same
//! header, into problems and into the log.

use axum::extract::{FromRequestParts, Request};
use axum::http::HeaderValue;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;
use uuid::Uuid;

/// The header.
pub const HEADER: &str = "x-request-id";
const MAX_LENGTH: usize = 128;

/// Id of a request.
#[derive(Debug, Clone)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    fn of(request: &Request) -> Self {
        let given = request.headers().get(HEADER).filter(|value| {
            let bytes = value.as_bytes();
            !bytes.is_empty()
                && bytes.len() <= MAX_LENGTH
                && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
        });
        let made = || HeaderValue::from_str(&Uuid::now_v7().to_string()).unwrap_or(HeaderValue::from_static("none"));
        Self(given.cloned().unwrap_or_else(made))
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or(Self(HeaderValue::from_static("none"))))
    }
}

/// Sets the id, and a span of the log that carries it.
pub(crate) async fn assign(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(&request);
    let span =
        tracing::debug_span!("request", id = id.as_str(), method = %request.method(), path = request.uri().path());
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(HEADER, id.0);
    response
}
