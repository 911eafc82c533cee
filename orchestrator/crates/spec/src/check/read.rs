//! Reads typed values out of the tree; whatever does not fit becomes a diagnostic and `None`.

use std::time::Duration;

use serde_json::{Map, Value};
use updraft_model::span;
use updraft_model::time::Timestamp;

use super::Cx;
use super::keys::{Class, Table};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::suggest::nearest;
use crate::template::is_template;
use crate::yaml::{Entry, Kind, Node, NumberError, Resolved, Style, resolve};

/// Longest `timeout`.
pub(crate) const LONGEST_TIMEOUT: Duration = Duration::from_hours(365 * 24);

/// A map's entries by canonical key.
pub(crate) struct Fields<'n> {
    entries: Vec<(&'static str, &'n Entry)>,
}

impl<'n> Fields<'n> {
    /// Reads a map, complaining about keys that do not belong in it. `None` if it is no map.
    pub(crate) fn read(cx: &mut Cx<'_>, node: &'n Node, table: &'static Table) -> Option<Self> {
        let Kind::Map(map) = &node.kind else {
            cx.wrong_type(node, &format!("{} is a map of `key: value`", table.what));
            return None;
        };
        let mut entries: Vec<(&'static str, &'n Entry)> = Vec::new();
        for entry in map {
            match table.classify(&entry.key) {
                Class::Ours(key) => match entries.iter().find(|(known, _)| *known == key) {
                    Some((_, first)) => {
                        let message = format!("`{}` and `{}` are two spellings of one key", first.key, entry.key);
                        let found = Diagnostic::new(Code::W104, entry.key_span, message)
                            .also(first.key_span, "first spelling")
                            .hint(format!("keep `{key}` alone"));
                        cx.push(found);
                    }
                    None => entries.push((key, entry)),
                },
                Class::Later(key) => {
                    let message = format!("`{key}` is known, not in this version");
                    let found = Diagnostic::new(Code::W103, entry.key_span, message);
                    cx.push(found.hint("leave it out until a later version carries it out"));
                }
                Class::Foreign(product, advice) => {
                    let message = format!("`{}` is a key of {product}", entry.key);
                    cx.push(Diagnostic::new(Code::W102, entry.key_span, message).hint(format!("here: {advice}")));
                }
                Class::Unknown => unknown_key(cx, entry, table),
            }
        }
        Some(Self { entries })
    }

    /// The entry of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|(known, _)| *known == key).map(|(_, entry)| *entry)
    }
}

fn unknown_key(cx: &mut Cx<'_>, entry: &Entry, table: &'static Table) {
    let message = format!("{} has no key `{}`", table.what, cx.short(&entry.key));
    let mut found = Diagnostic::new(Code::W101, entry.key_span, message);
    if !cx.sink.is_full() {
        let meant = nearest(&entry.key, table.candidates());
        found = match meant {
            Some(_) => found.did_you_mean(meant),
            None => found.hint(format!("there are: {}", table.keys.join(", "))),
        };
    }
    cx.push(found);
}

impl Cx<'_> {
    /// "This is a list, but …".
    pub(crate) fn wrong_type(&mut self, node: &Node, wanted: &str) {
        if matches!(node.kind, Kind::Broken) {
            return;
        }
        let message = format!("{wanted}, and this is {}", node.what());
        self.push(node.locate(Diagnostic::new(Code::W106, node.span, message)));
    }

    /// Complains about a key without a value; true if there is one.
    pub(crate) fn has_value(&mut self, entry: &Entry) -> bool {
        if !entry.value.is_null() {
            return true;
        }
        let message = format!("`{}` has no value", entry.key);
        self.push(Diagnostic::new(Code::W106, entry.key_span, message).hint("write one, or leave the key out"));
        false
    }

    /// A text. Numbers and booleans count as texts where a text is wanted.
    pub(crate) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.kind {
            Kind::Scalar { text, .. } if !node.is_null() => {
                if is_template(text) {
                    let message = format!("{what} is fixed when the file is read: no template is evaluated here");
                    self.push(
                        node.locate(Diagnostic::new(Code::W409, node.span, message)).hint("write the value itself"),
                    );
                    return None;
                }
                Some(text)
            }
            Kind::Scalar { .. } | Kind::Seq(_) | Kind::Map(_) | Kind::Broken => {
                self.wrong_type(node, &format!("{what} is a text"));
                None
            }
        }
    }

    /// `true` or `false`, nothing else.
    pub(crate) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        if let Kind::Scalar { text, style } = &node.kind {
            if let Ok(Resolved::Bool(value)) = resolve(text, *style) {
                return Some(value);
            }
            let meant = match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "y" | "1" => Some("true"),
                "false" | "no" | "off" | "n" | "0" => Some("false"),
                _ => None,
            };
            let message = format!("{what} is `true` or `false`, and this is {}", node.what());
            self.push(node.locate(Diagnostic::new(Code::W106, node.span, message).did_you_mean(meant)));
            return None;
        }
        self.wrong_type(node, &format!("{what} is `true` or `false`"));
        None
    }

    /// A whole number in a range, both ends included.
    pub(crate) fn whole(&mut self, node: &Node, what: &str, least: u32, most: u32) -> Option<u32> {
        let range = || format!("{what} is a whole number from {least} to {most}");
        let Kind::Scalar { text, style } = &node.kind else {
            self.wrong_type(node, &range());
            return None;
        };
        match resolve(text, *style) {
            Ok(Resolved::Int(number)) => {
                if let Some(number) = u32::try_from(number).ok().filter(|number| (least..=most).contains(number)) {
                    return Some(number);
                }
                self.push(node.locate(Diagnostic::new(Code::W108, node.span, format!("{}, not {number}", range()))));
            }
            Err(NumberError::Overflow) => {
                self.push(node.locate(Diagnostic::new(Code::W108, node.span, format!("{}, not {text}", range()))));
            }
            Ok(Resolved::Text) => {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
                let meant = digits.then(|| text.replace('_', ""));
                let message = format!("{}, and this is a text", range());
                let found = Diagnostic::new(Code::W106, node.span, message).did_you_mean(meant.as_deref());
                self.push(node.locate(found));
            }
            Ok(Resolved::Null | Resolved::Bool(_) | Resolved::Float(_)) | Err(NumberError::NotFinite) => {
                self.wrong_type(node, &range());
            }
        }
        None
    }

    /// A number in a range, both ends included.
    pub(crate) fn number(&mut self, node: &Node, what: &str, least: f64, most: f64) -> Option<f64> {
        let wanted = format!("{what} is a number from {least} to {most}");
        let Kind::Scalar { text, style } = &node.kind else {
            self.wrong_type(node, &wanted);
            return None;
        };
        let number = match resolve(text, *style) {
            #[expect(clippy::cast_precision_loss, reason = "numbers in range are small")]
            Ok(Resolved::Int(number)) => number as f64,
            Ok(Resolved::Float(number)) => number,
            Ok(Resolved::Null | Resolved::Bool(_) | Resolved::Text) => {
                self.wrong_type(node, &wanted);
                return None;
            }
            Err(_) => f64::NAN,
        };
        if (least..=most).contains(&number) {
            return Some(number);
        }
        self.push(node.locate(Diagnostic::new(Code::W108, node.span, format!("{wanted}, not {text}"))));
        None
    }

    /// A duration.
    pub(crate) fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let text = self.text(node, what)?;
        match span::parse(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                let mut found = Diagnostic::new(Code::W110, node.span, format!("{what}: {error}"));
                if matches!(error, span::SpanError::NoUnit(_)) {
                    found = found.hint("a duration has a unit").replace(node.span, format!("{text}s"));
                }
                self.push(node.locate(found));
                None
            }
        }
    }

    /// A duration above zero, at most a year.
    pub(crate) fn timeout(&mut self, node: &Node) -> Option<Duration> {
        let duration = self.duration(node, "`timeout`")?;
        if duration.is_zero() || duration > LONGEST_TIMEOUT {
            let message = format!("`timeout` is more than nothing and at most 365d, not {}", span::format(duration));
            self.push(
                node.locate(Diagnostic::new(Code::W108, node.span, message).hint("leave `timeout` out for no limit")),
            );
            return None;
        }
        Some(duration)
    }

    /// An instant: RFC 3339 or a date.
    pub(crate) fn instant(&mut self, node: &Node, what: &str) -> Option<Timestamp> {
        let text = self.text(node, what)?;
        let parsed = Timestamp::parse(text);
        if parsed.is_none() {
            let message = format!("{what}: `{}` is no instant", self.short(text));
            let found = Diagnostic::new(Code::W111, node.span, message)
                .hint("write `2026-01-31` (midnight UTC) or `2026-01-31T09:30:00Z`");
            self.push(node.locate(found));
        }
        parsed
    }

    /// One of some words.
    pub(crate) fn choice<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("{what} cannot be `{}`", self.short(text));
        let found = Diagnostic::new(Code::W107, node.span, message).hint(format!("it is one of: {}", names.join(", ")));
        self.push(node.locate(found.did_you_mean(nearest(text, names.iter().copied()))));
        None
    }

    /// Texts: one alone, or a list of them. The nodes come along for their places.
    pub(crate) fn texts<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(&'n str, &'n Node)> {
        match &node.kind {
            Kind::Seq(items) => items
                .iter()
                .filter_map(|item| self.text(item, &format!("each entry of {what}")).map(|text| (text, &**item)))
                .collect(),
            Kind::Scalar { .. } if !node.is_null() => {
                self.text(node, what).map(|text| (text, node)).into_iter().collect()
            }
            Kind::Scalar { .. } | Kind::Map(_) | Kind::Broken => {
                self.wrong_type(node, &format!("{what} is a list of texts"));
                Vec::new()
            }
        }
    }

    /// A value without a type of its own, as JSON; numbers that JSON cannot hold become null after a diagnostic.
    pub(crate) fn json(&mut self, node: &Node) -> Value {
        match &node.kind {
            Kind::Broken => Value::Null,
            Kind::Seq(items) => Value::Array(items.iter().map(|item| self.json(item)).collect()),
            Kind::Map(entries) => Value::Object(self.json_map(entries)),
            Kind::Scalar { text, style } => match resolve(text, *style) {
                Ok(Resolved::Null) => Value::Null,
                Ok(Resolved::Bool(value)) => Value::Bool(value),
                Ok(Resolved::Int(number)) => Value::from(number),
                Ok(Resolved::Float(number)) => Value::from(number),
                Ok(Resolved::Text) => Value::String(text.clone()),
                Err(reason) => {
                    let why = match reason {
                        NumberError::Overflow => "does not fit 64 bits",
                        NumberError::NotFinite => "is no finite number",
                    };
                    let found = Diagnostic::new(Code::W011, node.span, format!("`{}` {why}", self.short(text)))
                        .hint("put it in quotes if a text is meant")
                        .replace(node.span, format!("\"{text}\""));
                    self.push(node.locate(found));
                    Value::Null
                }
            },
        }
    }

    pub(crate) fn json_map(&mut self, entries: &[Entry]) -> Map<String, Value> {
        entries.iter().map(|entry| (entry.key.clone(), self.json(&entry.value))).collect()
    }

    /// The place in the file of a byte range of a scalar's text.
    pub(crate) fn place(&self, node: &Node, range: std::ops::Range<usize>) -> Span {
        let Kind::Scalar { text, style } = &node.kind else { return node.span };
        let written = self.source.slice(node.span);
        let (written, offset) = match style {
            Style::Quoted => (written.get(1..).unwrap_or_default(), node.span.start + 1),
            Style::Plain | Style::Block => (written, node.span.start),
        };
        let (Some(start), Some(end)) = (align(text, written, range.start), align(text, written, range.end)) else {
            return node.span;
        };
        Span::new(offset + start, offset + end)
    }
}

/// The offset in `written` (indented, folded, escaped) of offset `at` of the `text` that YAML made of it.
fn align(text: &str, written: &str, at: usize) -> Option<usize> {
    if written.starts_with(text) {
        return Some(at);
    }
    let (text, written) = (text.as_bytes(), written.as_bytes());
    let (mut i, mut j) = (0, 0);
    while i < at {
        match (text.get(i)?, written.get(j)) {
            (a, Some(b)) if a == b => {
                // `''` in single quotes stands for one quote.
                j += usize::from(*b == b'\'' && written.get(j + 1) == Some(&b'\''));
                (i, j) = (i + 1, j + 1);
            }
            (_, Some(b)) if b.is_ascii_whitespace() || *b == b'\\' => j += 1,
            (a, _) if a.is_ascii_whitespace() => i += 1,
            _ => return None,
        }
    }
    // White space that YAML dropped stands before the next character.
    while written.get(j).is_some_and(u8::is_ascii_whitespace) && text.get(i).is_some_and(|a| !a.is_ascii_whitespace()) {
        j += 1;
    }
    Some(j)
}
