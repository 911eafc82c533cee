//! `schedule`, `catchup`, `data_interval`, `overlap`.

use std::time::Duration;

use croner::Cron;
use croner::errors::CronError;
use updraft_model::schedule::fires::{self, zone_names};
use updraft_model::schedule::{Catchup, DataIntervalKind, Dst, Gap, Overlap, Pass, Schedule};
use updraft_model::span;
use updraft_model::time::Timestamp;

use super::Cx;
use super::keys::{CATCHUP, DST, SCHEDULE};
use super::read::Fields;
use crate::diagnostic::{Code, Diagnostic};
use crate::suggest::nearest;
use crate::yaml::{Kind, Node, Resolved, resolve};

const PRESETS: [&str; 7] = ["@yearly", "@annually", "@quarterly", "@monthly", "@weekly", "@daily", "@hourly"];
/// Longest `jitter`.
const LONGEST_JITTER: Duration = Duration::from_hours(24);
/// Most instants of `dates`.
const MAX_DATES: usize = 10_000;

/// Parses a cron pattern as workflow files have it: five fields, or six with seconds in front. Else says what is wrong.
fn parse_cron(pattern: &str) -> Result<Cron, String> {
    if pattern.starts_with('@') && !PRESETS.contains(&pattern) {
        return Err(format!("there is no preset `{pattern}`: there are {}, @once and @continuous", PRESETS.join(", ")));
    }
    let fields = pattern.split_whitespace().count();
    if !pattern.starts_with('@') && !(5..=6).contains(&fields) {
        return Err(format!(
            "{fields} fields: write five (minute hour day month weekday), or six with seconds in front"
        ));
    }
    fires::parse_cron(pattern).map_err(|error| culprit(pattern).unwrap_or_else(|| reason(&error)))
}

fn reason(error: &CronError) -> String {
    match error {
        CronError::InvalidPattern(text) | CronError::IllegalCharacters(text) | CronError::ComponentError(text) => {
            text.trim_end_matches('.').to_owned()
        }
        other => other.to_string(),
    }
}

/// The field that is wrong by itself, and what it takes.
fn culprit(pattern: &str) -> Option<String> {
    const FIELDS: [(&str, &str); 6] = [
        ("second", "0–59"),
        ("minute", "0–59"),
        ("hour", "0–23"),
        ("day of month", "1–31, `L`, `W`"),
        ("month", "1–12, JAN–DEC"),
        ("day of week", "0–7, SUN–SAT, `#`, `L`"),
    ];
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    let names = FIELDS.get(FIELDS.len().checked_sub(fields.len())?..)?;
    fields.iter().zip(names).enumerate().find_map(|(at, (field, (name, range)))| {
        let alone: Vec<&str> = (0..fields.len()).map(|index| if index == at { *field } else { "*" }).collect();
        let error = fires::parse_cron(&alone.join(" ")).err()?;
        Some(format!("{name} `{field}`: {} (it takes {range})", reason(&error).to_lowercase()))
    })
}

/// Whether `schedule` says "by hand only".
pub(crate) fn is_none(node: &Node) -> bool {
    node.is_null() || matches!(&node.kind, Kind::Scalar { text, .. } if text.trim() == "none")
}

/// Reads `schedule`, and the jitter that stands in it.
pub(crate) fn read(cx: &mut Cx<'_>, node: &Node) -> (Option<Schedule>, Option<Duration>) {
    if is_none(node) {
        return (None, None);
    }
    match &node.kind {
        Kind::Scalar { .. } => (text(cx, node), None),
        Kind::Seq(_) => {
            let patterns = cx.texts(node, "`schedule`");
            (cron(cx, &patterns, None, Dst::default()), None)
        }
        Kind::Map(_) => {
            let Some(fields) = Fields::read(cx, node, &SCHEDULE) else { return (None, None) };
            let jitter = fields.get("jitter").filter(|entry| cx.has_value(entry));
            let jitter = jitter.and_then(|entry| jitter_of(cx, &entry.value));
            (map(cx, node, &fields), jitter.filter(|jitter| !jitter.is_zero()))
        }
        Kind::Broken => (None, None),
    }
}

fn text(cx: &mut Cx<'_>, node: &Node) -> Option<Schedule> {
    let text = cx.text(node, "`schedule`")?.trim();
    match text {
        "@once" => Some(Schedule::Once),
        "@continuous" => Some(Schedule::Continuous),
        "None" | "manual" | "@none" => {
            let found =
                Diagnostic::new(Code::W107, node.span, format!("`{text}` is no schedule")).did_you_mean(Some("none"));
            cx.push(
                node.locate(
                    found.hint("write `none`, or leave `schedule` out, for a workflow that is started by hand"),
                ),
            );
            None
        }
        _ => cron(cx, &[(text, node)], None, Dst::default()),
    }
}

fn jitter_of(cx: &mut Cx<'_>, node: &Node) -> Option<Duration> {
    let jitter = cx.duration(node, "`jitter`")?;
    if jitter > LONGEST_JITTER {
        let message = format!("`jitter` is at most 1d, not {}", span::format(jitter));
        cx.push(
            node.locate(Diagnostic::new(Code::W108, node.span, message)).hint("runs are put off by up to that much"),
        );
        return None;
    }
    Some(jitter)
}

/// Reads `dst`; says so if it changes nothing.
fn dst(cx: &mut Cx<'_>, node: &Node) -> Dst {
    let Some(fields) = Fields::read(cx, node, &DST) else { return Dst::default() };
    let gap = fields.get("gap").filter(|entry| cx.has_value(entry));
    let gap = gap.and_then(|entry| cx.choice(&entry.value, "`gap`", &[("after", Gap::After), ("skip", Gap::Skip)]));
    let passes = [("first", Pass::First), ("second", Pass::Second), ("both", Pass::Both)];
    let overlap = fields.get("overlap").filter(|entry| cx.has_value(entry));
    let overlap = overlap.and_then(|entry| cx.choice(&entry.value, "`overlap`", &passes));
    Dst { gap, overlap }
}

fn map(cx: &mut Cx<'_>, node: &Node, fields: &Fields<'_>) -> Option<Schedule> {
    let given: Vec<_> = ["cron", "every", "dates"].iter().filter_map(|key| fields.get(key)).collect();
    let zone = fields.get("timezone").filter(|entry| cx.has_value(entry));
    match given.as_slice() {
        [] => {
            let found = Diagnostic::new(Code::W105, node.span, "`schedule` says nothing about when");
            cx.push(node.locate(found.hint("give it `cron`, `every` or `dates`")));
            None
        }
        [only] => {
            if !cx.has_value(only) {
                return None;
            }
            let changes = fields.get("dst").filter(|entry| cx.has_value(entry));
            for entry in [zone, changes].into_iter().flatten().filter(|_| only.key != "cron") {
                let message = format!("`{}` has no effect beside `{}`", entry.key, only.key);
                cx.push(Diagnostic::new(Code::W304, entry.key_span, message).hint("leave it out"));
            }
            let changes = changes.map(|entry| dst(cx, &entry.value)).unwrap_or_default();
            match only.key.as_str() {
                "cron" => {
                    let patterns = cx.texts(&only.value, "`cron`");
                    cron(cx, &patterns, zone.map(|entry| &*entry.value), changes)
                }
                "every" => {
                    let every = cx.duration(&only.value, "`every`")?;
                    if every.as_secs() == 0 {
                        let found = Diagnostic::new(Code::W108, only.value.span, "`every` is at least one second");
                        cx.push(only.value.locate(found));
                        return None;
                    }
                    Some(Schedule::Every(every))
                }
                _ => dates(cx, &only.value),
            }
        }
        [first, second, ..] => {
            let message = format!("`{}` and `{}` contradict each other", first.key, second.key);
            let found = Diagnostic::new(Code::W112, second.key_span, message).also(first.key_span, "the other one");
            cx.push(found.hint("keep one of them"));
            None
        }
    }
}

fn dates(cx: &mut Cx<'_>, node: &Node) -> Option<Schedule> {
    let mut instants: Vec<Timestamp> = match &node.kind {
        Kind::Seq(items) if items.len() > MAX_DATES => {
            let message = format!("`dates` lists {} instants; {MAX_DATES} are allowed", items.len());
            cx.push(node.locate(Diagnostic::new(Code::W108, node.span, message)).hint("write `cron` or `every`"));
            return None;
        }
        Kind::Seq(items) => items.iter().filter_map(|item| cx.instant(item, "`dates`")).collect(),
        Kind::Scalar { .. } => cx.instant(node, "`dates`").into_iter().collect(),
        Kind::Map(_) | Kind::Broken => {
            cx.wrong_type(node, "`dates` is a list of instants");
            return None;
        }
    };
    instants.sort_unstable();
    instants.dedup();
    if instants.is_empty() {
        if matches!(&node.kind, Kind::Seq(items) if items.is_empty()) {
            cx.push(node.locate(Diagnostic::new(Code::W303, node.span, "`dates` lists no instant")));
        }
        return None;
    }
    Some(Schedule::Dates(instants))
}

fn cron(cx: &mut Cx<'_>, patterns: &[(&str, &Node)], zone: Option<&Node>, dst: Dst) -> Option<Schedule> {
    let mut good = true;
    for (pattern, node) in patterns {
        match parse_cron(pattern) {
            Ok(parsed) => good &= fires(cx, &parsed, pattern, node),
            Err(reason) => {
                good = false;
                let message = format!("`{}` is no cron pattern: {reason}", cx.short(pattern));
                let mut found = Diagnostic::new(Code::W301, node.span, message);
                if pattern.starts_with('@') {
                    let presets = PRESETS.iter().copied().chain(["@once", "@continuous"]);
                    found = found.did_you_mean(nearest(pattern, presets));
                } else if let Some(rewritten) = stepped(pattern) {
                    found = found.hint("a step needs a range in front").replace(node.span, format!("\"{rewritten}\""));
                } else {
                    found = found.hint("five fields: minute hour day-of-month month day-of-week, as in `*/10 * * * *`");
                }
                cx.push(node.locate(found));
            }
        }
    }
    let timezone = match zone {
        None => "UTC".to_owned(),
        Some(node) => self::zone(cx, node)?,
    };
    (good && !patterns.is_empty()).then(|| Schedule::Cron {
        patterns: patterns.iter().map(|(text, _)| (*text).to_owned()).collect(),
        timezone,
        dst,
    })
}

/// `5/5` and `/10`, which croniter takes, in the form that we take; `None` if there is nothing of the sort.
fn stepped(pattern: &str) -> Option<String> {
    let mut changed = false;
    let fields: Vec<String> = pattern
        .split_whitespace()
        .map(|field| match field.split_once('/') {
            Some(("", step)) => {
                changed = true;
                format!("*/{step}")
            }
            Some((start, step)) if !start.is_empty() && start.bytes().all(|byte| byte.is_ascii_digit()) => {
                changed = true;
                format!("{start}-59/{step}")
            }
            _ => field.to_owned(),
        })
        .collect();
    let rewritten = fields.join(" ");
    (changed && parse_cron(&rewritten).is_ok()).then_some(rewritten)
}

/// Whether a pattern ever fires: `0 0 31 2 *` parses and never does.
fn fires(cx: &mut Cx<'_>, cron: &Cron, pattern: &str, node: &Node) -> bool {
    // Only day and month together can contradict each other.
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    let days = fields.len().checked_sub(3).and_then(|at| fields.get(at..));
    let plain = days.is_none_or(|days| days[0] == "*" && days[1] == "*" && !days[2].contains('#'));
    if plain {
        return true;
    }
    let start = jiff::civil::date(2024, 1, 1).to_zoned(jiff::tz::TimeZone::UTC);
    let next = start.ok().map(|start| cron.find_next_occurrence(&start, true));
    if matches!(next, Some(Err(_))) {
        let message = format!("`{}` never fires: no such day exists", cx.short(pattern));
        cx.push(node.locate(Diagnostic::new(Code::W303, node.span, message)).hint("check day and month"));
        return false;
    }
    true
}

fn zone(cx: &mut Cx<'_>, node: &Node) -> Option<String> {
    let name = cx.text(node, "`timezone`")?;
    if let Some(zone) = fires::zone(name) {
        return Some(zone.iana_name().unwrap_or(name).to_owned());
    }
    let names: Vec<String> = zone_names().collect();
    // People write the city alone.
    let wanted = name.replace(' ', "_").to_lowercase();
    let city = names.iter().find(|known| known.rsplit('/').next().is_some_and(|city| city.to_lowercase() == wanted));
    let meant = city.map(String::as_str).or_else(|| nearest(name, names.iter().map(String::as_str)));
    let found = Diagnostic::new(Code::W302, node.span, format!("there is no time zone `{}`", cx.short(name)))
        .hint("write an IANA name such as `Europe/Berlin`")
        .did_you_mean(meant);
    cx.push(node.locate(found));
    None
}

/// Reads `catchup`: `false`, `true`, `none`, `latest`, `all` or `{window, max}`.
pub(crate) fn catchup(cx: &mut Cx<'_>, node: &Node) -> Option<Catchup> {
    match &node.kind {
        Kind::Map(_) => {
            let fields = Fields::read(cx, node, &CATCHUP)?;
            let max = fields.get("max").filter(|entry| cx.has_value(entry));
            let max = max.and_then(|entry| cx.whole(&entry.value, "`max`", 1, 10_000));
            let Some(window) = fields.get("window") else {
                let found = Diagnostic::new(Code::W105, node.span, "`catchup` as a map needs `window`");
                cx.push(node.locate(found.hint("write `catchup: {window: 6h}`")));
                return None;
            };
            let window = cx.has_value(window).then(|| cx.duration(&window.value, "`window`")).flatten()?;
            Some(Catchup::Window { window, max })
        }
        Kind::Scalar { text, style } => match resolve(text, *style) {
            Ok(Resolved::Bool(true)) => Some(Catchup::All),
            Ok(Resolved::Bool(false)) => Some(Catchup::None),
            _ => cx.choice(
                node,
                "`catchup`",
                &[("none", Catchup::None), ("latest", Catchup::Latest), ("all", Catchup::All)],
            ),
        },
        Kind::Seq(_) | Kind::Broken => {
            cx.wrong_type(node, "`catchup` is `true`, `false`, `none`, `latest`, `all` or `{window, max}`");
            None
        }
    }
}

/// Reads `data_interval`.
pub(crate) fn data_interval(cx: &mut Cx<'_>, node: &Node) -> Option<DataIntervalKind> {
    let words = [("window", DataIntervalKind::Window), ("point", DataIntervalKind::Point)];
    cx.choice(node, "`data_interval`", &words)
}

/// Reads `overlap`.
pub(crate) fn overlap(cx: &mut Cx<'_>, node: &Node) -> Option<Overlap> {
    let words = [("queue", Overlap::Queue), ("skip", Overlap::Skip), ("allow", Overlap::Allow)];
    cx.choice(node, "`overlap`", &words)
}
