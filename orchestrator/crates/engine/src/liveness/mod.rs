//! Who lives: this worker's own lease, and what becomes of attempts whose worker does not answer (engine.md F34, F35).
//!
//! ```text
//! thread `updraft-heartbeat`   beats, looks at all workers through the same session, judges (observer)
//! runtime                      listen: hints from others · reaper: carries out what was judged, in lanes
//! ```

pub(crate) mod heartbeat;
pub(crate) mod hints;
pub(crate) mod observer;
pub(crate) mod reaper;
