//! E-mail by SMTP.

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as Protection, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message as Mail, Tokio1Executor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{ConnectionKind, Context, Secret, TaskError};

use super::channel::TIMEOUT;
use super::template::Message;
use crate::http::is_certificate_fault;

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
    /// A file of certificates (PEM) that are trusted beside the system's, such as the server's own; relative to the project.
    #[serde(default)]
    pub ca_file: Option<String>,
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

/// Sends one mail to all recipients: plain text, and HTML beside it if there is any.
pub(super) async fn send(
    smtp: &Smtp,
    recipients: &[String],
    state: &str,
    message: Message,
    ctx: &Context,
) -> Result<(), TaskError> {
    let mail = mail(smtp, recipients, state, message, ctx)?;
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
        .port(smtp.port.unwrap_or(match smtp.tls {
            Tls::Implicit => 465,
            Tls::Starttls => 587,
            Tls::None => 25,
        }))
        .tls(protection(smtp, ctx).await?)
        .timeout(Some(TIMEOUT));
    if let (Some(user), Some(password)) = (&smtp.username, &smtp.password) {
        builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
    }
    builder.build().send(mail).await.map(drop).map_err(|error| fault(smtp, &error))
}

fn mail(smtp: &Smtp, recipients: &[String], state: &str, message: Message, ctx: &Context) -> Result<Mail, TaskError> {
    if recipients.is_empty() {
        return Err(TaskError::fail("BadParameters", "`recipients` is empty: name at least one address"));
    }
    let mut mail = Mail::builder()
        .from(address(&smtp.from)?)
        .subject(message.subject)
        .message_id(Some(format!("<{}.{}@updraft>", plain(ctx.idempotency_key()), plain(state))))
        // No answering machine shall answer.
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
    for recipient in recipients {
        mail = mail.to(address(recipient)?);
    }
    let made = match message.html {
        Some(html) => mail.multipart(MultiPart::alternative_plain_html(message.text, html)),
        None => mail.singlepart(SinglePart::plain(message.text)),
    };
    made.map_err(|error| TaskError::fail("BadParameters", error.to_string()))
}

/// An address of one line: a second one would be a header of its own.
fn address(text: &str) -> Result<Mailbox, TaskError> {
    let bad = |reason: String| TaskError::fail("BadParameters", format!("{text:?} is no mail address: {reason}"));
    if text.chars().any(char::is_control) {
        return Err(bad("it has a line break or another control character".to_owned()));
    }
    text.parse().map_err(|error: lettre::address::AddressError| bad(error.to_string()))
}

/// Letters, digits, `.`, `_` and `-`: what an id may hold.
fn plain(text: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    text.chars().map(kept).take(128).collect()
}

async fn protection(smtp: &Smtp, ctx: &Context) -> Result<Protection, TaskError> {
    let bad = |reason: String| TaskError::fail("BadConnection", format!("smtp `{}`: {reason}", smtp.host));
    if smtp.tls == Tls::None {
        return Ok(Protection::None);
    }
    let mut parameters = TlsParameters::builder(smtp.host.clone());
    if let Some(file) = &smtp.ca_file {
        let pem = tokio::fs::read(ctx.path(file)).await.map_err(|error| bad(format!("`ca_file: {file}`: {error}")))?;
        if !pem.windows(27).any(|part| part == b"-----BEGIN CERTIFICATE-----") {
            return Err(bad(format!("`ca_file: {file}` has no certificate in PEM form")));
        }
        let certificate = Certificate::from_pem(&pem).map_err(|error| bad(format!("`ca_file: {file}`: {error}")))?;
        parameters = parameters.add_root_certificate(certificate);
    }
    let parameters = parameters.build().map_err(|error| bad(error.to_string()))?;
    Ok(match smtp.tls {
        Tls::Implicit => Protection::Wrapper(parameters),
        Tls::Starttls => Protection::Required(parameters),
        Tls::None => Protection::None,
    })
}

/// 4yz and what happens on the way may go better next time; 5yz, a certificate and a server that cannot do what is wanted will not.
fn fault(smtp: &Smtp, error: &lettre::transport::smtp::Error) -> TaskError {
    let text = format!("smtp `{}`: {error}", smtp.host);
    if error.is_permanent() {
        TaskError::fail("Refused", text)
    } else if error.is_transient() {
        TaskError::retry("Unavailable", text)
    } else if is_certificate_fault(error) {
        TaskError::fail("Certificate", text)
    } else if error.is_client() {
        TaskError::fail("BadConnection", text)
    } else if error.is_timeout() {
        TaskError::retry("Timeout", text)
    } else {
        TaskError::retry("Network", text)
    }
}
