//! `notify`: tells people how a run went, once per change of state and channel.
//!
//! The last state told is kept per workflow, task and channel, and written after the message went out: a crash in between repeats the
//! message, never loses it. A repeated message has the same `Message-ID` or `Idempotency-Key`, by which its receiver can tell. A
//! channel that fails keeps no other channel from its message.

mod channel;
mod mail;
mod report;
mod slack;
mod template;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Sibling, Task, TaskError, Verdict};

pub use channel::{Channel, Webhook};
pub use mail::{Smtp, Tls};
use report::{Report, Told, is_failed};
pub use slack::Slack;
use template::{Templates, cut};

const SCOPE: &str = "notify";
/// Longest message in the output, in bytes.
const OUTPUT_BYTES: usize = 16 * 1024;

/// The task type.
pub struct Notify;

/// When a message goes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// When the state differs from the one told last.
    #[default]
    Change,
    /// Every time.
    Always,
}

/// Parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Where messages go; the attempt's log if left out.
    #[serde(default = "log_only")]
    pub channels: Vec<Channel>,
    /// When a message goes out.
    #[serde(default)]
    pub when: When,
    /// State that is told; from the run's other tasks if left out: `failed` if one failed without
    /// `allow_failure`, else `succeeded`.
    #[serde(default)]
    pub state: Option<String>,
    /// Text after the message's first line; none if left out.
    #[serde(default)]
    pub text: Option<String>,
    /// Subject of mails and header in Slack, made one line: a template that `notify` renders itself, so written as
    /// `{% raw %}{{ workflow }}: {{ state }}{% endraw %}`. `[updraft] ` with workflow and state if left out.
    #[serde(default)]
    pub subject: Option<String>,
    /// A template for the message, or a list of one for the text and one for the HTML part of mails, which is the one whose name
    /// ends in `.html` and in which values are escaped: files of the project, at most 64 KiB. They read `workflow`, `state`,
    /// `previous_state` and `previous_run` (none unless the state changed), `change` (the line about it), `run`, `logical_date`,
    /// `text` and `tasks`, each with `id`, `state`, `error_class`, `error`, `duration_s` and `allow_failure`.
    #[serde(default)]
    pub template_file: Option<TemplateFiles>,
}

/// One template or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a path, or a list of paths")]
pub enum TemplateFiles {
    /// One.
    One(String),
    /// One for the text, one for HTML.
    Several(Vec<String>),
}

impl TemplateFiles {
    fn paths(&self) -> &[String] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths,
        }
    }
}

fn log_only() -> Vec<Channel> {
    vec![Channel::Log {}]
}

/// Output.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// State that was told, or would have been.
    pub state: String,
    /// Channels that got a message.
    pub sent: Vec<String>,
    /// Channels that knew the state already.
    pub unchanged: Vec<String>,
    /// The message of the first channel, at most 16 KiB: by the template, or workflow, state, logical date and run, what it
    /// recovers from, `text`, and a line for each task run with an error.
    pub message: String,
}

impl Task for Notify {
    const TYPE: &'static str = "notify";
    const SUMMARY: &'static str = "tells people how a run went, once per change of state";
    const EFFECTS: Effects = Effects::AtLeastOnce;
    const CONNECTION: ConnectionNeed = ConnectionNeed::None;
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass { name: "Timeout", retryable: true, meaning: "a channel did not answer in time" },
        ErrorClass { name: "Network", retryable: true, meaning: "a channel cannot be reached" },
        ErrorClass { name: "Refused", retryable: false, meaning: "a channel refused the message" },
        ErrorClass {
            name: "RateLimited",
            retryable: true,
            meaning: "Slack answered 429; waits at least `Retry-After`",
        },
        ErrorClass { name: "InvalidPayload", retryable: false, meaning: "Slack does not understand the message" },
        ErrorClass { name: "ChannelNotFound", retryable: false, meaning: "the channel of Slack's webhook is gone" },
        ErrorClass {
            name: "Certificate",
            retryable: false,
            meaning: "a server's certificate is not trusted, expired, or another host's",
        },
        ErrorClass {
            name: "BadTemplate",
            retryable: false,
            meaning: "a template is not there, has a mistake, or reads a name that is not there; with file and line",
        },
        ErrorClass {
            name: "Unavailable",
            retryable: true,
            meaning: "a webhook answered 429 or 500…599, Slack 500…599 (waits at least `Retry-After`), a mail server 4yz",
        },
        ErrorClass { name: "BadConnection", retryable: false, meaning: "a channel's connection does not fit" },
        ErrorClass { name: "BadParameters", retryable: false, meaning: "an address that is none or has a line break" },
        ErrorClass { name: "Store", retryable: true, meaning: "what was told last cannot be read or kept" },
    ];
    const EXAMPLE: &'static str = "- id: tell\n  type: notify\n  depends_on: publish\n  trigger_rule: all_done\n  with:\n    channels:\n      - {to: log}\n      - {to: webhook, conn: ops_chat}\n";
    type Params = Params;
    type Output = Output;

    async fn run(params: Params, ctx: &Context) -> Result<Output, TaskError> {
        let tasks = ctx.siblings().await?;
        let files = params.template_file.as_ref().map(TemplateFiles::paths).unwrap_or_default();
        let templates = Templates::read(params.subject.as_deref(), files, ctx).await?;
        let state = params.state.clone().unwrap_or_else(|| outcome(&tasks).to_owned());
        let own = ctx.attempt().key.task.to_string();
        let (mut sent, mut unchanged, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        let mut first = None;
        for channel in &params.channels {
            let name = channel.name();
            let key = format!("{}/{own}/{name}", ctx.run().workflow);
            let told = ctx.shared(SCOPE).get::<Told>(&key).await?;
            let version = told.as_ref().map_or(0, |(_, version)| *version);
            let before = told.as_ref().map(|(told, _)| told);
            let report = Report { state: &state, before, tasks: &tasks, text: params.text.as_deref(), ctx };
            let message = templates.message(&report)?;
            first.get_or_insert_with(|| cut(message.text.clone(), OUTPUT_BYTES));
            if params.when == When::Change && before.is_some_and(|told| told.state == state) {
                unchanged.push(name);
                continue;
            }
            if let Err(error) = channel.send(&report, message, ctx).await {
                ctx.warn(format!("{name}: no message went out: {error}"));
                failed.push((name, error));
                continue;
            }
            if !ctx.shared(SCOPE).compare_and_set(&key, &report.told(), version).await? {
                ctx.warn(format!("{name}: another run told this channel at the same time; its state stays kept"));
            }
            sent.push(name);
        }
        worst(failed)?;
        if sent.is_empty() {
            ctx.info(format!("no message: every channel knows the state `{state}` already"));
        }
        Ok(Output { state, sent, unchanged, message: first.unwrap_or_default() })
    }
}

/// The error of all channels that failed: one that may go better next time is worth another try, whatever the others say.
fn worst(failed: Vec<(String, TaskError)>) -> Result<(), TaskError> {
    let others: Vec<String> = failed.iter().map(|(name, error)| format!("{name} ({})", error.class())).collect();
    let pick = failed.iter().position(|(_, error)| matches!(error.verdict(), Verdict::Retry { .. })).unwrap_or(0);
    match failed.into_iter().nth(pick) {
        None => Ok(()),
        Some((_, error)) if others.len() == 1 => Err(error),
        Some((_, error)) => Err(error.context(format!("{} channels failed, {}", others.len(), others.join(", ")))),
    }
}

/// As the run will end: what is `upstream_failed` has a failed task above it, whose `allow_failure` excuses both.
fn outcome(siblings: &[Sibling]) -> &'static str {
    let counts = |sibling: &Sibling| is_failed(sibling) && !sibling.allow_failure;
    if siblings.iter().any(counts) { "failed" } else { "succeeded" }
}

#[cfg(test)]
mod tests;
