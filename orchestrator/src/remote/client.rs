//! HTTP with JSON, over an address or a socket; problems become failures with exit codes.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use updraft_api::{ACTOR, BASE};

use super::sse::Events;
use crate::exit_code::{ExitCode, Failure};

/// Query parameters.
pub type Query<'a> = [(&'a str, String)];

/// Connecting takes no longer.
const CONNECT: Duration = Duration::from_secs(10);
/// Nor does waiting for the next byte: the API gives up on its own requests before, and keeps streams alive.
const SILENCE: Duration = Duration::from_mins(1);
/// Entries of one page of a list that is read to its end.
const PAGE: &str = "500";

/// A way to the API. Keeps what it talks to alive.
pub struct Api {
    http: reqwest::Client,
    origin: String,
    token: Option<SecretString>,
    /// What is talked to, for messages.
    place: String,
    /// In whose name, where that is not the token's: the user at the terminal.
    user: Option<String>,
    /// Served by this process itself, for one command.
    momentary: bool,
}

/// A part of a log.
pub struct LogPart {
    /// Its lines, one JSON object each.
    pub lines: String,
    /// Byte at which the next part begins.
    pub next: u64,
    /// There is none yet.
    pub last: bool,
    /// Nothing more will come.
    pub complete: bool,
}

impl Api {
    /// A server's address, with a token.
    ///
    /// # Errors
    /// Not an address.
    pub fn server(url: &str, token: Option<SecretString>) -> Result<Self, Failure> {
        let parsed = reqwest::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(parsed) = parsed else {
            return Err(Failure::input(format!("`--server {url}` is no address")).hint("write http://HOST:PORT"));
        };
        let Some(token) = token else {
            return Err(Failure::input("`--server` takes a token")
                .hint("set UPDRAFT_TOKEN; to make one, on the server: updraft tokens create --role operator"));
        };
        if !matches!(parsed.path(), "" | "/") || parsed.query().is_some() {
            return Err(Failure::input(format!("`--server {url}` is more than an address"))
                .hint(format!("write {}", parsed.origin().ascii_serialization())));
        }
        let http = built(if parsed.scheme() == "https" { builder() } else { builder().tls_certs_only([]) })?;
        let origin = parsed.origin().ascii_serialization();
        Ok(Self { http, place: origin.clone(), origin, token: Some(token), user: None, momentary: false })
    }

    /// A daemon's socket. Whoever may open it is the local admin; `user` is who that is.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn socket(path: &Path, user: String) -> Result<Self, Failure> {
        // No TLS there, so that a machine without certificates does.
        let http = built(builder().unix_socket(path).tls_certs_only([]))?;
        let place = format!("the process behind {}", path.display());
        let origin = "http://localhost".to_owned();
        Ok(Self { http, origin, token: None, place, user: Some(user), momentary: false })
    }

    /// The same, said to be served by this process for one command.
    #[must_use]
    pub fn momentarily(self) -> Self {
        Self { momentary: true, ..self }
    }

    /// Whether there is no daemon: this process has the store, and carries nothing out.
    pub fn is_momentary(&self) -> bool {
        self.momentary
    }

    /// Reads.
    ///
    /// # Errors
    /// What the server says, or that it cannot be reached.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &Query<'_>) -> Result<T, Failure> {
        self.call(Method::GET, path, query, None, None).await
    }

    /// Does something.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query<'_>,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.call(Method::POST, path, query, Some(document(body)?), None).await
    }

    /// Does something at most once for this key.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query<'_>,
        body: &impl Serialize,
        key: &str,
    ) -> Result<T, Failure> {
        self.call(Method::POST, path, query, Some(document(body)?), Some(key)).await
    }

    /// Sets something.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.call(Method::PUT, path, &[], Some(document(body)?), None).await
    }

    /// Changes something.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.call(Method::PATCH, path, &[], Some(document(body)?), None).await
    }

    /// Removes something.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn delete(&self, path: &str, query: &Query<'_>) -> Result<(), Failure> {
        self.call::<Value>(Method::DELETE, path, query, None, None).await.map(drop)
    }

    /// All pages of a list as one: `{items, next: null}`.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn all(&self, path: &str, query: &Query<'_>) -> Result<Value, Failure> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut asked = query.to_vec();
            asked.push(("limit", PAGE.to_owned()));
            asked.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let mut page: Value = self.get(path, &asked).await?;
            if let Some(found) = page.get_mut("items").and_then(Value::as_array_mut) {
                items.append(found);
            }
            cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                return Ok(json!({ "items": items, "next": null }));
            }
        }
    }

    /// A part of a log.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn log(&self, path: &str, query: &Query<'_>) -> Result<LogPart, Failure> {
        let request = self.request(Method::GET, path, query).header(ACCEPT, "application/x-ndjson");
        let (headers, bytes) = self.answer(request).await?;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name)?.parse::<u64>().ok();
        let end = number("x-log-bytes").unwrap_or_default();
        let next = number("x-log-next").unwrap_or(end);
        Ok(LogPart {
            lines: String::from_utf8_lossy(&bytes).into_owned(),
            next,
            last: next >= end,
            complete: text("x-log-complete") == Some("true"),
        })
    }

    /// A stream of events.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn events(&self, path: &str, query: &Query<'_>) -> Result<Events, Failure> {
        let request = self.request(Method::GET, path, query).header(ACCEPT, "text/event-stream");
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        Ok(Events::new(response))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &Query<'_>,
        body: Option<Value>,
        key: Option<&str>,
    ) -> Result<T, Failure> {
        let mut request = self.request(method, path, query);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let (_, bytes) = self.answer(request).await?;
        let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(bytes).map_err(|error| {
            Failure::unreachable(format!("{} answers in a way that this version does not know: {error}", self.place))
                .hint("is there another service at this address, or an Updraft of another version?")
        })
    }

    fn request(&self, method: Method, path: &str, query: &Query<'_>) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, format!("{}{BASE}{path}", self.origin)).query(query);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(user) = &self.user {
            request = request.header(ACTOR, user);
        }
        request
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<(HeaderMap, Vec<u8>), Failure> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let headers = response.headers().clone();
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Ok((headers, bytes.to_vec()))
    }

    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        match response.bytes().await {
            Ok(bytes) => problem(status, &bytes),
            Err(error) => self.unreachable(&error),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let why = if error.is_timeout() { "it does not answer in time".to_owned() } else { root(error) };
        Failure::unreachable(format!("{} cannot be reached: {why}", self.place))
    }
}

fn builder() -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE);
    builder.user_agent(concat!("updraft/", env!("CARGO_PKG_VERSION")))
}

fn built(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Failure> {
    builder.build().map_err(|error| Failure::unreachable(format!("no HTTP client can be made: {}", root(&error))))
}

fn document(body: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(body).map_err(|error| Failure::input(format!("the request is not JSON: {error}")))
}

/// The innermost reason: the outer ones repeat the address.
fn root(error: &reqwest::Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

/// RFC 9457 as a failure.
fn problem(status: StatusCode, bytes: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = |field: &str| body.get(field).and_then(Value::as_str).map(str::to_owned);
    let mut message = text("detail").or_else(|| text("title")).unwrap_or_else(|| format!("the server says {status}"));
    for error in body.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let said = error.get("message").and_then(Value::as_str).unwrap_or_default();
        let place = error.get("pointer").or_else(|| error.get("path")).and_then(Value::as_str).unwrap_or_default();
        let colon = if place.is_empty() { "" } else { ": " };
        message = format!("{message}\n       {place}{colon}{said}");
    }
    let code = if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        ExitCode::Unreachable
    } else {
        ExitCode::BadInput
    };
    let hint = match status {
        StatusCode::UNAUTHORIZED => {
            Some("the token is wrong, expired or revoked: updraft tokens list, on the server".to_owned())
        }
        StatusCode::FORBIDDEN => {
            text("hint").or_else(|| Some("the token's role or scopes do not let it do this".to_owned()))
        }
        _ => text("hint"),
    };
    Failure { code, message, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_say_what_is_wrong_and_what_to_do() {
        let body = br#"{"title":"Unprocessable","status":422,"detail":"2 params do not fit","code":"params",
            "errors":[{"pointer":"/day","message":"not a date"},{"message":"`x` is unknown"}],"hint":"see the form"}"#;
        let failure = problem(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(failure.message, "2 params do not fit\n       /day: not a date\n       `x` is unknown");
        assert_eq!((failure.code, failure.hint.as_deref()), (ExitCode::BadInput, Some("see the form")));
        assert_eq!(problem(StatusCode::BAD_GATEWAY, b"<html>").code, ExitCode::Unreachable);
    }

    #[test]
    fn a_server_needs_an_address_and_a_token() {
        assert!(Api::server("ftp://x", None).err().unwrap().message.contains("no address"));
        assert!(Api::server("http://127.0.0.1:1", None).err().unwrap().hint.unwrap().contains("UPDRAFT_TOKEN"));
    }
}
