//! One attempt from claim to result: parameters rendered, the body run under a limit, panics caught, the end put in the
//! model's words. Everything that can go wrong here becomes a result; nothing escapes.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use serde_json::{Map, Value};
use updraft_model::canonical::{canonical_json, idempotency_key};
use updraft_model::graph::{Compiled, TaskIndex};
use updraft_model::id::{AttemptId, TaskKey};
use updraft_model::input::{AttemptResult, Retryable};
use updraft_model::record::{Dispatch, RunFacts, WorkRow};
use updraft_model::run::Slot;
use updraft_model::state::Cause;
use updraft_model::workflow::Task;
use updraft_spec::template::{self, ContextBuilder};
use updraft_task::{AttemptInfo, Context, Host, RunInfo, TaskError, TaskType, Verdict};

use crate::cache::CachedRun;
use crate::committer::build::{panic_text, storable};
use crate::committer::{Command, Finish};
use crate::event::EngineEvent;
use crate::host::AttemptHost;
use crate::owned::{Owned, Stop};
use crate::plan::Plan;
use crate::shared::{Phase, Shared, locked};

/// Largest output, as canonical JSON.
pub const MAX_OUTPUT_BYTES: usize = 48 << 10;

/// How an upstream task that a template reads has ended.
struct Upstream {
    task: TaskIndex,
    state: &'static str,
    /// Its output lies under this number; `None` = it has none.
    dispatch_no: Option<u32>,
}

struct Attempt {
    shared: Arc<Shared>,
    plan: Arc<Plan>,
    info: Arc<RunInfo>,
    /// Only where something must be rendered.
    facts: Option<Box<RunFacts>>,
    upstream: Vec<Upstream>,
    /// Whether its `when` is to be asked: by the first try. What it reads stays as it is within a generation, and a later
    /// try exists because the answer was yes.
    asks_when: bool,
    /// The queue, if it is one on which no commands may run.
    no_commands: Option<String>,
    task: TaskIndex,
    dispatch: Dispatch,
    attempt_id: AttemptId,
    owned: Arc<Owned>,
}

/// Starts the body of a row that is durably ours.
pub(crate) fn spawn(shared: &Arc<Shared>, cached: &CachedRun, row: &WorkRow) {
    let Some(attempt_id) = row.attempt_id else { return };
    let dispatch = row.dispatch.clone();
    let owned = Arc::clone(locked(&shared.owned).entry(attempt_id).or_insert_with(|| owned_of(shared, cached, row)));
    if shared.phase() >= Phase::Aborting {
        owned.stop(Stop::Abort);
    }
    if row.cancel_at.is_some() {
        owned.stop(Stop::Cancel);
    }
    let Some(task) = cached.plan.compiled.graph.position(dispatch.key.task.as_str()) else { return };
    let plan = cached.plan.task(task);
    let upstream = plan.reads.iter().map(|&read| upstream_of(cached, read)).collect();
    let attempt = Attempt {
        shared: Arc::clone(shared),
        plan: Arc::clone(&cached.plan),
        info: Arc::clone(&cached.info),
        facts: plan.templated.then(|| Box::new(cached.run.facts().clone())),
        upstream,
        asks_when: matches!(
            cached.run.slot_of(&dispatch.key),
            Some(Slot::Dispatched(numbers)) if numbers.own_try() <= 1
        ),
        no_commands: shared.config.command_queues.as_ref().and_then(|queues| {
            let listed = queues.contains(&row.queue);
            (!listed).then(|| row.queue.clone())
        }),
        task,
        dispatch,
        attempt_id,
        owned,
    };
    tokio::spawn(attempt.run());
}

/// An attempt of ours, before its body starts.
pub(crate) fn owned_of(shared: &Shared, cached: &CachedRun, row: &WorkRow) -> Arc<Owned> {
    owned_in(shared, &cached.plan.compiled, row)
}

/// The same, for a run that is not in the cache yet.
pub(crate) fn owned_in(shared: &Shared, compiled: &Compiled, row: &WorkRow) -> Arc<Owned> {
    let position = compiled.graph.position(row.dispatch.key.task.as_str());
    let repeatable = position.is_some_and(|task| shared.is_repeatable(&compiled.task(task).task_type));
    Arc::new(Owned::new(row.run_id, row.dispatch.key.clone(), row.dispatch.dispatch_no, repeatable))
}

fn upstream_of(cached: &CachedRun, task: TaskIndex) -> Upstream {
    match cached.run.slot(task) {
        Slot::Final { state, numbers, .. } => Upstream {
            task,
            state: state.name(),
            dispatch_no: (numbers.dispatch_no > 0).then_some(numbers.dispatch_no),
        },
        Slot::Waiting(_) | Slot::Dispatched(_) | Slot::Ended { .. } => {
            Upstream { task, state: "waiting", dispatch_no: None }
        }
    }
}

/// A result with what belongs to it; `None` = nobody wants it.
struct Ended {
    result: AttemptResult,
    output: Option<(String, Arc<Value>)>,
}

impl Ended {
    fn plain(result: AttemptResult) -> Self {
        Self { result, output: None }
    }

    fn lost(cause: Cause, message: String) -> Self {
        Self::plain(AttemptResult::Lost { cause, message })
    }

    fn refused(cause: Cause, class: &str, message: String) -> Self {
        Self::plain(AttemptResult::Rejected { cause, class: class.to_owned(), message })
    }
}

impl Attempt {
    fn spec(&self) -> &Task {
        self.plan.compiled.task(self.task)
    }

    fn lease_lost(&self) -> Ended {
        let name = &self.shared.config.name;
        Ended::lost(Cause::Orphaned, format!("worker {name} could not renew its lease in time and stopped it"))
    }

    fn drained(&self) -> Ended {
        Ended::lost(Cause::Drained, format!("worker {} was stopped before it ended", self.shared.config.name))
    }

    async fn run(self) {
        // A process that slept between commit and start must not begin (F20).
        if !self.shared.is_trusted() {
            self.shared.beat_wanted.notify_one();
            let _ = tokio::time::timeout(Duration::from_secs(5), self.shared.trust_renewed.notified()).await;
        }
        let mut started_at = None;
        let mut host = None;
        let ended = match self.owned.why() {
            Stop::No if !self.shared.is_trusted() => Some(self.lease_lost()),
            Stop::LeaseLost => Some(self.lease_lost()),
            Stop::No => {
                let at = self.shared.now();
                let (ended, used) = self.work(&mut started_at, at).await;
                host = Some(used);
                ended
            }
            Stop::Cancel | Stop::Timeout => Some(Ended::plain(AttemptResult::Cancelled)),
            Stop::Abort => Some(self.drained()),
            Stop::Fenced => None,
        };
        let (items, metrics) = host.map_or_else(Default::default, |host| host.take());
        let Some(Ended { result, output }) = ended else {
            // Fenced: whoever took it over decides.
            self.shared.disown(self.attempt_id);
            self.shared.command(Command::Released);
            return;
        };
        let finish = Finish {
            run_id: self.info.run_id,
            key: self.dispatch.key,
            dispatch_no: self.dispatch.dispatch_no,
            attempt_id: self.attempt_id,
            result,
            started_at,
            output,
            items,
            metrics,
            had_slot: true,
            spooled: false,
        };
        self.shared.command(Command::Finish(Box::new(finish)));
    }

    async fn work(
        &self,
        started_at: &mut Option<updraft_model::time::Timestamp>,
        at: updraft_model::time::Timestamp,
    ) -> (Option<Ended>, Arc<AttemptHost>) {
        let spec = self.spec();
        let key = &self.dispatch.key;
        let scratch_dir = self.shared.config.scratch_dir.join(self.attempt_id.to_string());
        let host = Arc::new(AttemptHost::new(
            Arc::clone(&self.shared),
            self.info.run_id,
            Arc::clone(&self.plan),
            &self.dispatch,
            self.attempt_id,
            Arc::clone(&self.owned),
        ));
        let refused = |ended: Ended| (Some(ended), Arc::clone(&host));
        let names = match self.condition(&host).await {
            Ok(names) => names,
            Err(ended) => return refused(ended),
        };
        let Some(task_type) = self.shared.config.registry.task(&spec.task_type) else {
            return refused(Ended::refused(
                Cause::BadParameters,
                "UnknownTaskType",
                format!("this build has no task type `{}` (`updraft tasks --types` lists what it has)", spec.task_type),
            ));
        };
        if task_type.runs_commands
            && let Some(queue) = &self.no_commands
        {
            let message = format!(
                "tasks of type `{}` run programs, and queue `{queue}` is not among those on which this server lets them \
                 (`server.shell_queues` in updraft.yaml)",
                task_type.name
            );
            host.log(updraft_task::Level::Error, &message);
            return refused(Ended::plain(AttemptResult::Failed {
                class: "CommandsNotAllowed".to_owned(),
                message,
                retryable: Retryable::Never,
            }));
        }
        let (params, env) = match self.render(&host, names).await {
            Ok(rendered) => rendered,
            Err(bad) => return refused(bad.ended("BadParameters", &host)),
        };
        host.set_env(env.clone());
        let attempt = AttemptInfo {
            key: key.clone(),
            dispatch_no: self.dispatch.dispatch_no,
            try_no: self.dispatch.try_no,
            generation: self.dispatch.generation,
            attempt_id: self.attempt_id,
            idempotency_key: idempotency_key(self.info.run_id, key, self.dispatch.generation),
            deadline: spec.timeout.map(|timeout| Instant::now() + timeout),
            env,
            scratch_dir: scratch_dir.clone(),
        };
        let ctx = Context::new(
            Arc::clone(&self.info),
            Arc::new(attempt),
            spec.conn.clone(),
            self.owned.token.clone(),
            Arc::clone(&host) as Arc<dyn Host>,
        );
        *started_at = Some(at);
        if self.shared.events.receiver_count() > 0 {
            self.shared.tell(EngineEvent::AttemptStarted {
                run_id: self.info.run_id,
                key: key.clone(),
                dispatch_no: self.dispatch.dispatch_no,
                try_no: self.dispatch.try_no,
            });
        }
        let ended = self.body(task_type, params, &ctx, spec.timeout, &host).await;
        drop(ctx);
        if scratch_dir.exists()
            && let Err(error) = std::fs::remove_dir_all(&scratch_dir)
        {
            host.log(updraft_task::Level::Warn, &format!("the scratch folder could not be removed: {error}"));
        }
        (ended, host)
    }

    /// Runs the body to its end, or to its limit, or until it is stopped.
    async fn body(
        &self,
        task_type: &TaskType,
        params: Value,
        ctx: &Context,
        timeout: Option<Duration>,
        host: &AttemptHost,
    ) -> Option<Ended> {
        if let Some(probe) = &self.shared.config.probe {
            probe.polled(self.info.run_id, &self.dispatch.key);
        }
        let limit = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let body = AssertUnwindSafe(task_type.run(params, ctx)).catch_unwind();
        tokio::pin!(body, limit);
        let first = tokio::select! {
            biased;
            end = &mut body => Some(end),
            () = self.owned.token.cancelled() => None,
            () = &mut limit => {
                self.owned.stop(Stop::Timeout);
                None
            }
        };
        let end = match first {
            Some(end) => Some(end),
            // It was told to stop: a cancel or its limit leaves it time to do so in good order, an abort does not.
            None if self.owned.why() <= Stop::Cancel => {
                let grace = tokio::time::sleep(self.shared.config.cancel_grace);
                tokio::pin!(grace);
                loop {
                    tokio::select! {
                        biased;
                        end = &mut body => break Some(end),
                        () = &mut grace => break None,
                        () = tokio::time::sleep(Duration::from_millis(100)) => {
                            if self.owned.why() > Stop::Cancel {
                                break None;
                            }
                        }
                    }
                }
            }
            None => None,
        };
        if let Some(probe) = &self.shared.config.probe {
            probe.returned(self.info.run_id, &self.dispatch.key).await;
        }
        let why = self.owned.why();
        match (end, why) {
            (_, Stop::Fenced) => None,
            (Some(Ok(Ok(output))), Stop::No | Stop::Cancel | Stop::LeaseLost | Stop::Abort) => {
                Some(accept(output, host))
            }
            (_, Stop::LeaseLost) => {
                host.log(updraft_task::Level::Error, "stopped: this worker could not renew its lease");
                Some(self.lease_lost())
            }
            (_, Stop::Abort) => Some(self.drained()),
            (_, Stop::Timeout) => {
                let limit = timeout.unwrap_or_default();
                let message = format!("stopped after its time limit of {limit:?}");
                host.log(updraft_task::Level::Error, &message);
                Some(Ended::plain(AttemptResult::TimedOut { message }))
            }
            (Some(Ok(Err(error))), Stop::Cancel) => {
                host.log(updraft_task::Level::Info, &format!("stopped by a cancel: {error}"));
                Some(Ended::plain(AttemptResult::Cancelled))
            }
            (None | Some(Err(_)), Stop::Cancel) => {
                host.log(updraft_task::Level::Warn, "stopped by a cancel, not in time and so by force");
                Some(Ended::plain(AttemptResult::Cancelled))
            }
            (Some(Ok(Err(error))), Stop::No) => Some(Ended::plain(result_of(&error, host))),
            (Some(Err(panic)), Stop::No) => {
                let message = host.mask(&format!("the task panicked: {}", panic_text(&*panic)));
                host.log(updraft_task::Level::Error, &message);
                Some(Ended::plain(AttemptResult::Panicked { message }))
            }
            (None, Stop::No) => Some(Ended::lost(Cause::Orphaned, "its body ended without a result".to_owned())),
        }
    }

    /// Asks its `when`: what its templates can read, if it had to be looked up, or how the attempt ends without its body,
    /// since the answer is no or there is none.
    async fn condition(&self, host: &AttemptHost) -> Result<Option<Names>, Ended> {
        let Some(when) = self.spec().when.as_deref().filter(|_| self.asks_when) else { return Ok(None) };
        let asked = match self.names(host).await {
            Ok(names) => template::condition(when, &names.builder.clone().build())
                .map(|condition| (condition, names))
                .map_err(|error| Rendering::Bad(format!("`when` of `{}` has no answer: {error}", self.spec().id))),
            Err(error) => Err(error),
        };
        match asked {
            Ok((condition, names)) if condition.met => Ok(Some(names)),
            Ok((condition, _)) => {
                let reason = host.mask(&storable(&format!("`when`: {}", condition.words), 8 << 10));
                host.log(updraft_task::Level::Info, &format!("skipped: {reason}"));
                Err(Ended::plain(AttemptResult::Unwanted { reason }))
            }
            Err(bad) => Err(bad.ended("BadCondition", host)),
        }
    }

    /// What its templates can read.
    async fn names(&self, host: &AttemptHost) -> Result<Names, Rendering> {
        let spec = self.spec();
        let workflow = &self.plan.compiled.workflow;
        let Some(facts) = &self.facts else {
            return Err(Rendering::Bad(format!("the facts that templates of `{}` read are not there", spec.id)));
        };
        let empty = Map::new();
        let params = self.info.params.as_object().unwrap_or(&empty);
        let mut builder = ContextBuilder::new(workflow, facts, params).task(spec, self.dispatch.try_no);
        for (task, state, output) in self.upstream_outputs(host).await? {
            builder = builder.upstream(&task, state, output.as_deref());
        }
        let env = render_env(&workflow.env, &builder.clone().build()).map_err(bad_template)?;
        Ok(Names { builder: builder.env(&env), env })
    }

    /// The parameters and the environment with every template rendered; `names` if they are known already.
    async fn render(
        &self,
        host: &AttemptHost,
        names: Option<Names>,
    ) -> Result<(Value, BTreeMap<String, String>), Rendering> {
        let spec = self.spec();
        let workflow = &self.plan.compiled.workflow;
        if self.facts.is_none() {
            let env = workflow.env.iter().chain(&spec.env).map(|(name, value)| (name.clone(), value.clone())).collect();
            return Ok((Value::Object(spec.with.clone()), env));
        }
        let Names { builder, mut env } = match names {
            Some(names) => names,
            None => self.names(host).await?,
        };
        let context = builder.build();
        env.extend(render_env(&spec.env, &context).map_err(bad_template)?);
        let with = template::render_map(&spec.with, &context)
            .map_err(|error| Rendering::Bad(format!("`with` of `{}` cannot be rendered: {error}", spec.id)))?;
        Ok((Value::Object(with), env))
    }

    async fn upstream_outputs(
        &self,
        host: &AttemptHost,
    ) -> Result<Vec<(String, &'static str, Option<Arc<Value>>)>, Rendering> {
        let graph = &self.plan.compiled.graph;
        let run_id = self.info.run_id;
        let mut found = Vec::with_capacity(self.upstream.len());
        let mut missing = Vec::new();
        for upstream in &self.upstream {
            let id = graph.id(upstream.task);
            let key = TaskKey::of(id.clone());
            let output = upstream.dispatch_no.and_then(|dispatch_no| {
                let known = self.shared.outputs.get(run_id, &key, dispatch_no);
                if known.is_none() {
                    missing.push((key, dispatch_no));
                }
                known
            });
            found.push((id.as_str().to_owned(), upstream.state, output));
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let read = host
            .ask(|| self.shared.config.reader.outputs(run_id, &missing))
            .await
            .map_err(|error| Rendering::Store(format!("while reading the outputs of upstream tasks: {error}")))?;
        for (key, text) in read {
            let value: Arc<Value> = Arc::new(
                serde_json::from_str(&text)
                    .map_err(|error| Rendering::Bad(format!("the stored output of `{key}` is not JSON: {error}")))?,
            );
            if let Some((_, dispatch_no)) = missing.iter().find(|(known, _)| *known == key) {
                self.shared.outputs.put(run_id, key.clone(), *dispatch_no, Arc::clone(&value), text.len());
            }
            if let Some(entry) = found.iter_mut().find(|(task, ..)| task == key.task.as_str()) {
                entry.2 = Some(value);
            }
        }
        Ok(found)
    }
}

/// Why there are no parameters.
enum Rendering {
    /// They are wrong and will stay so.
    Bad(String),
    /// The store is away.
    Store(String),
}

/// What templates can read.
struct Names {
    builder: ContextBuilder,
    /// The workflow's environment, rendered; it is among the names.
    env: BTreeMap<String, String>,
}

impl Rendering {
    /// The end of an attempt that came no further; `class` names what is wrong for good.
    fn ended(self, class: &str, host: &AttemptHost) -> Ended {
        match self {
            Self::Bad(message) => {
                host.log(updraft_task::Level::Error, &message);
                Ended::refused(Cause::BadParameters, class, message)
            }
            Self::Store(message) => {
                Ended::plain(AttemptResult::Failed { class: "Store".to_owned(), message, retryable: Retryable::YES })
            }
        }
    }
}

fn bad_template(error: template::TemplateError) -> Rendering {
    Rendering::Bad(format!("a template cannot be rendered: {error}"))
}

fn render_env(
    env: &BTreeMap<String, String>,
    context: &template::Context,
) -> Result<BTreeMap<String, String>, template::TemplateError> {
    env.iter()
        .map(|(name, value)| {
            let rendered = template::render_value(&Value::String(value.clone()), context)?;
            Ok((name.clone(), rendered.as_str().map_or_else(|| rendered.to_string(), str::to_owned)))
        })
        .collect()
}

/// Checks an output before it is sent on.
fn accept(output: Value, host: &AttemptHost) -> Ended {
    match canonical_json(&output) {
        Ok(text) if text.len() <= MAX_OUTPUT_BYTES => {
            let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
            Ended { result: AttemptResult::Succeeded { bytes }, output: Some((text, Arc::new(output))) }
        }
        Ok(text) => {
            let message = format!(
                "the output has {} bytes; at most {MAX_OUTPUT_BYTES} are kept. Put the data into the lake and hand on a dataset",
                text.len()
            );
            host.log(updraft_task::Level::Error, &message);
            Ended::refused(Cause::BadOutput, "BadOutput", message)
        }
        Err(error) => {
            let message = format!("the output cannot be stored: {error}");
            host.log(updraft_task::Level::Error, &message);
            Ended::refused(Cause::BadOutput, "BadOutput", message)
        }
    }
}

/// What a body's error means.
fn result_of(error: &TaskError, host: &AttemptHost) -> AttemptResult {
    let message = host.mask(&storable(error.message(), 8 << 10));
    let class = error.class().to_owned();
    match error.verdict() {
        Verdict::Skip => {
            host.log(updraft_task::Level::Info, &format!("skipped: {message}"));
            AttemptResult::Skipped { reason: message }
        }
        Verdict::Retry { after } => {
            host.log(updraft_task::Level::Error, &format!("{class}: {message}"));
            AttemptResult::Failed { class, message, retryable: Retryable::After(after.unwrap_or_default()) }
        }
        Verdict::Fail => {
            host.log(updraft_task::Level::Error, &format!("{class}: {message}"));
            match class.as_str() {
                "BadParameters" => AttemptResult::Rejected { cause: Cause::BadParameters, class, message },
                "BadOutput" => AttemptResult::Rejected { cause: Cause::BadOutput, class, message },
                _ => AttemptResult::Failed { class, message, retryable: Retryable::Never },
            }
        }
        Verdict::Defer { until } => {
            let message = format!(
                "the task asks to be deferred until {until}, which this version cannot do; let it wait inside its body"
            );
            host.log(updraft_task::Level::Error, &message);
            AttemptResult::Failed { class: "Deferred".to_owned(), message, retryable: Retryable::Never }
        }
    }
}
