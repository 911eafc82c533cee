//! `retry` and `retries`.

use updraft_model::retry::{Backoff, RetryPolicy};

use super::Cx;
use super::keys::RETRY;
use super::read::Fields;
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::suggest::nearest;
use crate::yaml::{Entry, Kind, Node};

/// Most tries after the first.
pub(crate) const MAX_LIMIT: u32 = 100;

/// A policy and where its `retry_on` classes stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Read {
    pub(crate) policy: RetryPolicy,
    pub(crate) classes: Vec<(String, Span)>,
}

/// Reads `retry` (a map) or `retries` (a number) of a task or of `defaults`; `None` if neither is there.
pub(crate) fn read(cx: &mut Cx<'_>, retry: Option<&Entry>, retries: Option<&Entry>, base: &Read) -> Option<Read> {
    if let (Some(retry), Some(retries)) = (retry, retries) {
        let found =
            Diagnostic::new(Code::W104, retries.key_span, "`retries` and `retry` are two spellings of one setting")
                .also(retry.key_span, "first spelling")
                .hint("keep `retry` with `limit`");
        cx.push(found);
    }
    if let Some(entry) = retry {
        return if cx.has_value(entry) { map(cx, &entry.value, base) } else { None };
    }
    let entry = retries.filter(|entry| cx.has_value(entry))?;
    let limit = cx.whole(&entry.value, "`retries`", 0, MAX_LIMIT)?;
    Some(Read { policy: RetryPolicy { limit, ..base.policy.clone() }, classes: base.classes.clone() })
}

fn map(cx: &mut Cx<'_>, node: &Node, base: &Read) -> Option<Read> {
    if let Kind::Scalar { text, .. } = &node.kind
        && text.parse::<u32>().is_ok()
    {
        let found = Diagnostic::new(Code::W106, node.span, "`retry` is a map, and this is a number")
            .hint("write `limit`, or `retries` in place of `retry`")
            .replace(node.span, format!("{{limit: {text}}}"));
        cx.push(node.locate(found));
        return None;
    }
    let fields = Fields::read(cx, node, &RETRY)?;
    let value =
        |cx: &mut Cx<'_>, key: &str| fields.get(key).filter(|entry| cx.has_value(entry)).map(|entry| &entry.value);
    let mut read = base.clone();
    let policy = &mut read.policy;
    if let Some(limit) = value(cx, "limit").and_then(|node| cx.whole(node, "`limit`", 0, MAX_LIMIT)) {
        policy.limit = limit;
    }
    if let Some(delay) = value(cx, "delay").and_then(|node| cx.duration(node, "`delay`")) {
        policy.delay = delay;
    }
    let max_delay = value(cx, "max_delay");
    if let Some(longest) = max_delay.and_then(|node| cx.duration(node, "`max_delay`")) {
        policy.max_delay = longest;
    }
    let words = [("constant", Backoff::Constant), ("linear", Backoff::Linear), ("exponential", Backoff::Exponential)];
    if let Some(backoff) = value(cx, "backoff").and_then(|node| cx.choice(node, "`backoff`", &words)) {
        policy.backoff = backoff;
    }
    if let Some(factor) = value(cx, "factor").and_then(|node| cx.number(node, "`factor`", 1.0, 100.0)) {
        policy.factor = factor;
    }
    if let Some(jitter) = value(cx, "jitter").and_then(|node| cx.number(node, "`jitter`", 0.0, 1.0)) {
        policy.jitter = jitter;
    }
    if let Some(node) = value(cx, "retry_on") {
        let classes = cx.texts(node, "`retry_on`");
        policy.retry_on = classes.iter().map(|(class, _)| (*class).to_owned()).collect();
        read.classes = classes.iter().map(|(class, node)| ((*class).to_owned(), node.span)).collect();
    }
    let policy = &mut read.policy;
    if policy.delay > policy.max_delay {
        if let Some(node) = max_delay {
            let message = "`max_delay` is shorter than `delay`";
            cx.push(node.locate(Diagnostic::new(Code::W112, node.span, message)).hint("make it at least as long"));
        } else {
            // The default of `max_delay` is no wish of the author's.
            policy.max_delay = policy.delay;
        }
    }
    Some(read)
}

/// Warns about classes of `retry_on` that the task type never ends with.
pub(crate) fn check_classes(cx: &mut Cx<'_>, read: &Read, task_type: &str) {
    const EVERYWHERE: [&str; 2] = ["Timeout", "Panic"];
    let Some(spec) = cx.catalog.task(task_type).filter(|spec| !spec.errors.is_empty()) else { return };
    let known: Vec<&str> = spec.errors.iter().map(String::as_str).chain(EVERYWHERE).collect();
    for (class, span) in &read.classes {
        if known.contains(&class.as_str()) {
            continue;
        }
        let message = format!("`{task_type}` never ends with the error class `{}`", cx.short(class));
        let found = Diagnostic::new(Code::W509, *span, message).hint(format!("it has: {}", known.join(", ")));
        cx.push(found.did_you_mean(nearest(class, known.iter().copied())));
    }
}
