//! Why is it not running? A pure answer from rows that somebody has read: of one task run, or of a run that waits to start.
//!
//! Nothing is looked up here and nothing is guessed: what the rows do not say, the answer does not say.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::graph::{Compiled, TaskIndex};
use crate::id::{MapIndex, RunId, TaskId, TaskKey};
use crate::judge::{Counts, Verdict, judge};
use crate::record::{TaskRunRow, WorkRow};
use crate::state::{Place, RunState};
use crate::time::Timestamp;
use crate::trigger_rule::TriggerRule;

/// What it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    /// A place among the task runs of its run that may be under way at a time.
    MaxActiveTasks,
    /// A place among the runs of its workflow.
    MaxActiveRuns,
    /// Upstream task runs that are not over.
    Upstream,
    /// Its trigger rule, by states of upstreams.
    TriggerRule,
    /// A worker that serves its queue.
    NoWorker,
    /// A free slot of a worker.
    Slots,
    /// The instant of its next try.
    Retry,
    /// Somebody has paused its workflow, or its run is set aside.
    Paused,
    /// Its instant in the schedule.
    Schedule,
    /// What it has asked to wait for itself.
    Deferred,
    /// Its turn in the queue.
    Queue,
    /// A run before it, by the workflow's overlap policy.
    Overlap,
    /// Its run is being stopped.
    Cancelling,
}

/// Who has what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// A run.
    pub run: Option<RunId>,
    /// A task run, of that run or of the same one.
    pub key: Option<TaskKey>,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// Why it is not running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What it waits for.
    pub kind: ReasonKind,
    /// A whole sentence without its subject: "waits 18 m for a task slot of this run (2/2 used by a, b; 4th in line)".
    pub text: String,
    /// Who has what it waits for.
    pub holders: Vec<Holder>,
    /// Its place in line, from 1.
    pub position: Option<u32>,
    /// How many stand in that line.
    pub of: Option<u32>,
    /// Since when it waits.
    pub since: Option<Timestamp>,
    /// Until when, if that is known.
    pub until: Option<Timestamp>,
}

/// A run as its rows show it.
#[derive(Debug, Clone, Copy)]
pub struct RunScene<'a> {
    /// What is compiled of its version.
    pub compiled: &'a Compiled,
    /// Its chosen tasks, `None` = all.
    pub only: Option<&'a [TaskId]>,
    /// Where it is.
    pub state: RunState,
    /// When it took its slot.
    pub started_at: Option<Timestamp>,
    /// Most task runs that the engine dispatches at a time, besides `max_active_tasks`.
    pub window: u32,
    /// Its mapped tasks, with the number of their instances.
    pub expanded: &'a [(TaskId, u32)],
    /// Its task runs that are over.
    pub ended: &'a [TaskRunRow],
    /// Its task runs that are dispatched.
    pub work: &'a [WorkRow],
}

/// The queue in which a ready task run stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueScene {
    /// Live workers that serve it.
    pub workers: u32,
    /// Their slots.
    pub slots: u32,
    /// Slots of these that are taken, by whatever.
    pub busy: u32,
    /// Ready task runs in front of it.
    pub ahead: u32,
    /// Ready task runs in all.
    pub ready: u32,
    /// Who has the slots, as far as they are known.
    pub holders: Vec<Holder>,
}

/// A run that waits to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRun {
    /// Its workflow.
    pub workflow: String,
    /// Since when it waits: it was made, or re-opened.
    pub queued_at: Timestamp,
    /// The workflow is paused.
    pub paused: bool,
    /// Since when, if somebody has noted it.
    pub paused_since: Option<Timestamp>,
    /// Most runs of the workflow at a time.
    pub max_active_runs: u32,
    /// Runs of the workflow that are under way.
    pub active: Vec<Holder>,
    /// Queued runs of the workflow in front of it.
    pub ahead: u32,
    /// Queued runs of the workflow in all.
    pub queued: u32,
}

/// Why a task run is not running; `None` if it runs or is over.
pub fn task(scene: &RunScene<'_>, key: &TaskKey, queue: &QueueScene, now: Timestamp) -> Option<Reason> {
    if let Some(row) = scene.work.iter().find(|row| row.dispatch.key == *key) {
        return dispatched(row, queue, now);
    }
    if scene.ended.iter().any(|row| row.key == *key) || scene.state.is_final() {
        return None;
    }
    match scene.state {
        RunState::Queued => return Some(plain(ReasonKind::Queue, "waits until its run starts", None)),
        RunState::Cancelling => {
            return Some(plain(ReasonKind::Cancelling, "will not start: its run is being stopped", None));
        }
        RunState::Broken => {
            let text = "waits until its run, which is set aside, is repaired (`updraft runs repair`)";
            return Some(plain(ReasonKind::Paused, text, None));
        }
        RunState::Running | RunState::Succeeded | RunState::Failed | RunState::Cancelled => {}
    }
    let task = scene.compiled.graph.position(key.task.as_str())?;
    // An instance that has not been dispatched waits as its task does.
    Waiting::of(scene).reason(task, now)
}

/// Why a run has not started.
pub fn queued_run(run: &QueuedRun, now: Timestamp) -> Reason {
    let waits = words(now.since(run.queued_at));
    let (position, of) = (Some(run.ahead + 1), Some(run.queued.max(run.ahead + 1)));
    let since = Some(run.queued_at);
    if run.paused {
        let paused = run.paused_since.map_or_else(String::new, |at| format!(" since {}", clock(at)));
        let text =
            format!("waits {waits}: `{}` is paused{paused}, and starts no run until it is unpaused", run.workflow);
        return Reason { position, of, since, ..plain(ReasonKind::Paused, &text, None) };
    }
    let active = u32::try_from(run.active.len()).unwrap_or(u32::MAX);
    if active >= run.max_active_runs {
        let text = format!(
            "waits {waits} for a run slot of `{}` ({active}/{} runs under way; {} in line)",
            run.workflow,
            run.max_active_runs,
            ordinal(run.ahead + 1)
        );
        let holders = run.active.clone();
        return Reason { holders, position, of, since, ..plain(ReasonKind::MaxActiveRuns, &text, None) };
    }
    let text = format!("is about to start: {active} of {} runs are under way", run.max_active_runs);
    Reason { position, of, since, ..plain(ReasonKind::Queue, &text, None) }
}

fn plain(kind: ReasonKind, text: &str, since: Option<Timestamp>) -> Reason {
    Reason { kind, text: text.to_owned(), holders: Vec::new(), position: None, of: None, since, until: None }
}

/// A task run with a row in `work`.
fn dispatched(row: &WorkRow, queue: &QueueScene, now: Timestamp) -> Option<Reason> {
    match row.place {
        Place::Executing => row.cancel_at.map(|at| {
            let text = format!("is being stopped for {}", words(now.since(at)));
            plain(ReasonKind::Cancelling, &text, Some(at))
        }),
        Place::Timer => {
            let until = row.due_at;
            let when =
                until.map_or_else(String::new, |due| format!(" until {} (in {})", clock(due), words(due.since(now))));
            let text = format!("waits{when} for try {}, since the one before failed", row.dispatch.try_no);
            Some(Reason { until, ..plain(ReasonKind::Retry, &text, None) })
        }
        Place::Polled => Some(Reason {
            until: row.due_at,
            ..plain(ReasonKind::Deferred, "waits for the condition that it polls", None)
        }),
        Place::Waiting => Some(plain(ReasonKind::Deferred, "waits for an answer from outside", None)),
        Place::Gated => Some(plain(ReasonKind::Queue, "waits for a limit outside its run", None)),
        Place::Ready => Some(ready(row, queue)),
    }
}

fn ready(row: &WorkRow, queue: &QueueScene) -> Reason {
    let (position, of) = (Some(queue.ahead + 1), Some(queue.ready.max(queue.ahead + 1)));
    let ahead = match queue.ahead {
        0 => "it is next".to_owned(),
        1 => "1 task run is ahead of it".to_owned(),
        ahead => format!("{ahead} task runs are ahead of it"),
    };
    let name = &row.queue;
    if queue.workers == 0 {
        let text = format!("waits for a worker: none that is alive serves the queue `{name}`; {ahead}");
        return Reason { position, of, ..plain(ReasonKind::NoWorker, &text, None) };
    }
    if queue.busy >= queue.slots {
        let text = format!(
            "waits for a free slot: all {} of the queue `{name}` are busy ({} worker{}); {ahead}",
            queue.slots,
            queue.workers,
            if queue.workers == 1 { "" } else { "s" }
        );
        let holders = queue.holders.clone();
        return Reason { holders, position, of, ..plain(ReasonKind::Slots, &text, None) };
    }
    let text = format!("is ready and about to be claimed from the queue `{name}`; {ahead}");
    Reason { position, of, ..plain(ReasonKind::Queue, &text, None) }
}

/// Where the instances of a mapped task are.
#[derive(Clone, Copy, Default)]
struct Instances {
    n: u32,
    over: u32,
    executing: u32,
    dispatched: u32,
}

impl Instances {
    /// Those that have not been dispatched.
    fn left(self) -> u32 {
        self.n.saturating_sub(self.over + self.dispatched)
    }
}

/// A live run, seen by its waiting tasks.
struct Waiting<'a> {
    scene: RunScene<'a>,
    ended: HashMap<&'a TaskId, &'a TaskRunRow>,
    work: HashMap<&'a TaskId, &'a WorkRow>,
    /// Of mapped tasks.
    instances: HashMap<&'a TaskId, Instances>,
    chosen: Vec<bool>,
}

impl<'a> Waiting<'a> {
    fn of(scene: &RunScene<'a>) -> Self {
        let graph = &scene.compiled.graph;
        let chosen = match scene.only {
            None => vec![true; graph.len()],
            Some(only) => graph.upstream_closure(only.iter().filter_map(|task| graph.position(task.as_str()))),
        };
        let unmapped = |key: &TaskKey| key.map_index == MapIndex::NONE;
        let mut instances: HashMap<&TaskId, Instances> =
            scene.expanded.iter().map(|(task, n)| (task, Instances { n: *n, ..Instances::default() })).collect();
        for row in scene.work.iter().filter(|row| !unmapped(&row.dispatch.key)) {
            let of = instances.entry(&row.dispatch.key.task).or_default();
            of.dispatched += 1;
            of.executing += u32::from(row.place == Place::Executing);
        }
        // An instance that is over and dispatched again is under way.
        let again: HashSet<&TaskKey> = scene.work.iter().map(|row| &row.dispatch.key).collect();
        for row in scene.ended.iter().filter(|row| !unmapped(&row.key) && !again.contains(&row.key)) {
            instances.entry(&row.key.task).or_default().over += 1;
        }
        Self {
            scene: *scene,
            instances,
            ended: scene.ended.iter().filter(|row| unmapped(&row.key)).map(|row| (&row.key.task, row)).collect(),
            work: scene
                .work
                .iter()
                .filter(|row| unmapped(&row.dispatch.key))
                .map(|row| (&row.dispatch.key.task, row))
                .collect(),
            chosen,
        }
    }

    /// Upstreams that are over, the first to end first.
    fn over(&self, task: TaskIndex) -> Vec<&'a TaskRunRow> {
        let graph = &self.scene.compiled.graph;
        let mut over: Vec<_> =
            graph.upstream(task).iter().filter_map(|&up| self.ended.get(graph.id(up)).copied()).collect();
        over.sort_by_key(|row| row.ended_at);
        over
    }

    fn rule(&self, task: TaskIndex) -> TriggerRule {
        self.scene.compiled.task(task).trigger_rule
    }

    /// What its rule says, and since when.
    fn verdict(&self, task: TaskIndex) -> (Verdict, Option<Timestamp>) {
        let total = u32::try_from(self.scene.compiled.graph.upstream(task).len()).unwrap_or(u32::MAX);
        let mut counts = Counts { total, ..Counts::default() };
        let mut verdict = judge(self.rule(task), counts);
        let mut since = self.scene.started_at;
        for row in self.over(task) {
            if verdict != Verdict::Wait {
                break;
            }
            counts.add(row.state);
            verdict = judge(self.rule(task), counts);
            since = since.max(Some(row.ended_at));
        }
        (verdict, since)
    }

    fn waits(&self, task: TaskIndex) -> bool {
        let id = self.scene.compiled.graph.id(task);
        let left = self.instances.get(id).is_none_or(|of| of.left() > 0);
        self.chosen[task as usize] && left && !self.ended.contains_key(id) && !self.work.contains_key(id)
    }

    fn reason(&self, task: TaskIndex, now: Timestamp) -> Option<Reason> {
        if !self.waits(task) {
            return None;
        }
        let (verdict, since) = self.verdict(task);
        Some(match verdict {
            Verdict::Wait => self.upstreams(task, now),
            Verdict::Start => self.line(task, since, now),
            Verdict::Skip(_) | Verdict::UpstreamFailed(_) => {
                let text = format!("will not start: its trigger rule `{}` cannot be satisfied", self.rule(task).name());
                plain(ReasonKind::TriggerRule, &text, since)
            }
        })
    }

    /// It waits for upstreams.
    fn upstreams(&self, task: TaskIndex, now: Timestamp) -> Reason {
        let graph = &self.scene.compiled.graph;
        let mut holders = Vec::new();
        let mut names = Vec::new();
        for &up in graph.upstream(task).iter().filter(|&&up| !self.ended.contains_key(graph.id(up))) {
            let id = graph.id(up);
            let row = self.work.get(id);
            let since = row.and_then(|row| row.claimed_at);
            if let Some(of) = self.instances.get(id) {
                names.push(format!("`{id}` ({} of {} instances over, {} running)", of.over, of.n, of.executing));
                holders.push(Holder { run: None, key: Some(TaskKey::of(id.clone())), since });
                continue;
            }
            names.push(match (row.map(|row| row.place), since) {
                (Some(Place::Executing), Some(since)) => format!("`{id}` (running for {})", words(now.since(since))),
                (Some(Place::Timer), _) => format!("`{id}` (waiting for its next try)"),
                (Some(Place::Ready | Place::Gated | Place::Executing), _) => format!("`{id}` (ready)"),
                (Some(Place::Polled | Place::Waiting), _) => format!("`{id}` (deferred)"),
                (None, _) => format!("`{id}` (waiting)"),
            });
            holders.push(Holder { run: None, key: Some(TaskKey::of(id.clone())), since });
        }
        let rule = self.rule(task);
        let (kind, why) = match rule {
            TriggerRule::AllSuccess => (ReasonKind::Upstream, String::new()),
            TriggerRule::AllFailed
            | TriggerRule::AllDone
            | TriggerRule::AllDoneMinOneSuccess
            | TriggerRule::AllSkipped
            | TriggerRule::OneFailed
            | TriggerRule::OneSuccess
            | TriggerRule::OneDone
            | TriggerRule::NoneFailed
            | TriggerRule::NoneFailedMinOneSuccess
            | TriggerRule::NoneSkipped
            | TriggerRule::Always => (ReasonKind::TriggerRule, format!(", as its trigger rule `{}` asks", rule.name())),
        };
        let then =
            if self.scene.compiled.task(task).when.is_some() { "; then its `when` says whether it runs" } else { "" };
        let text = format!("waits for {}{why}{then}", listed(&names, 3));
        Reason { holders, ..plain(kind, &text, None) }
    }

    /// It could start, but as many task runs of its run as may be are under way. The line is the order of the file.
    fn line(&self, task: TaskIndex, since: Option<Timestamp>, now: Timestamp) -> Reason {
        let graph = &self.scene.compiled.graph;
        let line: Vec<TaskIndex> =
            graph.indices().filter(|&other| self.waits(other) && self.verdict(other).0 == Verdict::Start).collect();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        // A mapped task stands in line with each instance that is left.
        let places = |tasks: &[TaskIndex]| -> u32 {
            tasks.iter().map(|&task| self.instances.get(graph.id(task)).map_or(1, |of| of.left())).sum()
        };
        let before = line.iter().position(|&other| other == task).unwrap_or(line.len());
        let position = places(&line[..before]) + 1;
        let limit = self.scene.compiled.workflow.max_active_tasks.unwrap_or(u32::MAX).min(self.scene.window).max(1);
        let mut rows: Vec<&WorkRow> = self.scene.work.iter().collect();
        rows.sort_by_key(|row| (row.place != Place::Executing, row.claimed_at, row.dispatch.key.clone()));
        let holders: Vec<Holder> = rows
            .iter()
            .map(|row| Holder { run: None, key: Some(row.dispatch.key.clone()), since: row.claimed_at })
            .collect();
        let used = number(rows.len());
        let (of, since_words) =
            (Some(places(&line)), since.map_or_else(String::new, |at| format!(" {}", words(now.since(at)))));
        if used < limit {
            let text = format!("is about to be dispatched: {used} of {limit} task slots of this run are used");
            return Reason { position: Some(position), of, ..plain(ReasonKind::MaxActiveTasks, &text, since) };
        }
        let names: Vec<String> = rows.iter().map(|row| row.dispatch.key.to_string()).collect();
        let text = format!(
            "waits{since_words} for a task slot of this run ({used}/{limit} used by {}; {} in line)",
            listed(&names, 3),
            ordinal(position)
        );
        Reason { holders, position: Some(position), of, ..plain(ReasonKind::MaxActiveTasks, &text, since) }
    }
}

/// `a, b, c and 4 more`.
fn listed(names: &[String], most: usize) -> String {
    if names.len() <= most + 1 {
        return names.join(", ");
    }
    format!("{} and {} more", names[..most].join(", "), names.len() - most)
}

/// `1st`, `2nd`, `3rd`, `4th`, `11th`.
fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// The two largest units: `18 m`, `2 h 5 m`, `40 s`.
pub fn words(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let first = units.iter().position(|(_, size)| seconds >= *size).unwrap_or(3);
    let (unit, size) = units[first];
    let large = format!("{} {unit}", seconds / size);
    match units.get(first + 1) {
        Some((unit, small)) if seconds % size >= *small && seconds < 10 * size => {
            format!("{large} {} {unit}", seconds % size / small)
        }
        Some(_) | None => large,
    }
}

/// An instant in UTC, to the second.
fn clock(at: Timestamp) -> String {
    at.to_datetime().format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
