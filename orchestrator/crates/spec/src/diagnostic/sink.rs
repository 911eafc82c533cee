//! Collects diagnostics, bounded, in file order.

use super::{Code, Diagnostic, Severity, Span};

/// Most diagnostics kept of one file; the rest is counted.
const MOST: usize = 500;

/// Diagnostics with advice that takes a search.
const ADVISED: usize = 100;

/// Where checks put what they find.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    kept: Vec<Diagnostic>,
    errors: usize,
    dropped: usize,
}

impl Sink {
    /// Takes one.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if diagnostic.severity == Severity::Error {
            self.errors += 1;
        }
        if self.kept.len() < MOST { self.kept.push(diagnostic) } else { self.dropped += 1 }
    }

    /// Whether there are so many that expensive advice is left out.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() >= ADVISED
    }

    /// Errors so far.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// All of them by place, and a last one that says how many were not kept.
    pub(crate) fn finish(mut self, end: usize) -> Vec<Diagnostic> {
        self.kept.sort_by_key(|found| (found.span.start, found.code));
        self.kept.dedup();
        if self.dropped > 0 {
            let message = format!("{} more mistakes are not shown", self.dropped);
            self.kept.push(
                Diagnostic::new(Code::W012, Span::new(end, end), message)
                    .hint("mend those above first, then check again"),
            );
        }
        self.kept
    }
}
