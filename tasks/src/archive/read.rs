//! `archive.read`: what an archive, or the raw answers of the API, hold of a window of time, in its order, so that it can be
//! worked on again. A window that is not covered from end to end is refused, with every hole in it.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt, TryStreamExt};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use updraft_task::lake::sha256_hex;
use updraft_task::{
    ConnectionNeed, Context, DataInterval, Dataset, Effects, ErrorClass, Format, Lake, Task, TaskError, Timestamp,
};

use super::manifest::{Hole, Manifest, holes};
use crate::batch::{compact, day};
use crate::opensky::collect::{RAW_MANIFESTS, RawSnapshot, kept};

/// Objects that are looked at at once.
const AT_ONCE: usize = 16;
/// Holes that a message names.
const NAMED: usize = 20;

/// Folder of the lists of what windows hold.
const WINDOWS: &str = "windows";

/// The task type.
pub struct ArchiveRead;

/// What is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// What `archive` wrote below `prefix`.
    #[default]
    Archive,
    /// The raw answers that `opensky.collect` keeps.
    RawAnswers,
}

/// Parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// What is read.
    #[serde(default)]
    pub source: Source,
    /// `prefix` of the `archive` task; not for raw answers.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Begin of the window, RFC 3339; the data interval's start if left out.
    #[serde(default)]
    pub from: Option<String>,
    /// End of the window, not in it; the data interval's end if left out.
    #[serde(default)]
    pub to: Option<String>,
    /// Batches that begin up to this many minutes before `from` come along, as far as they are there: a holder of states of a
    /// window finds its first ones in the answer before it.
    #[serde(default)]
    pub before_minutes: u32,
    /// Last parts of the batch ids (regions, `global`), each of which must cover the window. All that are there if left out,
    /// which must cover it together.
    #[serde(default)]
    pub parts: Vec<String>,
    /// Workflow that collected the raw answers; any if left out.
    #[serde(default)]
    pub workflow: Option<String>,
}

/// Output.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// Begin of the window.
    pub from: String,
    /// End of the window, not in it.
    pub to: String,
    /// Batches in the window and `before_minutes` before it, those of runs by hand too; these cover no time.
    pub batches: u64,
    /// Objects of an archive, by time: a list in the lake, which tasks take as `input`. Null for raw answers.
    pub datasets: Option<Dataset>,
    /// Raw answers by time: a list in the lake, which `opensky.validate` takes. Null for an archive.
    pub snapshots: Option<Dataset>,
    /// Bytes of the objects; of raw answers before gzip.
    pub bytes: u64,
    /// Rows of the datasets, states of the answers.
    pub rows_out: u64,
}

/// A batch whose objects are there, with the right bytes.
#[derive(Debug)]
struct Batch {
    interval: DataInterval,
    part: String,
    rows: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Dataset(Box<Dataset>),
    Answer(Box<RawSnapshot>),
}

/// Batches of a window, and those that cannot be read: where they should lie, and why not.
#[derive(Debug, Default)]
struct Found {
    batches: Vec<Batch>,
    broken: BTreeMap<String, String>,
}

impl Task for ArchiveRead {
    const TYPE: &'static str = "archive.read";
    const SUMMARY: &'static str =
        "reads a window of an archive or of raw answers; refuses one with holes, and names them";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Optional(&["lake"]);
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass {
            name: "Holes",
            retryable: false,
            meaning: "the window is not covered; the message names each hole",
        },
        ErrorClass {
            name: "BadParameters",
            retryable: false,
            meaning: "`from` and `to` are no instants in this order, or `prefix` does not go with `source`",
        },
        ErrorClass { name: "BadOutput", retryable: false, meaning: "the list of what was found cannot be written" },
        ErrorClass { name: "BadManifest", retryable: false, meaning: "a manifest does not read" },
        ErrorClass { name: "BadConnection", retryable: false, meaning: "the lake is not there" },
        ErrorClass { name: "LakeDenied", retryable: false, meaning: "the lake refuses access" },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be read just now" },
    ];
    const EXAMPLE: &'static str = "- id: replay\n  type: archive.read\n  with:\n    source: raw_answers\n    from: \"{{ params.from }}\"\n    to: \"{{ params.to }}\"\n    parts: [global]\n";
    type Params = Params;
    type Output = Output;

    async fn run(params: Params, ctx: &Context) -> Result<Output, TaskError> {
        let window = window(&params, ctx)?;
        let before = i64::from(params.before_minutes) * 60_000;
        let read = DataInterval { start: Timestamp::from_millis(window.start.as_millis() - before), ..window };
        let lake = ctx.own_lake()?;
        let found = match (params.source, &params.prefix) {
            (Source::Archive, Some(prefix)) => archived(&lake, prefix, read).await?,
            (Source::RawAnswers, None) => answers(&lake, read, params.workflow.as_deref()).await?,
            (Source::Archive, None) => return Err(bad("`prefix` is missing: give that of the `archive` task")),
            (Source::RawAnswers, Some(_)) => return Err(bad("`prefix` does not go with `source: raw_answers`")),
        };
        if ctx.cancelled().is_cancelled() {
            return Err(TaskError::cancelled());
        }
        refuse_holes(window, &params.parts, &found)?;
        for (place, why) in &found.broken {
            // Covered by others, so it is not needed; but somebody should know.
            ctx.warn(format!("{place}: {why}"));
        }
        output(&lake, window, &params.parts, found).await
    }
}

fn bad(text: impl Into<String>) -> TaskError {
    TaskError::fail("BadParameters", text)
}

fn window(params: &Params, ctx: &Context) -> Result<DataInterval, TaskError> {
    let instant = |name: &str, text: &Option<String>, default: Timestamp| match text {
        None => Ok(default),
        Some(text) => Timestamp::parse(text).ok_or_else(|| bad(format!("`{name}: {text}` is no RFC 3339 instant"))),
    };
    let start = instant("from", &params.from, ctx.run().interval.start)?;
    let end = instant("to", &params.to, ctx.run().interval.end)?;
    if start >= end {
        return Err(bad(format!(
            "the window {start}…{end} is empty: give `from` and `to` (a run by hand without a date has no interval)"
        )));
    }
    Ok(DataInterval { start, end })
}

/// Whether a batch belongs to the window: it begins there.
fn begins_in(window: DataInterval, interval: DataInterval) -> bool {
    window.start <= interval.start && interval.start < window.end
}

async fn archived(lake: &Lake, prefix: &str, window: DataInterval) -> Result<Found, TaskError> {
    let prefix = prefix.trim_matches('/');
    let mut found = Found::default();
    let mut date = window.start.to_datetime().date_naive();
    while date.format("%Y-%m-%d").to_string() <= day(window.end) {
        let listed = lake.list(&format!("{prefix}/dt={}", date.format("%Y-%m-%d"))).await?;
        for (key, _) in listed.iter().filter(|(key, _)| is_manifest(key)) {
            let manifest: Manifest = serde_json::from_slice(&lake.get(key).await?)
                .map_err(|error| TaskError::fail("BadManifest", format!("`{key}` does not read: {error}")))?;
            let interval = manifest.interval().map_err(|error| error.context(format!("`{key}`")))?;
            if !begins_in(window, interval) {
                continue;
            }
            for entry in manifest.objects {
                let dataset = entry.dataset;
                match damage(lake, &dataset).await? {
                    Some(why) => drop(found.broken.insert(dataset.uri, why)),
                    None => found.batches.push(Batch {
                        interval,
                        part: part_of(dataset.batch_id.as_deref().unwrap_or_default()),
                        rows: dataset.rows,
                        what: What::Dataset(Box::new(dataset)),
                    }),
                }
            }
        }
        let Some(next) = date.succ_opt() else { break };
        date = next;
    }
    Ok(found)
}

/// Whether a key of an archive is that of a manifest.
pub(crate) fn is_manifest(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    name.strip_prefix("manifest-").is_some_and(|rest| rest.strip_suffix(".json").is_some())
}

/// Why an object cannot be read.
async fn damage(lake: &Lake, dataset: &Dataset) -> Result<Option<String>, TaskError> {
    match lake.size(&dataset.uri).await? {
        None => Ok(Some("the manifest names it, and it is gone".to_owned())),
        Some(_) if lake.sum(&dataset.uri).await? != dataset.sha256 => {
            Ok(Some("its bytes are not those that were archived".to_owned()))
        }
        Some(_) => Ok(None),
    }
}

fn part_of(batch_id: &str) -> String {
    batch_id.rsplit('/').next().unwrap_or(batch_id).to_owned()
}

/// Raw answers, found by the names of their manifests: `{workflow}_{start}_{end}_{region}.json`.
async fn answers(lake: &Lake, window: DataInterval, workflow: Option<&str>) -> Result<Found, TaskError> {
    let instant = r"(\d{8}T\d{6}(?:\.\d{3})?Z)";
    let name = Regex::new(&format!("^(.+)_{instant}_{instant}_(.+)\\.json$"))
        .map_err(|error| TaskError::fail("BadParameters", error.to_string()))?;
    let mut wanted = Vec::new();
    for (key, _) in lake.list(RAW_MANIFESTS).await? {
        let Some(parts) = key.rsplit('/').next().and_then(|file| name.captures(file)) else { continue };
        let (Some(start), Some(end)) = (expand(&parts[2]), expand(&parts[3])) else { continue };
        let interval = DataInterval { start, end };
        if begins_in(window, interval) && workflow.is_none_or(|workflow| workflow == &parts[1]) {
            wanted.push((key, interval));
        }
    }
    let looked: Vec<_> = stream::iter(wanted)
        .map(|(key, interval)| async move {
            let id = lake.find(&key).await?.and_then(|bytes| {
                let manifest: Value = serde_json::from_slice(&bytes).ok()?;
                manifest.pointer("/snapshot/batch_id")?.as_str().map(str::to_owned)
            });
            let answer = match &id {
                Some(id) => kept(lake, id).await?,
                None => None,
            };
            Ok::<_, TaskError>((key, interval, answer))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let mut found = Found::default();
    for (key, interval, answer) in looked {
        match answer {
            Some((raw, states)) => found.batches.push(Batch {
                interval,
                part: raw.region.clone(),
                rows: states,
                what: What::Answer(Box::new(raw)),
            }),
            None => drop(found.broken.insert(key, "its raw answer is gone, or is not whole".to_owned())),
        }
    }
    Ok(found)
}

/// The instant of `YYYYMMDDTHHMMSS[.mmm]Z`.
fn expand(compact: &str) -> Option<Timestamp> {
    let (date, time) = (compact.get(..8)?, compact.get(9..)?);
    let text = format!("{}-{}-{}T{}:{}:{}", &date[..4], &date[4..6], &date[6..], &time[..2], &time[2..4], &time[4..]);
    Timestamp::parse(&text)
}

fn refuse_holes(window: DataInterval, parts: &[String], found: &Found) -> Result<(), TaskError> {
    let covered = |part: Option<&String>| -> Vec<DataInterval> {
        let of_part = found.batches.iter().filter(|batch| part.is_none_or(|part| *part == batch.part));
        of_part.map(|batch| batch.interval).collect()
    };
    let mut missing: Vec<(String, Hole)> = Vec::new();
    if parts.is_empty() {
        missing.extend(holes(window, &covered(None)).into_iter().map(|hole| (String::new(), hole)));
    }
    for part in parts {
        let holes = holes(window, &covered(Some(part)));
        missing.extend(holes.into_iter().map(|hole| (format!("{part} "), hole)));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let named: Vec<String> =
        missing.iter().take(NAMED).map(|(part, hole)| format!("{part}{}…{}", hole.from, hole.to)).collect();
    let more = if missing.len() > NAMED { format!(", and {} more", missing.len() - NAMED) } else { String::new() };
    let broken: Vec<String> = found.broken.iter().take(NAMED).map(|(place, why)| format!("`{place}`: {why}")).collect();
    let broken = if broken.is_empty() { String::new() } else { format!(" Not readable: {}.", broken.join("; ")) };
    Err(TaskError::fail(
        "Holes",
        format!(
            "the window {}…{} has {} hole(s): {}{more}.{broken} Choose a window without them",
            window.start,
            window.end,
            missing.len(),
            named.join(", ")
        ),
    ))
}

async fn output(lake: &Lake, window: DataInterval, parts: &[String], found: Found) -> Result<Output, TaskError> {
    let mut batches = found.batches;
    batches.retain(|batch| parts.is_empty() || parts.contains(&batch.part));
    batches.sort_by(|one, other| {
        let key = |batch: &Batch| (batch.interval.start, batch.interval.end);
        key(one).cmp(&key(other)).then_with(|| one.part.cmp(&other.part))
    });
    let (count, rows_out) = (batches.len() as u64, batches.iter().map(|batch| batch.rows).sum());
    let (mut datasets, mut snapshots) = (Vec::new(), Vec::new());
    for batch in batches {
        match batch.what {
            What::Dataset(dataset) => datasets.push(*dataset),
            What::Answer(raw) => snapshots.push(*raw),
        }
    }
    let bytes = datasets.iter().map(|dataset| dataset.bytes).chain(snapshots.iter().map(|raw| raw.bytes)).sum();
    Ok(Output {
        from: window.start.to_string(),
        to: window.end.to_string(),
        batches: count,
        datasets: list(lake, window, Format::Datasets, &datasets).await?,
        snapshots: list(lake, window, Format::Json, &snapshots).await?,
        bytes,
        rows_out,
    })
}

/// Writes what was found as a list: a window may hold more than an output can. `None` for nothing.
async fn list<T: Serialize>(
    lake: &Lake,
    window: DataInterval,
    format: Format,
    found: &[T],
) -> Result<Option<Dataset>, TaskError> {
    if found.is_empty() {
        return Ok(None);
    }
    let text = serde_json::to_vec(found).map_err(|error| TaskError::fail("BadOutput", error.to_string()))?;
    let name = format!("{}_{}_{}", compact(window.start), compact(window.end), &sha256_hex(&text)[..16]);
    let key = format!("{WINDOWS}/dt={}/{name}.json", day(window.start));
    let dataset = Dataset::of_bytes(&key, format, found.len() as u64, &text);
    lake.put(&key, text).await?;
    Ok(Some(dataset))
}
