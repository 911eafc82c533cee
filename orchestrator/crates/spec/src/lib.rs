//! Workflow files: YAML text → [`updraft_model::workflow::Workflow`], every mistake at once with its place and remedy;
//! and templates, whose meaning the checks and the engine share.
//!
//! Nothing here opens a file, reads a clock or knows a concrete task type: what exists in a project comes in as data.
#![warn(missing_docs)]

mod suggest;
pub mod template;
