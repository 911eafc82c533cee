//! One door to the OpenSky API: tokens, time limits, headers, and what each answer means.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use updraft_task::lake::sha256_hex;
use updraft_task::{Context, TaskError};

use super::connection::{Credentials, OpenSky};
use crate::http::{body, chain, excerpt, transport};

/// Connecting takes no longer.
const CONNECT: Duration = Duration::from_secs(5);
/// A whole call takes no longer; tests do not wait that long.
const CALL: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 30 });
/// A call for a token takes no longer.
const TOKEN_CALL: Duration = Duration::from_secs(15);
/// A token is renewed so long before it ends.
const TOKEN_MARGIN: Duration = Duration::from_secs(30);
/// A larger answer is none of the API's: the whole planet is about 1.5 MB.
const BODY_BYTES: usize = 64 * 1024 * 1024;
/// A hold where the answer names none.
const DEFAULT_HOLD: Duration = Duration::from_mins(1);

/// What came back from a data call.
#[derive(Debug)]
pub enum Answer {
    /// A body.
    Body(Body),
    /// The budget is used up: no call for so long.
    Exhausted {
        /// From `X-Rate-Limit-Retry-After-Seconds`, else `Retry-After`.
        retry_after: Duration,
    },
}

/// A body as it came.
#[derive(Debug)]
pub struct Body {
    /// The bytes.
    pub bytes: Bytes,
    /// The call, without secrets.
    pub asked: String,
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// `X-Rate-Limit-Remaining`.
    pub credits_left: Option<u32>,
}

/// A client for one connection.
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    token_url: String,
    credentials: Option<Credentials>,
    token: Arc<tokio::sync::Mutex<Option<Token>>>,
}

struct Token {
    text: String,
    renew_at: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
}

/// Address, client id, and sha-256 of the secret: a corrected secret does not meet the token of the wrong one.
type Account = (String, String, String);
type Tokens = BTreeMap<Account, Arc<tokio::sync::Mutex<Option<Token>>>>;

/// Tokens of this process by account: shared by all calls, renewed one at a time.
static TOKENS: LazyLock<Mutex<Tokens>> = LazyLock::new(Mutex::default);

impl Client {
    /// A client for a connection.
    ///
    /// # Errors
    /// `fail` `BadConnection`.
    pub fn new(connection: &OpenSky, ctx: &Context) -> Result<Self, TaskError> {
        let credentials = connection.credentials(&ctx.run().project_dir)?;
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(CALL)
            .user_agent(crate::http::USER_AGENT)
            .build()
            .map_err(|error| TaskError::fail("BadConnection", format!("the HTTP client: {error}")))?;
        let (id, secret) = credentials.as_ref().map_or_else(Default::default, |credentials| {
            (credentials.id.clone(), sha256_hex(credentials.secret.expose().as_bytes()))
        });
        let account = (connection.token_url.clone(), id, secret);
        let token = TOKENS.lock().unwrap_or_else(PoisonError::into_inner).entry(account).or_default().clone();
        Ok(Self {
            http,
            base_url: connection.base_url.trim_end_matches('/').to_owned(),
            token_url: connection.token_url.clone(),
            credentials,
            token,
        })
    }

    /// `GET /states/all`.
    ///
    /// # Errors
    /// By cause: `Timeout`, `Network`, `Upstream5xx` (retry); `Auth`, `BadRequest`, `Forbidden`, `Unexpected` (fail).
    pub async fn states(&self, query: &[(&str, String)], ctx: &Context) -> Result<Answer, TaskError> {
        let mut renewed = false;
        loop {
            let token = self.token(ctx).await?;
            let mut request = self.http.get(format!("{}/states/all", self.base_url)).query(query);
            if let Some(token) = &token {
                request = request.bearer_auth(token);
            }
            let response = request.send().await.map_err(|error| transport("GET /states/all", &error))?;
            if response.status() == StatusCode::UNAUTHORIZED && token.is_some() {
                self.drop_token(token.as_deref()).await;
                if !renewed {
                    ctx.warn("401: the token is no longer accepted; asking for a new one, once");
                    renewed = true;
                    continue;
                }
            }
            return self.judge(response, query).await;
        }
    }

    async fn judge(&self, response: reqwest::Response, query: &[(&str, String)]) -> Result<Answer, TaskError> {
        let status = response.status();
        let asked = {
            let query: Vec<String> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("GET {}/states/all?{}", self.base_url, query.join("&"))
        };
        match status.as_u16() {
            200 => {
                let credits_left = number(response.headers(), "x-rate-limit-remaining");
                let content_type = response
                    .headers()
                    .get(reqwest::header::CONTENT_TYPE)
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default()
                    .to_owned();
                let bytes = body(response, BODY_BYTES, "the body of GET /states/all").await?;
                Ok(Answer::Body(Body { bytes, asked, status: 200, content_type, credits_left }))
            }
            429 => {
                let seconds = number(response.headers(), "x-rate-limit-retry-after-seconds")
                    .or_else(|| number(response.headers(), "retry-after"));
                let retry_after = seconds.map_or(DEFAULT_HOLD, |seconds| Duration::from_secs(seconds.into()));
                Ok(Answer::Exhausted { retry_after })
            }
            401 if self.credentials.is_some() => Err(TaskError::fail(
                "Auth",
                format!(
                    "{asked}: 401 with a fresh token: this account may not call the API; check client_id and its rights"
                ),
            )),
            401 => Err(TaskError::fail(
                "Auth",
                format!("{asked}: 401: anonymous calls are refused; set client_id and client_secret"),
            )),
            400 => Err(TaskError::fail("BadRequest", format!("{asked}: 400: {}", excerpt(response).await))),
            403 => Err(TaskError::fail("Forbidden", format!("{asked}: 403: {}", excerpt(response).await))),
            500..=599 => Err(TaskError::retry("Upstream5xx", format!("{asked}: {status}"))),
            _ => Err(TaskError::fail("Unexpected", format!("{asked}: {status}: {}", excerpt(response).await))),
        }
    }

    /// A token that is good for a while; `None` for anonymous calls.
    async fn token(&self, ctx: &Context) -> Result<Option<String>, TaskError> {
        let Some(credentials) = &self.credentials else { return Ok(None) };
        let mut slot = self.token.lock().await;
        if let Some(token) = slot.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(Some(token.text.clone()));
        }
        let asked_at = Instant::now();
        let answer = self.ask_for_token(credentials).await?;
        let life = Duration::from_secs(answer.expires_in);
        // A life shorter than the margin is used for half of it, so that a token is not renewed on every call.
        let renew_at = asked_at + life.checked_sub(TOKEN_MARGIN).filter(|rest| !rest.is_zero()).unwrap_or(life / 2);
        ctx.info(format!("got a token, good for {} s", answer.expires_in));
        *slot = Some(Token { text: answer.access_token.clone(), renew_at });
        Ok(Some(answer.access_token))
    }

    /// Drops the refused token, if no other call has renewed it meanwhile.
    async fn drop_token(&self, refused: Option<&str>) {
        let mut slot = self.token.lock().await;
        if slot.as_ref().map(|token| token.text.as_str()) == refused {
            *slot = None;
        }
    }

    async fn ask_for_token(&self, credentials: &Credentials) -> Result<TokenAnswer, TaskError> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", credentials.id.as_str()),
            ("client_secret", credentials.secret.expose()),
        ];
        let response = self
            .http
            .post(&self.token_url)
            .timeout(TOKEN_CALL)
            .form(&form)
            .send()
            .await
            .map_err(|error| transport("the call for a token", &error))?;
        let status = response.status();
        match status.as_u16() {
            200 => response.json().await.map_err(|error| {
                TaskError::retry("BrokenBody", format!("the answer with the token does not read: {}", chain(&error)))
            }),
            400 | 401 | 403 => {
                Err(TaskError::fail("Auth", format!("{}: {status}: wrong client_id or client_secret", self.token_url)))
            }
            429 | 500..=599 => Err(TaskError::retry("Upstream5xx", format!("{}: {status}", self.token_url))),
            _ => Err(TaskError::fail("Unexpected", format!("{}: {status}", self.token_url))),
        }
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}
