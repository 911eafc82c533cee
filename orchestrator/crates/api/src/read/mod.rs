//! Shapes of the contract, made from rows.

pub(crate) mod attempt;
pub(crate) mod home;
pub(crate) mod log;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod task;
pub(crate) mod workflow;

use std::time::Duration;

use updraft_auth::{Principal, PrincipalKind as Kind};
use updraft_model::id::{MapIndex, TaskKey};
use updraft_model::time::Timestamp;

use crate::dto::{Me, PrincipalKind, Time};

/// Seconds between two instants.
pub(crate) fn seconds(from: Timestamp, until: Timestamp) -> f64 {
    in_seconds(until.since(from))
}

/// As seconds, to the millisecond.
pub(crate) fn in_seconds(span: Duration) -> f64 {
    f64::from(u32::try_from(span.as_millis()).unwrap_or(u32::MAX)) / 1000.0
}

/// Milliseconds as seconds.
pub(crate) fn of_millis(millis: i64) -> f64 {
    in_seconds(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

pub(crate) fn time(at: Option<Timestamp>) -> Option<Time> {
    at.map(Time)
}

/// The mapped instance; `None` for a task that is not mapped.
pub(crate) fn index(key: &TaskKey) -> Option<i32> {
    (key.map_index != MapIndex::NONE).then_some(key.map_index.0)
}

/// The key of a task run as the contract names it.
pub(crate) fn key(task: &str, map_index: Option<i32>) -> TaskKey {
    TaskKey { task: task.into(), map_index: map_index.map_or(MapIndex::NONE, MapIndex) }
}

/// Who is asking, as they are told.
pub(crate) fn me(who: Principal) -> Me {
    Me {
        name: who.name,
        kind: match who.kind {
            Kind::User => PrincipalKind::User,
            Kind::Token => PrincipalKind::Token,
            Kind::Local => PrincipalKind::Local,
        },
        role: who.role.into(),
        must_change_password: who.must_change_password.then_some(true),
        expires_at: who.expires_at.map(Time),
        zone: None,
    }
}
