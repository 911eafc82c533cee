//! Workflow folders: loaded in parallel, versioned by content, watched, published.
#![warn(missing_docs)]
