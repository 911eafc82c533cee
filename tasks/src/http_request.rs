//! `http.request`: one request, its answer judged by status.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use updraft_task::{
    ConnectionKind, ConnectionNeed, Context, Dataset, Effects, ErrorClass, Format, Secret, Task, TaskError,
};

use crate::http::{USER_AGENT, body, body_to_file, chain, excerpt, retry_after, transport};

/// Largest answer kept in the output, in bytes; larger ones need `save_to`.
const INLINE_BYTES: usize = 32 * 1024;
/// Largest output, in bytes of JSON: below what the engine keeps.
const OUTPUT_BYTES: usize = 40 * 1024;
/// Redirects that are followed.
const REDIRECTS: usize = 10;
/// Largest answer kept in the lake, in bytes: it passes through a scratch file.
const SAVED_BYTES: u64 = 8 * 1024 * 1024 * 1024;

/// The connection kind `http`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Base address; `path` of the task is appended.
    pub base_url: String,
    /// Headers of every request; their values are secret.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Bearer token.
    #[serde(default)]
    pub token: Option<Secret>,
    /// User of basic authentication.
    #[serde(default)]
    pub username: Option<String>,
    /// Its password.
    #[serde(default)]
    pub password: Option<Secret>,
}

impl ConnectionKind for Http {
    const KIND: &'static str = "http";
    const SUMMARY: &'static str = "an HTTP service: base address, headers, authentication";
}

/// The task type.
pub struct HttpRequest;

/// HTTP method.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
    /// HEAD.
    Head,
}

impl Method {
    fn of(self) -> reqwest::Method {
        match self {
            Self::Get => reqwest::Method::GET,
            Self::Post => reqwest::Method::POST,
            Self::Put => reqwest::Method::PUT,
            Self::Patch => reqwest::Method::PATCH,
            Self::Delete => reqwest::Method::DELETE,
            Self::Head => reqwest::Method::HEAD,
        }
    }
}

/// Parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Method.
    #[serde(default)]
    pub method: Method,
    /// Whole address; without a connection. Logs and messages leave out its user, query and fragment.
    #[serde(default)]
    pub url: Option<String>,
    /// Path after the connection's `base_url`; the base itself if left out.
    #[serde(default)]
    pub path: Option<String>,
    /// Query parameters; they are in no log or message.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers, over the connection's. `Idempotency-Key` is added to other methods than GET and HEAD.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body as JSON.
    #[serde(default)]
    pub json: Option<Value>,
    /// Body as text.
    #[serde(default)]
    pub body: Option<String>,
    /// Statuses that are fine; 200…299 if left out. Redirects are followed, at most 10 and with a connection only on its
    /// host and port (or from HTTP to HTTPS there), unless a 3xx is listed here.
    #[serde(default)]
    pub expect: Vec<u16>,
    /// Longest time of the whole call in seconds, from 1. Connecting takes no longer than 5 s in any case.
    #[serde(default = "thirty")]
    #[schemars(range(min = 1))]
    pub timeout_s: u32,
    /// Keeps the body (at most 8 GiB) in the lake under this key instead of in the output (at most 32 KiB).
    #[serde(default)]
    pub save_to: Option<String>,
}

fn thirty() -> u32 {
    30
}

/// Output.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// Size of the body, bytes.
    pub bytes: u64,
    /// Body, if it is JSON and not saved.
    pub json: Option<Value>,
    /// Body as text, if it is not JSON and not saved: UTF-8, or ISO 8859-1 if its `Content-Type` says so. Of other bytes each
    /// becomes the replacement character, and the log warns.
    pub text: Option<String>,
    /// The saved body, as one row: its form is JSON or bytes.
    pub dataset: Option<Dataset>,
}

impl Task for HttpRequest {
    const TYPE: &'static str = "http.request";
    const SUMMARY: &'static str = "makes one HTTP request and judges the answer";
    const EFFECTS: Effects = Effects::AtLeastOnce;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Optional(&["http"]);
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass { name: "Timeout", retryable: true, meaning: "no whole answer within `timeout_s`, or 408" },
        ErrorClass { name: "Network", retryable: true, meaning: "refused, reset, or cut off" },
        ErrorClass { name: "Certificate", retryable: false, meaning: "the server's certificate is not trusted" },
        ErrorClass {
            name: "Upstream5xx",
            retryable: true,
            meaning: "500…599 that `expect` does not list; waits at least `Retry-After`",
        },
        ErrorClass { name: "RateLimited", retryable: true, meaning: "429; waits at least `Retry-After`" },
        ErrorClass { name: "Status", retryable: false, meaning: "another status that `expect` does not list" },
        ErrorClass { name: "BrokenBody", retryable: true, meaning: "a body that says it is JSON and is not" },
        ErrorClass {
            name: "TooLarge",
            retryable: false,
            meaning: "a body over 32 KiB without `save_to`, or over 8 GiB with it",
        },
        ErrorClass {
            name: "BadParameters",
            retryable: false,
            meaning: "no address or none that is one, two bodies, a bad header, no time",
        },
        ErrorClass { name: "BadConnection", retryable: false, meaning: "the connection does not fit" },
        ErrorClass { name: "Scratch", retryable: true, meaning: "the body cannot be written to a scratch file" },
        ErrorClass { name: "BadKey", retryable: false, meaning: "`save_to` is no key of the lake" },
        ErrorClass { name: "Lake", retryable: true, meaning: "the body cannot be kept just now" },
    ];
    const EXAMPLE: &'static str =
        "- id: ping\n  type: http.request\n  with:\n    url: http://127.0.0.1:8080/health\n    expect: [200, 204]\n";
    type Params = Params;
    type Output = Output;

    async fn run(params: Params, ctx: &Context) -> Result<Output, TaskError> {
        let (request, shown) = request(&params, ctx)?;
        tokio::select! {
            output = ask(request, &shown, &params, ctx) => output,
            () = ctx.cancelled().cancelled() => Err(TaskError::cancelled()),
        }
    }
}

async fn ask(
    request: reqwest::RequestBuilder,
    shown: &str,
    params: &Params,
    ctx: &Context,
) -> Result<Output, TaskError> {
    let response = request.send().await.map_err(|error| transport(shown, &error.without_url()))?;
    let status = response.status().as_u16();
    ctx.info(format!("{shown}: {status}"));
    let fine = if params.expect.is_empty() { (200..300).contains(&status) } else { params.expect.contains(&status) };
    if !fine {
        return Err(refused(status, shown, response, ctx).await);
    }
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let is_json = content_type.as_ref().is_some_and(|kind| kind.contains("json"));
    let what = format!("the body of {shown}");
    let mut output = Output { status, content_type, bytes: 0, json: None, text: None, dataset: None };
    if let Some(key) = &params.save_to {
        let file = ctx.scratch_dir()?.join("body");
        body_to_file(response, SAVED_BYTES, &file, &what).await?;
        let (bytes, sha256) = ctx.lake()?.put_file(key, &file).await?;
        ctx.info(format!("{bytes} bytes lie at {key}"));
        let format = if is_json { Format::Json } else { Format::Bytes };
        output.bytes = bytes;
        output.dataset = Some(Dataset { bytes, sha256, ..Dataset::of_bytes(key, format, 1, &[]) });
        return Ok(output);
    }
    let bytes = body(response, INLINE_BYTES, &what).await.map_err(|error| too_large(error, params))?;
    output.bytes = bytes.len() as u64;
    match serde_json::from_slice(&bytes) {
        Ok(json) => output.json = Some(json),
        Err(_) if bytes.is_empty() => {}
        Err(error) if is_json => {
            return Err(TaskError::retry("BrokenBody", format!("{shown}: the body says it is JSON, but: {error}")));
        }
        Err(_) => output.text = Some(text(&bytes, output.content_type.as_deref(), &what, ctx)),
    }
    // What is escaped grows: control characters to six times their size.
    if serde_json::to_vec(&output).map_or(0, |written| written.len()) > OUTPUT_BYTES {
        let error = TaskError::fail("TooLarge", format!("the body of {shown} is too large for an output as JSON"));
        return Err(too_large(error, params));
    }
    Ok(output)
}

fn text(bytes: &[u8], content_type: Option<&str>, what: &str, ctx: &Context) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let kind = content_type.unwrap_or_default().to_ascii_lowercase();
    let charset = kind.split("charset=").nth(1).unwrap_or_default().trim_matches(['"', ' ', ';']);
    if matches!(charset, "iso-8859-1" | "latin1") {
        return bytes.iter().copied().map(char::from).collect();
    }
    ctx.warn(format!("{what} is not UTF-8: what is not became U+FFFD; `save_to` keeps the bytes as they are"));
    String::from_utf8_lossy(bytes).into_owned()
}

fn too_large(error: TaskError, params: &Params) -> TaskError {
    if error.class() == "TooLarge" && params.save_to.is_none() {
        return TaskError::fail("TooLarge", format!("{}: keep it in the lake by `save_to`", error.message()));
    }
    error
}

async fn refused(status: u16, shown: &str, response: reqwest::Response, ctx: &Context) -> TaskError {
    let wait = retry_after(response.headers(), ctx.now());
    let text = format!("{shown}: {status}: {}", excerpt(response).await);
    let again = |class| match wait {
        Some(wait) => TaskError::retry_after(class, wait, text.clone()),
        None => TaskError::retry(class, text.clone()),
    };
    match status {
        408 => again("Timeout"),
        429 => again("RateLimited"),
        500..=599 => again("Upstream5xx"),
        _ => TaskError::fail("Status", text),
    }
}

/// Headers of a connection are for its host alone; reqwest itself holds back only the usual ones on the way to another.
fn redirects(params: &Params, connected: bool) -> Policy {
    if params.expect.iter().any(|status| (300..400).contains(status)) {
        return Policy::none();
    }
    if !connected {
        return Policy::limited(REDIRECTS);
    }
    Policy::custom(|attempt| {
        if attempt.previous().first().is_some_and(|first| !is_same_place(first, attempt.url())) {
            attempt.stop()
        } else if attempt.previous().len() > REDIRECTS {
            attempt.error("too many redirects")
        } else {
            attempt.follow()
        }
    })
}

/// Same scheme, host and port, or the usual way from HTTP to HTTPS on a host.
fn is_same_place(from: &reqwest::Url, to: &reqwest::Url) -> bool {
    let upgraded = from.scheme() == "http" && to.scheme() == "https" && from.port().is_none() && to.port().is_none();
    from.host() == to.host() && (upgraded || (from.scheme() == to.scheme() && from.port() == to.port()))
}

/// An address without its user, query and fragment, which may hold what is secret.
fn without_secrets(url: &reqwest::Url) -> String {
    let at = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{at}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// The request, and how it is shown.
fn request(params: &Params, ctx: &Context) -> Result<(reqwest::RequestBuilder, String), TaskError> {
    let bad = |text: String| TaskError::fail("BadParameters", text);
    let connection = match ctx.connection_name() {
        Some(name) => Some(ctx.connection_named::<Http>(name)?),
        None => None,
    };
    let url = match (&params.url, &params.path, &connection) {
        (Some(url), None, None) => url.clone(),
        (None, path, Some(connection)) => {
            let path = path.as_deref().unwrap_or_default().trim_start_matches('/');
            let base = connection.base_url.trim_end_matches('/');
            if path.is_empty() { base.to_owned() } else { format!("{base}/{path}") }
        }
        (_, _, _) => return Err(bad("give `url`, or `conn:` with `path`".to_owned())),
    };
    if params.timeout_s == 0 {
        return Err(bad("`timeout_s` is 0: give at least one second".to_owned()));
    }
    let url = reqwest::Url::parse(&url).map_err(|error| bad(format!("the address is none: {error}")))?;
    let client = reqwest::Client::builder()
        .redirect(redirects(params, connection.is_some()))
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(params.timeout_s.into()))
        .user_agent(USER_AGENT)
        .build()
        .map_err(|error| bad(chain(&error)))?;
    let method = params.method.of();
    let shown = format!("{method} {}", without_secrets(&url));
    let mut headers = HeaderMap::new();
    if !matches!(params.method, Method::Get | Method::Head) {
        headers.insert("idempotency-key", header_value("idempotency-key", ctx.idempotency_key())?);
    }
    let of_connection = connection.iter().flat_map(|connection| &connection.headers);
    let of_connection = of_connection.map(|(name, value)| (name.as_str(), value.expose()));
    let of_params = params.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in of_connection.chain(of_params) {
        let parsed = HeaderName::try_from(name).map_err(|_| bad(format!("`{name}` is no header name")))?;
        headers.insert(parsed, header_value(name, value)?);
    }
    let mut request = client.request(method, url).headers(headers).query(&params.query);
    if let Some(connection) = &connection {
        if let Some(token) = &connection.token {
            request = request.bearer_auth(token.expose());
        } else if let Some(user) = &connection.username {
            request = request.basic_auth(user, connection.password.as_ref().map(Secret::expose));
        }
    }
    request = match (&params.json, &params.body) {
        (Some(_), Some(_)) => return Err(bad("`json` and `body` are both given: one body a request".to_owned())),
        (Some(json), None) => request.json(json),
        (None, Some(body)) => request.body(body.clone()),
        (None, None) => request,
    };
    Ok((request, shown))
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, TaskError> {
    HeaderValue::from_str(value).map_err(|_| {
        TaskError::fail("BadParameters", format!("the header `{name}` has a value that HTTP does not allow"))
    })
}

#[cfg(test)]
mod tests;
