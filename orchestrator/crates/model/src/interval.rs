//! The data interval that a logical date stands for.

pub use crate::schedule::fires::{FireError, Fires};
use crate::schedule::timetable::anchor;
use crate::schedule::{DataIntervalKind, Schedule};
use crate::time::{DataInterval, Timestamp};
use crate::workflow::Workflow;

/// The interval of a manual run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManualInterval {
    /// The data it is for.
    pub interval: DataInterval,
    /// Set if the workflow has a schedule that does not fire at the logical date: the fires before and after it.
    /// The interval is then the instant itself; a warning should say so.
    pub off_schedule: Option<(Option<Timestamp>, Option<Timestamp>)>,
}

/// The interval of a manual run with this logical date: the one that starts there by the workflow's schedule, else the
/// instant itself. A date that is no fire is never moved to one: that would silently be other data than was asked for.
/// `every` without `start_date` counts from the Unix epoch here; see [`manual_interval_since`].
///
/// # Errors
/// The schedule cannot be computed.
pub fn manual_interval(workflow: &Workflow, logical_at: Timestamp) -> Result<ManualInterval, FireError> {
    manual_interval_since(workflow, logical_at, Timestamp::default())
}

/// [`manual_interval`] of a published workflow: `every` without `start_date` counts from its first publication.
///
/// # Errors
/// The schedule cannot be computed.
pub fn manual_interval_since(
    workflow: &Workflow,
    logical_at: Timestamp,
    published: Timestamp,
) -> Result<ManualInterval, FireError> {
    let point = DataInterval { start: logical_at, end: logical_at };
    let on_schedule = |interval| ManualInterval { interval, off_schedule: None };
    let Some(schedule) = &workflow.schedule else { return Ok(on_schedule(point)) };
    let anchor = anchor(workflow, published);
    let Some(fires) = Fires::of(schedule, Some(anchor))? else { return Ok(on_schedule(point)) };
    let latest = fires.at_or_before(logical_at)?;
    let next = fires.after(logical_at)?;
    if latest != Some(logical_at) {
        return Ok(ManualInterval { interval: point, off_schedule: Some((latest, next)) });
    }
    // Between fixed dates there is no span that anybody meant.
    let windows = workflow.data_interval == DataIntervalKind::Window && !matches!(schedule, Schedule::Dates(_));
    Ok(on_schedule(match next {
        Some(end) if windows => DataInterval { start: logical_at, end },
        Some(_) | None => point,
    }))
}
