//! Live streams: hints for lists, exact events of a run, growing logs. Whoever reads slowly waits by themselves; the engine
//! never does.

mod feed;
mod hub;
mod stream;

pub(crate) use feed::Feeds;
pub(crate) use hub::{Hint, Hub};
pub(crate) use stream::{event_entry, hints, last_event_id, log, run_events};
