//! What an operation will touch, before it is done: the same decision, put into words, and then thrown away. There is no
//! second rule: what a preview says is read from the events that the operation would write.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::decide::decide;
use crate::event::Event;
use crate::id::{MapIndex, TaskId, TaskKey, VersionId};
use crate::input::{Input, Reject};
use crate::run::{Run, Slot};
use crate::state::{DispatchWhy, FinalState, Place, RunState, TaskRunState};
use crate::time::Timestamp;

/// What happens to a task run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It begins anew.
    Rerun,
    /// It ends without having run.
    Cancel,
    /// Its running attempt is stopped.
    Stop,
    /// It is not part of the newer version.
    Remove,
    /// It ends as the operator says.
    Mark,
    /// It starts: for the first time, or without waiting any longer.
    Start,
}

/// One task run that would be touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Which.
    pub key: TaskKey,
    /// Where it is now.
    pub state: TaskRunState,
    /// What happens to it.
    pub effect: Effect,
    /// Why.
    pub why: String,
}

/// What an operation would do to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// In one sentence, as a button says it: "Re-run 10 tasks".
    pub text: String,
    /// The task runs, in file order of the version that the run would be on.
    pub tasks: Vec<Touched>,
    /// The version before and after, if it changes.
    pub version: Option<(VersionId, VersionId)>,
    /// How the run would be right afterwards.
    pub state: RunState,
}

/// What this input would do.
///
/// # Errors
/// Why it would change nothing: exactly what the operation itself would answer.
pub fn preview(run: &Run, input: &Input, now: Timestamp) -> Result<Preview, Reject> {
    let events = decide(run, input.clone(), now)?;
    let scene = Scene::of(run, input);
    let mut tasks: Vec<Touched> = Vec::new();
    let mut known: HashMap<TaskKey, usize> = HashMap::new();
    let mut state = run.projection.state;
    let mut version = None;
    // The first word about a task run stands: what follows from it is told by `why`.
    let add = |tasks: &mut Vec<Touched>, known: &mut HashMap<TaskKey, usize>, touched: Touched| {
        if !known.contains_key(&touched.key) {
            known.insert(touched.key.clone(), tasks.len());
            tasks.push(touched);
        }
    };
    for event in &events {
        match event {
            Event::RunReopened { tasks: anew, version_id, waits, .. } => {
                state = if *waits { RunState::Queued } else { RunState::Running };
                version = (*version_id != run.facts.version_id).then_some((run.facts.version_id, *version_id));
                anew.iter().for_each(|one| add(&mut tasks, &mut known, scene.rerun(one.key())));
            }
            Event::TaskCleared { subject, .. } => add(&mut tasks, &mut known, scene.rerun(subject.key())),
            Event::TaskSet { subject, state, .. } => {
                let stops = scene.executing.contains(&subject.key());
                let why = if stops { "its running attempt is stopped" } else { "chosen" };
                add(
                    &mut tasks,
                    &mut known,
                    scene.touch(subject.key(), Effect::Mark, format!("{why}; it ends as {state}")),
                );
            }
            Event::TaskFinished { subject, state: FinalState::Removed, .. } => {
                add(
                    &mut tasks,
                    &mut known,
                    scene.touch(subject.key(), Effect::Remove, "the newer version does not have it".to_owned()),
                );
            }
            Event::TaskFinished { subject, state, .. } => {
                let why = match state {
                    FinalState::UpstreamFailed => "an upstream did not end well; it ends as upstream_failed".to_owned(),
                    FinalState::Skipped => {
                        "its trigger rule cannot be satisfied any more; it ends as skipped".to_owned()
                    }
                    FinalState::Cancelled | FinalState::Succeeded | FinalState::Failed | FinalState::Removed => {
                        "it has not started".to_owned()
                    }
                };
                // A task run that begins anew only to end again without a start does not run again.
                if let Some(&at) = known.get(&subject.key()).filter(|&&at| tasks[at].effect == Effect::Rerun) {
                    (tasks[at].effect, tasks[at].why) = (Effect::Cancel, why);
                } else {
                    add(&mut tasks, &mut known, scene.touch(subject.key(), Effect::Cancel, why));
                }
            }
            Event::TaskDispatched { subject, why, .. } => {
                let why = match why {
                    DispatchWhy::Manual => "it waits for its next try, which starts now",
                    DispatchWhy::First | DispatchWhy::Retry | DispatchWhy::Lost | DispatchWhy::Resume => {
                        "nothing keeps it from starting any more"
                    }
                };
                add(&mut tasks, &mut known, scene.touch(subject.key(), Effect::Start, why.to_owned()));
            }
            Event::TaskExpanded { task, n, .. } => {
                let why = format!("it runs as {n} instances");
                add(&mut tasks, &mut known, scene.touch(TaskKey::of(task.clone()), Effect::Start, why));
            }
            Event::RunFinished { outcome, .. } => state = *outcome,
            Event::RunCancelRequested { .. } | Event::RunAborted { .. } => {
                state = RunState::Cancelling;
                for key in &scene.executing {
                    add(&mut tasks, &mut known, scene.touch(key.clone(), Effect::Stop, "it is running".to_owned()));
                }
            }
            Event::RunStarted {} => state = RunState::Running,
            Event::AttemptEnded { .. }
            | Event::RunCreated { .. }
            | Event::RunBroken { .. }
            | Event::RunRepaired { .. } => {}
        }
    }
    if let Some(target) = input.target().filter(|_| version.is_some()) {
        let fresh = target.compiled.graph.indices().map(|task| TaskKey::of(target.compiled.graph.id(task).clone()));
        for key in fresh.filter(|key| run.position(key).is_none() && !run.gone.contains_key(key)) {
            let first = !tasks.iter().any(|touched| touched.key == key && touched.effect != Effect::Start);
            if first && scene.joins(&target.compiled, &key) {
                tasks.retain(|touched| touched.key != key);
                tasks.push(scene.touch(key, Effect::Start, "it is new in this version".to_owned()));
            }
        }
        tasks.sort_by_key(|touched| target.compiled.graph.position(touched.key.task.as_str()).unwrap_or(u32::MAX));
    } else {
        tasks.sort_by_key(|touched| place(run, &touched.key));
    }
    // A mapped task stands for its instances only where none of them is touched in the same way.
    let instances: HashSet<(TaskId, Effect)> = tasks
        .iter()
        .filter(|touched| touched.key.map_index != MapIndex::NONE)
        .map(|touched| (touched.key.task.clone(), touched.effect))
        .collect();
    tasks.retain(|touched| {
        touched.key.map_index != MapIndex::NONE || !instances.contains(&(touched.key.task.clone(), touched.effect))
    });
    Ok(Preview { text: text(input, &tasks, state), tasks, version, state })
}

/// In file order, instances after their task; what the run does not have comes last.
fn place(run: &Run, key: &TaskKey) -> (u32, i32) {
    run.locate(key).map_or((u32::MAX, 0), |at| (at.task, at.index.0))
}

/// What is known before.
struct Scene<'a> {
    run: &'a Run,
    input: &'a Input,
    places: HashMap<TaskKey, Place>,
    executing: Vec<TaskKey>,
    named: HashSet<TaskKey>,
}

impl<'a> Scene<'a> {
    fn of(run: &'a Run, input: &'a Input) -> Self {
        let (places, named): (HashMap<TaskKey, Place>, HashSet<TaskKey>) = match input {
            Input::Retry(retry) => (
                retry.work.iter().map(|standing| (standing.key.clone(), standing.place)).collect(),
                retry.tasks.iter().cloned().collect(),
            ),
            Input::Mark(mark) => (
                mark.work.iter().map(|standing| (standing.key.clone(), standing.place)).collect(),
                mark.tasks.iter().flatten().cloned().collect(),
            ),
            Input::Cancel { halted, .. } | Input::Abort { halted, .. } => (
                halted
                    .executing
                    .iter()
                    .map(|key| (key.clone(), Place::Executing))
                    .chain(halted.removed.iter().map(|key| (key.clone(), Place::Ready)))
                    .collect(),
                HashSet::new(),
            ),
            Input::Create { .. }
            | Input::Start
            | Input::Expand { .. }
            | Input::Finish { .. }
            | Input::Refresh
            | Input::Break { .. }
            | Input::Repair { .. } => (HashMap::new(), HashSet::new()),
        };
        let mut executing: Vec<TaskKey> =
            places.iter().filter(|(_, place)| **place == Place::Executing).map(|(key, _)| key.clone()).collect();
        executing.sort_by_key(|key| place(run, key));
        Self { run, input, places, executing, named }
    }

    fn slot(&self, key: &TaskKey) -> Option<&Slot> {
        self.run.slot_of(key).or_else(|| self.run.gone.get(key))
    }

    /// Where it is now.
    fn state(&self, key: &TaskKey) -> TaskRunState {
        let ended = self.slot(key).and_then(Slot::final_state);
        crate::record::shown_state(ended, self.places.get(key).map(|place| (*place, false)))
    }

    fn touch(&self, key: TaskKey, effect: Effect, why: String) -> Touched {
        Touched { state: self.state(&key), key, effect, why }
    }

    fn rerun(&self, key: TaskKey) -> Touched {
        let why = match self.state(&key) {
            _ if self.named.contains(&key) => "chosen",
            TaskRunState::Failed => "it failed",
            TaskRunState::Cancelled => "it was cancelled",
            TaskRunState::UpstreamFailed => "it never ran, since an upstream failed",
            TaskRunState::Removed => "it is back in this version",
            TaskRunState::Skipped
            | TaskRunState::Waiting
            | TaskRunState::Ready
            | TaskRunState::Running
            | TaskRunState::RetryWait
            | TaskRunState::Deferred
            | TaskRunState::Succeeded => match self.input {
                Input::Retry(retry) if !retry.tasks.is_empty() => "it is downstream of a chosen task",
                Input::Retry(retry) if retry.what == crate::input::RetryWhat::All => "the whole run runs again",
                _ => "an upstream runs again",
            },
        };
        self.touch(key, Effect::Rerun, why.to_owned())
    }

    /// Whether a task of another version would be part of the run.
    fn joins(&self, compiled: &crate::graph::Compiled, key: &TaskKey) -> bool {
        self.run.only.as_ref().is_none_or(|only| {
            let graph = &compiled.graph;
            let inside = graph.upstream_closure(only.iter().filter_map(|task| graph.position(task.as_str())));
            graph.position(key.task.as_str()).is_some_and(|task| inside[task as usize])
        })
    }
}

/// `1 task`, `10 tasks`.
fn tasks_of(count: usize) -> String {
    if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") }
}

fn text(input: &Input, tasks: &[Touched], state: RunState) -> String {
    let count = |effect: Effect| tasks.iter().filter(|touched| touched.effect == effect).count();
    let (rerun, start, remove) = (count(Effect::Rerun), count(Effect::Start), count(Effect::Remove));
    let mut parts: Vec<String> = Vec::new();
    match input {
        Input::Cancel { .. } | Input::Abort { .. } => {
            let (stop, cancel) = (count(Effect::Stop), count(Effect::Cancel));
            if stop > 0 {
                parts.push(format!("stop {stop} running task{}", if stop == 1 { "" } else { "s" }));
            }
            if cancel > 0 {
                parts.push(format!("cancel {cancel} waiting"));
            }
            if parts.is_empty() {
                parts.push("cancel the run".to_owned());
            }
        }
        Input::Mark(mark) => {
            parts.push(format!("mark {} as {}", tasks_of(count(Effect::Mark)), mark.state));
            if start > 0 {
                parts.push(format!("start {start}"));
            }
            if count(Effect::Cancel) > 0 {
                parts.push(format!("end {} that can no longer start", tasks_of(count(Effect::Cancel))));
            }
            if state.is_final() {
                parts.push(format!("the run ends as {state}"));
            }
        }
        Input::Retry(_) => {
            if rerun > 0 {
                parts.push(format!("re-run {}", tasks_of(rerun)));
            }
            if start > 0 {
                parts.push(format!("start {}", tasks_of(start)));
            }
            if remove > 0 {
                parts.push(format!("remove {}", tasks_of(remove)));
            }
        }
        Input::Create { .. } | Input::Start | Input::Expand { .. } => parts.push(format!("start {}", tasks_of(start))),
        Input::Finish { .. } | Input::Refresh | Input::Break { .. } | Input::Repair { .. } => {
            parts.push(format!("touch {}", tasks_of(tasks.len())));
        }
    }
    let joined = match parts.split_last() {
        None => "change nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
    };
    let mut letters = joined.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
