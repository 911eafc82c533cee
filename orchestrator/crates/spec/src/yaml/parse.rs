//! Events into a tree: budgets, duplicate keys, aliases and merge keys.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StructureStyle};

use super::{Entry, Kind, MAX_ALIAS_NODES, MAX_DEPTH, MAX_INPUT_BYTES, Node, Resolved, Style, resolve};
use crate::diagnostic::{Code, Diagnostic, Sink, Source, Span};

/// What is said of an input of more than [`MAX_INPUT_BYTES`].
pub(crate) fn too_long(bytes: u64) -> Option<Diagnostic> {
    (bytes > MAX_INPUT_BYTES as u64).then(|| {
        let message = format!("the file is {bytes} bytes long; {MAX_INPUT_BYTES} are allowed");
        Diagnostic::new(Code::W005, Span::new(0, 0), message).hint("move data out of the workflow file")
    })
}

/// Parses the one document of a file. `None` if nothing can be made of it; `sink` then says why.
pub(crate) fn parse(source: &Source, sink: &mut Sink) -> Option<Rc<Node>> {
    let text = source.text();
    if let Some(found) = too_long(text.len() as u64) {
        sink.push(found);
        return None;
    }
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_comments: false,
        block_nesting_limit: MAX_DEPTH + 1,
        flow_nesting_limit: MAX_DEPTH + 1,
    };
    let mut builder =
        Builder { source, sink, stack: Vec::new(), anchors: HashMap::new(), alias_nodes: 0, root: None, documents: 0 };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => {
                let span = span.byte_range().map_or_else(Span::default, |range| Span::new(range.start, range.end));
                builder.event(event, span)?;
            }
            Err(error) => {
                builder.syntax_error(&error);
                return None;
            }
        }
    }
    let root = builder.root.take();
    match root {
        Some(root) if builder.documents > 0 && !(root.is_null() && root.span.start == root.span.end) => Some(root),
        _ => {
            let diagnostic = Diagnostic::new(Code::W003, Span::new(0, 0), "the file holds no workflow");
            sink.push(diagnostic.hint("begin with `id: my_workflow` and `tasks:`"));
            None
        }
    }
}

struct Builder<'s> {
    source: &'s Source,
    sink: &'s mut Sink,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Rc<Node>>,
    alias_nodes: usize,
    root: Option<Rc<Node>>,
    documents: usize,
}

struct Frame {
    start: Span,
    flow: bool,
    anchor: usize,
    open: Open,
}

enum Open {
    Seq(Vec<Rc<Node>>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    seen: HashMap<String, Span>,
    /// The key whose value comes next; its name is `None` if it was refused.
    key: Option<(Option<String>, Span)>,
    /// What `<<` brings in; own keys win, then earlier sources.
    merged: Vec<Rc<Node>>,
    /// Was refused as a whole.
    broken: bool,
}

impl Builder<'_> {
    /// Takes one event; `None` ends parsing after a diagnostic.
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let diagnostic = Diagnostic::new(Code::W004, span, "a second document begins here");
                    self.sink.push(diagnostic.hint("one file holds one workflow: split the file"));
                    return None;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                let is_text = tag.as_deref().and_then(granit_parser::Tag::core_suffix) == Some("str");
                let style = if is_text && style == Style::Plain { Style::Quoted } else { style };
                if let Some(tag) = tag.filter(|_| !is_text) {
                    self.refuse_tag(&tag.original(), span);
                }
                let span = self.trimmed(span, style);
                self.put(Node::new(Kind::Scalar { text: text.into_owned(), style }, span), anchor);
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.open(Open::Seq(Vec::new()), span, style, anchor, tag.map(|tag| tag.original()))?;
            }
            Event::MappingStart(style, anchor, tag) => {
                self.open(Open::Map(OpenMap::default()), span, style, anchor, tag.map(|tag| tag.original()))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(id) => self.alias(id, span)?,
            Event::UnresolvedAlias(name) => {
                let message = format!("there is no anchor `&{name}` above");
                self.sink.push(
                    Diagnostic::new(Code::W008, span, message).hint("a plain `*` at the start of a text needs quotes"),
                );
                self.put(Node::new(Kind::Broken, span), 0);
            }
            _ => {}
        }
        Some(())
    }

    /// Block scalars end behind their last line break; a label should not.
    fn trimmed(&self, span: Span, style: Style) -> Span {
        match style {
            Style::Block => {
                let text = self.source.slice(span);
                Span::new(span.start, span.start + text.trim_end().len())
            }
            Style::Plain | Style::Quoted => span,
        }
    }

    fn refuse_tag(&mut self, tag: &str, span: Span) {
        let message = format!("the tag `{tag}` means nothing here");
        self.sink.push(Diagnostic::new(Code::W009, span, message).hint("leave the tag out: types come from the key"));
    }

    fn open(
        &mut self,
        open: Open,
        start: Span,
        style: StructureStyle,
        anchor: usize,
        tag: Option<String>,
    ) -> Option<()> {
        if let Some(tag) = tag {
            self.refuse_tag(&tag, start);
        }
        if self.stack.len() >= MAX_DEPTH {
            self.too_deep(start);
            return None;
        }
        self.stack.push(Frame { start, flow: style == StructureStyle::Flow, anchor, open });
        Some(())
    }

    fn too_deep(&mut self, at: Span) {
        let message = format!("the file nests more than {MAX_DEPTH} levels deep");
        self.sink.push(Diagnostic::new(Code::W005, at, message).hint("flatten it"));
    }

    fn close(&mut self, end: Span) {
        let Some(frame) = self.stack.pop() else { return };
        let (kind, first, last) = match frame.open {
            Open::Seq(items) => {
                let ends = (items.first().map(|item| item.span.start), items.last().map(|item| item.span.end));
                (Kind::Seq(items), ends.0, ends.1)
            }
            Open::Map(map) => {
                let ends = (
                    map.entries.first().map(|entry| entry.key_span.start),
                    map.entries.last().map(|entry| entry.value.span.end.max(entry.key_span.end)),
                );
                (Self::finish_map(map), ends.0, ends.1)
            }
        };
        let span = if frame.flow {
            Span::new(frame.start.start, end.end)
        } else {
            Span::new(first.unwrap_or(frame.start.start), last.unwrap_or(frame.start.end))
        };
        self.put(Node::new(kind, span), frame.anchor);
    }

    fn finish_map(map: OpenMap) -> Kind {
        if map.broken {
            return Kind::Broken;
        }
        let OpenMap { mut entries, mut seen, merged, .. } = map;
        for source in merged {
            let Kind::Map(brought) = &source.kind else { continue };
            for entry in brought {
                if !seen.contains_key(&entry.key) {
                    seen.insert(entry.key.clone(), entry.key_span);
                    entries.push(entry.clone());
                }
            }
        }
        Kind::Map(entries)
    }

    fn alias(&mut self, id: usize, span: Span) -> Option<()> {
        let Some(target) = self.anchors.get(&id) else {
            let diagnostic = Diagnostic::new(Code::W008, span, "an alias stands inside the value that it names");
            self.sink.push(diagnostic.hint("a value cannot hold itself"));
            self.put(Node::new(Kind::Broken, span), 0);
            return Some(());
        };
        self.alias_nodes += target.size;
        if self.alias_nodes > MAX_ALIAS_NODES {
            let message = format!("aliases blow the file up to more than {MAX_ALIAS_NODES} additional values");
            self.sink
                .push(Diagnostic::new(Code::W005, span, message).hint("write the values out, or use fewer aliases"));
            return None;
        }
        let copy = target.seen_from(span);
        self.put(copy, 0);
        Some(())
    }

    /// Hangs a finished node under its parent.
    fn put(&mut self, node: Node, anchor: usize) {
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        let map = match &mut frame.open {
            Open::Seq(items) => return items.push(node),
            Open::Map(map) => map,
        };
        match map.key.take() {
            None => {
                let (name, found) = key(&node, frame.start, self.source);
                if let Some(found) = found {
                    map.broken |= found.code == Code::W010;
                    self.sink.push(found);
                }
                let place = node.used_at.unwrap_or(node.span);
                map.key = Some((name, place));
            }
            Some((None, _)) => {}
            Some((Some(name), key_span)) if name == "<<" => {
                let sources = match &node.kind {
                    Kind::Seq(items) => items.clone(),
                    Kind::Map(_) | Kind::Scalar { .. } | Kind::Broken => vec![Rc::clone(&node)],
                };
                for source in sources {
                    match source.kind {
                        Kind::Map(_) => map.merged.push(source),
                        Kind::Broken => {}
                        Kind::Seq(_) | Kind::Scalar { .. } => {
                            let place = source.used_at.unwrap_or(source.span);
                            let message = format!("`<<` merges maps, and this is {}", source.what());
                            self.sink.push(Diagnostic::new(Code::W008, place, message).also(key_span, "merged here"));
                        }
                    }
                }
            }
            Some((Some(name), key_span)) => {
                if let Some(first) = map.seen.get(&name) {
                    let message = format!("the key `{}` is there twice", shown(&name));
                    let diagnostic = Diagnostic::new(Code::W006, key_span, message)
                        .label("second time")
                        .also(*first, "first time")
                        .hint("keep one of them");
                    self.sink.push(diagnostic);
                } else {
                    map.seen.insert(name.clone(), key_span);
                    map.entries.push(Entry { key: name, key_span, value: node });
                }
            }
        }
    }

    fn syntax_error(&mut self, error: &ScanError) {
        let text = self.source.text();
        let start = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
        let width = text.get(start..).and_then(|rest| rest.chars().next()).filter(|c| !matches!(c, '\n' | '\r'));
        let span = Span::new(start, start + width.map_or(0, char::len_utf8));
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            return self.too_deep(span);
        }
        if let Some(diagnostic) = unquoted_near(self.source, start) {
            return self.sink.push(diagnostic);
        }
        let (message, hint) = explain(error.kind());
        self.sink.push(Diagnostic::new(Code::W001, span, message).hint_if(hint));
    }
}

/// A key's name, or why it is none.
fn key(node: &Node, map_start: Span, source: &Source) -> (Option<String>, Option<Diagnostic>) {
    let refused = |diagnostic: Diagnostic| (None, Some(diagnostic));
    match &node.kind {
        Kind::Scalar { text, style } => {
            if matches!(resolve(text, *style), Ok(Resolved::Text)) {
                return (Some(text.clone()), None);
            }
            let written = source.slice(node.span);
            let message = if written.is_empty() {
                "a key is missing before the colon".to_owned()
            } else {
                format!("the key `{}` is {}, and keys are texts", shown(written), node.what())
            };
            let diagnostic = Diagnostic::new(Code::W007, node.span, message);
            refused(if written.is_empty() {
                diagnostic.hint("write the key")
            } else {
                diagnostic.hint("put it in quotes").replace(node.span, format!("\"{written}\""))
            })
        }
        Kind::Broken => (None, None),
        Kind::Seq(_) | Kind::Map(_) => {
            let template = source.text().get(map_start.start..).is_some_and(|rest| rest.starts_with("{{"));
            if template {
                return refused(unquoted(source, map_start.start));
            }
            let message = format!("this key is {}, and keys are texts", node.what());
            refused(Diagnostic::new(Code::W007, node.used_at.unwrap_or(node.span), message))
        }
    }
}

/// A template at the start of a plain value, around the line where parsing stopped.
fn unquoted_near(source: &Source, offset: usize) -> Option<Diagnostic> {
    let at = source.position(offset).line;
    (at.saturating_sub(1).max(1)..=at).rev().find_map(|number| {
        let line = source.line(number);
        let found = line.find("{{").or_else(|| line.find("{%"))?;
        let before = line[..found].trim_end();
        let begins_value = before.is_empty() || before.ends_with([':', '-', ',', '[']);
        (begins_value && !before.trim_start().starts_with('#'))
            .then(|| unquoted(source, source.line_start(number) + found))
    })
}

fn unquoted(source: &Source, start: usize) -> Diagnostic {
    let line_end = {
        let number = source.position(start).line;
        source.line_start(number) + source.line(number).len()
    };
    let rest = &source.text()[start..line_end.max(start)];
    // Up to a comment or the end of the line; inside a flow collection up to the braces of the template.
    let value = rest.split(" #").next().unwrap_or(rest).trim_end();
    let closed = value.rfind("}}").or_else(|| value.rfind("%}")).map(|at| at + 2);
    let value = match closed {
        Some(closed) if value[closed..].starts_with([',', ']', '}']) => &value[..closed],
        _ => value,
    };
    let span = Span::new(start, start + value.len());
    let quoted = if value.contains('"') { format!("'{}'", value.replace('\'', "''")) } else { format!("\"{value}\"") };
    Diagnostic::new(Code::W010, span, "a value that begins with a template needs quotes")
        .label("YAML reads this as a map")
        .hint("put it in quotes")
        .replace(span, quoted)
}

/// At most forty characters of a name.
fn shown(name: &str) -> String {
    if name.chars().count() <= 40 {
        name.to_owned()
    } else {
        format!("{}…", name.chars().take(40).collect::<String>())
    }
}

/// The parser's errors that people make, in words that help.
fn explain(kind: &ErrorKind) -> (String, Option<&'static str>) {
    const INDENT: &str = "check the indentation: entries of one map or list begin in the same column";
    const QUOTES: &str = "a text with special characters needs quotes";
    let (message, hint): (&str, Option<&'static str>) = match kind {
        ErrorKind::TabInIndentation
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => ("a tab stands where only spaces may indent", Some("indent with spaces")),
        ErrorKind::UnclosedQuotedScalar => {
            ("this quote is never closed", Some("close it; inside '…' write '' for one quote"))
        }
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofImplicitFlowMapping => ("this bracket is never closed", Some("close it")),
        ErrorKind::MismatchedFlowCollectionEnd { .. } | ErrorKind::MisplacedFlowCollectionEnd => {
            ("this bracket closes nothing that is open", Some("check the pairs of brackets"))
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => {
            ("a comma or a closing bracket is missing here", Some(QUOTES))
        }
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape => {
            ("this backslash sequence does not exist", Some("write \\\\ for a backslash, or use single quotes"))
        }
        ErrorKind::MappingValueNotAllowed
        | ErrorKind::InvalidColonPlacement
        | ErrorKind::MappingKeyNotAllowed
        | ErrorKind::InvalidMappingValueWhitespace => (
            "a colon makes a key of this, and no key can stand here",
            Some("a text with `: ` in it needs quotes; otherwise check the indentation"),
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidSimpleKey => {
            ("a `key: value` is expected here", Some(INDENT))
        }
        ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::BlockSequenceEntryNotAllowed
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::InvalidFlowScalarIndent
        | ErrorKind::InvalidBlockScalarIndent => ("this line is indented wrongly", Some(INDENT)),
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => {
            return (format!("a control character (U+{:04X}) stands here", u32::from(*character)), Some("remove it"));
        }
        ErrorKind::UnexpectedCharacter { character } => {
            return (format!("no value can begin with `{}`", character.escape_default()), Some(QUOTES));
        }
        ErrorKind::BomInsideDocument => ("a byte-order mark stands inside the file", Some("remove it")),
        ErrorKind::UnsupportedYamlMajorVersion => {
            ("this version of YAML is not known", Some("leave the `%YAML` line out"))
        }
        other => return (other.to_string(), None),
    };
    (message.to_owned(), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(node: &Node, source: &Source) -> String {
        match &node.kind {
            Kind::Scalar { text, .. } => format!("{text:?}<{}>", source.slice(node.span)),
            Kind::Broken => "!".to_owned(),
            Kind::Seq(items) => {
                format!("[{}]", items.iter().map(|item| outline(item, source)).collect::<Vec<_>>().join(", "))
            }
            Kind::Map(entries) => format!(
                "{{{}}}",
                entries
                    .iter()
                    .map(|entry| format!("{}: {}", source.slice(entry.key_span), outline(&entry.value, source)))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    }

    fn read(text: &str) -> String {
        let source = Source::new("f.yaml", text);
        let mut sink = Sink::default();
        let tree = parse(&source, &mut sink);
        let found: Vec<String> = sink
            .finish(text.len())
            .iter()
            .map(|found| {
                let at = source.position(found.span.start);
                format!("{} {}:{} {}", found.code, at.line, at.column, found.message)
            })
            .collect();
        let tree = tree.map_or_else(|| "-".to_owned(), |tree| outline(&tree, &source));
        if found.is_empty() { tree } else { format!("{tree} | {}", found.join(" | ")) }
    }

    #[test]
    fn trees_know_their_places() {
        for (text, expected) in [
            ("a: b\nc: [1, 'x y', \"z\"]\n", r#"{a: "b"<b>, c: ["1"<1>, "x y"<'x y'>, "z"<"z">]}"#),
            ("a:\nb: |\n  text\n  more\n\nc: é\n", "{a: \"~\"<>, b: \"text\\nmore\\n\"<text\n  more>, c: \"é\"<é>}"),
            ("x: &d {p: 1, q: 2}\ny:\n  <<: *d\n  q: 3\n", r#"{x: {p: "1"<1>, q: "2"<2>}, y: {q: "3"<3>, p: "1"<1>}}"#),
            ("- &a k\n- *a\n", r#"["k"<k>, "k"<k>]"#),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
