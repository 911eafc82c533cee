//! Task runs, put together from the rows of a run.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use updraft_model::graph::Compiled;
use updraft_model::id::{MapIndex, TaskId, TaskKey};
use updraft_model::record::{TaskRunRow, WorkRow, shown_state};
use updraft_model::state::{Cause, Outcome, TaskRunState};
use updraft_model::time::Timestamp;
use updraft_store::history::AttemptLine;
use updraft_store::read::RunDetail;

use super::attempt::attempt;
use super::{index, time};
use crate::dto::{Instances, ItemCounts, Reason, TaskError, TaskRun, TaskState};
use crate::words;

/// Everything that task runs are made from.
pub(crate) struct Sources<'a> {
    /// The run with its rows.
    pub detail: &'a RunDetail,
    /// Its version.
    pub compiled: &'a Compiled,
    /// Its attempts.
    pub attempts: &'a [AttemptLine],
    /// Attempts that have said something, with the line of the first error.
    pub logs: &'a BTreeMap<(TaskKey, u32), Option<u64>>,
    /// Why task runs are not running.
    pub reasons: &'a BTreeMap<TaskKey, Reason>,
    /// Now.
    pub now: Timestamp,
}

/// The same by task run.
pub(crate) struct Rows<'a> {
    from: Sources<'a>,
    done: HashMap<&'a TaskKey, &'a TaskRunRow>,
    work: HashMap<&'a TaskKey, &'a WorkRow>,
    attempts: HashMap<&'a TaskKey, Vec<&'a AttemptLine>>,
    logs: HashMap<&'a TaskKey, BTreeSet<u32>>,
    items: HashMap<&'a TaskKey, Vec<(u32, &'a str)>>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(from: Sources<'a>) -> Self {
        let mut rows = Self {
            done: from.detail.task_runs.iter().map(|row| (&row.key, row)).collect(),
            work: from.detail.work.iter().map(|row| (&row.dispatch.key, row)).collect(),
            attempts: HashMap::new(),
            logs: HashMap::new(),
            items: HashMap::new(),
            from,
        };
        for line in rows.from.attempts {
            rows.attempts.entry(&line.key).or_default().push(line);
        }
        for (key, dispatch_no) in rows.from.logs.keys() {
            rows.logs.entry(key).or_default().insert(*dispatch_no);
        }
        for (key, dispatch_no, item) in &rows.from.detail.items {
            rows.items.entry(key).or_default().push((*dispatch_no, &item.state));
        }
        rows
    }

    /// All task runs in file order, each mapped one followed by its instances; then those that the version does not have.
    pub(crate) fn all(&self) -> Vec<TaskRun> {
        let mut keys: BTreeMap<&TaskId, BTreeSet<MapIndex>> = BTreeMap::new();
        for key in self.done.keys().chain(self.work.keys()).chain(self.attempts.keys()) {
            keys.entry(&key.task).or_default().insert(key.map_index);
        }
        let mut all = Vec::with_capacity(self.from.compiled.workflow.tasks.len());
        for task in &self.from.compiled.workflow.tasks {
            if self.from.detail.run.only.as_ref().is_some_and(|only| !only.contains(&task.id)) {
                continue;
            }
            let indexes = keys.remove(&task.id).unwrap_or_default();
            self.add(&task.id, &indexes, &mut all);
        }
        for (task, indexes) in keys {
            self.add(task, &indexes, &mut all);
        }
        all
    }

    fn add(&self, task: &TaskId, indexes: &BTreeSet<MapIndex>, all: &mut Vec<TaskRun>) {
        let instances: Vec<TaskRun> = indexes
            .iter()
            .filter(|index| **index != MapIndex::NONE)
            .map(|index| self.one(&TaskKey { task: task.clone(), map_index: *index }))
            .collect();
        let mut own = self.one(&TaskKey::of(task.clone()));
        let expanded = self.from.detail.expanded.iter().find(|(mapped, _)| mapped == task).map(|(_, n)| *n);
        if expanded.is_some() || !instances.is_empty() {
            gather(&mut own, &instances, expanded);
        }
        all.push(own);
        all.extend(instances);
    }

    /// One task run.
    pub(crate) fn one(&self, key: &TaskKey) -> TaskRun {
        let (done, work) = (self.done.get(key).copied(), self.work.get(key).copied());
        let lines = self.attempts.get(key).map_or(&[][..], Vec::as_slice);
        let deferred = lines.iter().rev().find_map(|line| line.outcome) == Some(Outcome::Deferred);
        let state = shown_state(done.map(|row| row.state), work.map(|row| (row.place, deferred)));
        let none = BTreeSet::new();
        let logs = self.logs.get(key).unwrap_or(&none);
        let attempts: Vec<_> = lines.iter().map(|line| attempt(line, logs, self.from.now)).collect();
        let generation = work.map(|row| row.dispatch.generation).or(done.map(|row| row.generation));
        let generation = generation.or(lines.last().map(|line| line.generation)).unwrap_or(0);
        let last = attempts.last();
        let begun = attempts.iter().filter(|attempt| attempt.generation == generation).find_map(|a| a.started_at);
        let over = work.is_none().then_some(done).flatten();
        let cause = over.map(|row| row.cause);
        let (task_type, depends_on) = match self.from.compiled.workflow.task(key.task.as_str()) {
            Some(task) => (task.task_type.clone(), task.depends_on.iter().map(ToString::to_string).collect()),
            None => (String::new(), Vec::new()),
        };
        TaskRun {
            task: key.task.to_string(),
            map_index: index(key),
            task_type,
            state: state.into(),
            cause: cause.map(|cause| cause.name().to_owned()),
            cause_words: cause_words(state, cause, lines),
            generation,
            depends_on,
            error: self.error(key, lines),
            started_at: begun,
            ended_at: time(over.map(|row| row.ended_at)),
            seconds: last.and_then(|attempt| attempt.seconds),
            wait_seconds: last.and_then(|attempt| attempt.wait_seconds),
            expanded_n: None,
            instances: None,
            reason: self.from.reasons.get(key).cloned(),
            output_bytes: lines.last().map(|line| line.output_bytes).filter(|bytes| *bytes > 0),
            retry_at: time(work.and_then(|row| row.due_at)),
            items: self.items(key, lines),
            attempts,
        }
    }

    /// What the last attempt that ended said, if it went wrong.
    fn error(&self, key: &TaskKey, lines: &[&AttemptLine]) -> Option<TaskError> {
        let line = lines.iter().rev().find(|line| line.outcome.is_some())?;
        match line.outcome? {
            Outcome::Failed | Outcome::TimedOut | Outcome::Lost => {}
            Outcome::Succeeded | Outcome::Skipped | Outcome::Deferred | Outcome::Cancelled => return None,
        }
        let cause = line.cause.unwrap_or(Cause::Task);
        let message = line.message.clone().filter(|message| !message.trim().is_empty());
        let message = message.unwrap_or_else(|| cause.in_words().to_owned());
        let log_line = self.from.logs.get(&(key.clone(), line.dispatch_no)).copied().flatten();
        Some(TaskError {
            class: line.class.clone().unwrap_or_else(|| cause.name().to_owned()),
            line: words::first_line(&message, words::LINE),
            message,
            log_line,
        })
    }

    /// Parts of the last attempt's work, counted.
    fn items(&self, key: &TaskKey, lines: &[&AttemptLine]) -> Option<ItemCounts> {
        let last = lines.last()?.dispatch_no;
        let mut counts = ItemCounts::default();
        for (_, state) in self.items.get(key)?.iter().filter(|(dispatch_no, _)| *dispatch_no == last) {
            match *state {
                "warn" | "warning" => counts.warn += 1,
                "fail" | "error" | "failed" | "runtime error" => counts.fail += 1,
                _ => counts.pass += 1,
            }
        }
        (counts != ItemCounts::default()).then_some(counts)
    }
}

/// Why a task run is where it is, where its attempts do not say it.
fn cause_words(state: TaskRunState, cause: Option<Cause>, lines: &[&AttemptLine]) -> Option<String> {
    let said =
        || lines.last().and_then(|line| line.message.as_deref()).map(|text| words::first_line(text, words::LINE));
    match state {
        TaskRunState::Succeeded if cause == Some(Cause::Task) => None,
        TaskRunState::Skipped if cause == Some(Cause::Task) => Some(said().unwrap_or_else(|| "skipped".to_owned())),
        TaskRunState::Skipped if cause == Some(Cause::When) => {
            Some(said().unwrap_or_else(|| Cause::When.in_words().to_owned()))
        }
        TaskRunState::Failed if matches!(cause, Some(Cause::Task)) => {
            Some(said().unwrap_or_else(|| Cause::Task.in_words().to_owned()))
        }
        TaskRunState::Succeeded
        | TaskRunState::Skipped
        | TaskRunState::Failed
        | TaskRunState::UpstreamFailed
        | TaskRunState::Cancelled
        | TaskRunState::Removed => cause.map(|cause| cause.in_words().to_owned()),
        TaskRunState::Waiting
        | TaskRunState::Ready
        | TaskRunState::Running
        | TaskRunState::RetryWait
        | TaskRunState::Deferred => None,
    }
}

/// A mapped task run from its instances that have begun, of so many in all.
fn gather(own: &mut TaskRun, instances: &[TaskRun], expanded: Option<u32>) {
    let begun = u32::try_from(instances.len()).unwrap_or(u32::MAX);
    let mut counts = Instances { total: begun.max(expanded.unwrap_or(0)), ..Instances::default() };
    // Those that have not begun wait as long as their task is not over; then they never will.
    let left = if own.cause.is_none() { counts.total - begun } else { 0 };
    counts.waiting = left;
    for one in instances {
        match one.state {
            TaskState::Succeeded | TaskState::Skipped => counts.succeeded += 1,
            TaskState::Failed | TaskState::UpstreamFailed | TaskState::Cancelled => counts.failed += 1,
            TaskState::Running => counts.running += 1,
            TaskState::Waiting | TaskState::Ready | TaskState::RetryWait | TaskState::Deferred => counts.waiting += 1,
            TaskState::Removed => {}
        }
    }
    own.expanded_n = Some(counts.total);
    own.instances = Some(counts);
    let rank = |state: TaskState| match state {
        TaskState::Running => 0,
        TaskState::RetryWait => 1,
        TaskState::Deferred => 2,
        TaskState::Ready => 3,
        TaskState::Waiting => 4,
        TaskState::Failed => 5,
        TaskState::Cancelled => 6,
        TaskState::UpstreamFailed => 7,
        TaskState::Succeeded => 8,
        TaskState::Skipped => 9,
        TaskState::Removed => 10,
    };
    // An own row that is over knows better than its instances.
    if own.cause.is_none()
        && let Some(state) = instances
            .iter()
            .map(|one| one.state)
            .chain((left > 0).then_some(TaskState::Waiting))
            .min_by_key(|state| rank(*state))
    {
        own.state = state;
    }
    own.started_at = instances.iter().filter_map(|one| one.started_at).min().or(own.started_at);
    let open = counts.running + counts.waiting > 0;
    own.ended_at = if open { None } else { instances.iter().filter_map(|one| one.ended_at).max().or(own.ended_at) };
    own.seconds = own.started_at.zip(own.ended_at).map(|(start, end)| super::seconds(start.0, end.0));
    own.wait_seconds = instances.iter().filter_map(|one| one.wait_seconds).max_by(f64::total_cmp);
    if own.error.is_none() {
        own.error = instances.iter().find_map(|one| one.error.clone());
    }
}

/// Tasks that decided how long a run took: from the one that ended last back along the upstream that ended last.
pub(crate) fn critical_path(tasks: &[TaskRun]) -> Vec<String> {
    let own: BTreeMap<&str, &TaskRun> =
        tasks.iter().filter(|one| one.map_index.is_none()).map(|one| (one.task.as_str(), one)).collect();
    let ended = |one: &&&TaskRun| one.ended_at;
    let started = own.values().filter(|one| one.started_at.is_some());
    let mut at = started.filter(|one| one.ended_at.is_some()).max_by_key(ended).copied();
    let mut path = Vec::new();
    while let Some(one) = at {
        if path.contains(&one.task) {
            break;
        }
        path.push(one.task.clone());
        let above = one.depends_on.iter().filter_map(|up| own.get(up.as_str()));
        at = above.filter(|up| up.started_at.is_some() && up.ended_at.is_some()).max_by_key(ended).copied();
    }
    path.reverse();
    path
}
