//! `lake.clean`: what of the lake nobody needs any more: objects that no manifest names, uploads that a crash left, and days
//! past their retention. It lists; it removes only when told so.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt, TryStreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use updraft_task::lake::{Listed, UPLOADS};
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Lake, Task, TaskError, Timestamp};

use crate::archive::manifest::Manifest;
use crate::archive::read::is_manifest;
use crate::batch::day;
use crate::opensky::collect::{RAW_ANSWERS, RAW_MANIFESTS};

/// Manifests that are read at once.
const AT_ONCE: usize = 16;
/// Keys that the output names.
const NAMED: usize = 100;

/// The task type.
pub struct LakeClean;

/// How long what lies below a prefix is kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// A prefix whose keys hold a part `dt=YYYY-MM-DD`; others below it stay.
    pub prefix: String,
    /// Days that stay, before today's.
    pub days: u32,
}

/// Parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Only lists. Nothing is removed unless this is `false`.
    #[serde(default = "yes")]
    pub dry_run: bool,
    /// Prefixes of `archive` tasks: objects that no manifest below the same prefix names are orphans.
    #[serde(default)]
    pub archives: Vec<String>,
    /// Whether raw answers of the API that no batch's manifest names are orphans.
    #[serde(default)]
    pub raw_answers: bool,
    /// Retention by prefix.
    #[serde(default)]
    pub retention: Vec<Retention>,
    /// Orphans younger than this stay, in hours: a task may be about to write their manifest.
    #[serde(default = "a_day")]
    pub min_age_hours: u32,
}

const fn yes() -> bool {
    true
}

const fn a_day() -> u32 {
    24
}

/// Objects of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Count {
    /// How many.
    pub objects: u64,
    /// Their size, in bytes.
    pub bytes: u64,
}

/// Output: what was found, and whether it is gone.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CleanupReport {
    /// Whether it was only listed.
    pub dry_run: bool,
    /// Objects by kind: `archive` and `raw_answers` (orphans), `raw_manifests` (of answers that are gone), `uploads` (left by a
    /// crash), `expired` (past their retention).
    pub found: BTreeMap<String, Count>,
    /// Objects removed by this attempt.
    pub removed: u64,
    /// Bytes of these.
    pub removed_bytes: u64,
    /// Keys of what was found, the first 100.
    pub keys: Vec<String>,
}

impl Task for LakeClean {
    const TYPE: &'static str = "lake.clean";
    const SUMMARY: &'static str = "lists orphans and expired objects of the lake, and removes them when told so";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Optional(&["lake"]);
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass {
            name: "BadParameters",
            retryable: false,
            meaning: "a prefix is empty: it would be the whole lake",
        },
        ErrorClass {
            name: "BadManifest",
            retryable: false,
            meaning: "a manifest does not read: what it names is not known, so nothing is removed",
        },
        ErrorClass { name: "BadKey", retryable: false, meaning: "a prefix is no key of the lake" },
        ErrorClass { name: "BadConnection", retryable: false, meaning: "the lake is not there" },
        ErrorClass { name: "LakeDenied", retryable: false, meaning: "the lake refuses access" },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be read or written just now" },
    ];
    const EXAMPLE: &'static str = "- id: clean\n  type: lake.clean\n  with:\n    dry_run: true\n    archives: [archive/flights]\n    raw_answers: true\n    retention:\n      - {prefix: processed-data/states, days: 180}\n";
    type Params = Params;
    type Output = CleanupReport;

    async fn run(params: Params, ctx: &Context) -> Result<CleanupReport, TaskError> {
        let empty = |prefix: &String| prefix.trim_matches('/').is_empty();
        if params.archives.iter().chain(params.retention.iter().map(|rule| &rule.prefix)).any(empty) {
            return Err(TaskError::fail(
                "BadParameters",
                "a prefix is empty: that would be the whole lake; name a part of it",
            ));
        }
        let lake = ctx.own_lake()?;
        // Everything is looked at before anything is removed.
        let found = look(&lake, &params, ctx.now()).await?;
        let mut report = CleanupReport {
            dry_run: params.dry_run,
            found: ["archive", "raw_answers", "raw_manifests", "uploads", "expired"]
                .map(|kind| (kind.to_owned(), Count::default()))
                .into(),
            removed: 0,
            removed_bytes: 0,
            keys: found.keys().take(NAMED).cloned().collect(),
        };
        for (kind, bytes) in found.values() {
            let count = report.found.entry((*kind).to_owned()).or_default();
            count.objects += 1;
            count.bytes += bytes;
        }
        for (kind, count) in &report.found {
            ctx.info(format!("{kind}: {} objects, {} bytes", count.objects, count.bytes));
        }
        if params.dry_run {
            ctx.info("dry run: nothing is removed");
            return Ok(report);
        }
        for (key, (kind, bytes)) in &found {
            if ctx.cancelled().is_cancelled() {
                return Err(TaskError::cancelled());
            }
            lake.delete(key).await?;
            ctx.debug(format!("removed {key} ({kind})"));
            report.removed += 1;
            report.removed_bytes += bytes;
            ctx.progress(report.removed, Some(found.len() as u64), "objects");
        }
        Ok(report)
    }
}

/// The begin (UTC) of the first day that stays, where so many stay before today's.
pub(crate) fn first_kept(now: Timestamp, days: u32) -> Timestamp {
    const DAY_MS: i64 = 86_400_000;
    let today = now.as_millis().div_euclid(DAY_MS);
    Timestamp::from_millis((today - i64::from(days)) * DAY_MS)
}

/// Keys that nobody needs, with their kind and size. A key is of one kind.
async fn look(
    lake: &Lake,
    params: &Params,
    now: Timestamp,
) -> Result<BTreeMap<String, (&'static str, u64)>, TaskError> {
    let youngest = now.as_millis() - i64::from(params.min_age_hours) * 3_600_000;
    let old = |object: &Listed| object.written_at.as_millis() <= youngest;
    let mut found = BTreeMap::new();
    let mut add = |kind, object: Listed| {
        found.entry(object.key).or_insert((kind, object.bytes));
    };
    for rule in &params.retention {
        let first_kept = day(first_kept(now, rule.days));
        for object in lake.list_with_times(&rule.prefix).await? {
            if day_of(&object.key).is_some_and(|day| day < first_kept.as_str()) {
                add("expired", object);
            }
        }
    }
    for prefix in &params.archives {
        let listed = lake.list_with_times(prefix).await?;
        let (manifests, objects): (Vec<Listed>, Vec<Listed>) =
            listed.into_iter().partition(|object| is_manifest(&object.key));
        let read = read_all(lake, manifests, |bytes| {
            let manifest: Manifest = serde_json::from_slice(bytes)?;
            Ok(manifest.objects.into_iter().map(|entry| entry.dataset.uri).collect::<Vec<String>>())
        });
        let named = read.await?.into_iter().flat_map(|(_, keys)| keys).collect();
        orphans(objects, &named, old).for_each(|object| add("archive", object));
    }
    if params.raw_answers {
        let objects = lake.list_with_times(RAW_ANSWERS).await?;
        let manifests = lake.list_with_times(RAW_MANIFESTS).await?;
        let read = read_all(lake, manifests, |bytes| {
            let manifest: Value = serde_json::from_slice(bytes)?;
            Ok(manifest.pointer("/snapshot/object_key").and_then(Value::as_str).map(str::to_owned))
        });
        let (there, read): (BTreeSet<String>, _) =
            (objects.iter().map(|object| object.key.clone()).collect(), read.await?);
        let named = read.iter().filter_map(|(_, key)| key.clone()).collect();
        orphans(objects, &named, old).for_each(|object| add("raw_answers", object));
        // Of answers past their retention. A young one may be of an answer that is just being written.
        let gone = read
            .into_iter()
            .filter(|(manifest, key)| old(manifest) && key.as_ref().is_some_and(|key| !there.contains(key)));
        gone.for_each(|(manifest, _)| add("raw_manifests", manifest));
    }
    lake.list_with_times(UPLOADS).await?.into_iter().filter(old).for_each(|object| add("uploads", object));
    Ok(found)
}

/// Objects that no manifest names and that nobody is about to name.
fn orphans(
    objects: Vec<Listed>,
    named: &BTreeSet<String>,
    old: impl Fn(&Listed) -> bool,
) -> impl Iterator<Item = Listed> {
    objects.into_iter().filter(move |object| old(object) && !named.contains(&object.key))
}

/// The day in a key.
fn day_of(key: &str) -> Option<&str> {
    let day = key.split('/').find_map(|part| part.strip_prefix("dt="))?;
    let digits =
        |range: std::ops::Range<usize>| day.get(range).is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()));
    (day.len() == 10 && digits(0..4) && digits(5..7) && digits(8..10)).then_some(day)
}

/// What manifests say. One that is gone by now named objects of a batch that was written anew.
async fn read_all<T>(
    lake: &Lake,
    manifests: Vec<Listed>,
    read: impl Fn(&[u8]) -> serde_json::Result<T>,
) -> Result<Vec<(Listed, T)>, TaskError> {
    let texts: Vec<(Listed, Option<bytes::Bytes>)> = stream::iter(manifests)
        .map(|manifest| async move {
            let bytes = lake.find(&manifest.key).await?;
            Ok::<_, TaskError>((manifest, bytes))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let texts = texts.into_iter().filter_map(|(manifest, bytes)| Some((manifest, bytes?)));
    texts
        .map(|(manifest, bytes)| match read(&bytes) {
            Ok(said) => Ok((manifest, said)),
            Err(error) => Err(TaskError::fail(
                "BadManifest",
                format!("`{}` does not read: {error}; mend or remove it by hand", manifest.key),
            )),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use updraft_task::testing::TestRun;

    use super::*;

    async fn clean(run: &TestRun, with: Value) -> Result<CleanupReport, TaskError> {
        LakeClean::run(serde_json::from_value(with).unwrap(), &run.context("clean", 1, None)).await
    }

    fn objects(report: &CleanupReport) -> Vec<(&str, u64)> {
        report.found.iter().map(|(kind, count)| (kind.as_str(), count.objects)).collect()
    }

    #[tokio::test]
    async fn orphans_and_old_days_are_listed_first_and_removed_when_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let files = TestRun::new(folder.path());
        let on_s3 = TestRun::new(folder.path());
        let bucket = crate::s3_lake::move_lake(&on_s3);
        for run in [Some(files), bucket.as_ref().map(|_| on_s3)].into_iter().flatten() {
            let lake = run.context("x", 1, None).lake().unwrap();
            let folder = "archive/x/dt=2026-01-01/hour=00";
            let kept = json!({ "source": "a", "dataset": {
                "uri": format!("{folder}/kept"), "format": "bytes", "rows": 0, "bytes": 1, "sha256": "",
            } });
            let manifest = json!({ "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:10:00Z", "objects": [kept] });
            for (key, text) in [
                (format!("{folder}/kept"), "1".to_owned()),
                (format!("{folder}/orphan"), "22".to_owned()),
                (format!("{folder}/manifest-1.json"), manifest.to_string()),
                (format!("{RAW_ANSWERS}/scope=global/dt=2026-01-01/kept.json.gz"), "1".to_owned()),
                (format!("{RAW_ANSWERS}/scope=global/dt=2026-01-01/orphan.json.gz"), "1".to_owned()),
                (
                    format!("{RAW_MANIFESTS}/a.json"),
                    json!({ "snapshot": { "object_key": format!("{RAW_ANSWERS}/scope=global/dt=2026-01-01/kept.json.gz") } })
                        .to_string(),
                ),
                (
                    format!("{RAW_MANIFESTS}/b.json"),
                    json!({ "snapshot": { "object_key": format!("{RAW_ANSWERS}/scope=global/dt=2025-01-01/gone.json.gz") } })
                        .to_string(),
                ),
                (format!("{UPLOADS}/left"), "1".to_owned()),
                ("processed/dt=2025-01-01/a".to_owned(), "1".to_owned()),
                ("processed/dt=2999-01-01/a".to_owned(), "1".to_owned()),
                ("processed/dt=none/a".to_owned(), "1".to_owned()),
                ("elsewhere/a".to_owned(), "1".to_owned()),
            ] {
                lake.put(&key, text).await.unwrap();
            }
            let with = |dry_run: bool, min_age_hours: u32| {
                json!({
                    "dry_run": dry_run, "archives": ["archive/x"], "raw_answers": true, "min_age_hours": min_age_hours,
                    "retention": [{ "prefix": "processed", "days": 180 }],
                })
            };
            let young = clean(&run, with(false, 24)).await.unwrap();
            assert_eq!((objects(&young)[0], young.removed), (("archive", 0), 1), "what is young stays: {young:?}");
            lake.put("processed/dt=2025-01-01/a", "1").await.unwrap();
            // Servers write times in whole seconds, or are a little ahead.
            run.set_now(Timestamp::from_millis(chrono::Utc::now().timestamp_millis() + 60_000));
            let before = lake.list("").await.unwrap();
            let listed = clean(&run, with(true, 0)).await.unwrap();
            assert_eq!(
                objects(&listed),
                [("archive", 1), ("expired", 1), ("raw_answers", 1), ("raw_manifests", 1), ("uploads", 1)]
            );
            assert_eq!((listed.removed, lake.list("").await.unwrap() == before), (0, true));
            let removed = clean(&run, with(false, 0)).await.unwrap();
            assert_eq!((removed.removed, &removed.keys), (5, &listed.keys));
            assert_eq!(lake.list("").await.unwrap().len(), before.len() - 5);
            assert_eq!(clean(&run, with(false, 0)).await.unwrap().removed, 0, "twice is once");

            lake.put(&format!("{folder}/manifest-2.json"), "no").await.unwrap();
            lake.put(&format!("{UPLOADS}/left"), "1").await.unwrap();
            assert_eq!(clean(&run, with(false, 0)).await.unwrap_err().class(), "BadManifest");
            assert!(lake.find(&format!("{UPLOADS}/left")).await.unwrap().is_some(), "nothing is removed on doubt");
            assert_eq!(clean(&run, json!({ "archives": ["/"] })).await.unwrap_err().class(), "BadParameters");
        }
    }
}
