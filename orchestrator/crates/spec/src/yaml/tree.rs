//! The tree: scalars as written, sequences, maps in file order, each with its place.

use std::rc::Rc;

use crate::diagnostic::{Diagnostic, Span};

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without quotes: may be a number, a boolean or null.
    Plain,
    /// `'…'` or `"…"`, or tagged `!!str`.
    Quoted,
    /// `|` or `>`.
    Block,
}

/// One value of a file.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
    /// Where the alias stands through which this node is seen; `span` is then that of the definition.
    pub(crate) used_at: Option<Span>,
    /// Nodes of this subtree, itself included.
    pub(crate) size: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Scalar {
        text: String,
        style: Style,
    },
    Seq(Vec<Rc<Node>>),
    Map(Vec<Entry>),
    /// Something that was refused already: no further complaint about it.
    Broken,
}

/// One entry of a map.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Rc<Node>,
}

impl Node {
    pub(crate) fn new(kind: Kind, span: Span) -> Self {
        let size = 1 + match &kind {
            Kind::Scalar { .. } | Kind::Broken => 0,
            Kind::Seq(items) => items.iter().map(|item| item.size).sum(),
            Kind::Map(entries) => entries.iter().map(|entry| entry.value.size).sum(),
        };
        Self { kind, span, used_at: None, size }
    }

    /// A copy of this subtree as seen through an alias.
    pub(crate) fn seen_from(&self, alias: Span) -> Self {
        let kind = match &self.kind {
            Kind::Scalar { .. } | Kind::Broken => self.kind.clone(),
            Kind::Seq(items) => Kind::Seq(items.iter().map(|item| Rc::new(item.seen_from(alias))).collect()),
            Kind::Map(entries) => Kind::Map(
                entries
                    .iter()
                    .map(|entry| Entry { value: Rc::new(entry.value.seen_from(alias)), ..entry.clone() })
                    .collect(),
            ),
        };
        Self { kind, span: self.span, used_at: Some(alias), size: self.size }
    }

    /// What it is, for messages.
    pub(crate) fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a map",
            Kind::Broken => "nothing",
            Kind::Scalar { text, style } => match super::resolve(text, *style) {
                Ok(super::Resolved::Null) => "nothing",
                Ok(super::Resolved::Bool(_)) => "a boolean",
                Ok(super::Resolved::Int(_) | super::Resolved::Float(_)) | Err(_) => "a number",
                Ok(super::Resolved::Text) => "a text",
            },
        }
    }

    /// Whether nothing is written, or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, style } if matches!(super::resolve(text, *style), Ok(super::Resolved::Null)))
    }

    /// Adds the place of use to a diagnostic about this node.
    pub(crate) fn locate(&self, diagnostic: Diagnostic) -> Diagnostic {
        match self.used_at {
            Some(alias) => diagnostic.also(alias, "used here"),
            None => diagnostic,
        }
    }
}
