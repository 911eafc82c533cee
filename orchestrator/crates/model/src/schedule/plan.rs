//! What to do about a schedule now: which runs to create, which fires to leave out, and when to look again.
//!
//! The scheduler locks a schedule's row, calls [`plan`] with what it remembers of it and how busy the workflow is, and writes
//! the answer in the same transaction.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fires::FireError;
use super::timetable::{Fire, Timetable, anchor};
use super::{Catchup, Overlap, Schedule};
use crate::time::Timestamp;
use crate::workflow::Workflow;

/// A fire that is late by more than this was missed: the catch-up policy decides about it.
pub const GRACE: Duration = Duration::from_secs(30);
/// Most fires that any catch-up policy makes up for.
pub const MAX_CATCHUP: u32 = 10_000;
/// `max` of `catchup: {window}` if it is not given.
pub const DEFAULT_CATCHUP: u32 = 100;
/// Most catch-up runs that one plan creates.
pub const CATCHUP_PER_PLAN: usize = 10;
/// Most runs of one workflow that wait for their turn; further fires are skipped, and recorded.
pub const MAX_WAITING: u32 = 1_000;
/// Most fires that one plan looks at; the next plan goes on from there.
pub const MAX_LOOK: usize = 10_000;
/// Least time between two runs of `@continuous`.
pub const CONTINUOUS_PAUSE: Duration = Duration::from_secs(1);
/// How much later catch-up runs come than live ones: one hour of ageing.
pub const CATCHUP_PRIORITY: i32 = -12;

/// What is remembered of a schedule from plan to plan; stored as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// First publication: `every` and `@once` count from it when there is no `start_date`.
    pub anchor: Timestamp,
    /// Fires up to here are decided.
    pub cursor: Timestamp,
    /// Missed fires that are still to be made up for, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backlog: Vec<Backlog>,
    /// The last run's fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
}

/// Missed fires in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backlog {
    /// The first one is after this instant.
    pub after: Timestamp,
    /// The last one.
    pub until: Timestamp,
}

impl Progress {
    /// Of a workflow that is published for the first time: it counts from `start_date`, else from now.
    pub fn new(workflow: &Workflow, now: Timestamp) -> Self {
        let before = |at: Timestamp| Timestamp::from_millis(at.as_millis().saturating_sub(1));
        let cursor = match (&workflow.schedule, workflow.start_date) {
            (Some(Schedule::Once), _) => before(anchor(workflow, now)),
            (_, Some(start)) => before(start).min(now),
            (_, None) => now,
        };
        Self { anchor: now, cursor, backlog: Vec::new(), last: None }
    }

    /// After an edit of the schedule: only fires that are still to come. What the old one left open is to be recorded by
    /// [`open`].
    #[must_use]
    pub fn edited(&self, workflow: &Workflow, now: Timestamp) -> Self {
        match &workflow.schedule {
            // One that is new runs once; it cannot have done so before.
            Some(Schedule::Once) => Self { last: self.last, ..Self::new(workflow, now) },
            Some(Schedule::Cron { .. } | Schedule::Every(_) | Schedule::Dates(_) | Schedule::Continuous) | None => {
                Self { anchor: self.anchor, cursor: self.cursor.max(now), backlog: Vec::new(), last: self.last }
            }
        }
    }
}

/// Whether two versions of a workflow fire alike, so that nothing changes for what is remembered of the schedule.
pub fn fires_alike(one: &Workflow, other: &Workflow) -> bool {
    let what = |workflow: &Workflow| (workflow.start_date, workflow.end_date, workflow.data_interval);
    one.schedule == other.schedule && what(one) == what(other)
}

/// How busy a workflow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Runs that run.
    pub running: u32,
    /// Runs that wait for their turn.
    pub queued: u32,
    /// Of these, runs that a schedule made.
    pub queued_by_schedule: u32,
}

/// How busy a workflow is, beside its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Its open runs.
    pub load: Load,
    /// Most of its runs at a time (`max_active_runs`).
    pub limit: u32,
}

impl Room {
    /// One more run may start at once: there is a free run slot, and no run waits for it already.
    pub fn is_free(self) -> bool {
        self.load.queued == 0 && self.load.running < self.limit
    }
}

/// What a workflow asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// About missed fires.
    pub catchup: Catchup,
    /// About fires while the workflow is busy.
    pub overlap: Overlap,
    /// Runs that may run at one time.
    pub max_active_runs: u32,
}

impl Policy {
    /// As the workflow says.
    pub fn of(workflow: &Workflow) -> Self {
        Self { catchup: workflow.catchup, overlap: workflow.overlap, max_active_runs: workflow.max_active_runs }
    }
}

/// Why a fire did not become a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// It was missed, and `catchup` leaves it out.
    Catchup,
    /// It was missed, and is beyond what `catchup` makes up for at most.
    CatchupLimit,
    /// `max_active_runs` runs were open, and `overlap` leaves it out.
    Overlap,
    /// [`MAX_WAITING`] runs waited already.
    Backlog,
    /// The schedule was edited before it could run.
    Edited,
}

impl SkipReason {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Catchup, Self::CatchupLimit, Self::Overlap, Self::Backlog, Self::Edited];

    /// The word in stores and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Catchup => "catchup",
            Self::CatchupLimit => "catchup_limit",
            Self::Overlap => "overlap",
            Self::Backlog => "backlog",
            Self::Edited => "edited",
        }
    }

    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// Fires in a row that did not become runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The first one.
    pub from: Timestamp,
    /// The last one.
    pub until: Timestamp,
    /// How many.
    pub count: u64,
    /// Why.
    pub reason: SkipReason,
}

/// A run to create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// What for.
    pub fire: Fire,
    /// It makes up for a missed fire.
    pub catchup: bool,
}

impl Planned {
    /// Priority of its run: catch-up runs let live ones pass.
    pub fn priority(&self) -> i32 {
        if self.catchup { CATCHUP_PRIORITY } else { 0 }
    }
}

/// When to plan again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Next {
    /// At this instant.
    pub at: Option<Timestamp>,
    /// As soon as fewer than so many runs of the workflow are open, too.
    pub below: Option<u32>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Runs to create, in this order.
    pub runs: Vec<Planned>,
    /// Fires to record as skipped.
    pub skipped: Vec<Skipped>,
    /// What to remember.
    pub progress: Progress,
    /// When to look again.
    pub next: Next,
}

/// Decides about everything that is due.
///
/// # Errors
/// The schedule cannot be computed.
pub fn plan(
    timetable: &Timetable,
    policy: Policy,
    progress: &Progress,
    load: Load,
    now: Timestamp,
) -> Result<Plan, FireError> {
    if timetable.is_continuous() {
        return Ok(continuous(timetable, progress, load, now));
    }
    let mut planner = Planner {
        timetable,
        policy,
        open: load.running.saturating_add(load.queued),
        queued: load.queued,
        queued_by_schedule: load.queued_by_schedule,
        runs: Vec::new(),
        skipped: Vec::new(),
        progress: progress.clone(),
    };
    let (due, mut next) = planner.due(now)?;
    let missed = due.iter().position(|fire| fire.due + GRACE >= now).unwrap_or(due.len());
    let (missed, live) = due.split_at(missed);
    planner.missed(missed, live.is_empty() && next.is_none_or(|next| next.due > now), now)?;
    for fire in live {
        planner.live(*fire, false);
    }
    let more = planner.catch_up()?;
    let backlog = !planner.progress.backlog.is_empty();
    let at = if more {
        Some(now)
    } else {
        // Only looked for if the walk ended before it: there is nothing after the end.
        next.take().map(|fire| fire.due)
    };
    let Planner { runs, skipped, progress, .. } = planner;
    Ok(Plan { runs, skipped, progress, next: Next { at, below: (backlog && !more).then_some(policy.max_active_runs) } })
}

/// What a schedule that is edited, or retired, leaves undone: to be recorded. Looks at no more than [`MAX_LOOK`] fires.
///
/// # Errors
/// The schedule cannot be computed.
pub fn open(timetable: &Timetable, progress: &Progress, now: Timestamp) -> Result<Option<Skipped>, FireError> {
    let mut found: Option<Skipped> = None;
    let now_on = Backlog { after: progress.cursor, until: now };
    let mut left = MAX_LOOK;
    for range in progress.backlog.iter().copied().chain([now_on]) {
        for fire in timetable.walk(range.after) {
            let fire = fire?;
            if fire.at > range.until || fire.due > now || left == 0 {
                break;
            }
            left -= 1;
            add(&mut found, fire.at, SkipReason::Edited);
        }
    }
    Ok(found)
}

fn add(to: &mut Option<Skipped>, fire: Timestamp, reason: SkipReason) {
    let found = to.get_or_insert(Skipped { from: fire, until: fire, count: 0, reason });
    (found.until, found.count) = (fire, found.count + 1);
}

/// What a publication means for what is remembered of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// What to remember; `None` without a schedule.
    pub progress: Option<Progress>,
    /// When to look at it.
    pub next: Next,
    /// What the version before leaves undone.
    pub skipped: Option<Skipped>,
}

/// Goes from one version of a workflow to the next. `before` is what is remembered, with the version that it belongs to if
/// that can still be read; `stopped`: it is paused; `returned`: its file was gone for a while, so that what was missed
/// meanwhile is not caught up with.
///
/// # Errors
/// The schedule cannot be computed.
pub fn sync(
    before: Option<(Option<&Workflow>, &Progress)>,
    workflow: &Workflow,
    (stopped, returned): (bool, bool),
    now: Timestamp,
) -> Result<Synced, FireError> {
    let alike = |old: Option<&Workflow>| old.is_some_and(|old| fires_alike(old, workflow));
    let skipped = match before {
        Some((Some(old), progress)) if returned || !alike(Some(old)) => match Timetable::of(old, progress.anchor)? {
            Some(timetable) if !timetable.is_continuous() => open(&timetable, progress, now)?,
            Some(_) | None => None,
        },
        Some(_) | None => None,
    };
    if workflow.schedule.is_none() {
        return Ok(Synced { progress: None, next: Next::default(), skipped });
    }
    let progress = match before {
        None => Progress::new(workflow, now),
        Some((old, progress)) if !returned && alike(old) => progress.clone(),
        Some((_, progress)) => progress.edited(workflow, now),
    };
    let next = if stopped { Next::default() } else { first_look(workflow, &progress, now)? };
    Ok(Synced { progress: Some(progress), next, skipped })
}

/// When to plan for the first time, or again after an edit or a pause.
///
/// # Errors
/// The schedule cannot be computed.
pub fn first_look(workflow: &Workflow, progress: &Progress, now: Timestamp) -> Result<Next, FireError> {
    let Some(timetable) = Timetable::of(workflow, progress.anchor)? else { return Ok(Next::default()) };
    if timetable.is_continuous() || !progress.backlog.is_empty() {
        return Ok(Next { at: Some(now), below: None });
    }
    Ok(Next { at: timetable.next(progress.cursor)?.map(|fire| fire.due), below: None })
}

fn continuous(timetable: &Timetable, progress: &Progress, load: Load, now: Timestamp) -> Plan {
    let idle = |next| Plan { runs: Vec::new(), skipped: Vec::new(), progress: progress.clone(), next };
    let (start, end) = timetable.bounds();
    if end.is_some_and(|end| now > end) {
        return idle(Next::default());
    }
    if load.running.saturating_add(load.queued) > 0 {
        return idle(Next { at: None, below: Some(1) });
    }
    let earliest = progress.last.map(|last| last + CONTINUOUS_PAUSE).max(start);
    if let Some(earliest) = earliest.filter(|earliest| *earliest > now) {
        return idle(Next { at: Some(earliest), below: None });
    }
    let fire = timetable.following(now, progress.last);
    Plan {
        runs: vec![Planned { fire, catchup: false }],
        skipped: Vec::new(),
        progress: Progress { cursor: now, last: Some(now), ..progress.clone() },
        next: Next { at: None, below: Some(1) },
    }
}

struct Planner<'t> {
    timetable: &'t Timetable,
    policy: Policy,
    open: u32,
    queued: u32,
    queued_by_schedule: u32,
    runs: Vec<Planned>,
    skipped: Vec<Skipped>,
    progress: Progress,
}

impl Planner<'_> {
    /// The fires that are due, oldest first and at most [`MAX_LOOK`], and the one after them.
    fn due(&self, now: Timestamp) -> Result<(Vec<Fire>, Option<Fire>), FireError> {
        let mut due = Vec::new();
        for fire in self.timetable.walk(self.progress.cursor) {
            let fire = fire?;
            // Jitter may make a later fire due earlier; runs keep the order of their fires.
            if fire.due > now || due.len() == MAX_LOOK {
                return Ok((due, Some(fire)));
            }
            due.push(fire);
        }
        Ok((due, None))
    }

    /// Decides about missed fires. `all` of those that are due lie before us, with nothing live behind them.
    fn missed(&mut self, missed: &[Fire], all: bool, now: Timestamp) -> Result<(), FireError> {
        let Some(last) = missed.last() else { return Ok(()) };
        let before = self.progress.cursor;
        self.progress.cursor = last.at;
        let (window, most) = match self.policy.catchup {
            Catchup::None => {
                self.skip_all(missed, SkipReason::Catchup);
                return Ok(());
            }
            Catchup::Latest => {
                // Something newer is due: that is the latest.
                let kept = usize::from(all);
                self.skip_all(&missed[..missed.len() - kept], SkipReason::Catchup);
                if all {
                    self.live(*last, true);
                }
                return Ok(());
            }
            Catchup::All => (None, MAX_CATCHUP),
            Catchup::Window { window, max } => {
                let most = max.unwrap_or(DEFAULT_CATCHUP).min(MAX_CATCHUP);
                (Some(Timestamp::from_millis(now.as_millis().saturating_sub(millis(window)))), most)
            }
        };
        // Of what lies before us the newest `most` are kept.
        let newest = usize::try_from(most).unwrap_or(usize::MAX);
        let limit = if missed.len() < MAX_LOOK {
            missed.len().checked_sub(newest).and_then(|first| missed.get(first)).map(|fire| fire.at)
        } else {
            self.newest(newest, now, before)?
        };
        let in_window = |fire: &Fire| window.is_none_or(|window| fire.at >= window);
        let out = missed.partition_point(|fire| !in_window(fire));
        let kept = missed.partition_point(|fire| limit.is_some_and(|limit| fire.at < limit)).max(out);
        self.skip_all(&missed[..out], SkipReason::Catchup);
        self.skip_all(&missed[out..kept], SkipReason::CatchupLimit);
        if let Some(first) = missed.get(kept) {
            let after = if kept == 0 { before } else { Timestamp::from_millis(first.at.as_millis() - 1) };
            match self.progress.backlog.last_mut().filter(|range| range.until == after) {
                Some(range) => range.until = last.at,
                None => self.progress.backlog.push(Backlog { after, until: last.at }),
            }
        }
        Ok(())
    }

    /// The oldest of the `most` newest missed fires after the cursor; `None` if there are not more than that.
    fn newest(&self, most: usize, now: Timestamp, after: Timestamp) -> Result<Option<Timestamp>, FireError> {
        let mut at = Timestamp::from_millis((now - GRACE).as_millis().saturating_sub(1));
        let mut oldest = None;
        for _ in 0..most {
            let Some(fire) = self.timetable.last(at)?.filter(|fire| fire.at > after) else { return Ok(None) };
            oldest = Some(fire.at);
            at = Timestamp::from_millis(fire.at.as_millis() - 1);
        }
        Ok(oldest)
    }

    fn skip_all(&mut self, fires: &[Fire], reason: SkipReason) {
        if let (Some(first), Some(last)) = (fires.first(), fires.last()) {
            let count = u64::try_from(fires.len()).unwrap_or(u64::MAX);
            self.skipped.push(Skipped { from: first.at, until: last.at, count, reason });
        }
    }

    /// Decides about a fire that becomes a run if the workflow is not too busy.
    fn live(&mut self, fire: Fire, catchup: bool) {
        self.progress.cursor = self.progress.cursor.max(fire.at);
        let room = self.open < self.policy.max_active_runs;
        let refused = match self.policy.overlap {
            Overlap::Queue => (!room && self.queued_by_schedule > 0).then_some(SkipReason::Overlap),
            Overlap::Skip => (!room).then_some(SkipReason::Overlap),
            Overlap::Allow => (!room && self.queued >= MAX_WAITING).then_some(SkipReason::Backlog),
        };
        match refused {
            None => self.create(fire, catchup),
            Some(reason) => match self.skipped.last_mut().filter(|skipped| skipped.reason == reason) {
                Some(skipped) => (skipped.until, skipped.count) = (fire.at, skipped.count + 1),
                None => self.skip_all(&[fire], reason),
            },
        }
    }

    fn create(&mut self, fire: Fire, catchup: bool) {
        if self.open >= self.policy.max_active_runs {
            self.queued = self.queued.saturating_add(1);
            self.queued_by_schedule = self.queued_by_schedule.saturating_add(1);
        }
        self.open = self.open.saturating_add(1);
        self.progress.last = self.progress.last.max(Some(fire.at));
        self.runs.push(Planned { fire, catchup });
    }

    /// Makes up for missed fires as far as there is room; true if there is more to do at once.
    fn catch_up(&mut self) -> Result<bool, FireError> {
        let mut made = 0;
        while let Some(range) = self.progress.backlog.first().copied() {
            if self.open >= self.policy.max_active_runs {
                return Ok(false);
            }
            if made == CATCHUP_PER_PLAN {
                return Ok(true);
            }
            match self.timetable.next(range.after)?.filter(|fire| fire.at <= range.until) {
                Some(fire) => {
                    self.create(fire, true);
                    made += 1;
                    self.progress.backlog[0].after = fire.at;
                    if fire.at == range.until {
                        self.progress.backlog.remove(0);
                    }
                }
                None => drop(self.progress.backlog.remove(0)),
            }
        }
        Ok(false)
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
