//! The shapes of the HTTP contract. Field names are the contract's; every type can be read back, so that the command line
//! reads answers with the same types.
//!
//! Nothing here reads a store: how a shape is made from rows is [`crate::read`]'s.

mod account;
mod connection;
mod graph;
mod grid;
mod home;
mod lists;
mod log;
mod plan;
mod run;
mod schedule;
mod status;
mod task;
mod time;
mod workflow;

pub use account::{
    Accounts, AuditEntry, AuditPage, AuditVerdict, LoginRequest, Me, NewPassword, NewToken, NewUser, PrincipalKind,
    SetupRequest, Token, TokenMade, TokenPage, User, UserChange, UserMade, UserPage,
};
pub use connection::{
    Connection, ConnectionCheck, ConnectionField, ConnectionKind, ConnectionKinds, ConnectionList, ConnectionTest,
    ConnectionUse, FieldSource, NewConnection,
};
pub use graph::{Graph, GraphEdge, GraphNode};
pub use grid::{CellExtra, Grid, GridRun, GridTask};
pub use home::{
    HealthItem, HealthName, HealthState, Home, HomeCounts, HomeWindow, Incident, IncidentKind, IncidentRetry, LateFire,
    WaitingTask,
};
pub use lists::{Cause, Effects, Outcome, Role, RunState, TaskState, Trigger};
pub use log::{FirstError, LogLevel, LogLine, LogPage, LogStream};
pub use plan::{Plan, PlanEffect, PlanTask, PlanVersions};
pub use run::{
    ActionHint, Actions, CancelRequest, DataInterval, EventEntry, EventPage, FailureLine, MarkRequest, MarkState,
    NewRun, Reasoned, RetryRequest, RetryVersion, RetryWhat, Run, RunNote, RunPage, RunSummary, RunView, TaskChoice,
    UsualRun, UsualTask,
};
pub use schedule::{DstPolicy, Fire, NextFire, NextFires, ScheduleKind, SchedulePreview, SkippedFires, SkippedSpan};
pub use status::{
    CatalogStatus, Conflict, ConflictSource, QueueStatus, ScheduleStatus, Status, StoreStatus, TaskType, TaskTypes,
    UpkeepJob, WorkerStatus,
};
pub use task::{
    Attempt, AttemptPhase, DatasetColumn, DatasetPreview, Instances, Item, ItemCounts, Metric, Reason, ReasonHolder,
    ReasonKind, TaskError, TaskHistory, TaskPage, TaskRef, TaskRun, TaskRunView, TaskStateRef, WaitState,
};
pub use time::Time;
pub use workflow::{
    Attention, Calendar, CalendarDay, Diagnostic, DurationPoint, Durations, FileDiagnostics, PlannedDay, RunBar,
    ScheduleText, Severity, TaskDurations, Version, VersionDetail, VersionPage, Workflow, WorkflowCode, WorkflowPage,
    WorkflowState, WorkflowSummary, WorkflowTask, WorkflowView,
};
