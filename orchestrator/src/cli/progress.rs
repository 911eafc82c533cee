//! Live progress on standard error. On a terminal a tree: each task as deep as its longest way from a root, those under way
//! with spinners below those that ended. Plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use updraft_engine::{Engine, EngineEvent};
use updraft_model::id::{TaskId, TaskKey};
use updraft_model::state::{FinalState, Outcome, TaskRunState};
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;

use super::output;

/// Shows what an engine tells until it is finished.
pub struct Progress {
    task: JoinHandle<()>,
    stop: tokio::sync::oneshot::Sender<()>,
    depths: Depths,
}

/// How deep each task stands; told once, when the workflow is known.
type Depths = Arc<OnceLock<BTreeMap<TaskId, usize>>>;

impl Progress {
    /// Begins to listen.
    pub fn start(engine: &Engine) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let depths = Depths::default();
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        let view = View { bars, tasks: BTreeMap::new(), depths: Arc::clone(&depths) };
        let task = tokio::spawn(follow(engine.subscribe(), view, stopped));
        Self { task, stop, depths }
    }

    /// Tells the graph, from which the tree is drawn.
    pub fn graph(&self, workflow: &Workflow) {
        let _ = self.depths.set(depths(workflow));
    }

    /// Shows what was told before now, and ends.
    pub async fn finish(self) {
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the progress display failed");
        }
    }
}

async fn follow(mut events: Receiver<EngineEvent>, mut view: View, mut stopped: tokio::sync::oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Ok(event) => view.show(event),
                Err(RecvError::Lagged(missed)) => view.say(&output::dim(&format!("({missed} lines of progress left out)"))),
                Err(RecvError::Closed) => break,
            },
            _ = &mut stopped => break,
        }
    }
    view.clear();
}

struct View {
    bars: Option<MultiProgress>,
    tasks: BTreeMap<TaskKey, Line>,
    depths: Depths,
}

struct Line {
    bar: Option<ProgressBar>,
    since: Instant,
    last_told: Instant,
    error: Option<String>,
}

/// Least time between two lines of progress of one task where there is no terminal.
const TELL_EVERY: Duration = Duration::from_secs(5);

impl View {
    fn show(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::RunStarted { run_id } => self.say(&output::dim(&format!("run {run_id}"))),
            EngineEvent::TaskDispatched { .. } | EngineEvent::ItemChanged { .. } => {}
            EngineEvent::AttemptStarted { key, try_no, .. } => self.started(key, try_no),
            EngineEvent::Progress { key, done, total, unit, .. } => self.progressed(&key, done, total, &unit),
            EngineEvent::AttemptEnded { key, outcome, class, message, .. } => {
                self.line(&key).error = match outcome {
                    Outcome::Succeeded | Outcome::Deferred => None,
                    // The state that is shown beside it says the rest.
                    Outcome::Skipped | Outcome::Cancelled => message,
                    Outcome::Failed => joined([class, message]),
                    Outcome::TimedOut | Outcome::Lost => joined([Some(outcome.name().to_owned()), message]),
                };
            }
            EngineEvent::RetryScheduled { key, try_no, due_at, .. } => self.waits(&key, try_no, due_at),
            EngineEvent::TaskFinished { key, state, .. } => self.finished(&key, state),
            EngineEvent::RunFinished { .. } => {}
            EngineEvent::Warning { message, .. } => self.say(&format!("warning: {message}")),
        }
    }

    fn line(&mut self, key: &TaskKey) -> &mut Line {
        let now = Instant::now();
        self.tasks.entry(key.clone()).or_insert_with(|| Line { bar: None, since: now, last_told: now, error: None })
    }

    /// On a terminal, two blanks for each level of the tree.
    fn indent(&self, key: &TaskKey) -> String {
        let depth = self.depths.get().and_then(|depths| depths.get(&key.task)).copied().unwrap_or_default();
        if self.bars.is_some() { "  ".repeat(depth) } else { String::new() }
    }

    fn started(&mut self, key: TaskKey, try_no: u32) {
        let again = if try_no > 1 { format!(" (try {try_no})") } else { String::new() };
        match &self.bars {
            Some(bars) => {
                let bar = bars.add(ProgressBar::new_spinner());
                bar.set_style(spinner());
                bar.set_prefix(self.indent(&key));
                bar.set_message(format!("{key}{again}"));
                bar.enable_steady_tick(Duration::from_millis(100));
                let line = self.line(&key);
                if let Some(old) = line.bar.replace(bar) {
                    old.finish_and_clear();
                }
            }
            None => self.say(&format!("{} {key} running{again}", output::task_sign(TaskRunState::Running))),
        }
        let line = self.line(&key);
        line.since = Instant::now();
        line.last_told = line.since;
    }

    fn progressed(&mut self, key: &TaskKey, done: u64, total: Option<u64>, unit: &str) {
        let of = total.map(|total| format!(" of {}", output::count(total))).unwrap_or_default();
        let text = format!("{key}  {}{of} {unit}", output::count(done));
        let line = self.line(key);
        if let Some(bar) = &line.bar {
            bar.set_message(text);
        } else if line.last_told.elapsed() >= TELL_EVERY {
            line.last_told = Instant::now();
            self.say(&format!("{} {text}", output::task_sign(TaskRunState::Running)));
        }
    }

    fn waits(&mut self, key: &TaskKey, try_no: u32, due_at: Timestamp) {
        let line = self.line(key);
        let why = line.error.take().map(|error| format!(": {error}")).unwrap_or_default();
        if let Some(bar) = line.bar.take() {
            bar.finish_and_clear();
        }
        let (indent, sign) = (self.indent(key), output::task_sign(TaskRunState::RetryWait));
        self.say(&format!("{indent}{sign} {key} try {try_no} at {due_at}{why}"));
    }

    fn finished(&mut self, key: &TaskKey, state: FinalState) {
        let line = self.tasks.remove(key);
        let started = line.as_ref().is_some_and(|line| line.bar.is_some()) || self.bars.is_none() && line.is_some();
        let took = line.as_ref().filter(|_| started).map(|line| line.since.elapsed().as_secs_f64());
        let why =
            line.as_ref().and_then(|line| line.error.clone()).map(|error| format!(": {error}")).unwrap_or_default();
        if let Some(bar) = line.and_then(|line| line.bar) {
            bar.finish_and_clear();
        }
        let shown = TaskRunState::from(state);
        let took = took.map(|seconds| output::dim(&format!("  {}", output::seconds(seconds)))).unwrap_or_default();
        let (indent, sign) = (self.indent(key), output::task_sign(shown));
        self.say(&format!("{indent}{sign} {key} {}{took}{why}", output::task_state(shown)));
    }

    /// Above the spinners, or plainly.
    fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    fn clear(&mut self) {
        for line in self.tasks.values_mut() {
            if let Some(bar) = line.bar.take() {
                bar.finish_and_clear();
            }
        }
    }
}

/// Length of the longest way from a root to each task; `check` has refused cycles.
fn depths(workflow: &Workflow) -> BTreeMap<TaskId, usize> {
    let mut depths: BTreeMap<TaskId, usize> = BTreeMap::new();
    // A file need not list tasks in the order of the graph: as many rounds as the graph is deep settle them.
    for _ in 0..workflow.tasks.len() {
        let mut settled = true;
        for task in &workflow.tasks {
            let above = task.depends_on.iter().map(|upstream| depths.get(upstream).map_or(0, |depth| depth + 1));
            let depth = above.max().unwrap_or_default();
            settled &= depths.insert(task.id.clone(), depth) == Some(depth);
        }
        if settled {
            break;
        }
    }
    depths
}

fn joined(parts: [Option<String>; 2]) -> Option<String> {
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

fn spinner() -> ProgressStyle {
    // The template is a constant: if it did not read, the default style would do.
    ProgressStyle::with_template("{prefix}{spinner} {msg} {elapsed:.dim}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_task_stands_as_deep_as_its_longest_way() {
        let task = |id: &str, above: &[&str]| json!({ "id": id, "type": "noop", "depends_on": above });
        let tasks =
            [task("last", &["side", "root"]), task("side", &["mid"]), task("mid", &["root"]), task("root", &[])];
        let workflow = json!({ "id": "w", "max_active_runs": 1, "tasks": tasks });
        let found = depths(&serde_json::from_value(workflow).unwrap());
        let found: Vec<(&str, usize)> = found.iter().map(|(task, depth)| (task.as_str(), *depth)).collect();
        assert_eq!(found, [("last", 3), ("mid", 1), ("root", 0), ("side", 2)]);
    }
}
