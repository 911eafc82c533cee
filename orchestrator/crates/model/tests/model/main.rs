//! What the pure core promises.

mod canonical;
mod decide;
mod events;
mod graph;
mod interval;
mod oracle;
mod properties;
mod retry;
mod support;
mod transitions;
mod trigger_rules;
