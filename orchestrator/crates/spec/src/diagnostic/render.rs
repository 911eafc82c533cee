//! The form for people: like rustc's.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet, normalize_untrusted_str};

use super::{Diagnostic, Severity, Source, Span};

/// Longest line that is shown; longer ones are named by their place alone.
const LONGEST_LINE_BYTES: usize = 2_000;

/// Renders one diagnostic with the lines it speaks of.
pub fn render(diagnostic: &Diagnostic, source: &Source, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(120);
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let message = normalize_untrusted_str(&diagnostic.message);
    let label = diagnostic.label.as_deref().map(normalize_untrusted_str);
    let labels: Vec<(Span, String)> =
        diagnostic.labels.iter().map(|other| (other.span, normalize_untrusted_str(&other.text))).collect();
    let title = level.clone().primary_title(message).id(diagnostic.code.name());
    let spans = std::iter::once(diagnostic.span).chain(labels.iter().map(|(span, _)| *span));
    let group = if let Some((window, first_line)) = window(source, spans) {
        let text = &source.text()[window.range()];
        let shift = |span: Span| {
            let start = boundary(source, span.start.clamp(window.start, window.end)) - window.start;
            let end = boundary(source, span.end.clamp(window.start, window.end)) - window.start;
            start..end.max(start)
        };
        let mut snippet = Snippet::source(text)
            .path(source.name())
            .line_start(first_line)
            .annotation(AnnotationKind::Primary.span(shift(diagnostic.span)).label(label));
        for (span, text) in labels {
            snippet = snippet.annotation(AnnotationKind::Context.span(shift(span)).label(text));
        }
        title.element(snippet)
    } else {
        let at = source.position(diagnostic.span.start);
        title.element(annotate_snippets::Origin::path(source.name()).line(at.line).char_column(at.column))
    };
    let hint = diagnostic.hint.as_deref().map(normalize_untrusted_str);
    let patch = diagnostic.suggestion.as_ref().and_then(|suggestion| {
        let (window, first_line) = window(source, std::iter::once(suggestion.span))?;
        let span = suggestion.span.start - window.start..suggestion.span.end - window.start;
        let snippet = Snippet::source(&source.text()[window.range()]).path(source.name()).line_start(first_line);
        Some(snippet.patch(Patch::new(span, suggestion.text.clone())))
    });
    let mut groups: Vec<Group<'_>> = Vec::new();
    match (hint, patch) {
        (Some(hint), Some(patch)) => {
            groups.push(group);
            groups.push(Level::HELP.secondary_title(hint).element(patch));
        }
        (Some(hint), None) => groups.push(group.element(Level::HELP.message(hint))),
        (None, _) => groups.push(group),
    }
    renderer.render(&groups)
}

fn boundary(source: &Source, mut offset: usize) -> usize {
    while !source.text().is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// The whole lines around the spans and the number of the first; `None` if a line is too long to show.
fn window(source: &Source, spans: impl Iterator<Item = Span>) -> Option<(Span, usize)> {
    let (mut first, mut last) = (usize::MAX, 0);
    for span in spans {
        first = first.min(source.position(span.start).line);
        last = last.max(source.position(span.end).line);
    }
    let window = Span::new(source.line_start(first), source.line_start(last + 1));
    let short = (first..=last).all(|line| source.line(line).len() <= LONGEST_LINE_BYTES);
    // A lone `\r` ends a line for YAML but not for the renderer, whose line numbers would be wrong.
    let ordinary = !source.slice(window).replace("\r\n", "").contains('\r');
    (short && ordinary).then_some((window, first))
}
