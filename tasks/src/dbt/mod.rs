//! `dbt.run`, `dbt.test`, `dbt.build`: the dbt program in a child process; every model and test becomes a row of the run.

mod connection;
mod invoke;
mod results;

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Task, TaskError};

pub use connection::Dbt;
pub use results::{Counts, Kind, Node, Output, Status};

use invoke::{Call, call};
use results::Results;

/// Failures named in a message.
const NAMED: usize = 10;

const NEED: ConnectionNeed = ConnectionNeed::Required(&["dbt"]);

const ERRORS: &[ErrorClass] = &[
    ErrorClass { name: "ModelFailed", retryable: true, meaning: "a model, seed or snapshot ended with an error" },
    ErrorClass {
        name: "TestFailed",
        retryable: false,
        meaning: "a test of severity `error` failed; the message names them",
    },
    ErrorClass { name: "NoTests", retryable: false, meaning: "no test was executed: that proves nothing" },
    ErrorClass { name: "NoNodes", retryable: false, meaning: "nothing in the project matches the selection" },
    ErrorClass {
        name: "Warehouse",
        retryable: true,
        meaning: "the warehouse cannot be reached, or another process holds it",
    },
    ErrorClass {
        name: "DbtUsage",
        retryable: false,
        meaning: "bad target, profile or project: dbt's words are in the message",
    },
    ErrorClass {
        name: "BadArtefact",
        retryable: false,
        meaning: "dbt left no run_results.json, or one that does not read",
    },
    ErrorClass {
        name: "BadConnection",
        retryable: false,
        meaning: "no dbt program or project where the connection says",
    },
    ErrorClass { name: "Killed", retryable: true, meaning: "dbt was ended by a signal" },
    ErrorClass { name: "Scratch", retryable: true, meaning: "the attempt's folder cannot be used" },
    ErrorClass { name: "Spawn", retryable: false, meaning: "the program cannot be started" },
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

/// Parameters of all three.
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

fn arguments(params: &Params) -> Vec<String> {
    let mut arguments = Vec::new();
    for (flag, selectors) in [("--select", &params.select), ("--exclude", &params.exclude)] {
        if let Some(selectors) = selectors {
            arguments.push(flag.to_owned());
            arguments.extend(selectors.all());
        }
    }
    if params.fail_fast {
        arguments.push("--fail-fast".to_owned());
    }
    arguments
}

async fn execute(command: &'static str, params: &Params, more: &[&str], ctx: &Context) -> Result<Results, TaskError> {
    let connection: Dbt = ctx.connection()?;
    let mut arguments: Vec<String> = more.iter().map(|&word| word.to_owned()).collect();
    if params.full_refresh && command != "test" {
        arguments.push("--full-refresh".to_owned());
    }
    arguments.extend(self::arguments(params));
    let results =
        call(&connection, &Call { command, arguments, vars: &params.vars, threads: params.threads }, ctx).await?;
    results.items().for_each(|item| ctx.record_item(item));
    Ok(results.of_database(connection.duckdb_path))
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
            execute("build", &params, &kinds, ctx).await?
        } else {
            execute("run", &params, &[], ctx).await?
        };
        built(&results)?;
        if results.is_empty() {
            return Err(TaskError::fail("NoNodes", "nothing was built: the selection has neither models nor seeds"));
        }
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
        let results = execute("test", &params, &[], ctx).await?;
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
        let results = execute("build", &params, &[], ctx).await?;
        built(&results)?;
        tested(&results)?;
        Ok(results.output())
    }
}

#[cfg(test)]
mod tests;
