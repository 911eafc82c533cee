//! `opensky.validate`: raw answers in, typed rows by region out; what is refused is kept with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use updraft_task::{Context, Dataset, Effects, ErrorClass, Lake, Task, TaskError, Timestamp};

use super::collect::{RawSnapshot, unpack};
use super::keys;
use super::region::{RegionBox, chosen};
use super::snapshot::Snapshot;
use super::state::{Reject, StateVector, flag};
use super::states_parquet::{Batch, Seen, record_batch};

/// Raw answers that are read at once.
const AT_ONCE: usize = 4;

/// The task type.
pub struct Validate;

/// Parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The raw answers: `tasks.….output.snapshots` of `opensky.collect`.
    pub snapshots: Vec<RawSnapshot>,
    /// Names of the wanted regions. A row in two boxes belongs to the first.
    pub regions: Vec<String>,
    /// Boxes of the known regions by name, in degrees.
    pub region_boxes: BTreeMap<String, RegionBox>,
}

/// The accepted rows of one region.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RegionOutput {
    /// Rows.
    pub accepted: u64,
    /// Where they lie: Parquet, columns of `FlightState`.
    pub dataset: Dataset,
}

/// What was refused.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Quarantine {
    /// Rows.
    pub rows: u64,
    /// Key of the gzipped JSON by reason: `{reason, object_key, index, row}` each.
    pub objects: BTreeMap<String, Vec<String>>,
}

/// Output. All counts but `received` and `outside` (and `rejected`) are over accepted rows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// Rows in the answers.
    pub received: u64,
    /// Rows taken: inside a requested region, or without a position.
    pub accepted: u64,
    /// Good rows inside no requested region; not passed on.
    pub outside: u64,
    /// Rows refused, by reason: `shape` (too few fields), `type` (a field of another type), `position` (no place on Earth),
    /// `future` (heard after the snapshot).
    pub rejected: BTreeMap<String, u64>,
    /// Rows with `on_ground`.
    pub on_ground: u64,
    /// Nulls by column of `FlightState`.
    pub nulls: BTreeMap<String, u64>,
    /// Rows without a callsign.
    pub blank_callsign: u64,
    /// Different countries of origin.
    pub countries: u64,
    /// Rows whose position was older than 15, 60 and 300 seconds at the snapshot, by these numbers.
    pub position_older: BTreeMap<String, u64>,
    /// Mean velocity over ground of the rows that have one, m/s, rounded to 1/1000.
    pub mean_velocity_mps: Option<f64>,
    /// Rows by flag, all flags named: rows that are odd, and taken all the same.
    pub flags: BTreeMap<String, u64>,
    /// Accepted rows by region; `unlocated` holds those without a position, if there are any.
    pub regions: BTreeMap<String, RegionOutput>,
    /// What was refused, and where it lies.
    pub quarantine: Quarantine,
}

impl Task for Validate {
    const TYPE: &'static str = "opensky.validate";
    const SUMMARY: &'static str = "parses raw answers, judges each row, and writes typed rows by region";
    const EFFECTS: Effects = Effects::Idempotent;
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass { name: "BrokenBody", retryable: false, meaning: "a kept answer is not of the documented form" },
        ErrorClass { name: "CorruptDataset", retryable: false, meaning: "a kept answer does not match its sha-256" },
        ErrorClass { name: "NotFound", retryable: false, meaning: "a kept answer is gone" },
        ErrorClass {
            name: "BadParameters",
            retryable: false,
            meaning: "a region without a box, or without an answer that covers it",
        },
        ErrorClass { name: "BadParquet", retryable: false, meaning: "the rows do not fit their columns" },
        ErrorClass { name: "BadOutput", retryable: false, meaning: "the rows cannot be packed" },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be read or written just now" },
    ];
    const EXAMPLE: &'static str = "- id: split_and_validate\n  type: opensky.validate\n  depends_on: collect_flight_data\n  with:\n    snapshots: \"{{ tasks.collect_flight_data.output.snapshots }}\"\n    regions: [europe]\n    region_boxes:\n      europe: {lamin: 35.0, lomin: -10.0, lamax: 70.0, lomax: 40.0}\n";
    type Params = Params;
    type Output = Output;

    async fn run(params: Params, ctx: &Context) -> Result<Output, TaskError> {
        let regions = chosen(&params.regions, &params.region_boxes)?;
        let lake = ctx.lake()?;
        let mut sorted = Sorted::new(&regions);
        cover(&regions, &params.snapshots)?;
        let lake_of_answers = &lake;
        let mut answers = stream::iter(params.snapshots)
            .map(|raw| async move { read_raw(lake_of_answers, &raw).await.map(|bytes| (raw, bytes)) })
            .buffered(AT_ONCE);
        while let Some((raw, bytes)) = answers.try_next().await? {
            if ctx.cancelled().is_cancelled() {
                return Err(TaskError::cancelled());
            }
            let snapshot = Snapshot::parse(&bytes).map_err(|error| {
                TaskError::fail("BrokenBody", format!("`{}` does not read: {error}", raw.object_key))
            })?;
            sorted.take(&raw, &snapshot, &regions)?;
        }
        sorted.finish(&lake, ctx).await
    }
}

/// Every region has an answer, every answer a region: nothing is missing or left over unsaid.
fn cover(regions: &[(String, RegionBox)], snapshots: &[RawSnapshot]) -> Result<(), TaskError> {
    let bad = |text: String| Err(TaskError::fail("BadParameters", text));
    let asked_for = |name: &str| name == keys::GLOBAL || regions.iter().any(|(region, _)| region == name);
    if let Some(raw) = snapshots.iter().find(|raw| !asked_for(&raw.region)) {
        return bad(format!("the answer for `{}` belongs to no region in `regions`", raw.region));
    }
    let covered = |name: &str| snapshots.iter().any(|raw| raw.region == keys::GLOBAL || raw.region == name);
    match regions.iter().find(|(name, _)| !covered(name)) {
        Some((name, _)) => bad(format!("no answer in `snapshots` covers region `{name}`")),
        None => Ok(()),
    }
}

async fn read_raw(lake: &Lake, raw: &RawSnapshot) -> Result<Vec<u8>, TaskError> {
    let packed = lake.get(&raw.object_key).await?;
    let bytes = unpack(&packed)
        .map_err(|error| TaskError::fail("CorruptDataset", format!("`{}` is not gzip: {error}", raw.object_key)))?;
    if updraft_task::lake::sha256_hex(&bytes) == raw.sha256 {
        return Ok(bytes);
    }
    Err(TaskError::fail("CorruptDataset", format!("`{}` does not match its sha-256", raw.object_key)))
}

/// The accepted rows of one region.
#[derive(Default)]
struct Rows {
    seen: Vec<Seen>,
    /// Instant of its answer, Unix seconds: the key needs it even where there are no rows.
    time: i64,
}

/// Rows that were refused for one reason: batch of their answer, its instant, the reason.
type Refused = (String, i64, Reject);

/// Rows by what becomes of them.
struct Sorted {
    received: u64,
    outside: u64,
    rejected: BTreeMap<Refused, Vec<Value>>,
    regions: BTreeMap<String, Rows>,
}

impl Sorted {
    fn new(regions: &[(String, RegionBox)]) -> Self {
        Self {
            received: 0,
            outside: 0,
            rejected: BTreeMap::new(),
            regions: regions.iter().map(|(name, _)| (name.clone(), Rows::default())).collect(),
        }
    }

    fn take(
        &mut self,
        raw: &RawSnapshot,
        snapshot: &Snapshot,
        regions: &[(String, RegionBox)],
    ) -> Result<(), TaskError> {
        let asked = regions.iter().find(|(name, _)| *name == raw.region);
        let fetched_at = Timestamp::parse(&raw.fetched_at).ok_or_else(|| {
            TaskError::fail("BadParameters", format!("`fetched_at: {}` is no RFC 3339 instant", raw.fetched_at))
        })?;
        for (name, _) in regions.iter().filter(|(name, _)| asked.is_none_or(|(asked, _)| asked == name)) {
            self.regions.entry(name.clone()).or_default().time = snapshot.time;
        }
        for (index, row) in snapshot.rows.iter().enumerate() {
            self.received += 1;
            let state = match StateVector::judge(row, snapshot.time, asked.map(|(_, bbox)| bbox)) {
                Ok(state) => state,
                Err(reason) => {
                    let entry =
                        json!({ "reason": reason.name(), "object_key": raw.object_key, "index": index, "row": row });
                    self.rejected.entry((raw.batch_id.clone(), snapshot.time, reason)).or_default().push(entry);
                    continue;
                }
            };
            let region = match (state.latitude_deg.zip(state.longitude_deg), asked) {
                (None, _) => keys::UNLOCATED,
                // A call for one box: every row belongs to it, flagged if it lies outside.
                (Some(_), Some((name, _))) => name,
                (Some((lat, lon)), None) => {
                    if let Some((name, _)) = regions.iter().find(|(_, bbox)| bbox.contains(lat, lon, 0.0)) {
                        name
                    } else {
                        self.outside += 1;
                        continue;
                    }
                }
            };
            let rows = self.regions.entry(region.to_owned()).or_default();
            rows.time = snapshot.time;
            rows.seen.push(Seen { state, snapshot_time: snapshot.time, fetched_at });
        }
        Ok(())
    }

    /// All numbers, before anything is written.
    fn measure(&self) -> Output {
        let all: Vec<&Seen> = self.regions.values().flat_map(|rows| &rows.seen).collect();
        let count = |of: &dyn Fn(&StateVector) -> bool| all.iter().filter(|seen| of(&seen.state)).count() as u64;
        let nulls: [(&str, &dyn Fn(&StateVector) -> bool); 12] = [
            ("callsign", &|s| s.callsign.is_none()),
            ("origin_country", &|s| s.origin_country.is_none()),
            ("time_position", &|s| s.time_position.is_none()),
            ("longitude_deg", &|s| s.longitude_deg.is_none()),
            ("latitude_deg", &|s| s.latitude_deg.is_none()),
            ("baro_altitude_m", &|s| s.baro_altitude_m.is_none()),
            ("geo_altitude_m", &|s| s.geo_altitude_m.is_none()),
            ("velocity_mps", &|s| s.velocity_mps.is_none()),
            ("true_track_deg", &|s| s.true_track_deg.is_none()),
            ("vertical_rate_mps", &|s| s.vertical_rate_mps.is_none()),
            ("squawk", &|s| s.squawk.is_none()),
            ("category", &|s| s.category.is_none()),
        ];
        let older = |seconds: i64| {
            all.iter().filter(|seen| seen.position_age_s().is_some_and(|age| age > seconds)).count() as u64
        };
        let countries: BTreeSet<&str> = all.iter().filter_map(|seen| seen.state.origin_country.as_deref()).collect();
        let mut rejected: BTreeMap<String, u64> = Reject::ALL.map(|reason| (reason.name().to_owned(), 0)).into();
        for ((_, _, reason), rows) in &self.rejected {
            *rejected.entry(reason.name().to_owned()).or_default() += rows.len() as u64;
        }
        Output {
            received: self.received,
            accepted: all.len() as u64,
            outside: self.outside,
            rejected,
            on_ground: count(&|state| state.on_ground),
            nulls: nulls.iter().map(|(column, is_null)| ((*column).to_owned(), count(is_null))).collect(),
            blank_callsign: count(&|state| state.callsign.is_none()),
            countries: countries.len() as u64,
            position_older: [15, 60, 300].map(|seconds| (seconds.to_string(), older(seconds))).into(),
            mean_velocity_mps: mean(all.iter().filter_map(|seen| seen.state.velocity_mps)),
            flags: flag::NAMES.iter().map(|(bit, name)| ((*name).to_owned(), count(&|s| s.flags & bit != 0))).collect(),
            regions: BTreeMap::new(),
            quarantine: Quarantine { rows: 0, objects: BTreeMap::new() },
        }
    }

    async fn finish(self, lake: &Lake, ctx: &Context) -> Result<Output, TaskError> {
        let mut output = self.measure();
        for (name, rows) in &self.regions {
            let dataset = write(name, rows, lake, ctx).await?;
            ctx.info(format!("{name}: {} rows at {}", rows.seen.len(), dataset.uri));
            output.regions.insert(name.clone(), RegionOutput { accepted: rows.seen.len() as u64, dataset });
        }
        for ((batch_id, time, reason), rows) in &self.rejected {
            let key = keys::quarantine(batch_id, Timestamp::from_millis(time * 1000), reason.name());
            lake.put(&key, packed_lines(rows)?).await?;
            ctx.warn(format!("{} rows refused ({}), kept at {key}", rows.len(), reason.name()));
            output.quarantine.rows += rows.len() as u64;
            output.quarantine.objects.entry(reason.name().to_owned()).or_default().push(key);
        }
        Ok(output)
    }
}

async fn write(region: &str, rows: &Rows, lake: &Lake, ctx: &Context) -> Result<Dataset, TaskError> {
    let batch_id = keys::batch_id(ctx.run(), region);
    let batch = Batch { region: (region != keys::UNLOCATED).then_some(region), batch_id: &batch_id };
    let records = record_batch(&rows.seen, &batch).map_err(|error| TaskError::fail("BadOutput", error.to_string()))?;
    let key = keys::validated(&batch_id, Timestamp::from_millis(rows.time * 1000));
    crate::parquet::write_batches(lake, &key, &records.schema(), std::slice::from_ref(&records), Some(&batch_id)).await
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| (sum / f64::from(count) * 1000.0).round() / 1000.0)
}

fn packed_lines(rows: &[Value]) -> Result<Vec<u8>, TaskError> {
    let broken = |error: std::io::Error| TaskError::fail("BadOutput", format!("gzip: {error}"));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for row in rows {
        writeln!(encoder, "{row}").map_err(broken)?;
    }
    encoder.finish().map_err(broken)
}
