//! Errors as RFC 9457 problems. Outward goes what the caller can act on; what only an operator can is logged under the
//! request's id.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use updraft_engine::EngineError;
use updraft_store::StoreError;
use utoipa::ToSchema;

use crate::dto::{Diagnostic, Severity};
use crate::request_id::RequestId;

/// A problem as it is sent (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Always `about:blank`: `code` says what it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened, for people.
    pub detail: String,
    /// What happened, for programs: stable.
    pub code: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// One by one, where several things are wrong; `path` is a JSON pointer into the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Diagnostic>,
    /// Id of the request, also in the server's log.
    pub request_id: String,
}

/// Why a request was not served.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    hint: Option<String>,
    errors: Vec<Diagnostic>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem with a stable code.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            status,
            code: code.into(),
            detail: detail.into(),
            hint: None,
            errors: Vec::new(),
            retry_after: None,
        }))
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds what is wrong, one by one.
    #[must_use]
    pub fn errors(mut self, errors: Vec<Diagnostic>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Says when to come back.
    #[must_use]
    pub fn retry_after(mut self, span: Duration) -> Self {
        self.0.retry_after = Some(span);
        self
    }

    /// HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What is wrong, in words.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Stable code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// 400: a parameter is not what it must be.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401.
    pub fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "this needs a login or a token")
            .hint("log in, or send `Authorization: Bearer TOKEN` (`updraft tokens create`)")
    }

    /// 404.
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("{what} does not exist"))
    }

    /// 409.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 422: well formed, but it does not fit.
    pub fn unfit(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 500: a fault of ours. The cause goes to the log alone.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server made a mistake; its log says more under this request's id",
        )
    }

    fn of_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => ("not_found", "there is nothing at this address"),
            StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "this address does not know that method"),
            StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "the body is larger than 1 MiB"),
            StatusCode::REQUEST_TIMEOUT => ("timeout", "the request took longer than its time limit"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ("media_type", "send `content-type: application/json`"),
            _ if status.is_server_error() => ("internal", "the server made a mistake"),
            _ => ("bad_request", "the request cannot be understood"),
        };
        Self::new(status, code, detail)
    }

    fn body(&self, request_id: &str) -> ProblemBody {
        let inner = &*self.0;
        ProblemBody {
            kind: "about:blank".to_owned(),
            title: inner.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: inner.status.as_u16(),
            detail: inner.detail.clone(),
            code: inner.code.to_string(),
            hint: inner.hint.clone(),
            errors: inner.errors.clone(),
            request_id: request_id.to_owned(),
        }
    }
}

/// One thing that is wrong with a request, at a JSON pointer into it.
pub(crate) fn wrong(code: &str, pointer: impl Into<String>, message: impl Into<String>) -> Diagnostic {
    Diagnostic {
        code: code.to_owned(),
        severity: Severity::Error,
        message: message.into(),
        path: pointer.into(),
        line: 0,
        column: 0,
        end_line: None,
        end_column: None,
        hint: None,
        excerpt: None,
    }
}

impl IntoResponse for Problem {
    /// Without a body: [`finish`] knows the request's id and writes it.
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        if self.0.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert("www-authenticate", HeaderValue::from_static("Bearer realm=\"updraft\""));
        }
        if let Some(span) = self.0.retry_after {
            let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives every error its body, also those that come from layers below and know nothing of problems.
pub(crate) async fn finish(id: RequestId, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let problem = parts.extensions.remove::<Problem>().unwrap_or_else(|| Problem::of_status(status));
    let (made, body) = Json(problem.body(id.as_str())).into_response().into_parts();
    for (name, value) in &made.headers {
        parts.headers.insert(name, value.clone());
    }
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::new(body))
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let unavailable = |code: &'static str, detail: &'static str| {
            tracing::warn!(%error, "the store did not serve a request");
            Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(Duration::from_secs(1))
        };
        match &error {
            StoreError::Unavailable(_) | StoreError::UnknownOutcome(_) => {
                unavailable("store_unavailable", "the store cannot be reached")
            }
            StoreError::Conflict(_) => unavailable("store_conflict", "the store was busy with something else"),
            StoreError::Full(_) => unavailable("store_full", "the store is out of space"),
            StoreError::Held { .. } => unavailable("store_held", "somebody else holds the store"),
            StoreError::NoRun(run) => Self::not_found(format!("run {run}")),
            StoreError::Rejected(detail) => Self::unfit("store_rejected", detail.clone()),
            StoreError::Inconsistent { .. }
            | StoreError::Schema(_)
            | StoreError::ReadOnly(_)
            | StoreError::Other(_) => Self::internal(&error),
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let text = error.to_string();
        match error {
            EngineError::Store(error) => Self::from(error),
            EngineError::NoRun(run) => Self::not_found(format!("run {run}")),
            EngineError::NoWorkflow(workflow) => Self::not_found(format!("workflow {workflow}")),
            EngineError::Rejected { .. } => Self::conflict("refused", text),
            EngineError::KeyTaken(_) => Self::conflict("run_key_taken", text),
            EngineError::RunOver { .. } => Self::conflict("run_over", text),
            EngineError::Broken { .. } => Self::conflict("run_broken", text),
            EngineError::Held { .. } => Self::conflict("run_held", text),
            EngineError::Version { .. } | EngineError::Graph(_) => Self::unfit("version_unreadable", text),
            EngineError::Stopping => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", text).retry_after(Duration::from_secs(2))
            }
            EngineError::Io { .. } => Self::internal(text),
        }
    }
}
