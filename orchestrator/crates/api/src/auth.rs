//! Who is asking, and whether they may.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE as COOKIE_HEADER, HOST, SET_COOKIE, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use secrecy::ExposeSecret as _;
use updraft_auth::door::{CsrfRefusal, HostRefusal};
use updraft_auth::{AuthError, NewSession, Permission, Principal, check_host, check_origin};
use updraft_model::time::Timestamp;

use crate::denials;
use crate::openapi::BASE;
use crate::problem::Problem;
use crate::routes::Access;
use crate::serve::Peer;
use crate::state::ApiState;

pub use updraft_auth::SESSION_COOKIE as COOKIE;

/// By whom the command line beside the daemon says it is used; believed over the socket alone.
pub const ACTOR: &str = "x-updraft-actor";

/// Who is asking.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub Principal);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::unauthenticated)
    }
}

/// The other end, as far as it matters: its address and how it reads.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Address, or `socket`.
    pub address: String,
    /// What it calls itself.
    pub user_agent: String,
    /// It speaks TLS, with this process or with a trusted proxy.
    pub secure: bool,
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let known = parts.extensions.get::<Self>().cloned();
        Ok(known.unwrap_or(Self { address: "unknown".to_owned(), user_agent: String::new(), secure: false }))
    }
}

/// Refuses strange hosts and foreign pages, and finds out who is asking. Whether they may is [`guard`]'s.
pub(crate) async fn door(State(api): State<ApiState>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let peer = request.extensions().get::<Peer>().copied();
    let (headers, door) = (request.headers(), api.door());
    let client = match peer {
        Some(Peer::Unix { .. }) => Client { address: "socket".to_owned(), user_agent: agent(headers), secure: false },
        Some(Peer::Tcp { address, tls }) => {
            // Probes and scrapers ask by address; they learn nothing but a status, or come from this machine.
            if !matches!(request.uri().path(), "/livez" | "/readyz" | "/metrics") {
                check_host(host(&request), door)?;
            }
            let forwarded: Vec<&str> =
                headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
            let client = door.client(address.ip(), &forwarded);
            Client { address: client.to_string(), user_agent: agent(headers), secure: tls || door.secure }
        }
        None => return Err(Problem::internal("a request without a peer")),
    };
    let mut caller = None;
    if request.uri().path().starts_with(BASE) {
        let host = host(&request).map(str::to_owned);
        let asked = Asked { method: request.method().clone(), headers: request.headers().clone(), host };
        caller = identify(&api, peer, &client, &asked).await?;
        if let Some(caller) = caller.clone() {
            request.extensions_mut().insert(caller);
        }
    }
    request.extensions_mut().insert(client);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if let (Some(Caller(principal)), Some(code)) = (&caller, denials::code_of(&response)) {
        api.denials().note(api.audit(), principal, (method.as_str(), &path), &code, api.now()).await;
    }
    Ok(response)
}

fn agent(headers: &HeaderMap) -> String {
    headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// The head of a request. Its body is not [`Sync`], so that the whole of it cannot be looked at across a wait.
struct Asked {
    method: Method,
    headers: HeaderMap,
    host: Option<String>,
}

async fn identify(
    api: &ApiState,
    peer: Option<Peer>,
    client: &Client,
    asked: &Asked,
) -> Result<Option<Caller>, Problem> {
    let headers = &asked.headers;
    if let Some(Peer::Unix { uid, own }) = peer {
        let actor = headers.get(ACTOR).and_then(|value| value.to_str().ok()).filter(|name| is_plain(name));
        return known(Principal::of_socket(uid, own, actor));
    }
    if let Some(value) = headers.get(AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        let Some(token) = token else { return Ok(None) };
        return known(api.authenticator().bearer(&token, &client.address).await);
    }
    let cookie = cookie(headers);
    // A cookie comes along whoever made the browser ask, a token does not; and no page logs others in (login CSRF).
    let by_browser = cookie.is_some() || ["sec-fetch-site", "origin"].iter().any(|name| headers.contains_key(*name));
    if by_browser {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (site, origin) = (text("sec-fetch-site"), text("origin"));
        check_origin(asked.method.as_str(), site, origin, asked.host.as_deref(), api.door())?;
    }
    match cookie {
        Some(cookie) => known(api.authenticator().session(&cookie, &client.address).await),
        None => Ok(None),
    }
}

fn known(found: Result<Principal, AuthError>) -> Result<Option<Caller>, Problem> {
    match found {
        Ok(principal) => Ok(Some(Caller(principal))),
        Err(AuthError::NotAuthenticated) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The host that was asked for: what the address itself names goes before the header, and two headers name none.
fn host(request: &Request) -> Option<&str> {
    let mut headers = request.headers().get_all(HOST).iter();
    let header = headers.next().filter(|_| headers.next().is_none());
    let authority = request.uri().authority().map(axum::http::uri::Authority::as_str);
    authority.or_else(|| header.and_then(|value| value.to_str().ok()))
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= 200 && name.chars().all(|letter| letter.is_ascii_graphic())
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(COOKIE_HEADER).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

/// Lets in who may come in.
pub(crate) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Result<Response, Problem> {
    let caller = request.extensions().get::<Caller>();
    match access {
        Access::Public => {}
        Access::Known => {
            caller.ok_or_else(Problem::unauthenticated)?;
        }
        Access::Needs(permission) => may(caller, permission)?,
    }
    Ok(next.run(request).await)
}

fn may(caller: Option<&Caller>, permission: Permission) -> Result<(), Problem> {
    let Caller(principal) = caller.ok_or_else(Problem::unauthenticated)?;
    if principal.must_change_password {
        let text = "your password was chosen by somebody else: change it first (`POST /api/v1/me/password`)";
        return Err(Problem::new(StatusCode::FORBIDDEN, "must_change_password", text));
    }
    Ok(principal.require(permission)?)
}

/// 204 with the cookie of a session that has begun.
pub(crate) fn begun(session: &NewSession, client: &Client, now: Timestamp) -> Response {
    let life = session.expires_at.since(now).as_secs();
    with_cookie(StatusCode::NO_CONTENT.into_response(), session.id.expose_secret(), life, client)
}

/// Sets the cookie; an empty one with no life takes it away.
pub(crate) fn with_cookie(mut response: Response, value: &str, life: u64, client: &Client) -> Response {
    let secure = if client.secure { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={life}{secure}");
    if let Ok(mut value) = HeaderValue::from_str(&text) {
        value.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let text = error.to_string();
        match error {
            AuthError::Store(error) => Self::from(error),
            AuthError::Internal(text) => Self::internal(text),
            AuthError::NotAuthenticated => Self::unauthenticated(),
            error => {
                let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let problem = Self::new(status, error.code(), text);
                match error.retry_after() {
                    Some(seconds) => problem.retry_after(std::time::Duration::from_secs(seconds)),
                    None => problem,
                }
            }
        }
    }
}

impl From<HostRefusal> for Problem {
    fn from(refusal: HostRefusal) -> Self {
        Self::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", refusal.to_string())
            .hint("set `public_url` if people reach this server under another name")
    }
}

impl From<CsrfRefusal> for Problem {
    fn from(refusal: CsrfRefusal) -> Self {
        Self::new(StatusCode::FORBIDDEN, "cross_site", refusal.to_string())
    }
}

/// The name that history shows for who asked.
pub(crate) fn actor(principal: &Principal) -> String {
    principal.name.clone()
}
