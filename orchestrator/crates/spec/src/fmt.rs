//! `updraft fmt`: canonical keys and clean line ends. Order, comments, quotes and layout stay as the author has them.

use std::collections::BTreeMap;

use crate::check::{CATCHUP, DEFAULTS, DST, RETRY, SCHEDULE, TASK, Table, WORKFLOW};
use crate::diagnostic::{Diagnostic, Sink, Source, Span};
use crate::yaml::{self, Kind, Node};

/// Formats a file.
///
/// # Errors
/// What keeps the text from being read as YAML.
pub fn format(name: &str, text: &str) -> Result<String, Vec<Diagnostic>> {
    let source = Source::new(name, text);
    let mut sink = Sink::default();
    let root = yaml::parse(&source, &mut sink);
    let Some(root) = root.filter(|_| sink.errors() == 0) else { return Err(sink.finish(text.len())) };
    let mut edits = Edits { source: &source, found: BTreeMap::new() };
    edits.workflow(&root);
    edits.line_ends(&root);
    Ok(edits.apply())
}

struct Edits<'s> {
    source: &'s Source,
    /// Start → end and new text; the places do not overlap.
    found: BTreeMap<usize, (usize, String)>,
}

impl Edits<'_> {
    fn workflow(&mut self, root: &Node) {
        self.keys(root, &WORKFLOW);
        for (key, value) in children(root) {
            match WORKFLOW.canonical(key) {
                "tasks" => {
                    if let Kind::Seq(tasks) = &value.kind {
                        for task in tasks {
                            self.task(task, &TASK);
                        }
                    }
                }
                "defaults" => self.task(value, &DEFAULTS),
                "schedule" => {
                    self.keys(value, &SCHEDULE);
                    for (key, inner) in children(value) {
                        if key == "dst" {
                            self.keys(inner, &DST);
                        }
                    }
                }
                "catchup" => self.keys(value, &CATCHUP),
                _ => {}
            }
        }
    }

    fn task(&mut self, task: &Node, table: &Table) {
        self.keys(task, table);
        for (key, value) in children(task) {
            if key == "retry" {
                self.keys(value, &RETRY);
            }
        }
    }

    /// Rewrites the other spellings among the keys of a map that is written here (not one seen through an alias).
    fn keys(&mut self, node: &Node, table: &Table) {
        let Kind::Map(entries) = &node.kind else { return };
        if node.used_at.is_some() {
            return;
        }
        for entry in entries {
            let canonical = table.canonical(&entry.key);
            // Two spellings of one key are for the author to resolve.
            let alone = entries.iter().filter(|other| table.canonical(&other.key) == canonical).count() == 1;
            if canonical != entry.key && alone && !is_merged(entry.key_span, node) {
                let written = self.source.slice(entry.key_span);
                let quote =
                    written.chars().next().filter(|c| matches!(c, '"' | '\'')).map(String::from).unwrap_or_default();
                let text = format!("{quote}{canonical}{quote}");
                self.found.insert(entry.key_span.start, (entry.key_span.end, text));
            }
        }
    }

    /// No blanks at line ends, one line break at the end of the file; scalars over several lines stay as they are.
    fn line_ends(&mut self, root: &Node) {
        let mut kept = Vec::new();
        multi_line(root, self.source, &mut kept);
        let text = self.source.text();
        let end = text.trim_end().len();
        let mut start = 0;
        for line in text[..end].split_inclusive('\n') {
            let bare = line.trim_end_matches('\n').trim_end_matches('\r');
            let trimmed = bare.trim_end_matches([' ', '\t']);
            let (from, to) = (start + trimmed.len(), start + bare.len());
            if from < to && !kept.iter().any(|span: &Span| span.start <= from && from <= span.end) {
                self.found.insert(from, (to, String::new()));
            }
            start += line.len();
        }
        let closing = if text[..end].contains("\r\n") { "\r\n" } else { "\n" };
        let inside = kept.iter().any(|span| span.end >= end);
        if !inside && &text[end..] != closing {
            self.found.insert(end, (text.len(), closing.to_owned()));
        }
    }

    fn apply(self) -> String {
        let text = self.source.text();
        let (mut out, mut at) = (String::with_capacity(text.len()), 0);
        for (start, (end, new)) in self.found {
            if start < at {
                continue;
            }
            out.push_str(&text[at..start]);
            out.push_str(&new);
            at = end;
        }
        out.push_str(&text[at..]);
        out
    }
}

/// Whether a key was brought in by `<<` from elsewhere.
fn is_merged(key: Span, map: &Node) -> bool {
    key.start < map.span.start || key.end > map.span.end
}

fn children(node: &Node) -> impl Iterator<Item = (&str, &Node)> {
    let entries = match &node.kind {
        Kind::Map(entries) => entries.as_slice(),
        Kind::Scalar { .. } | Kind::Seq(_) | Kind::Broken => &[],
    };
    entries.iter().map(|entry| (entry.key.as_str(), &*entry.value))
}

/// The places of scalars over several lines, to the end of their last line and its blank lines.
fn multi_line(node: &Node, source: &Source, found: &mut Vec<Span>) {
    match &node.kind {
        Kind::Scalar { style, .. } => {
            let block = *style == yaml::Style::Block;
            if block || source.slice(node.span).contains('\n') {
                let rest = &source.text()[node.span.end..];
                let blank = if block { rest.len() - rest.trim_start().len() } else { 0 };
                found.push(Span::new(node.span.start, node.span.end + blank));
            }
        }
        Kind::Seq(items) => items.iter().for_each(|item| multi_line(item, source, found)),
        Kind::Map(entries) => entries.iter().for_each(|entry| multi_line(&entry.value, source, found)),
        Kind::Broken => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_become_keys_and_all_else_stays() {
        let text = "# head  \nname: w   # why\ninputs: {needs: 1}\nsteps:\n  # one\n  - task_id: a\n    \"uses\": noop\n    needs: \
                    [x]  \n    with:\n      name: stays\n      text: |\n        two   \n        lines\n\n  - {id: b, type: noop, \
                    if: x, depends: a, needs: b}\n\n\n";
        let expected = "# head\nid: w   # why\nparams: {needs: 1}\ntasks:\n  # one\n  - id: a\n    \"type\": noop\n    \
                        depends_on: [x]\n    with:\n      name: stays\n      text: |\n        two   \n        lines\n\n  - {id: \
                        b, type: noop, when: x, depends: a, needs: b}\n";
        assert_eq!(format("w.yaml", text).expect("YAML"), expected);
        assert_eq!(format("w.yaml", expected).expect("YAML"), expected, "twice is once");
    }

    #[test]
    fn what_comes_through_an_anchor_is_rewritten_where_it_is_written_as_a_task_alone() {
        let text = "id: w\nvars: {base: &b {needs: a}}\ntasks:\n  - &t {name: a, type: noop}\n  - {<<: *b, name: b, type: noop}\n";
        let expected =
            "id: w\nvars: {base: &b {needs: a}}\ntasks:\n  - &t {id: a, type: noop}\n  - {<<: *b, id: b, type: noop}\n";
        assert_eq!(format("w.yaml", text).expect("YAML"), expected);
    }

    #[test]
    fn a_file_that_is_no_yaml_is_refused_with_its_reason() {
        let found = format("w.yaml", "id: \"w\n").expect_err("no YAML");
        assert_eq!(found[0].code, crate::Code::W001);
    }
}
