//! Commits and round trips by purpose: what a speed claim rests on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a commit or round trip was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Hops and lanes.
    Engine,
    /// Leases.
    Heartbeat,
    /// Claims, timers, next-due looks.
    Poll,
    /// Reads of people and programs.
    Read,
    /// Workflow versions, migrations, task and shared state.
    Admin,
    /// `updraft bench`'s baseline.
    Bench,
    /// What attempts said.
    Logs,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Engine, Self::Heartbeat, Self::Poll, Self::Read, Self::Admin, Self::Bench, Self::Logs];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Heartbeat => "heartbeat",
            Self::Poll => "poll",
            Self::Read => "read",
            Self::Admin => "admin",
            Self::Bench => "bench",
            Self::Logs => "logs",
        }
    }
}

/// Counts since the store was opened. Cheap, shared, never reset.
#[derive(Debug, Default)]
pub struct Counters {
    commits: [AtomicU64; 7],
    round_trips: [AtomicU64; 7],
}

impl Counters {
    /// Counts a transaction that wrote.
    pub fn committed(&self, purpose: Purpose) {
        self.commits[purpose as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that waited for the database's answer.
    pub fn round_trip(&self, purpose: Purpose) {
        self.round_trips[purpose as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Writing transactions of this purpose.
    pub fn commits(&self, purpose: Purpose) -> u64 {
        self.commits[purpose as usize].load(Ordering::Relaxed)
    }

    /// Round trips of this purpose.
    pub fn round_trips(&self, purpose: Purpose) -> u64 {
        self.round_trips[purpose as usize].load(Ordering::Relaxed)
    }

    /// Both by name of purpose, for reports.
    pub fn snapshot(&self) -> BTreeMap<&'static str, (u64, u64)> {
        Purpose::ALL.iter().map(|p| (p.name(), (self.commits(*p), self.round_trips(*p)))).collect()
    }
}
