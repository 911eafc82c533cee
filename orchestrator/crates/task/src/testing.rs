//! A context for tests of tasks: states in memory, lines kept, children run plainly, a lake in a temporary folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio_util::sync::CancellationToken;
use updraft_model::id::{AttemptId, RunId, TaskKey};
use updraft_model::record::{RunMetric, TaskItem};
use updraft_model::state::Trigger;
use updraft_model::time::{DataInterval, Timestamp};
use uuid::Uuid;

use crate::child::{ChildExit, ChildSpec, Lines, Output, StopSignal};
use crate::context::{AttemptInfo, Context, Host, Level, RunInfo, Sibling};
use crate::{Connection, TaskError};

/// A run that lives in memory and in one folder.
pub struct TestRun {
    /// What the context says of the run; change it before [`TestRun::context`].
    pub info: RunInfo,
    host: Arc<TestHost>,
}

#[derive(Default)]
struct TestHost {
    lines: Mutex<Vec<(Level, String)>>,
    child_lines: Mutex<Vec<(Output, String)>>,
    live: Mutex<Vec<TaskItem>>,
    items: Mutex<Vec<TaskItem>>,
    metrics: Mutex<Vec<RunMetric>>,
    connections: Mutex<BTreeMap<String, Connection>>,
    states: Mutex<BTreeMap<(TaskKey, u32, String), String>>,
    /// The fence of each task: the number of its newest attempt.
    fences: Mutex<BTreeMap<TaskKey, u32>>,
    shared: Mutex<BTreeMap<(String, String), (String, u64)>>,
    siblings: Mutex<Vec<Sibling>>,
    now: Mutex<Option<Timestamp>>,
    cancelled: CancellationToken,
    handed_over: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TestRun {
    /// A run whose project is `folder`, with a lake in `folder/lake`.
    pub fn new(folder: &Path) -> Self {
        let at = Timestamp::from_millis(1_767_225_600_000);
        let run = Self {
            info: RunInfo {
                run_id: RunId(Uuid::from_u128(1)),
                workflow: "test".to_owned(),
                trigger: Trigger::Manual,
                logical_at: at,
                interval: DataInterval { start: at, end: at },
                params: json!({}),
                started_at: at,
                project_dir: folder.to_owned(),
                data_dir: folder.join(".updraft"),
            },
            host: Arc::default(),
        };
        run.connect("lake", json!({ "kind": "lake", "url": "lake" }));
        run
    }

    /// Adds a connection as a profile would write it, `kind` among its fields.
    pub fn connect(&self, name: &str, entry: Value) {
        let mut fields = match entry {
            Value::Object(fields) => fields,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
        };
        let kind = fields.remove("kind").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
        locked(&self.host.connections).insert(name.to_owned(), Connection { name: name.to_owned(), kind, fields });
    }

    /// Sets what [`Context::siblings`] answers.
    pub fn set_siblings(&self, siblings: Vec<Sibling>) {
        *locked(&self.host.siblings) = siblings;
    }

    /// Stops the clock at an instant.
    pub fn set_now(&self, now: Timestamp) {
        *locked(&self.host.now) = Some(now);
    }

    /// Tells the bodies to stop.
    pub fn cancel(&self) {
        self.host.cancelled.cancel();
    }

    /// Tells the bodies to stop, and that a later attempt goes on with their work.
    pub fn hand_over(&self) {
        self.host.handed_over.store(true, Ordering::Release);
        self.host.cancelled.cancel();
    }

    /// The same run in the next process: what was kept is there, and nothing has been told to stop.
    #[must_use]
    pub fn next_process(&self) -> Self {
        let host = TestHost {
            states: Mutex::new(locked(&self.host.states).clone()),
            fences: Mutex::new(locked(&self.host.fences).clone()),
            shared: Mutex::new(locked(&self.host.shared).clone()),
            connections: Mutex::new(locked(&self.host.connections).clone()),
            ..TestHost::default()
        };
        Self { info: self.info.clone(), host: Arc::new(host) }
    }

    /// A context for one attempt. Attempts of one task share what they keep, and the newest one takes the fence: from then
    /// on the others put nothing.
    pub fn context(&self, task: &str, try_no: u32, conn: Option<&str>) -> Context {
        let mut fences = locked(&self.host.fences);
        let fence = fences.entry(TaskKey::of(task)).or_default();
        *fence = try_no.max(*fence);
        let scratch_dir = self.info.data_dir.join("scratch").join(format!("{task}-{try_no}"));
        Context::new(
            Arc::new(self.info.clone()),
            Arc::new(AttemptInfo {
                key: TaskKey::of(task),
                dispatch_no: try_no,
                try_no,
                generation: 0,
                attempt_id: AttemptId(Uuid::from_u128(u128::from(try_no))),
                idempotency_key: format!("key-of-{task}"),
                deadline: None,
                env: BTreeMap::new(),
                scratch_dir,
            }),
            conn.map(str::to_owned),
            self.host.cancelled.clone(),
            Arc::clone(&self.host) as Arc<dyn Host>,
        )
    }

    /// Lines logged so far.
    pub fn lines(&self) -> Vec<(Level, String)> {
        locked(&self.host.lines).clone()
    }

    /// Lines among them that children said.
    pub fn child_lines(&self) -> Vec<(Output, String)> {
        locked(&self.host.child_lines).clone()
    }

    /// Items recorded so far.
    pub fn items(&self) -> Vec<TaskItem> {
        locked(&self.host.items).clone()
    }

    /// Items shown so far, each as often as it was.
    pub fn live_items(&self) -> Vec<TaskItem> {
        locked(&self.host.live).clone()
    }

    /// Measures recorded so far.
    pub fn metrics(&self) -> Vec<RunMetric> {
        locked(&self.host.metrics).clone()
    }

    /// The project's folder.
    pub fn folder(&self) -> &PathBuf {
        &self.info.project_dir
    }
}

/// Asks a child to stop.
async fn signal(child: &tokio::process::Child, stop: StopSignal) -> std::io::Result<()> {
    let Some(pid) = child.id() else { return Ok(()) };
    let name = match stop {
        StopSignal::Term => "-TERM",
        StopSignal::Int => "-INT",
    };
    tokio::process::Command::new("kill").args([name, &pid.to_string()]).status().await.map(drop)
}

#[async_trait]
impl Host for TestHost {
    fn log(&self, level: Level, line: &str) {
        locked(&self.lines).push((level, line.to_owned()));
    }

    fn log_child(&self, output: Output, level: Level, line: &str) {
        locked(&self.lines).push((level, line.to_owned()));
        locked(&self.child_lines).push((output, line.to_owned()));
    }

    fn progress(&self, _done: u64, _total: Option<u64>, _unit: &str) {}

    fn live_item(&self, item: TaskItem) {
        locked(&self.live).push(item);
    }

    fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }

    fn record_item(&self, item: TaskItem) {
        locked(&self.items).push(item);
    }

    fn record_metric(&self, metric: RunMetric) {
        locked(&self.metrics).push(metric);
    }

    fn connection(&self, name: &str) -> Option<Connection> {
        locked(&self.connections).get(name).cloned()
    }

    fn connections(&self) -> Vec<String> {
        locked(&self.connections).keys().cloned().collect()
    }

    async fn state(&self, attempt: &AttemptInfo, name: &str) -> Result<Option<String>, TaskError> {
        let key = (attempt.key.clone(), attempt.generation, name.to_owned());
        Ok(locked(&self.states).get(&key).cloned())
    }

    async fn put_state(&self, attempt: &AttemptInfo, name: &str, value: &str) -> Result<String, TaskError> {
        if locked(&self.fences).get(&attempt.key) != Some(&attempt.dispatch_no) {
            return Err(TaskError::fenced(&attempt.key, attempt.dispatch_no));
        }
        let key = (attempt.key.clone(), attempt.generation, name.to_owned());
        Ok(locked(&self.states).entry(key).or_insert_with(|| value.to_owned()).clone())
    }

    async fn shared(&self, scope: &str, key: &str) -> Result<Option<(String, u64)>, TaskError> {
        Ok(locked(&self.shared).get(&(scope.to_owned(), key.to_owned())).cloned())
    }

    async fn set_shared(&self, scope: &str, key: &str, value: &str, expected: u64) -> Result<bool, TaskError> {
        let mut shared = locked(&self.shared);
        let entry = shared.entry((scope.to_owned(), key.to_owned())).or_insert_with(|| (String::new(), 0));
        let free = entry.1 == expected;
        if free {
            *entry = (value.to_owned(), expected + 1);
        }
        Ok(free)
    }

    async fn run_child(&self, spec: ChildSpec, lines: &mut Lines<'_>) -> Result<ChildExit, TaskError> {
        let spawn = |error: std::io::Error| TaskError::fail("Spawn", format!("cannot run {:?}: {error}", spec.argv));
        let mut command = tokio::process::Command::new(&spec.argv[0]);
        command.args(&spec.argv[1..]).envs(&spec.env).kill_on_drop(true);
        command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        if let Some(cwd) = &spec.cwd {
            command.current_dir(cwd);
        }
        let mut child = command.spawn().map_err(spawn)?;
        if let (Some(mut stdin), Some(bytes)) = (child.stdin.take(), &spec.stdin) {
            stdin.write_all(bytes).await.map_err(spawn)?;
        }
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(TaskError::fail("Spawn", "a child without pipes"));
        };
        let (mut stdout, mut stderr) = (BufReader::new(stdout).lines(), BufReader::new(stderr).lines());
        let (mut out_open, mut err_open, mut stopping) = (true, true, false);
        while out_open || err_open {
            tokio::select! {
                () = self.cancelled.cancelled(), if !stopping => {
                    stopping = true;
                    signal(&child, spec.stop).await.map_err(spawn)?;
                }
                () = tokio::time::sleep(spec.grace), if stopping => child.start_kill().map_err(spawn)?,
                line = stdout.next_line(), if out_open => match line.map_err(spawn)? {
                    Some(line) => lines(Output::Stdout, &line),
                    None => out_open = false,
                },
                line = stderr.next_line(), if err_open => match line.map_err(spawn)? {
                    Some(line) => lines(Output::Stderr, &line),
                    None => err_open = false,
                },
            }
        }
        let status = child.wait().await.map_err(spawn)?;
        if stopping {
            return Err(TaskError::cancelled());
        }
        Ok(status.code().map_or_else(
            || ChildExit::Signal(std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or_default()),
            ChildExit::Code,
        ))
    }

    async fn siblings(&self) -> Result<Vec<Sibling>, TaskError> {
        Ok(locked(&self.siblings).clone())
    }

    fn now(&self) -> Timestamp {
        locked(&self.now).unwrap_or_else(|| Timestamp::from_datetime(chrono::Utc::now()))
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}
