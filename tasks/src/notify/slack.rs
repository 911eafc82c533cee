//! Slack: an incoming webhook that takes blocks. Text is escaped and cut to Slack's limits.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use updraft_task::{ConnectionKind, Context, Secret, TaskError};

use super::channel::{deliver, unavailable};
use super::report::{Report, is_failed};
use super::template::Message;
use crate::http::{excerpt, retry_after};

/// Slack's limits: of a header, of a section's text, of one of its fields.
const HEADER: usize = 150;
const SECTION: usize = 3_000;
const FIELD: usize = 2_000;
/// First line of a task's message: many tasks have to fit.
const REASON: usize = 600;
/// Tasks with a block of their own; a message has at most 50 blocks.
const TASKS: usize = 40;
const CUT: &str = " … (cut)";

/// The connection kind `slack`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// The incoming webhook's address; whoever knows it can post, so it is secret.
    pub url: Secret,
}

impl ConnectionKind for Slack {
    const KIND: &'static str = "slack";
    const SUMMARY: &'static str = "an incoming webhook of Slack";
}

pub(super) async fn post(
    slack: &Slack,
    report: &Report<'_>,
    message: &Message,
    ctx: &Context,
) -> Result<(), TaskError> {
    let response =
        deliver("Slack", &slack.url, std::iter::empty(), &payload(report, message), ctx.idempotency_key()).await?;
    let status = response.status().as_u16();
    let wait = retry_after(response.headers(), ctx.now());
    if (200..300).contains(&status) {
        return Ok(());
    }
    Err(refused(status, &excerpt(response).await, wait))
}

/// What Slack's answer means. It says why in one word.
fn refused(status: u16, answer: &str, wait: Option<Duration>) -> TaskError {
    let text = format!("Slack answered {status}: {}", answer.trim());
    match answer.trim() {
        "invalid_payload" | "invalid_blocks" | "invalid_blocks_format" | "no_text" => {
            TaskError::fail("InvalidPayload", text)
        }
        "channel_not_found" | "channel_is_archived" | "user_not_found" => TaskError::fail(
            "ChannelNotFound",
            format!("{text}: give the connection the address of a webhook whose channel is there"),
        ),
        _ => match status {
            429 => unavailable("RateLimited", wait, text),
            500..=599 => unavailable("Unavailable", wait, text),
            _ => TaskError::fail("Refused", text),
        },
    }
}

fn payload(report: &Report<'_>, message: &Message) -> Value {
    let field = |name: &str, value: &str| text(&format!("*{name}*\n"), value, FIELD);
    let state = report
        .previous()
        .map_or_else(|| report.state.to_owned(), |told| format!("{} (was {})", report.state, told.state));
    let mut blocks = vec![
        json!({ "type": "header", "text": {
            "type": "plain_text", "text": fit(&message.subject, HEADER), "emoji": false,
        } }),
        json!({ "type": "section", "fields": [
            field("Workflow", report.workflow()), field("State", &state),
            field("Run", &report.run()), field("Logical date", &report.logical_date()),
        ] }),
    ];
    let mut section = |before: &str, words: &str, limit: usize| {
        if !before.is_empty() || !words.trim().is_empty() {
            blocks.push(json!({ "type": "section", "text": text(before, words, limit) }));
        }
    };
    if message.own_words {
        section("", &message.text, SECTION);
    } else {
        section("", &report.change().unwrap_or_default(), SECTION);
        section("", report.text.unwrap_or_default(), SECTION);
        let failed: Vec<_> = report.tasks.iter().filter(|sibling| is_failed(sibling)).collect();
        for sibling in failed.iter().take(TASKS) {
            let words = match &sibling.error {
                Some((class, reason)) => {
                    format!("{} ({class}): {}", sibling.state, reason.lines().next().unwrap_or_default())
                }
                None => sibling.state.to_string(),
            };
            section(&format!("*{}* ", escaped(&sibling.task)), &words, REASON);
        }
        if let Some(more) = failed.len().checked_sub(TASKS).filter(|more| *more > 0) {
            section("", &format!("… and {more} more failed tasks"), SECTION);
        }
    }
    json!({ "text": fit(&report.headline(), SECTION), "blocks": blocks })
}

/// Words in Slack's own markup, which `before` is; `words` has none but what a person typed.
fn text(before: &str, words: &str, limit: usize) -> Value {
    let room = limit.saturating_sub(units(before));
    json!({ "type": "mrkdwn", "text": format!("{before}{}", fit(words, room)), "verbatim": true })
}

/// Length as Slack counts it, and never less.
fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The three characters that Slack reads as mark-up of links and mentions.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Escaped, and at most `limit` long, with a note if something is left out. No escape is cut in two.
fn fit(text: &str, limit: usize) -> String {
    let whole = escaped(text);
    if units(&whole) <= limit {
        return whole;
    }
    let mut room = limit.saturating_sub(units(CUT));
    let mut cut = String::new();
    for character in text.chars() {
        let piece = escaped(character.encode_utf8(&mut [0; 4]));
        let Some(left) = room.checked_sub(units(&piece)) else { break };
        room = left;
        cut.push_str(&piece);
    }
    cut + CUT
}

#[cfg(test)]
mod tests {
    use updraft_task::Verdict;

    use super::*;

    #[test]
    fn a_text_is_cut_to_its_limit_between_escapes() {
        assert_eq!(fit("a & b <c>", 100), "a &amp; b &lt;c&gt;");
        assert_eq!(fit(&"&".repeat(10), 30), format!("{}{CUT}", "&amp;".repeat(4)));
        for (text, limit) in [("&".repeat(5_000), 3_000), ("😀ü<".repeat(2_000), 150)] {
            let cut = fit(&text, limit);
            assert!(units(&cut) <= limit && units(&cut) > limit - 6 && cut.ends_with(CUT), "{cut}");
        }
    }

    #[test]
    fn answers_have_their_classes() {
        let retry = |after: Option<u64>| Verdict::Retry { after: after.map(Duration::from_secs) };
        for (status, answer, wait, class, verdict) in [
            (400, "invalid_payload", None, "InvalidPayload", Verdict::Fail),
            (404, "channel_not_found", None, "ChannelNotFound", Verdict::Fail),
            (410, "channel_is_archived\n", None, "ChannelNotFound", Verdict::Fail),
            (403, "invalid_token", None, "Refused", Verdict::Fail),
            (404, "no_service", None, "Refused", Verdict::Fail),
            (429, "", Some(30), "RateLimited", retry(Some(30))),
            (429, "", None, "RateLimited", retry(None)),
            (500, "rollup_error", None, "Unavailable", retry(None)),
        ] {
            let error = refused(status, answer, wait.map(Duration::from_secs));
            assert_eq!((error.class(), error.verdict()), (class, &verdict), "{status} {answer}");
        }
    }
}
