//! The HTTP side: routes, tokens, the fault of each call, and the ledger's entries.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Form, Json, Router,
    body::Body,
    extract::{OriginalUri, Query, State, rejection::FormRejection},
    http::{HeaderMap, Method, Response, StatusCode, Uri, header},
    response::IntoResponse as _,
    routing::{any, get, post},
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::{
    Clock, Options,
    budget::{Budgets, Caller, Tokens},
    endpoint::{Call, Content, Endpoint},
    fault::{Fault, FaultQueue, PlannedFault, Target},
    ledger::{Ledger, Request},
    reel::{Recordings, Reel},
    reply::Reply,
};

/// Where the data endpoints lie under the server's root.
pub(crate) const BASE_PATH: &str = "/api";
/// The path of the real token endpoint.
pub(crate) const TOKEN_PATH: &str = "/auth/realms/opensky-network/protocol/openid-connect/token";

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Server {
    clock: Clock,
    client_id: String,
    client_secret: String,
    token_ttl_s: u32,
    slow: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    content: Content,
    tokens: Tokens,
    faults: FaultQueue,
    ledger: Ledger,
}

impl Server {
    pub(crate) fn new(options: &Options, recordings: Recordings) -> Self {
        let mut faults = FaultQueue::default();
        options.faults.iter().for_each(|planned| faults.push(*planned));
        let content = Content {
            reel: Reel::new(recordings.snapshots, options.still),
            flights: recordings.flights,
            tracks: recordings.tracks,
            budgets: Budgets::new(options.credits, options.clock.now()),
        };
        Self {
            clock: options.clock.clone(),
            client_id: options.client_id.clone(),
            client_secret: options.client_secret.clone(),
            token_ttl_s: options.token_ttl_s,
            slow: options.slow,
            inner: Mutex::new(Inner { content, tokens: Tokens::default(), faults, ledger: Ledger::default() }),
        }
    }

    pub(crate) fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route(TOKEN_PATH, post(token))
            .route("/_ledger", get(ledger))
            .route("/_fail", post(plan_fault))
            .fallback(any(data))
            .with_state(self)
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.inner().ledger.clone()
    }

    pub(crate) fn plan(&self, planned: PlannedFault) {
        self.inner().faults.push(planned);
    }

    pub(crate) fn forget_faults(&self) {
        self.inner().faults.clear();
    }

    /// A panic while the lock was held leaves whole values behind: every change is one assignment or push.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the arrival of a call and takes the fault that it is to show.
    fn arrive(&self, arrival: Arrival<'_>, target: Option<Target>) -> (usize, Option<Fault>) {
        let mut inner = self.inner();
        let fault = target.and_then(|target| inner.faults.take(target));
        let number = inner.ledger.open(Request {
            at: arrival.at,
            method: arrival.method.to_string(),
            path: arrival.uri.path().to_owned(),
            query: arrival.uri.query().unwrap_or_default().to_owned(),
            authenticated: arrival.authenticated,
            status: None,
            credits: 0,
            remaining: None,
            fault: fault.map(|fault| fault.name().to_owned()),
            rows: None,
        });
        (number, fault)
    }

    fn leave(&self, number: usize, reply: &Reply) {
        self.inner().ledger.close(number, |request| {
            request.status = Some(reply.status.as_u16());
            request.credits = reply.credits;
            request.remaining = reply.remaining;
            request.rows = reply.rows;
        });
    }

    fn bearer(headers: &HeaderMap) -> Bearer<'_> {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Bearer::Absent };
        match value.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")) {
            Some(token) => Bearer::Token(token),
            None => Bearer::OtherScheme,
        }
    }

    fn caller(&self, bearer: &Bearer<'_>, now: DateTime<Utc>) -> Option<Caller> {
        match bearer {
            Bearer::Absent => Some(Caller::Anonymous),
            Bearer::Token(token) => self.inner().tokens.is_valid(token, now).then_some(Caller::Registered),
            // Basic authentication stopped in 2026.
            Bearer::OtherScheme => None,
        }
    }
}

/// What the `Authorization` header says.
enum Bearer<'a> {
    Absent,
    Token(&'a str),
    OtherScheme,
}

/// The part of a ledger entry that is known on arrival.
struct Arrival<'a> {
    at: DateTime<Utc>,
    method: &'a Method,
    uri: &'a Uri,
    authenticated: bool,
}

async fn data(
    State(server): State<Arc<Server>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response<Body> {
    let endpoint = uri.path().strip_prefix(BASE_PATH).and_then(Endpoint::of_path);
    let bearer = Server::bearer(&headers);
    let at = server.clock.now();
    let authenticated = server.caller(&bearer, at) == Some(Caller::Registered);
    let arrival = Arrival { at, method: &method, uri: &uri, authenticated };
    let (number, fault) = server.arrive(arrival, endpoint.map(Endpoint::target));
    if fault == Some(Fault::Slow) {
        // If the caller goes away meanwhile, this future is dropped and nothing is played or charged.
        tokio::time::sleep(server.slow).await;
    }
    let reply = server.answer(endpoint, &method, &uri, &bearer, fault);
    server.leave(number, &reply);
    reply.into_response(fault)
}

impl Server {
    fn answer(
        &self,
        endpoint: Option<Endpoint>,
        method: &Method,
        uri: &Uri,
        bearer: &Bearer<'_>,
        fault: Option<Fault>,
    ) -> Reply {
        let Some(endpoint) = endpoint else { return Reply::empty(StatusCode::NOT_FOUND) };
        if method != Method::GET {
            return Reply::empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        if let (Some(Fault::Unauthorized), Bearer::Token(token)) = (fault, bearer) {
            self.inner().tokens.revoke(token);
        }
        if let Some(reply) = fault.and_then(Reply::instead) {
            return reply;
        }
        let now = self.clock.now();
        let Some(caller) = self.caller(bearer, now) else { return Reply::unauthorized() };
        match Query::<Vec<(String, String)>>::try_from_uri(uri) {
            Ok(Query(parameters)) => {
                let call = Call { endpoint, parameters: &parameters, caller, now, fault };
                self.inner().content.answer(&call)
            }
            Err(rejection) => Reply::text(StatusCode::BAD_REQUEST, rejection.to_string()),
        }
    }
}

/// The client-credentials form.
#[derive(Debug, Deserialize)]
struct Grant {
    grant_type: String,
    client_id: Option<String>,
    client_secret: Option<String>,
}

async fn token(
    State(server): State<Arc<Server>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    form: Result<Form<Grant>, FormRejection>,
) -> Response<Body> {
    let at = server.clock.now();
    let authenticated = form.as_ref().is_ok_and(|Form(grant)| {
        grant.client_id.as_ref() == Some(&server.client_id)
            && grant.client_secret.as_ref() == Some(&server.client_secret)
    });
    let arrival = Arrival { at, method: &method, uri: &uri, authenticated };
    let (number, fault) = server.arrive(arrival, Some(Target::Token));
    let reply = match (fault.and_then(Reply::instead), form) {
        (Some(instead), _) => instead,
        (None, Err(rejection)) => token_error("invalid_request", &rejection.to_string()),
        (None, Ok(Form(grant))) if grant.grant_type != "client_credentials" => {
            token_error("unsupported_grant_type", "Unsupported grant_type")
        }
        (None, Ok(_)) if !authenticated => Reply::invalid_client(),
        (None, Ok(_)) => {
            let token = server.inner().tokens.issue(server.token_ttl_s, at);
            let body = json!({
                "access_token": token,
                "expires_in": server.token_ttl_s,
                "refresh_expires_in": 0,
                "token_type": "Bearer",
                "not-before-policy": 0,
                "scope": "profile email",
            });
            Reply::json(StatusCode::OK, &body)
        }
    };
    server.leave(number, &reply);
    reply.into_response(fault)
}

fn token_error(error: &str, description: &str) -> Reply {
    Reply::json(StatusCode::BAD_REQUEST, &json!({ "error": error, "error_description": description }))
}

async fn ledger(State(server): State<Arc<Server>>) -> Json<Ledger> {
    Json(server.ledger())
}

/// `?kind=502&n=3`; `n` is 1 if it is left out.
#[derive(Debug, Deserialize)]
struct FaultQuery {
    kind: String,
    n: Option<u32>,
}

async fn plan_fault(State(server): State<Arc<Server>>, Query(query): Query<FaultQuery>) -> Response<Body> {
    match query.kind.parse() {
        Ok(fault) => {
            server.plan(PlannedFault { fault, calls: query.n.unwrap_or(1) });
            StatusCode::NO_CONTENT.into_response()
        }
        Err(unknown) => (StatusCode::BAD_REQUEST, unknown).into_response(),
    }
}
