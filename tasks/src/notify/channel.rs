//! Where messages go.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use updraft_task::{ConnectionKind, Context, Secret, TaskError};

use super::mail::{self, Smtp};
use super::report::Report;
use super::slack::{self, Slack};
use super::template::Message;
use crate::http::{USER_AGENT, chain, excerpt, retry_after, transport};

pub(super) const TIMEOUT: Duration = Duration::from_secs(15);

/// One place that messages go to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "to", rename_all = "snake_case", deny_unknown_fields)]
pub enum Channel {
    /// The attempt's log.
    Log {},
    /// A POST of `{text, state, previous_state, workflow, run_id, logical_date}` as JSON.
    Webhook {
        /// A connection of kind `webhook`.
        conn: String,
    },
    /// A message in Slack, with blocks for workflow, state, run and every failed task.
    Slack {
        /// A connection of kind `slack`.
        conn: String,
    },
    /// An e-mail.
    Email {
        /// A connection of kind `smtp`.
        conn: String,
        /// Addresses, at least one: `ops@example.org` or `Ops <ops@example.org>`.
        recipients: Vec<String>,
    },
}

/// The connection kind `webhook`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The address; often holds a token, so it is secret.
    pub url: Secret,
    /// Headers of every request; their values are secret.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
}

impl ConnectionKind for Webhook {
    const KIND: &'static str = "webhook";
    const SUMMARY: &'static str = "an address that takes messages as JSON (chat, pager)";
}

impl Channel {
    /// Name under which the last state told is kept.
    pub fn name(&self) -> String {
        match self {
            Self::Log {} => "log".to_owned(),
            Self::Webhook { conn } => format!("webhook:{conn}"),
            Self::Slack { conn } => format!("slack:{conn}"),
            Self::Email { conn, recipients } => format!("email:{conn}:{}", recipients.join(",")),
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// By cause; see the task's error classes.
    pub(super) async fn send(&self, report: &Report<'_>, message: Message, ctx: &Context) -> Result<(), TaskError> {
        match self {
            Self::Log {} => {
                let failed = report.state == "failed";
                message.text.lines().for_each(|line| if failed { ctx.warn(line) } else { ctx.info(line) });
                Ok(())
            }
            Self::Webhook { conn } => post(&ctx.connection_named(conn)?, report, &message, ctx).await,
            Self::Slack { conn } => slack::post(&ctx.connection_named::<Slack>(conn)?, report, &message, ctx).await,
            Self::Email { conn, recipients } => {
                mail::send(&ctx.connection_named::<Smtp>(conn)?, recipients, report.state, message, ctx).await
            }
        }
    }
}

async fn post(webhook: &Webhook, report: &Report<'_>, message: &Message, ctx: &Context) -> Result<(), TaskError> {
    let body = json!({
        "text": message.text, "state": report.state, "previous_state": report.previous().map(|told| &told.state),
        "workflow": report.workflow(), "run_id": report.run(), "logical_date": report.logical_date(),
    });
    let response = deliver("the webhook", &webhook.url, webhook.headers.iter(), &body, ctx.idempotency_key()).await?;
    match response.status().as_u16() {
        200..=299 => Ok(()),
        status @ (429 | 500..=599) => {
            let wait = retry_after(response.headers(), ctx.now());
            Err(unavailable("Unavailable", wait, format!("the webhook answered {status}")))
        }
        status => {
            Err(TaskError::fail("Refused", format!("the webhook answered {status}: {}", excerpt(response).await)))
        }
    }
}

/// Another try, not before the wait that was asked for.
pub(super) fn unavailable(class: &'static str, wait: Option<Duration>, text: String) -> TaskError {
    match wait {
        Some(wait) => TaskError::retry_after(class, wait, text),
        None => TaskError::retry(class, text),
    }
}

/// Posts JSON to an address that no message or log shows; what the status means is the caller's matter.
pub(super) async fn deliver<'a>(
    whom: &str,
    url: &Secret,
    headers: impl Iterator<Item = (&'a String, &'a Secret)>,
    body: &Value,
    idempotency_key: &str,
) -> Result<reqwest::Response, TaskError> {
    let bad = |text: String| TaskError::fail("BadConnection", text);
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        // Followed, a message would become a GET, its headers would go to another host, and both would look like success.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(USER_AGENT)
        .build()
        .map_err(|error| bad(error.to_string()))?;
    let mut request = client.post(url.expose()).json(body).header("idempotency-key", idempotency_key);
    for (name, value) in headers {
        request = request.header(name, value.expose());
    }
    request.send().await.map_err(|error| {
        if error.is_builder() {
            return bad(format!("{whom}: its `url` or `headers`: {}", chain(&error.without_url())));
        }
        transport(whom, &error.without_url())
    })
}
