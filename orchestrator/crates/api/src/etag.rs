//! `ETag` and `If-None-Match` for answers of JSON: what did not change is not sent again.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// Larger answers have no tag.
const MAX_BYTES: usize = 32 << 20;

pub(crate) async fn tag(request: Request, next: Next) -> Response {
    let asked = (request.method() == Method::GET).then(|| request.headers().get_all(IF_NONE_MATCH).clone_all());
    let response = next.run(request).await;
    let Some(known) = asked else { return response };
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if response.status() != StatusCode::OK || !is_json || response.headers().contains_key(ETAG) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = match to_bytes(body, MAX_BYTES).await {
        Ok(bytes) => bytes,
        Err(error) => return crate::problem::Problem::internal(error).into_response(),
    };
    let tag = weak_tag(&bytes);
    if known.iter().any(|value| matches(value, &tag)) {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, tag);
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    parts.headers.insert(ETAG, tag);
    Response::from_parts(parts, Body::from(bytes))
}

trait CloneAll {
    fn clone_all(&self) -> Vec<HeaderValue>;
}

impl CloneAll for axum::http::header::GetAll<'_, HeaderValue> {
    fn clone_all(&self) -> Vec<HeaderValue> {
        self.iter().cloned().collect()
    }
}

/// Weak: the same content may be sent in several encodings.
pub(crate) fn weak_tag(bytes: &[u8]) -> HeaderValue {
    let hash = blake3::hash(bytes).to_hex();
    HeaderValue::from_str(&format!("W/\"{}\"", &hash[..32])).unwrap_or(HeaderValue::from_static("W/\"\""))
}

/// RFC 9110 §13.1.2: weak comparison, a list, or `*`.
pub(crate) fn matches(value: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(value), Ok(tag)) = (value.to_str(), tag.to_str()) else { return false };
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    value.trim() == "*" || value.split(',').any(|one| opaque(one) == opaque(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_compare_weakly() {
        let tag = weak_tag(b"{}");
        let text = tag.to_str().unwrap().to_owned();
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        assert!(matches(&value(&text), &tag));
        assert!(matches(&value(text.trim_start_matches("W/")), &tag));
        assert!(matches(&value(&format!("\"x\", {text}")), &tag) && matches(&value("*"), &tag));
        assert!(!matches(&value("\"x\""), &tag) && weak_tag(b"[]") != tag);
    }
}
