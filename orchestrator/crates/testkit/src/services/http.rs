//! Small HTTP calls to a server on loopback, from threads that may or may not be asynchronous.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use reqwest::{
    Client, Method, Request, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};

/// A busy machine, and a request that makes a server start something.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }

    /// Itself, if the status is 2xx.
    ///
    /// # Errors
    /// It is another; the error holds the body.
    pub fn ok(self) -> Result<Self> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(anyhow!("{}: {}", self.status, self.text())) }
    }
}

/// GET.
///
/// # Errors
/// Nobody answers.
pub fn get(url: &str) -> Result<Answer> {
    send("GET", url, &[], Vec::new())
}

/// Sends one request on a connection of its own.
///
/// # Errors
/// Nobody answers, or not within 30 s.
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Answer> {
    let mut request = Request::new(method.parse::<Method>()?, url.parse::<Url>().with_context(|| url.to_owned())?);
    for (name, value) in headers {
        request.headers_mut().insert(name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?);
    }
    if !body.is_empty() || method != "GET" {
        *request.body_mut() = Some(body.into());
    }
    block_on(async {
        // No proxy of the environment stands between us and loopback.
        let client = Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        let answer = client.execute(request).await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answer { status, headers, body: answer.bytes().await?.to_vec() })
    })
    .with_context(|| format!("{method} {url}"))
}

/// Runs asynchronous work to its end on a thread and a runtime of its own: callers may be asynchronous or not.
pub(crate) fn block_on<T: Send>(work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    thread::scope(|scope| {
        let worker = scope.spawn(|| -> Result<T> {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
        });
        worker.join().map_err(|_| anyhow!("the thread that ran it panicked"))?
    })
}
