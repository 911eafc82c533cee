//! `dbt.run`, `dbt.test`, `dbt.build`, `dbt.seed`, `dbt.snapshot`, `dbt.source_freshness`, `dbt.docs`: the dbt program in a child
//! process; every node becomes a row of the run.
//!
//! ```text
//! invoke ──▶ dbt (its JSON log) ──▶ live (log, progress)      results ◀── run_results.json
//!    └─ server: where it builds, and what ends its queries       └─ kept: for `dbt retry` of the next attempt
//! ```

mod connection;
mod docs;
mod freshness;
mod invoke;
mod kept;
mod live;
mod results;
#[cfg(feature = "sql")]
mod server;
#[cfg(not(feature = "sql"))]
#[path = "no_server.rs"]
mod server;

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Task, TaskError};

pub use connection::Dbt;
pub use docs::DbtDocs;
pub use freshness::DbtSourceFreshness;
pub use results::{Counts, Kind, Node, Output, Status};

use invoke::{Call, Ended, call};
use results::{Results, bounded, merged};

/// Failures named in a message.
const NAMED: usize = 10;

const NEED: ConnectionNeed = ConnectionNeed::Required(&["dbt"]);

const NO_NODES: ErrorClass =
    ErrorClass { name: "NoNodes", retryable: false, meaning: "nothing in the project matches the selection" };
const WAREHOUSE: ErrorClass = ErrorClass {
    name: "Warehouse",
    retryable: true,
    meaning: "the warehouse cannot be reached, or another process holds it",
};
const DBT_USAGE: ErrorClass = ErrorClass {
    name: "DbtUsage",
    retryable: false,
    meaning: "bad target, profile or project: dbt's words are in the message",
};
const BAD_ARTEFACT: ErrorClass = ErrorClass {
    name: "BadArtefact",
    retryable: false,
    meaning: "dbt left no artefact (run_results.json, sources.json, catalog.json), or one that does not read",
};
const BAD_CONNECTION: ErrorClass = ErrorClass {
    name: "BadConnection",
    retryable: false,
    meaning: "no dbt program or project where the connection says",
};
const KILLED: ErrorClass = ErrorClass { name: "Killed", retryable: true, meaning: "dbt was ended by a signal" };
const SCRATCH: ErrorClass =
    ErrorClass { name: "Scratch", retryable: true, meaning: "the attempt's folder cannot be used" };
const SPAWN: ErrorClass = ErrorClass { name: "Spawn", retryable: false, meaning: "the program cannot be started" };

const ERRORS: &[ErrorClass] = &[
    ErrorClass { name: "ModelFailed", retryable: true, meaning: "a model, seed or snapshot ended with an error" },
    ErrorClass {
        name: "TestFailed",
        retryable: false,
        meaning: "a test of severity `error` failed; the message names them",
    },
    ErrorClass { name: "NoTests", retryable: false, meaning: "no test was executed: that proves nothing" },
    NO_NODES,
    WAREHOUSE,
    DBT_USAGE,
    BAD_ARTEFACT,
    BAD_CONNECTION,
    KILLED,
    SCRATCH,
    SPAWN,
];

/// One selector or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Selectors {
    /// One.
    One(String),
    /// Several: nodes that any of them selects.
    Many(Vec<String>),
}

impl Selectors {
    fn all(&self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one.clone()],
            Self::Many(many) => many.clone(),
        }
    }
}

/// Parameters of `dbt.test`, `dbt.build` and `dbt.seed`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// dbt selectors (`tag:marts`, `staging+`), one or a list whose union is taken; everything if left out.
    #[serde(default)]
    pub select: Option<Selectors>,
    /// dbt selectors of what to leave out; nothing if left out.
    #[serde(default)]
    pub exclude: Option<Selectors>,
    /// Values for `var(…)` in the project (`--vars`).
    #[serde(default)]
    pub vars: Map<String, Value>,
    /// Rebuilds incremental models from nothing; tests do not mind it.
    #[serde(default)]
    pub full_refresh: bool,
    /// Ends with the first failure.
    #[serde(default)]
    pub fail_fast: bool,
    /// Nodes built at one time, from 1; the connection's `threads` if left out.
    #[serde(default)]
    pub threads: Option<u32>,
}

/// Parameters of `dbt.run`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunParams {
    /// dbt selectors (`tag:marts`, `staging+`), one or a list whose union is taken; everything if left out.
    #[serde(default)]
    pub select: Option<Selectors>,
    /// dbt selectors of what to leave out; nothing if left out.
    #[serde(default)]
    pub exclude: Option<Selectors>,
    /// Values for `var(…)` in the project (`--vars`).
    #[serde(default)]
    pub vars: Map<String, Value>,
    /// Rebuilds incremental models from nothing; tests do not mind it.
    #[serde(default)]
    pub full_refresh: bool,
    /// Ends with the first failure.
    #[serde(default)]
    pub fail_fast: bool,
    /// Nodes built at one time, from 1; the connection's `threads` if left out.
    #[serde(default)]
    pub threads: Option<u32>,
    /// Loads the selected seeds before the models that need them.
    #[serde(default)]
    pub seed: bool,
}

/// Parameters of `dbt.snapshot`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// dbt selectors, one or a list whose union is taken; everything if left out.
    #[serde(default)]
    pub select: Option<Selectors>,
    /// dbt selectors of what to leave out; nothing if left out.
    #[serde(default)]
    pub exclude: Option<Selectors>,
    /// Values for `var(…)` in the project (`--vars`).
    #[serde(default)]
    pub vars: Map<String, Value>,
    /// Nodes worked on at one time, from 1; the connection's `threads` if left out.
    #[serde(default)]
    pub threads: Option<u32>,
}

fn selection(select: Option<&Selectors>, exclude: Option<&Selectors>) -> Vec<String> {
    let mut arguments = Vec::new();
    for (flag, selectors) in [("--select", select), ("--exclude", exclude)] {
        if let Some(selectors) = selectors {
            arguments.push(flag.to_owned());
            arguments.extend(selectors.all());
        }
    }
    arguments
}

fn arguments(params: &Params) -> Vec<String> {
    let mut arguments = selection(params.select.as_ref(), params.exclude.as_ref());
    if params.fail_fast {
        arguments.push("--fail-fast".to_owned());
    }
    arguments
}

/// Runs a command whose artefact is `run_results.json`. After an attempt that ended with exit code 1, dbt runs again what failed.
async fn execute(
    command: &'static [&'static str],
    params: &Params,
    more: &[&str],
    ctx: &Context,
) -> Result<Results, TaskError> {
    let connection: Dbt = ctx.connection()?;
    let mut arguments: Vec<String> = more.iter().map(|&word| word.to_owned()).collect();
    if params.full_refresh && command != ["test"] {
        arguments.push("--full-refresh".to_owned());
    }
    arguments.extend(self::arguments(params));
    let whole = Call { command, arguments, vars: &params.vars, threads: params.threads, artefact: "run_results.json" };
    let digest = kept::digest(&connection, &whole);
    let earlier = kept::before(&digest, ctx).await?;
    let (ended, earlier) = match earlier {
        Some(earlier) => retried(&connection, &whole, earlier, ctx).await?,
        None => (call(&connection, &whole, ctx).await?, None),
    };
    let results = Results::parse(&ended.artefact).and_then(|mut results| {
        earlier.as_deref().map_or(Ok(()), |earlier| results.add_earlier(earlier))?;
        Ok(results.of_database(connection.duckdb_path))
    });
    let results = match results {
        Ok(results) => results,
        Err(error) => {
            ended.live.record(ctx);
            return Err(error);
        }
    };
    results.items().for_each(|item| ctx.record_item(item));
    if ended.failed {
        kept::keep(&digest, &results, &merged(&ended.artefact, earlier.as_deref())?, ctx).await;
    }
    // A database error in a node that names a lock is a matter of time, not of the model.
    match results.locked() {
        Some(message) => Err(TaskError::retry("Warehouse", bounded(message, 2_000))),
        None => Ok(results),
    }
}

/// `dbt retry` on what the attempt before left; the whole selection if dbt cannot make sense of that any more.
async fn retried(
    connection: &Dbt,
    whole: &Call<'_>,
    earlier: Vec<u8>,
    ctx: &Context,
) -> Result<(Ended, Option<Vec<u8>>), TaskError> {
    let folder = ctx.scratch_dir()?.join("retry");
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join(whole.artefact), &earlier))
        .map_err(|error| TaskError::retry("Scratch", format!("the folder {}: {error}", folder.display())))?;
    let arguments = vec!["--state".to_owned(), folder.display().to_string()];
    match call(connection, &Call { command: &["retry"], arguments, ..*whole }, ctx).await {
        Ok(ended) => Ok((ended, Some(earlier))),
        // The project may have changed since: nodes that are not there any more are bad usage.
        Err(error) if matches!(error.class(), "DbtUsage" | "NoNodes") => {
            ctx.warn(format!("dbt cannot go on from the attempt before, so everything selected is run: {error}"));
            Ok((call(connection, whole, ctx).await?, None))
        }
        Err(error) => Err(error),
    }
}

/// Models that failed are told before tests: a failed model explains the rest.
fn built(results: &Results) -> Result<(), TaskError> {
    let failures = results.failures(|kind| kind != Kind::Test);
    if failures.is_empty() {
        return Ok(());
    }
    Err(TaskError::retry("ModelFailed", listed(&failures, "nodes ended with an error")))
}

fn tested(results: &Results) -> Result<(), TaskError> {
    let failures = results.failures(|kind| kind == Kind::Test);
    if !failures.is_empty() {
        return Err(TaskError::fail("TestFailed", listed(&failures, "tests failed")));
    }
    let counts = results.count(Kind::Test);
    if counts.total == counts.skipped {
        return Err(TaskError::fail("NoTests", "no test was executed: select some, or write some"));
    }
    Ok(())
}

fn listed(failures: &[String], what: &str) -> String {
    let more = failures.len().saturating_sub(NAMED);
    let mut text = format!("{} {what}:\n{}", failures.len(), failures[..failures.len().min(NAMED)].join("\n"));
    if more > 0 {
        let _ = write!(text, "\nand {more} more");
    }
    text
}

/// `dbt.run`.
pub struct DbtRun;

impl Task for DbtRun {
    const TYPE: &'static str = "dbt.run";
    const SUMMARY: &'static str = "builds dbt models, with their seeds if asked; every model becomes a row";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = NEED;
    const ERRORS: &'static [ErrorClass] = ERRORS;
    const EXAMPLE: &'static str = "- id: dbt_run_models\n  type: dbt.run\n  conn: dbt\n  with:\n    select: [staging, intermediate, marts]\n    seed: true\n";
    type Params = RunParams;
    type Output = Output;

    async fn run(params: RunParams, ctx: &Context) -> Result<Output, TaskError> {
        let RunParams { select, exclude, vars, full_refresh, fail_fast, threads, seed } = params;
        let params = Params { select, exclude, vars, full_refresh, fail_fast, threads };
        let results = if seed {
            // One process for both: `build` follows the graph, so a seed is there before what reads it.
            let kinds = ["--resource-type", "seed", "--resource-type", "model"];
            execute(&["build"], &params, &kinds, ctx).await?
        } else {
            execute(&["run"], &params, &[], ctx).await?
        };
        built(&results)?;
        something(&results, "models or seeds")?;
        Ok(results.output())
    }
}

/// `dbt.test`.
pub struct DbtTest;

impl Task for DbtTest {
    const TYPE: &'static str = "dbt.test";
    const SUMMARY: &'static str = "runs dbt tests; every test becomes a row, and none executed is a failure";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = NEED;
    const ERRORS: &'static [ErrorClass] = ERRORS;
    const EXAMPLE: &'static str =
        "- id: dbt_test_models\n  type: dbt.test\n  conn: dbt\n  depends_on: dbt_run_models\n";
    type Params = Params;
    type Output = Output;

    async fn run(params: Params, ctx: &Context) -> Result<Output, TaskError> {
        let results = execute(&["test"], &params, &[], ctx).await?;
        tested(&results)?;
        Ok(results.output())
    }
}

/// `dbt.build`.
pub struct DbtBuild;

impl Task for DbtBuild {
    const TYPE: &'static str = "dbt.build";
    const SUMMARY: &'static str = "builds seeds, models and snapshots and runs their tests, in the order of the graph";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = NEED;
    const ERRORS: &'static [ErrorClass] = ERRORS;
    const EXAMPLE: &'static str = "- id: marts\n  type: dbt.build\n  conn: dbt\n  with:\n    select: tag:marts\n";
    type Params = Params;
    type Output = Output;

    async fn run(params: Params, ctx: &Context) -> Result<Output, TaskError> {
        let results = execute(&["build"], &params, &[], ctx).await?;
        built(&results)?;
        tested(&results)?;
        Ok(results.output())
    }
}

/// `dbt.seed`.
pub struct DbtSeed;

impl Task for DbtSeed {
    const TYPE: &'static str = "dbt.seed";
    const SUMMARY: &'static str = "loads the seeds, CSV files of the dbt project, as tables";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = NEED;
    const ERRORS: &'static [ErrorClass] = ERRORS;
    const EXAMPLE: &'static str = "- id: reference\n  type: dbt.seed\n  conn: dbt\n  with:\n    select: [countries]\n";
    type Params = Params;
    type Output = Output;

    async fn run(params: Params, ctx: &Context) -> Result<Output, TaskError> {
        let results = execute(&["seed"], &params, &[], ctx).await?;
        built(&results)?;
        something(&results, "seeds")?;
        Ok(results.output())
    }
}

/// `dbt.snapshot`.
pub struct DbtSnapshot;

impl Task for DbtSnapshot {
    const TYPE: &'static str = "dbt.snapshot";
    const SUMMARY: &'static str = "keeps the history of rows that change, as the dbt project's snapshots say";
    // A row that has not changed since gets no new version.
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = NEED;
    const ERRORS: &'static [ErrorClass] = ERRORS;
    const EXAMPLE: &'static str = "- id: history\n  type: dbt.snapshot\n  conn: dbt\n";
    type Params = Selection;
    type Output = Output;

    async fn run(params: Selection, ctx: &Context) -> Result<Output, TaskError> {
        let Selection { select, exclude, vars, threads } = params;
        // `dbt snapshot` knows no other flags.
        let params = Params { select, exclude, vars, full_refresh: false, fail_fast: false, threads };
        let results = execute(&["snapshot"], &params, &[], ctx).await?;
        built(&results)?;
        something(&results, "snapshots")?;
        Ok(results.output())
    }
}

fn something(results: &Results, what: &str) -> Result<(), TaskError> {
    if results.len() > 0 {
        return Ok(());
    }
    Err(TaskError::fail("NoNodes", format!("nothing was done: the selection has no {what}")))
}

#[cfg(test)]
mod tests;
