//! The engine's side of a task's context: log, progress, records, connections, states, children. One per attempt.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use updraft_model::id::{AttemptId, RunId, TaskKey};
use updraft_model::record::{AttemptRow, Dispatch, RunMetric, TaskItem, shown_state};
use updraft_model::time::Timestamp;
use updraft_store::logs::{LogKey, LogStream};
use updraft_store::{StoreError, TaskStateKey};
use updraft_task::{AttemptInfo, ChildExit, ChildSpec, Connection, Host, Level, Lines, Output, Sibling, TaskError};

use crate::child::{self, ChildRun};
use crate::committer::trouble_backoff;
use crate::event::EngineEvent;
use crate::logs::{LogFile, Mask};
use crate::owned::{Owned, Stop};
use crate::plan::Plan;
use crate::shared::{Shared, locked};

/// See the module.
pub(crate) struct AttemptHost {
    shared: Arc<Shared>,
    run_id: RunId,
    plan: Arc<Plan>,
    dispatch: Dispatch,
    attempt_id: AttemptId,
    owned: Arc<Owned>,
    env: OnceLock<BTreeMap<String, String>>,
    mask: OnceLock<Mask>,
    log: Mutex<Option<LogFile>>,
    records: Mutex<(Vec<TaskItem>, Vec<RunMetric>)>,
}

impl AttemptHost {
    pub(crate) fn new(
        shared: Arc<Shared>,
        run_id: RunId,
        plan: Arc<Plan>,
        dispatch: &Dispatch,
        attempt_id: AttemptId,
        owned: Arc<Owned>,
    ) -> Self {
        Self {
            shared,
            run_id,
            plan,
            dispatch: dispatch.clone(),
            attempt_id,
            owned,
            env: OnceLock::new(),
            mask: OnceLock::new(),
            log: Mutex::new(None),
            records: Mutex::default(),
        }
    }

    pub(crate) fn set_env(&self, env: BTreeMap<String, String>) {
        let _ = self.env.set(env);
    }

    /// What was recorded, to be written with the result.
    pub(crate) fn take(&self) -> (Vec<TaskItem>, Vec<RunMetric>) {
        std::mem::take(&mut *locked(&self.records))
    }

    /// Secrets of every connection, made when the first line is written.
    fn mask_table(&self) -> &Mask {
        self.mask.get_or_init(|| {
            let config = &self.shared.config;
            let mut secrets = Vec::new();
            for name in config.connections.names() {
                if let Some(connection) = config.connections.connection(&name) {
                    let known = config.registry.secrets(&connection.kind, &connection.fields);
                    secrets.extend(known.into_iter().map(str::to_owned));
                }
            }
            Mask::new(secrets.iter().map(String::as_str))
        })
    }

    /// A text without secrets.
    pub(crate) fn mask(&self, text: &str) -> String {
        self.mask_table().apply(text).into_owned()
    }

    fn write(&self, stream: LogStream, level: Level, line: &str) {
        let masked = self.mask_table().apply(line);
        let mut log = locked(&self.log);
        let file = log.get_or_insert_with(|| {
            let config = &self.shared.config;
            let path = crate::logs::path(&config.log_dir, self.run_id, &self.dispatch.key, self.dispatch.dispatch_no);
            let file = LogFile::create(path, config.log_limit_bytes);
            if config.logs.is_some() {
                let log = LogKey {
                    run_id: self.run_id,
                    key: self.dispatch.key.clone(),
                    dispatch_no: self.dispatch.dispatch_no,
                };
                self.shared.shipping.add(log, file.path(), file.written());
            }
            file
        });
        if let Err(error) = file.write(self.shared.now(), level, stream, &masked) {
            self.shared.warn(
                Some(self.run_id),
                format!("the log of `{}` cannot be written to {}: {error}", self.dispatch.key, file.path().display()),
            );
        }
    }

    /// What the store answers, however long it is away; unless the attempt is told to stop.
    pub(crate) async fn ask<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        call: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        let mut tries = 0;
        loop {
            match call().await {
                Err(error) if self.asks_again(&error, &mut tries).await => {}
                answer => return answer,
            }
        }
    }

    /// Waits a while if the same question may be answered then: an attempt outlives an outage of the store, unless it is
    /// told to stop.
    async fn asks_again(&self, error: &StoreError, tries: &mut u32) -> bool {
        if !error.is_transient() {
            return false;
        }
        if *tries == 0 {
            self.write(LogStream::Task, Level::Warn, &format!("{error}; asking again until it answers"));
        }
        *tries += 1;
        tokio::select! {
            () = tokio::time::sleep(trouble_backoff(self.shared.config.backoff, *tries)) => true,
            () = self.owned.token.cancelled() => false,
        }
    }

    fn state_key(&self, attempt: &AttemptInfo, name: &str) -> TaskStateKey {
        TaskStateKey {
            run_id: self.run_id,
            key: attempt.key.clone(),
            generation: attempt.generation,
            name: name.to_owned(),
        }
    }
}

impl Drop for AttemptHost {
    fn drop(&mut self) {
        self.shared.live.forget(self.run_id, &self.dispatch);
    }
}

fn from_store(error: &StoreError) -> TaskError {
    if error.is_transient() {
        TaskError::retry("Store", error.to_string())
    } else {
        TaskError::fail("Store", error.to_string())
    }
}

#[async_trait]
impl Host for AttemptHost {
    fn is_handed_over(&self) -> bool {
        match self.owned.why() {
            Stop::No | Stop::Timeout | Stop::Cancel => false,
            Stop::LeaseLost | Stop::Abort | Stop::Fenced => true,
        }
    }

    fn log(&self, level: Level, line: &str) {
        self.write(LogStream::Task, level, line);
    }

    fn log_child(&self, output: Output, level: Level, line: &str) {
        let stream = match output {
            Output::Stdout => LogStream::Stdout,
            Output::Stderr => LogStream::Stderr,
        };
        self.write(stream, level, line);
    }

    fn progress(&self, done: u64, total: Option<u64>, unit: &str) {
        if self.shared.events.receiver_count() > 0 {
            self.shared.tell(EngineEvent::Progress {
                run_id: self.run_id,
                key: self.dispatch.key.clone(),
                done,
                total,
                unit: unit.to_owned(),
            });
        }
    }

    fn live_item(&self, mut item: TaskItem) {
        item.message = item.message.map(|text| crate::committer::build::storable(&self.mask(&text), 2 << 10));
        self.shared.live.put(self.run_id, &self.dispatch, item);
        if self.shared.events.receiver_count() > 0 {
            self.shared.tell(EngineEvent::ItemChanged { run_id: self.run_id, key: self.dispatch.key.clone() });
        }
    }

    fn record_item(&self, mut item: TaskItem) {
        item.message = item.message.map(|text| crate::committer::build::storable(&self.mask(&text), 2 << 10));
        locked(&self.records).0.push(item);
    }

    fn record_metric(&self, metric: RunMetric) {
        locked(&self.records).1.push(metric);
    }

    fn connection(&self, name: &str) -> Option<Connection> {
        self.shared.config.connections.connection(name)
    }

    fn connections(&self) -> Vec<String> {
        self.shared.config.connections.names()
    }

    async fn state(&self, attempt: &AttemptInfo, name: &str) -> Result<Option<String>, TaskError> {
        let key = self.state_key(attempt, name);
        self.ask(|| self.shared.config.store.task_state(&key)).await.map_err(|error| from_store(&error))
    }

    async fn put_state(&self, attempt: &AttemptInfo, name: &str, value: &str) -> Result<String, TaskError> {
        let key = self.state_key(attempt, name);
        // Putting twice is putting once, so an unknown outcome is asked for by the same call.
        let stands = self.ask(|| self.shared.config.store.put_task_state(&key, self.attempt_id, value)).await;
        stands.map_err(|error| from_store(&error))?.ok_or_else(|| TaskError::fenced(&attempt.key, attempt.dispatch_no))
    }

    async fn shared(&self, scope: &str, key: &str) -> Result<Option<(String, u64)>, TaskError> {
        self.ask(|| self.shared.config.store.shared_state(scope, key)).await.map_err(|error| from_store(&error))
    }

    async fn set_shared(&self, scope: &str, key: &str, value: &str, expected: u64) -> Result<bool, TaskError> {
        let (store, mut tries) = (&self.shared.config.store, 0);
        loop {
            match store.set_shared_state(scope, key, value, expected, self.shared.now()).await {
                // The answer to an earlier call may be lost: then it is its own value that is in the way.
                Ok(false) if tries > 0 => {
                    let stands = self.shared(scope, key).await?;
                    return Ok(stands.is_some_and(|(stands, version)| stands == value && version == expected + 1));
                }
                Err(error) if self.asks_again(&error, &mut tries).await => {}
                answer => return answer.map_err(|error| from_store(&error)),
            }
        }
    }

    async fn run_child(&self, spec: ChildSpec, lines: &mut Lines<'_>) -> Result<ChildExit, TaskError> {
        let _slot = tokio::select! {
            slot = self.shared.process_slots.acquire() => slot.map_err(|_| TaskError::cancelled())?,
            () = self.owned.token.cancelled() => return Err(TaskError::cancelled()),
        };
        let run = ChildRun {
            spawner: &self.shared.spawner,
            launcher: &self.shared.config.child_launcher,
            launcher_arguments: &self.shared.config.child_arguments,
            project_dir: &self.shared.config.project_dir,
            env: self.env.get(),
            token: child::token_of(self.attempt_id),
            cancelled: &self.owned.token,
        };
        run.run_to_end(spec, lines).await
    }

    async fn siblings(&self) -> Result<Vec<Sibling>, TaskError> {
        let detail = self
            .ask(|| self.shared.config.reader.detail(self.run_id))
            .await
            .map_err(|error| from_store(&error))?
            .ok_or_else(|| TaskError::retry("Store", format!("run {} cannot be read", self.run_id)))?;
        let compiled = &self.plan.compiled;
        let mut siblings = Vec::new();
        for task in &compiled.workflow.tasks {
            let chosen = detail.run.only.as_ref().is_none_or(|only| {
                compiled
                    .graph
                    .upstream_closure(only.iter().filter_map(|task| compiled.graph.position(task.as_str())))
                    .get(compiled.graph.position(task.id.as_str()).map_or(usize::MAX, |at| at as usize))
                    .copied()
                    .unwrap_or(false)
            });
            if task.id == self.dispatch.key.task || !chosen {
                continue;
            }
            let own = TaskKey::of(task.id.clone());
            let ended = detail.task_runs.iter().find(|row| row.key == own).map(|row| row.state);
            let work = detail.work.iter().find(|row| row.dispatch.key.task == task.id).map(|row| (row.place, false));
            let last: Option<&AttemptRow> =
                detail.attempts.iter().filter(|row| row.key.task == task.id).max_by_key(|row| row.dispatch_no);
            siblings.push(Sibling {
                task: task.id.to_string(),
                state: shown_state(ended, work),
                allow_failure: task.allow_failure,
                error: last.and_then(error_of),
                duration: last.and_then(|row| Some(row.ended_at.since(row.started_at?))),
                output: last.and_then(|row| row.output.as_deref()).and_then(|text| serde_json::from_str(text).ok()),
            });
        }
        Ok(siblings)
    }

    fn now(&self) -> Timestamp {
        self.shared.now()
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

fn error_of(attempt: &AttemptRow) -> Option<(String, String)> {
    let message = attempt.message.clone()?;
    Some((attempt.class.clone().unwrap_or_else(|| attempt.outcome.name().to_owned()), message))
}
