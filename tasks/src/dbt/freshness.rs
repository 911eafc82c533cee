//! `dbt.source_freshness`: how old the newest row of each source is, held against its thresholds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Task, TaskError, TaskItem};

use super::connection::Dbt;
use super::invoke::{Call, call};
use super::results::{Kind, bounded};
use super::{
    BAD_ARTEFACT, BAD_CONNECTION, DBT_USAGE, KILLED, NEED, NO_NODES, SCRATCH, SPAWN, Selectors, WAREHOUSE, listed,
    selection,
};

/// Sources listed in an output; the counts hold all.
const LISTED: usize = 150;

/// How a source stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// Within its thresholds.
    Fresh,
    /// Older than `warn_after`.
    Warned,
    /// Older than `error_after`.
    Stale,
    /// It cannot be asked.
    Failed,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Source {
    /// `source.table`.
    pub name: String,
    /// How it stands.
    pub state: Freshness,
    /// Newest row's time, RFC 3339; null if it has none or cannot be asked.
    pub max_loaded_at: Option<String>,
    /// When it was asked, RFC 3339.
    pub asked_at: Option<String>,
    /// Seconds between the two.
    pub age_s: Option<f64>,
    /// From this age in seconds it warns; null: never.
    pub warn_after_s: Option<u64>,
    /// From this age in seconds it is stale; null: never.
    pub error_after_s: Option<u64>,
    /// What is wrong with it.
    pub message: Option<String>,
}

/// Output of `dbt.source_freshness`.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub struct FreshnessReport {
    /// Sources within their thresholds.
    pub fresh: u64,
    /// Sources older than `warn_after`.
    pub warned: u64,
    /// Sources older than `error_after`; 0, since one ends the task as failed unless `allow_stale`.
    pub stale: u64,
    /// Sources, the worst first, at most 150.
    pub sources: Vec<Source>,
    /// Seconds that dbt took.
    pub elapsed_s: f64,
}

/// Parameters of `dbt.source_freshness`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreshnessParams {
    /// dbt selectors (`source:opensky`), one or a list whose union is taken; every source with thresholds if left out.
    #[serde(default)]
    pub select: Option<Selectors>,
    /// dbt selectors of what to leave out; nothing if left out.
    #[serde(default)]
    pub exclude: Option<Selectors>,
    /// Values for `var(…)` in the project (`--vars`).
    #[serde(default)]
    pub vars: serde_json::Map<String, Value>,
    /// Sources asked at one time, from 1; the connection's `threads` if left out.
    #[serde(default)]
    pub threads: Option<u32>,
    /// A stale source is reported and fails nothing.
    #[serde(default)]
    pub allow_stale: bool,
}

#[derive(Deserialize)]
struct Artefact {
    results: Vec<RawSource>,
    #[serde(default)]
    elapsed_time: f64,
}

#[derive(Deserialize)]
struct RawSource {
    unique_id: String,
    status: String,
    #[serde(default)]
    max_loaded_at: Option<String>,
    #[serde(default)]
    snapshotted_at: Option<String>,
    #[serde(default)]
    max_loaded_at_time_ago_in_s: Option<f64>,
    #[serde(default)]
    criteria: Criteria,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    execution_time: Option<f64>,
}

#[derive(Deserialize, Default)]
struct Criteria {
    #[serde(default)]
    warn_after: Option<Threshold>,
    #[serde(default)]
    error_after: Option<Threshold>,
}

#[derive(Deserialize)]
struct Threshold {
    count: Option<u64>,
    period: Option<String>,
}

impl Threshold {
    fn seconds(&self) -> Option<u64> {
        let unit = match self.period.as_deref()? {
            "minute" => 60,
            "hour" => 3_600,
            "day" => 86_400,
            _ => return None,
        };
        self.count.map(|count| count.saturating_mul(unit))
    }
}

/// The task.
pub struct DbtSourceFreshness;

impl Task for DbtSourceFreshness {
    const TYPE: &'static str = "dbt.source_freshness";
    const SUMMARY: &'static str = "asks how old the newest row of each dbt source is; a stale one is a failure";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = NEED;
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass {
            name: "Stale",
            retryable: true,
            meaning: "a source is older than its `error_after`; another try may find newer rows",
        },
        ErrorClass {
            name: "SourceFailed",
            retryable: true,
            meaning: "a source cannot be asked: dbt's words are in the message",
        },
        NO_NODES,
        WAREHOUSE,
        DBT_USAGE,
        BAD_ARTEFACT,
        BAD_CONNECTION,
        KILLED,
        SCRATCH,
        SPAWN,
    ];
    const EXAMPLE: &'static str =
        "- id: sources\n  type: dbt.source_freshness\n  conn: dbt\n  with:\n    select: source:opensky\n";
    type Params = FreshnessParams;
    type Output = FreshnessReport;

    async fn run(params: FreshnessParams, ctx: &Context) -> Result<FreshnessReport, TaskError> {
        let connection: Dbt = ctx.connection()?;
        let arguments = selection(params.select.as_ref(), params.exclude.as_ref());
        let asked = Call {
            command: &["source", "freshness"],
            arguments,
            vars: &params.vars,
            threads: params.threads,
            artefact: "sources.json",
        };
        let ended = call(&connection, &asked, ctx).await?;
        let artefact: Artefact = serde_json::from_slice(&ended.artefact)
            .map_err(|error| TaskError::fail("BadArtefact", format!("sources.json does not read: {error}")))?;
        let elapsed_s = (artefact.elapsed_time * 1000.0).round() / 1000.0;
        let mut sources = Vec::with_capacity(artefact.results.len());
        for raw in artefact.results {
            let (word, seconds) = (raw.status.clone(), raw.execution_time);
            let source = source(raw)?;
            ctx.record_item(TaskItem {
                kind: Kind::Source.item().to_owned(),
                name: source.name.clone(),
                state: word,
                seconds,
                value: source.age_s,
                message: source.message.clone().or_else(|| source.max_loaded_at.clone()),
            });
            sources.push(source);
        }
        // What cannot be asked has no place in the artefact.
        for item in ended.live.but(&["pass", "warn", "error"]) {
            sources.push(Source::unasked(&item.name));
            ctx.record_item(item.clone());
        }
        let said = ended.live.errors();
        report(sources, elapsed_s, params.allow_stale).map_err(|error| match error.class() {
            "SourceFailed" => TaskError::retry("SourceFailed", format!("{}\n{said}", error.message())),
            _ => error,
        })
    }
}

impl Source {
    fn unasked(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            state: Freshness::Failed,
            max_loaded_at: None,
            asked_at: None,
            age_s: None,
            warn_after_s: None,
            error_after_s: None,
            message: None,
        }
    }
}

fn report(mut sources: Vec<Source>, elapsed_s: f64, allow_stale: bool) -> Result<FreshnessReport, TaskError> {
    let of = |state: Freshness| sources.iter().filter(move |source| source.state == state);
    let named = |state: Freshness| -> Vec<String> { of(state).map(told).collect() };
    let failed = named(Freshness::Failed);
    if !failed.is_empty() {
        return Err(TaskError::retry("SourceFailed", listed(&failed, "sources cannot be asked")));
    }
    let stale = named(Freshness::Stale);
    if !stale.is_empty() && !allow_stale {
        return Err(TaskError::retry("Stale", listed(&stale, "sources are stale")));
    }
    if sources.is_empty() {
        return Err(TaskError::fail("NoNodes", "no selected source has `freshness` and `loaded_at_field`"));
    }
    let count = |state: Freshness| of(state).count() as u64;
    let (fresh, warned, stale) = (count(Freshness::Fresh), count(Freshness::Warned), count(Freshness::Stale));
    sources.sort_by(|a, b| (b.state as u8).cmp(&(a.state as u8)).then_with(|| a.name.cmp(&b.name)));
    sources.truncate(LISTED);
    Ok(FreshnessReport { fresh, warned, stale, sources, elapsed_s })
}

fn told(source: &Source) -> String {
    match (&source.message, &source.max_loaded_at, source.error_after_s) {
        (Some(message), _, _) => format!("{}: {message}", source.name),
        (None, Some(newest), Some(limit)) => {
            format!("{}: its newest row is of {newest}, more than {limit} s ago", source.name)
        }
        (None, _, _) => source.name.clone(),
    }
}

fn source(raw: RawSource) -> Result<Source, TaskError> {
    let state = match raw.status.as_str() {
        "pass" => Freshness::Fresh,
        "warn" => Freshness::Warned,
        "error" => Freshness::Stale,
        "runtime error" => Freshness::Failed,
        other => {
            return Err(TaskError::fail(
                "BadArtefact",
                format!("{}: unknown status `{other}` in sources.json", raw.unique_id),
            ));
        }
    };
    // dbt says year 1 of a table without rows.
    let empty = raw.max_loaded_at.as_ref().is_some_and(|newest| newest.starts_with("0001-"));
    let name = raw.unique_id.splitn(3, '.').nth(2).unwrap_or(&raw.unique_id).to_owned();
    let Criteria { warn_after, error_after } = raw.criteria;
    Ok(Source {
        name,
        state,
        max_loaded_at: raw.max_loaded_at.filter(|_| !empty),
        asked_at: raw.snapshotted_at,
        age_s: raw.max_loaded_at_time_ago_in_s.filter(|_| !empty),
        warn_after_s: warn_after.and_then(|threshold| threshold.seconds()),
        error_after_s: error_after.and_then(|threshold| threshold.seconds()),
        message: raw.error.map(|text| bounded(&text, 500)).or_else(|| empty.then(|| "it has no rows".to_owned())),
    })
}
