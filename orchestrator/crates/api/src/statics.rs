//! The pages: files that the binary carries, served with the encoding they were built in, and `index.html` for every
//! address that the page itself resolves.

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::etag;
use crate::problem::Problem;
use crate::state::ApiState;

/// A file that the binary carries.
pub struct Asset {
    /// Its content.
    pub bytes: Cow<'static, [u8]>,
    /// `text/html; charset=utf-8`
    pub content_type: String,
    /// Hash of its content.
    pub hash: String,
}

/// Files that the binary carries, by path without a leading slash. A compressed twin has `.br` or `.gz` behind its name.
pub trait Assets: Send + Sync + 'static {
    /// The file at that path.
    fn get(&self, path: &str) -> Option<Asset>;
}

/// A page or a file of it.
pub(crate) async fn page(State(api): State<ApiState>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    // Also under other versions: a program must not take a page for an answer.
    if path == "api" || path.starts_with("api/") {
        return Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address").into_response();
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let text = "this address only knows GET";
        return Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text).into_response();
    }
    let Some(assets) = api.assets() else {
        return Problem::not_found("the user interface: this build carries none, so it").into_response();
    };
    let is_file = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    let (path, hashed) = if is_file { (path, path.starts_with("assets/")) } else { ("index.html", false) };
    let accepted = request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some((asset, encoding)) = find(assets, path, accepted) else {
        return Problem::not_found(format!("the file `{path}`")).into_response();
    };
    let tag = HeaderValue::from_str(&format!("\"{}{}\"", asset.hash, encoding.unwrap_or_default()))
        .unwrap_or_else(|_| etag::weak_tag(&asset.bytes));
    let known = request.headers().get_all(IF_NONE_MATCH).iter().any(|value| etag::matches(value, &tag));
    let body = if known { Body::empty() } else { Body::from(asset.bytes.into_owned()) };
    let mut response = Response::new(body);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&asset.content_type) {
        headers.insert(CONTENT_TYPE, kind);
    }
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    headers.insert(ETAG, tag);
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    // Names of built files hold a hash of their content.
    let keep = if hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    response
}

/// The file, in the best encoding that it was built in and that the caller takes.
fn find(assets: &dyn Assets, path: &str, accepted: &str) -> Option<(Asset, Option<&'static str>)> {
    for (name, ending) in [("br", ".br"), ("gzip", ".gz")] {
        if takes(accepted, name)
            && let Some(packed) = assets.get(&format!("{path}{ending}"))
            && let Some(plain) = assets.get(path)
        {
            return Some((Asset { content_type: plain.content_type, ..packed }, Some(name)));
        }
    }
    assets.get(path).map(|asset| (asset, None))
}

fn takes(accepted: &str, name: &str) -> bool {
    accepted.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        parts.next() == Some(name) && !parts.any(|part| part.replace(' ', "") == "q=0")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_taken_unless_it_is_refused() {
        assert!(takes("gzip, br;q=0.9", "br") && takes("br", "br"));
        assert!(!takes("gzip, br;q=0", "br") && !takes("", "br") && !takes("brotli", "br"));
    }
}
