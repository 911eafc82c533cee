//! What lists are asked for.

use updraft_model::id::RunId;
use updraft_model::state::{RunState, Trigger};
use updraft_model::time::Timestamp;

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T, C> {
    /// Its rows.
    pub items: Vec<T>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<C>,
}

/// Order of a list of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunSort {
    /// By creation, newest first.
    #[default]
    NewestCreated,
    /// By creation, oldest first.
    OldestCreated,
    /// By logical date, newest first.
    NewestLogical,
    /// By logical date, oldest first.
    OldestLogical,
    /// By end, newest first: only runs that are over.
    NewestEnded,
}

/// Which instant a window looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WindowBy {
    /// When the run ended, or was made if it is not over: when it happened.
    #[default]
    Happened,
    /// When it was made.
    Created,
    /// When it ended: only runs that are over.
    Ended,
    /// Its logical date.
    Logical,
}

/// The last row of a page: the value that the list is sorted by, and the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunCursor {
    /// Value of the sort.
    pub at: Timestamp,
    /// The run.
    pub run: RunId,
}

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunsAsk {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// In one of these states; empty = any.
    pub states: Vec<RunState>,
    /// For one of these reasons; empty = any.
    pub triggers: Vec<Trigger>,
    /// What `since` and `until` look at.
    pub by: WindowBy,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Part of the workflow's name, beginning of the run's id (≥ 4 hex digits), or part of its note.
    pub search: Option<String>,
    /// Order.
    pub sort: RunSort,
    /// After this row.
    pub after: Option<RunCursor>,
    /// At most this many; 1 to 500.
    pub limit: u32,
}

/// Which workflows, by what they are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkflowState {
    /// Neither paused nor retired.
    Active,
    /// Paused.
    Paused,
    /// Its file is gone.
    Retired,
    /// Its last run that is over failed.
    Failing,
    /// A fire is overdue.
    Late,
    /// It has a run that is not over.
    Running,
}

/// Order of a list of workflows. Names are the second key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WorkflowSort {
    /// Failing, late, running, the rest.
    #[default]
    Attention,
    /// By name.
    Name,
    /// By the creation of the last run.
    LastRun,
    /// By the next fire; those without one last.
    NextFire,
}

/// Which workflows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkflowsAsk {
    /// Part of name, description, owner or a tag.
    pub search: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// Of this owner.
    pub owner: Option<String>,
    /// Doing this; without it, retired ones are left out.
    pub state: Option<WorkflowState>,
    /// Order.
    pub sort: WorkflowSort,
    /// The other way round.
    pub descending: bool,
    /// After this workflow (its name); it must be in the list.
    pub after: Option<String>,
    /// At most this many.
    pub limit: u32,
    /// The instant that "late" is judged at.
    pub now: Timestamp,
}

/// Which columns of a grid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GridAsk {
    /// At most this many runs, newest ones.
    pub runs: u32,
    /// Made before this run.
    pub before: Option<RunId>,
    /// For one of these reasons; empty = any.
    pub triggers: Vec<Trigger>,
    /// In one of these states; empty = any.
    pub states: Vec<RunState>,
}

/// A UTC offset of a zone and from when on it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    /// From this instant on.
    pub from: Timestamp,
    /// Seconds east of UTC.
    pub offset_seconds: i32,
}
