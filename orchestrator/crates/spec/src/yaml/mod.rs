//! YAML 1.2 text into a tree that knows where everything stands. Knows nothing of workflows.
//!
//! The parser's events come from granit-parser; the tree is ours because every diagnostic needs the place of a key and of a
//! value, duplicate keys must be seen, and scalars are typed by whoever reads them.

mod parse;
mod scalar;
mod tree;

pub(crate) use parse::{parse, too_long};
pub(crate) use scalar::{NumberError, Resolved, resolve};
pub(crate) use tree::{Entry, Kind, Node, Style};

/// Largest input.
pub(crate) const MAX_INPUT_BYTES: usize = 1 << 20;
/// Deepest nesting.
pub(crate) const MAX_DEPTH: usize = 64;
/// Most nodes that aliases may add.
pub(crate) const MAX_ALIAS_NODES: usize = 10_000;
