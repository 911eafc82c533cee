//! Where messages go.

use std::collections::BTreeMap;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use updraft_task::{ConnectionKind, Context, Secret, TaskError};

use crate::http::{USER_AGENT, chain, excerpt, retry_after, transport};

const TIMEOUT: Duration = Duration::from_secs(15);

/// One place that messages go to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "to", rename_all = "snake_case", deny_unknown_fields)]
pub enum Channel {
    /// The attempt's log.
    Log {},
    /// A POST of `{text, state, workflow, run_id, logical_date}` as JSON.
    Webhook {
        /// A connection of kind `webhook`.
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

/// How an SMTP connection is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// TLS from the start (port 465).
    #[default]
    Implicit,
    /// Upgraded (port 587).
    Starttls,
    /// None: for a server on this machine.
    None,
}

/// The connection kind `smtp`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// Host name.
    pub host: String,
    /// Port; 465, 587 or 25 by the kind of protection if left out.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: Tls,
    /// User; none means no authentication.
    #[serde(default)]
    pub username: Option<String>,
    /// Password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Sender's address: `updraft@example.org` or `Updraft <updraft@example.org>`.
    pub from: String,
}

impl ConnectionKind for Smtp {
    const KIND: &'static str = "smtp";
    const SUMMARY: &'static str = "a mail server that messages are sent through";
}

impl Channel {
    /// Name under which the last state told is kept.
    pub fn name(&self) -> String {
        match self {
            Self::Log {} => "log".to_owned(),
            Self::Webhook { conn } => format!("webhook:{conn}"),
            Self::Email { conn, recipients } => format!("email:{conn}:{}", recipients.join(",")),
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// By cause; see the task's error classes.
    pub async fn send(&self, state: &str, message: &str, ctx: &Context) -> Result<(), TaskError> {
        match self {
            Self::Log {} => {
                message.lines().for_each(|line| if state == "failed" { ctx.warn(line) } else { ctx.info(line) });
                Ok(())
            }
            Self::Webhook { conn } => post(&ctx.connection_named(conn)?, state, message, ctx).await,
            Self::Email { conn, recipients } => {
                mail(&ctx.connection_named(conn)?, recipients, state, message, ctx).await
            }
        }
    }
}

async fn post(webhook: &Webhook, state: &str, message: &str, ctx: &Context) -> Result<(), TaskError> {
    let bad = |text: String| TaskError::fail("BadConnection", text);
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        // Followed, a message would become a GET, its headers would go to another host, and both would look like success.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(USER_AGENT)
        .build()
        .map_err(|error| bad(error.to_string()))?;
    let run = ctx.run();
    let body = json!({
        "text": message, "state": state, "workflow": run.workflow, "run_id": run.run_id,
        "logical_date": run.logical_at.to_string(),
    });
    let mut request = client.post(webhook.url.expose()).json(&body).header("idempotency-key", ctx.idempotency_key());
    for (name, value) in &webhook.headers {
        request = request.header(name, value.expose());
    }
    let response = request.send().await.map_err(|error| {
        if error.is_builder() {
            return bad(format!("the webhook's `url` or `headers`: {}", chain(&error.without_url())));
        }
        transport("the webhook", &error.without_url())
    })?;
    match response.status().as_u16() {
        200..=299 => Ok(()),
        status @ (429 | 500..=599) => {
            let text = format!("the webhook answered {status}");
            Err(match retry_after(response.headers(), ctx.now()) {
                Some(wait) => TaskError::retry_after("Unavailable", wait, text),
                None => TaskError::retry("Unavailable", text),
            })
        }
        status => {
            Err(TaskError::fail("Refused", format!("the webhook answered {status}: {}", excerpt(response).await)))
        }
    }
}

async fn mail(smtp: &Smtp, recipients: &[String], state: &str, message: &str, ctx: &Context) -> Result<(), TaskError> {
    let address = |text: &str| {
        text.parse::<Mailbox>()
            .map_err(|error| TaskError::fail("BadParameters", format!("`{text}` is no mail address: {error}")))
    };
    let bad = |error: String| TaskError::fail("BadConnection", format!("smtp `{}`: {error}", smtp.host));
    let mut mail = Message::builder()
        .from(address(&smtp.from)?)
        .subject(format!("[updraft] {} {state}", ctx.run().workflow))
        .message_id(Some(format!("<{}.{state}@updraft>", ctx.idempotency_key())));
    if recipients.is_empty() {
        return Err(TaskError::fail("BadParameters", "`recipients` is empty: name at least one address"));
    }
    for recipient in recipients {
        mail = mail.to(address(recipient)?);
    }
    let mail = mail.body(message.to_owned()).map_err(|error| TaskError::fail("BadParameters", error.to_string()))?;
    let mut builder = match smtp.tls {
        Tls::Implicit => {
            AsyncSmtpTransport::<Tokio1Executor>::relay(&smtp.host).map_err(|error| bad(error.to_string()))?
        }
        Tls::Starttls => {
            AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&smtp.host).map_err(|error| bad(error.to_string()))?
        }
        Tls::None => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host),
    }
    .timeout(Some(TIMEOUT));
    if let Some(port) = smtp.port {
        builder = builder.port(port);
    }
    if let (Some(user), Some(password)) = (&smtp.username, &smtp.password) {
        builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
    }
    let said = |error: &lettre::transport::smtp::Error| {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("smtp `{}`: {error}{cause}", smtp.host)
    };
    match builder.build().send(mail).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_permanent() => Err(TaskError::fail("Refused", said(&error))),
        Err(error) if error.is_transient() => Err(TaskError::retry("Unavailable", said(&error))),
        Err(error) if error.is_timeout() => Err(TaskError::retry("Timeout", said(&error))),
        Err(error) => Err(TaskError::retry("Network", said(&error))),
    }
}
