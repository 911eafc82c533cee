//! `quality.check`: rules about the rows of datasets, judged by region or over all, with a score and a row per result.

mod check;
mod groups;
mod history;
mod judge;
mod measure;
mod rule;
mod store;
#[cfg(test)]
mod tests;

pub use check::{MinScore, QualityCheck, QualityParams, QualityReport, RuleResult};
pub use history::{Compare, Same};
pub use judge::State;
pub(crate) use judge::{Limits, judge};
pub use rule::{Dimension, Limit, Per, Range, Rule, Severity};
