//! HTTP with JSON, over an address or a socket; problems become failures with exit codes.

use std::path::Path;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use updraft_api::{ACTOR, BASE};

use crate::exit_code::{ExitCode, Failure};

/// Query parameters.
pub type Query<'a> = [(&'a str, String)];

/// Connecting takes no longer.
const CONNECT: Duration = Duration::from_secs(10);

/// A way to the API. Keeps what it talks to alive.
pub struct Api {
    http: reqwest::Client,
    origin: String,
    token: Option<SecretString>,
    /// What is talked to, for messages.
    place: String,
    /// In whose name, where that is not the token's: the user at the terminal.
    user: Option<String>,
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
                .hint("set UPDRAFT_TOKEN, or make a token: updraft tokens create --role operator"));
        };
        let http = builder().build().map_err(|error| Failure::unreachable(error.to_string()))?;
        let origin = parsed.origin().ascii_serialization();
        Ok(Self { http, place: origin.clone(), origin, token: Some(token), user: None })
    }

    /// A daemon's socket. Whoever may open it is the local admin; `user` is who that is.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn socket(path: &Path, user: String) -> Result<Self, Failure> {
        let http = builder().unix_socket(path).build().map_err(|error| Failure::unreachable(error.to_string()))?;
        let place = format!("the daemon at {}", path.display());
        Ok(Self { http, origin: "http://localhost".to_owned(), token: None, place, user: Some(user) })
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

    /// Reads text.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn text(&self, path: &str) -> Result<String, Failure> {
        let bytes = self.send(Method::GET, path, &[], None, None).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &Query<'_>,
        body: Option<Value>,
        key: Option<&str>,
    ) -> Result<T, Failure> {
        let bytes = self.send(method, path, query, body, key).await?;
        let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(bytes).map_err(|error| {
            Failure::unreachable(format!("{} answers in a way that this version does not know: {error}", self.place))
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &Query<'_>,
        body: Option<Value>,
        key: Option<&str>,
    ) -> Result<Vec<u8>, Failure> {
        let mut request = self.http.request(method, format!("{}{BASE}{path}", self.origin)).query(query);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(user) = &self.user {
            request = request.header(ACTOR, user);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let unreachable =
            |error: reqwest::Error| Failure::unreachable(format!("{} cannot be reached: {}", self.place, root(&error)));
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(problem(status, &bytes));
        }
        Ok(bytes.to_vec())
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder().connect_timeout(CONNECT).user_agent(concat!("updraft/", env!("CARGO_PKG_VERSION")))
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
    let hint = text("hint").or_else(|| match status {
        StatusCode::UNAUTHORIZED => Some("the token is wrong, expired or revoked".to_owned()),
        StatusCode::FORBIDDEN => Some("the token's role may not do this".to_owned()),
        _ => None,
    });
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
