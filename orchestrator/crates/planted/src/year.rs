//! Much history for benchmarks: ordinary workflows that run each day, and one with many tasks. Runs of the same minute
//! share commits, so that a million task runs take minutes, not hours.

use std::sync::Arc;

use anyhow::Result;
use updraft_model::id::TaskKey;
use updraft_model::state::Trigger;
use updraft_model::time::{DataInterval, Timestamp};
use updraft_store::Store;

use crate::draft::{Draft, Planted, Task};
use crate::rng::Rng;
use crate::script::{Act, Script};
use crate::sim::{Planter, Spec};
use crate::story::{DAY, MINUTE};

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Daily workflows.
    pub workflows: u32,
    /// Days of each.
    pub days: u32,
    /// Tasks of the wide workflow `wide_daily`; 0 = none of it.
    pub wide_tasks: u32,
    /// Its days.
    pub wide_days: u32,
}

impl Size {
    /// A year of 1,000 workflows and of one with 200 tasks: a million task runs.
    pub const YEAR: Self = Self { workflows: 1_000, days: 365, wide_tasks: 200, wide_days: 365 };
}

/// Workflows that start in the same minute.
const GROUP: usize = 250;
/// Attempts end at whole multiples of this, so that they share commits.
const TICK: i64 = 10_000;

/// Plants it; `say` is told how far it is, in days.
///
/// # Errors
/// The model or the store refuses something.
pub async fn plant(
    store: &dyn Store,
    planter: &mut Planter<'_>,
    now: Timestamp,
    size: Size,
    mut say: impl FnMut(u32),
) -> Result<()> {
    let published = Timestamp::from_millis(now.as_millis() - 400 * DAY);
    let mut planted = Vec::with_capacity(size.workflows as usize);
    for n in 0..size.workflows {
        planted.push(daily(n).publish(store, published).await?);
    }
    let wide = if size.wide_tasks > 0 { Some(wide(size.wide_tasks).publish(store, published).await?) } else { None };
    let today = now.as_millis().div_euclid(DAY) * DAY;
    for day in (1..=i64::from(size.days.max(size.wide_days))).rev() {
        let midnight = today - day * DAY;
        if day <= i64::from(size.days) {
            for (group, members) in planted.chunks(GROUP).enumerate() {
                let fire = midnight + (120 + i64::try_from(group)? * 5) * MINUTE;
                let specs = members.iter().enumerate().map(|(at, of)| {
                    run(of, fire, quiet(u64::try_from(day).unwrap_or(0) * 1_009 + (group * GROUP + at) as u64))
                });
                planter.plant(specs.collect()).await?;
            }
        }
        if let Some(wide) = wide.as_ref().filter(|_| day <= i64::from(size.wide_days)) {
            planter.plant(vec![run(wide, midnight + 60 * MINUTE, quiet(u64::try_from(day).unwrap_or(0)))]).await?;
        }
        say(u32::try_from(day).unwrap_or(0));
    }
    Ok(())
}

/// Its workflows.
pub fn drafts(size: Size) -> Vec<Draft> {
    (0..size.workflows).map(daily).chain((size.wide_tasks > 0).then(|| wide(size.wide_tasks))).collect()
}

/// One to four tasks.
fn daily(n: u32) -> Draft {
    let count = 1 + (n * 7) % 4;
    let mut tasks = vec![Task::noop("extract", &[])];
    for (name, after) in [("load", "extract"), ("check", "load"), ("publish", "check")].iter().take(count as usize - 1)
    {
        tasks.push(Task::noop(*name, &[after]).retries(1));
    }
    let team = ["flight-data", "analytics", "platform", "data-science"][n as usize % 4];
    let tag = ["daily", "core", "finance", "ml", "storage"][n as usize % 5];
    Draft::new(&format!("team{:02}_job_{n:04}", n % 20), "An ordinary daily job", team, &["year", tag], tasks)
        .cron("0 2 * * *", "UTC")
}

/// Ten layers; each task needs two of the layer before.
fn wide(count: u32) -> Draft {
    let width = count.div_ceil(10).max(1);
    let tasks = (0..count).map(|n| {
        let (layer, at) = (n / width, n % width);
        let up = |at: u32| format!("t{:02}_{:03}", layer - 1, at % width);
        let up = if layer == 0 { Vec::new() } else { vec![up(at), up(at + 1)] };
        let up: Vec<&str> = up.iter().map(String::as_str).collect();
        Task::noop(format!("t{layer:02}_{at:03}"), &up).retries(1)
    });
    Draft::new("wide_daily", "Many tasks", "analytics", &["year"], tasks.collect()).cron("0 1 * * *", "UTC")
}

fn run(of: &Planted, fire: i64, script: Script) -> Spec {
    let at = Timestamp::from_millis;
    Spec {
        of: of.clone(),
        trigger: Trigger::Schedule,
        logical_at: at(fire - DAY),
        interval: DataInterval { start: at(fire - DAY), end: at(fire) },
        created_at: at(fire),
        queued_ms: 0,
        by: "schedule".to_owned(),
        conf: "{}".to_owned(),
        priority: 0,
        mapped: Vec::new(),
        script,
    }
}

/// Mostly well; one attempt in 200 fails, one in 100 waits.
fn quiet(seed: u64) -> Script {
    Arc::new(move |key: &TaskKey, dispatch_no| {
        let salt = key.task.as_str().bytes().fold(seed ^ u64::from(dispatch_no) << 40, |sum, byte| {
            sum.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(byte))
        });
        let mut rng = Rng::new(salt);
        let wait = if rng.one_in(100) { 2_500 } else { 15 };
        // Begins 5 ms after the claim and ends on a tick.
        let took = rng.between(1, 3) * TICK - wait - 5;
        if rng.one_in(200) {
            Act::bad(took, "Network", "connection reset by peer\nwhile reading the answer").after(wait)
        } else {
            Act::good(took).after(wait)
        }
    })
}
