//! Workflow files: YAML text → [`updraft_model::workflow::Workflow`], every mistake at once with its place and remedy;
//! and templates, whose meaning the checks and the engine share.
//!
//! Nothing here opens a file, reads a clock or knows a concrete task type: what exists in a project comes in as data.
#![warn(missing_docs)]

mod catalog;
mod check;
pub mod diagnostic;
mod fmt;
mod params;
mod schema;
mod suggest;
pub mod template;
mod yaml;

pub use catalog::{Catalog, ConnNeed, TaskSpec};
pub use check::{Checked, check, check_bytes, check_size, check_together, defined_twice};
pub use diagnostic::{CODES, Code, Diagnostic, Severity, errors_index};
pub use fmt::format;
pub use params::{ParamError, parse_param, resolve_params};
pub use schema::schema;
pub use suggest::nearest;

/// All codes with their titles, in order; each has a page `docs/errors/Wnnn.md`.
pub fn codes() -> impl Iterator<Item = (&'static str, &'static str)> {
    CODES.iter().map(|code| (code.name(), code.title()))
}
