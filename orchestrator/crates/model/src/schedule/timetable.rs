//! Which run each fire of a workflow's schedule stands for.

use std::time::Duration;

use super::fires::{FireError, Fires};
use super::{DataIntervalKind, Schedule};
use crate::time::{DataInterval, Timestamp};
use crate::workflow::Workflow;

/// One fire of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fire {
    /// The instant that the schedule names; the run's key.
    pub at: Timestamp,
    /// When the run is created: `at`, plus jitter.
    pub due: Timestamp,
    /// The run's logical date.
    pub logical_at: Timestamp,
    /// The data that the run is for.
    pub interval: DataInterval,
}

impl Fire {
    /// The `run_key` of this fire's run: the fire in UTC, without jitter. Two runs of one workflow never share it.
    pub fn run_key(&self) -> String {
        self.at.to_string()
    }
}

/// A workflow's schedule with its bounds.
#[derive(Debug, Clone)]
pub struct Timetable {
    source: Source,
    interval: DataIntervalKind,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    jitter: Duration,
    workflow: String,
}

#[derive(Debug, Clone)]
enum Source {
    Clock(Fires),
    Continuous,
}

impl Timetable {
    /// `None` for a workflow without a schedule. `anchor` is the first publication: `every` and `@once` count from it when
    /// there is no `start_date`.
    ///
    /// # Errors
    /// A pattern or zone that `check` would have refused.
    pub fn of(workflow: &Workflow, anchor: Timestamp) -> Result<Option<Self>, FireError> {
        let Some(schedule) = &workflow.schedule else { return Ok(None) };
        let anchor = self::anchor(workflow, anchor);
        let (source, interval) = match schedule {
            Schedule::Continuous => (Source::Continuous, workflow.data_interval),
            Schedule::Once => {
                let once = Fires::of(&Schedule::Dates(vec![anchor]), None)?;
                (once.map_or(Source::Continuous, Source::Clock), DataIntervalKind::Point)
            }
            clock @ (Schedule::Cron { .. } | Schedule::Every(_) | Schedule::Dates(_)) => {
                // Between fixed dates there is no span that anybody meant.
                let points = matches!(clock, Schedule::Dates(_));
                let interval = if points { DataIntervalKind::Point } else { workflow.data_interval };
                (Fires::of(clock, Some(anchor))?.map_or(Source::Continuous, Source::Clock), interval)
            }
        };
        Ok(Some(Self {
            source,
            interval,
            start: workflow.start_date,
            end: workflow.end_date,
            jitter: workflow.jitter.unwrap_or_default(),
            workflow: workflow.id.clone(),
        }))
    }

    /// Whether runs follow each other instead of the clock.
    pub fn is_continuous(&self) -> bool {
        matches!(self.source, Source::Continuous)
    }

    /// The fires of the clock, without bounds; `None` if runs follow each other.
    pub fn fires(&self) -> Option<&Fires> {
        match &self.source {
            Source::Clock(fires) => Some(fires),
            Source::Continuous => None,
        }
    }

    /// The first fire after an instant; `None` if there is none any more, or runs follow each other.
    ///
    /// # Errors
    /// The instant is beyond the calendar.
    pub fn next(&self, after: Timestamp) -> Result<Option<Fire>, FireError> {
        self.walk(after).next().transpose()
    }

    /// The last fire at or before an instant.
    ///
    /// # Errors
    /// The instant is beyond the calendar.
    pub fn last(&self, at: Timestamp) -> Result<Option<Fire>, FireError> {
        let Some(fires) = self.fires() else { return Ok(None) };
        let mut at = at;
        if let Some(end) = self.end {
            // The last run's logical date is `end` at the latest; with windows it runs one fire later.
            at = match self.interval {
                DataIntervalKind::Point => at.min(end),
                DataIntervalKind::Window => fires.after(end)?.map_or(at, |fire| at.min(fire)),
            };
        }
        let Some(last) = fires.at_or_before(at)? else { return Ok(None) };
        Ok(self.fire(fires, last, None)?.filter(|fire| self.in_bounds(fire)))
    }

    /// All fires after an instant, one by one.
    pub fn walk(&self, after: Timestamp) -> Walk<'_> {
        let before_start = self.start.map(|start| Timestamp::from_millis(start.as_millis().saturating_sub(1)));
        Walk { timetable: self, at: before_start.map_or(after, |start| after.max(start)), previous: None }
    }

    /// The run that follows another one's end, for schedules that are continuous.
    pub(super) fn following(&self, at: Timestamp, previous: Option<Timestamp>) -> Fire {
        let start = match self.interval {
            DataIntervalKind::Window => previous.unwrap_or(at),
            DataIntervalKind::Point => at,
        };
        Fire { at, due: at, logical_at: start, interval: DataInterval { start, end: at } }
    }

    /// First and last logical date.
    pub(super) fn bounds(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        (self.start, self.end)
    }

    fn in_bounds(&self, fire: &Fire) -> bool {
        self.start.is_none_or(|start| fire.logical_at >= start) && self.end.is_none_or(|end| fire.logical_at <= end)
    }

    /// `None` if a window ends here that has no start: the first fire of `every`.
    fn fire(&self, fires: &Fires, at: Timestamp, previous: Option<Timestamp>) -> Result<Option<Fire>, FireError> {
        let start = match (self.interval, previous) {
            (DataIntervalKind::Point, _) => Some(at),
            (DataIntervalKind::Window, Some(previous)) => Some(previous),
            (DataIntervalKind::Window, None) => {
                fires.at_or_before(Timestamp::from_millis(at.as_millis().saturating_sub(1)))?
            }
        };
        Ok(start.map(|start| Fire {
            at,
            due: at + self.jitter(at),
            logical_at: start,
            interval: DataInterval { start, end: at },
        }))
    }

    /// The same for every process: spread by the workflow's name and the fire.
    fn jitter(&self, fire: Timestamp) -> Duration {
        let most = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX);
        if most == 0 {
            return Duration::ZERO;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.workflow.as_bytes()).update(&[0]).update(&fire.as_millis().to_le_bytes());
        let mut bytes = [0; 8];
        hasher.finalize_xof().fill(&mut bytes);
        Duration::from_millis(u64::from_le_bytes(bytes) % most.saturating_add(1))
    }
}

/// What `every` and `@once` count from.
pub(crate) fn anchor(workflow: &Workflow, published: Timestamp) -> Timestamp {
    // Fires have no fraction of a second.
    let whole = Timestamp::from_millis(published.as_millis().div_euclid(1_000) * 1_000);
    workflow.start_date.unwrap_or(whole)
}

/// Fires in order.
#[derive(Debug)]
pub struct Walk<'t> {
    timetable: &'t Timetable,
    at: Timestamp,
    /// The fire before the next one, if it is known.
    previous: Option<Timestamp>,
}

impl Iterator for Walk<'_> {
    type Item = Result<Fire, FireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let fires = self.timetable.fires()?;
        loop {
            let at = match fires.after(self.at) {
                Ok(found) => found?,
                Err(error) => return Some(Err(error)),
            };
            if at <= self.at {
                return Some(Err(FireError::Stuck(self.at)));
            }
            let fire = match self.timetable.fire(fires, at, self.previous) {
                Ok(fire) => fire,
                Err(error) => return Some(Err(error)),
            };
            (self.at, self.previous) = (at, Some(at));
            let Some(fire) = fire else { continue };
            if self.timetable.end.is_some_and(|end| fire.logical_at > end) {
                return None;
            }
            // With windows the first fire after `start_date` may end a window that began before it.
            if self.timetable.in_bounds(&fire) {
                return Some(Ok(fire));
            }
        }
    }
}
