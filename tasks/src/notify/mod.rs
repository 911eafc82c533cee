//! `notify`: tells people how a run went, once per change of state and channel.
//!
//! The last state told is kept per workflow, task and channel, and written after the message went out: a crash in between repeats the
//! message, never loses it.

mod channel;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Sibling, Task, TaskError, TaskRunState};

pub use channel::{Channel, Smtp, Webhook};

const SCOPE: &str = "notify";

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
    /// The message: workflow, state, logical date and run, `text`, and a line for each task run with an error.
    pub message: String,
}

/// What a channel was told last.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    state: String,
    run: String,
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
            name: "Unavailable",
            retryable: true,
            meaning: "a webhook answered 429 or 500…599 (waits at least `Retry-After`), a mail server 4yz",
        },
        ErrorClass { name: "BadConnection", retryable: false, meaning: "a channel's connection does not fit" },
        ErrorClass { name: "BadParameters", retryable: false, meaning: "an address that is none" },
        ErrorClass { name: "Store", retryable: true, meaning: "what was told last cannot be read or kept" },
    ];
    const EXAMPLE: &'static str = "- id: tell\n  type: notify\n  depends_on: publish\n  trigger_rule: all_done\n  with:\n    channels:\n      - {to: log}\n      - {to: webhook, conn: ops_chat}\n";
    type Params = Params;
    type Output = Output;

    async fn run(params: Params, ctx: &Context) -> Result<Output, TaskError> {
        let siblings = ctx.siblings().await?;
        let own = ctx.attempt().key.task.to_string();
        let state = params.state.clone().unwrap_or_else(|| outcome(&siblings).to_owned());
        let message = message(&state, &siblings, &params, ctx);
        let (mut sent, mut unchanged) = (Vec::new(), Vec::new());
        for channel in &params.channels {
            let name = channel.name();
            let key = format!("{}/{own}/{name}", ctx.run().workflow);
            let shared = ctx.shared(SCOPE);
            let told = shared.get::<Told>(&key).await?;
            let version = told.as_ref().map_or(0, |(_, version)| *version);
            if params.when == When::Change && told.is_some_and(|(told, _)| told.state == state) {
                unchanged.push(name);
                continue;
            }
            channel.send(&state, &message, ctx).await?;
            let told = Told { state: state.clone(), run: ctx.run().run_id.to_string() };
            if !shared.compare_and_set(&key, &told, version).await? {
                ctx.warn(format!("{name}: another run told this channel at the same time; its state stays kept"));
            }
            sent.push(name);
        }
        if sent.is_empty() {
            ctx.info(format!("no message: every channel knows the state `{state}` already"));
        }
        Ok(Output { state, sent, unchanged, message })
    }
}

/// As the run will end: what is `upstream_failed` has a failed task above it, whose `allow_failure` excuses both.
fn outcome(siblings: &[Sibling]) -> &'static str {
    let counts = |sibling: &Sibling| {
        matches!(sibling.state, TaskRunState::Failed | TaskRunState::Cancelled) && !sibling.allow_failure
    };
    if siblings.iter().any(counts) { "failed" } else { "succeeded" }
}

fn message(state: &str, siblings: &[Sibling], params: &Params, ctx: &Context) -> String {
    let run = ctx.run();
    let mut lines = vec![format!("{} {state} · logical date {} · run {}", run.workflow, run.logical_at, run.run_id)];
    lines.extend(params.text.clone());
    for sibling in siblings {
        if let Some((class, message)) = &sibling.error {
            lines.push(format!("{}: {} ({class}): {message}", sibling.task, sibling.state));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests;
