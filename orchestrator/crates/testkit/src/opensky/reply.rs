//! Answers as they go over the wire, and how each fault spoils them.

use std::{io, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{Response, StatusCode, header},
};
use futures::stream;
use serde_json::{Value, json};

use super::{
    fault::Fault,
    reel::States,
    snapshot::{self, field},
};

/// Observed wait of a used-up daily budget.
pub(crate) const LONG_WAIT_S: i64 = 22_688;
/// The wait of a burst limit.
pub(crate) const SHORT_WAIT_S: i64 = 2;

const REMAINING: &str = "X-Rate-Limit-Remaining";
const RETRY_AFTER: &str = "X-Rate-Limit-Retry-After-Seconds";
/// Elements left of a row that is cut short.
const SHORT_ROW: usize = 12;
/// Every so many rows is cut short, the first one among them.
const SHORT_EVERY: usize = 10;
const END_OF_32_BIT_TIME: i64 = 2_147_483_647;
/// For how long half a body lies with the client before the connection goes.
const HALF_BODY_LIES: Duration = Duration::from_millis(100);

/// An answer, and what the ledger says about it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    retry_after_s: Option<i64>,
    pub(crate) credits: u32,
    pub(crate) remaining: Option<u32>,
    pub(crate) rows: Option<usize>,
}

impl Reply {
    fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type, body: body.into(), retry_after_s: None, credits: 0, remaining: None, rows: None }
    }

    pub(crate) fn json(status: StatusCode, value: &Value) -> Self {
        Self::new(status, "application/json", value.to_string())
    }

    pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self::new(status, "text/plain;charset=UTF-8", text)
    }

    /// Nothing but a status, as the service answers an empty window of flights.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self::new(status, "", "")
    }

    pub(crate) fn too_many_requests(retry_after_s: i64) -> Self {
        let reply = Self::text(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
        Self { retry_after_s: Some(retry_after_s), ..reply }
    }

    pub(crate) fn unauthorized() -> Self {
        let body = json!({ "status": 401, "error": "Unauthorized", "message": "token expired or invalid" });
        Self::json(StatusCode::UNAUTHORIZED, &body)
    }

    /// The token endpoint's answer to a wrong id or secret.
    pub(crate) fn invalid_client() -> Self {
        let body = json!({
            "error": "invalid_client",
            "error_description": "Invalid client or Invalid client credentials",
        });
        Self::json(StatusCode::UNAUTHORIZED, &body)
    }

    pub(crate) fn states(states: States) -> Self {
        let rows = states.rows.as_ref().map_or(0, Vec::len);
        let reply = Self::json(StatusCode::OK, &snapshot::answer(states.time, states.rows));
        Self { rows: Some(rows), ..reply }
    }

    pub(crate) fn list(rows: Vec<Value>) -> Self {
        let count = rows.len();
        Self { rows: Some(count), ..Self::json(StatusCode::OK, &Value::Array(rows)) }
    }

    /// Says what the call cost.
    pub(crate) fn charged(self, credits: u32, remaining: u32) -> Self {
        Self { credits, remaining: Some(remaining), ..self }
    }

    /// The answer of a server that does not get as far as looking at the question.
    pub(crate) fn instead(fault: Fault) -> Option<Self> {
        match fault {
            Fault::Unauthorized => Some(Self::unauthorized()),
            Fault::TokenUnauthorized => Some(Self::invalid_client()),
            Fault::TooManyRequests => Some(Self::too_many_requests(LONG_WAIT_S)),
            Fault::TooManyRequestsShort => Some(Self::too_many_requests(SHORT_WAIT_S)),
            Fault::BadGateway => Some(Self::page(StatusCode::BAD_GATEWAY, "502 Bad Gateway")),
            Fault::ServiceUnavailable => Some(Self::page(StatusCode::SERVICE_UNAVAILABLE, "503 Service Unavailable")),
            Fault::Html => Some(Self::page(StatusCode::OK, "The OpenSky Network: under maintenance")),
            Fault::Slow
            | Fault::Broken
            | Fault::Drop
            | Fault::NoStates
            | Fault::ShortRows
            | Fault::DuplicateRow
            | Fault::FutureContact => None,
        }
    }

    fn page(status: StatusCode, title: &str) -> Self {
        let page = format!("<html>\n<head><title>{title}</title></head>\n<body><h1>{title}</h1></body>\n</html>\n");
        Self::new(status, "text/html", page)
    }

    /// Writes the answer, cut off if the fault is one of the transport.
    pub(crate) fn into_response(self, fault: Option<Fault>) -> Response<Body> {
        let length = self.body.len();
        let half = self.body.slice(..length / 2);
        let (body, content_length) = match fault {
            Some(Fault::Broken) => (Body::from(half), length / 2),
            Some(Fault::Drop) => (cut_off(half), length),
            Some(_) | None => (Body::from(self.body), length),
        };
        let mut response = Response::builder().status(self.status).header(header::CONTENT_LENGTH, content_length);
        if !self.content_type.is_empty() {
            response = response.header(header::CONTENT_TYPE, self.content_type);
        }
        if let Some(seconds) = self.retry_after_s {
            response = response.header(RETRY_AFTER, seconds);
        } else if let Some(remaining) = self.remaining {
            response = response.header(REMAINING, remaining);
        }
        response.body(body).expect("status and headers are made here from numbers and constants")
    }
}

/// A body that ends with an error after its first half: the server closes the connection.
fn cut_off(half: Bytes) -> Body {
    Body::from_stream(stream::unfold(Some(half), |rest| async {
        if let Some(half) = rest {
            return Some((Ok(half), None));
        }
        // What was sent so far has to leave before the connection is closed.
        tokio::time::sleep(HALF_BODY_LIES).await;
        Some((Err(io::Error::other("dropped on purpose")), None))
    }))
}

/// Changes the rows as the fault says; faults of another kind leave them.
pub(crate) fn spoil(states: &mut States, fault: Fault) {
    if fault == Fault::NoStates {
        states.rows = None;
    }
    let Some(rows) = states.rows.as_mut() else { return };
    match fault {
        Fault::ShortRows => {
            rows.iter_mut()
                .step_by(SHORT_EVERY)
                .filter_map(Value::as_array_mut)
                .for_each(|row| row.truncate(SHORT_ROW));
        }
        Fault::DuplicateRow => rows.extend(rows.first().cloned()),
        Fault::FutureContact => {
            if let Some(contact) = rows.first_mut().and_then(|row| row.get_mut(field::LAST_CONTACT)) {
                *contact = json!(END_OF_32_BIT_TIME);
            }
        }
        Fault::NoStates
        | Fault::Unauthorized
        | Fault::TokenUnauthorized
        | Fault::TooManyRequests
        | Fault::TooManyRequestsShort
        | Fault::BadGateway
        | Fault::ServiceUnavailable
        | Fault::Slow
        | Fault::Broken
        | Fault::Html
        | Fault::Drop => {}
    }
}
