//! `opensky.validate`: raw answers in, typed rows by region out; what is refused is kept with its reason.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use updraft_task::{Context, Dataset, Effects, ErrorClass, Lake, Task, TaskError, Timestamp};

use super::collect::{RawSnapshot, unpack};
use super::jump::Fixes;
use super::keys;
use super::region::{RegionBox, chosen};
use super::snapshot::Snapshot;
use super::state::{Reject, StateVector, flag};
use super::states_parquet::{Batch, Seen, record_batch, schema};
use super::tally::Tally;
use crate::parquet::Encoder;

/// Raw answers that are read at once.
const AT_ONCE: usize = 4;

/// The task type.
pub struct Validate;

/// Parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The raw answers: `tasks.….output.snapshots` of `opensky.collect` or `archive.read`.
    pub snapshots: Snapshots,
    /// Names of the wanted regions. A row in two boxes belongs to the first.
    pub regions: Vec<String>,
    /// Boxes of the known regions by name, in degrees.
    pub region_boxes: BTreeMap<String, RegionBox>,
}

/// Raw answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Snapshots {
    /// Themselves.
    These(Vec<RawSnapshot>),
    /// Many: a JSON list of them in the lake.
    Listed(Dataset),
}

impl Snapshots {
    async fn read(self, lake: &Lake) -> Result<Vec<RawSnapshot>, TaskError> {
        match self {
            Self::These(snapshots) => Ok(snapshots),
            Self::Listed(list) => serde_json::from_slice(&lake.read(&list).await?).map_err(|error| {
                TaskError::fail("BadParameters", format!("`{}` is no list of raw answers: {error}", list.uri))
            }),
        }
    }
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
            meaning: "a region without a box, or without an answer that covers it; a list that names no raw answers",
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
        let snapshots = params.snapshots.read(&lake).await?;
        cover(&regions, &snapshots)?;
        let mut sorted = Sorted::new(&regions, ctx)?;
        let of_this_call: HashSet<String> = snapshots.iter().map(|raw| raw.object_key.clone()).collect();
        let (lake_of_answers, of_this_call) = (&lake, &of_this_call);
        let mut answers = stream::iter(snapshots)
            .map(|raw| async move {
                let bytes = read_raw(lake_of_answers, &raw).await?;
                let before = match raw.before.as_ref().filter(|key| !of_this_call.contains(*key)) {
                    Some(key) => read_before(lake_of_answers, key, ctx).await?,
                    None => None,
                };
                Ok::<_, TaskError>((raw, bytes, before))
            })
            .buffered(AT_ONCE);
        while let Some((raw, bytes, before)) = answers.try_next().await? {
            if ctx.cancelled().is_cancelled() {
                return Err(TaskError::cancelled());
            }
            let snapshot = Snapshot::parse(&bytes).map_err(|error| {
                TaskError::fail("BrokenBody", format!("`{}` does not read: {error}", raw.object_key))
            })?;
            if let Some(before) = before {
                sorted.learn(&before);
            }
            sorted.take(&raw, &snapshot, &regions)?;
        }
        drop(answers);
        sorted.finish(&lake).await
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

/// The answer before, from which only fixes are wanted: if it is not there or does not read, jumps are not looked for.
async fn read_before(lake: &Lake, key: &str, ctx: &Context) -> Result<Option<Snapshot>, TaskError> {
    let read = match lake.find(key).await? {
        None => Err("it is gone".to_owned()),
        Some(packed) => unpack(&packed)
            .map_err(|error| error.to_string())
            .and_then(|bytes| Snapshot::parse(&bytes).map_err(|error| error.to_string())),
    };
    match read {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(why) => {
            ctx.warn(format!("no jumps are looked for from the answer before, `{key}`: {why}"));
            Ok(None)
        }
    }
}

/// The accepted rows of one region, encoded as they come: a day of them does not fit into memory otherwise.
struct Rows {
    batch_id: String,
    encoder: Encoder,
    /// Instant of its last answer, Unix seconds: the key needs it even where there are no rows.
    time: i64,
}

impl Rows {
    fn new(region: &str, ctx: &Context) -> Result<Self, TaskError> {
        Ok(Self { batch_id: keys::batch_id(ctx.run(), region), encoder: Encoder::new(&schema())?, time: 0 })
    }

    fn push(&mut self, region: &str, seen: &[Seen]) -> Result<(), TaskError> {
        let batch = Batch { region: (region != keys::UNLOCATED).then_some(region), batch_id: &self.batch_id };
        let records = record_batch(seen, &batch).map_err(|error| TaskError::fail("BadOutput", error.to_string()))?;
        self.encoder.push(&records)
    }

    async fn finish(self, lake: &Lake) -> Result<Dataset, TaskError> {
        let key = keys::validated(&self.batch_id, keys::instant(self.time));
        self.encoder.finish()?.put(lake, &key, Some(&self.batch_id)).await
    }
}

/// Rows that were refused for one reason: batch of their answer, its instant, the reason.
type Refused = (String, i64, Reject);

/// Rows by what becomes of them.
struct Sorted<'a> {
    ctx: &'a Context,
    received: u64,
    outside: u64,
    tally: Tally,
    rejected: BTreeMap<Refused, Vec<Value>>,
    regions: BTreeMap<String, Rows>,
    fixes: Fixes,
}

impl<'a> Sorted<'a> {
    fn new(regions: &[(String, RegionBox)], ctx: &'a Context) -> Result<Self, TaskError> {
        let rows = regions.iter().map(|(name, _)| Ok((name.clone(), Rows::new(name, ctx)?)));
        Ok(Self {
            ctx,
            received: 0,
            outside: 0,
            tally: Tally::default(),
            rejected: BTreeMap::new(),
            regions: rows.collect::<Result<_, TaskError>>()?,
            fixes: Fixes::default(),
        })
    }

    /// Where aircraft were before.
    fn learn(&mut self, before: &Snapshot) {
        for state in before.rows.iter().filter_map(|row| StateVector::judge(row, before.time, None).ok()) {
            self.fixes.take(&state);
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
        let mut taken: BTreeMap<&str, Vec<Seen>> = regions
            .iter()
            .filter(|(name, _)| asked.is_none_or(|(asked, _)| asked == name))
            .map(|(name, _)| (name.as_str(), Vec::new()))
            .collect();
        for (index, row) in snapshot.rows.iter().enumerate() {
            self.received += 1;
            let mut state = match StateVector::judge(row, snapshot.time, asked.map(|(_, bbox)| bbox)) {
                Ok(state) => state,
                Err(reason) => {
                    let entry =
                        json!({ "reason": reason.name(), "object_key": raw.object_key, "index": index, "row": row });
                    self.rejected.entry((raw.batch_id.clone(), snapshot.time, reason)).or_default().push(entry);
                    continue;
                }
            };
            if self.fixes.take(&state) {
                state.flags |= flag::JUMP;
            }
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
            let seen = Seen { state, snapshot_time: snapshot.time, fetched_at };
            self.tally.add(&seen);
            taken.entry(region).or_default().push(seen);
        }
        for (region, seen) in taken {
            let rows = match self.regions.entry(region.to_owned()) {
                Entry::Occupied(rows) => rows.into_mut(),
                Entry::Vacant(place) => place.insert(Rows::new(region, self.ctx)?),
            };
            rows.time = snapshot.time;
            rows.push(region, &seen)?;
        }
        Ok(())
    }

    async fn finish(self, lake: &Lake) -> Result<Output, TaskError> {
        let (tally, ctx) = (self.tally, self.ctx);
        let mut rejected: BTreeMap<String, u64> = Reject::ALL.map(|reason| (reason.name().to_owned(), 0)).into();
        for ((_, _, reason), rows) in &self.rejected {
            *rejected.entry(reason.name().to_owned()).or_default() += rows.len() as u64;
        }
        let mut output = Output {
            received: self.received,
            accepted: tally.accepted,
            outside: self.outside,
            rejected,
            on_ground: tally.on_ground,
            nulls: tally.nulls(),
            blank_callsign: tally.blank_callsign,
            countries: tally.countries(),
            position_older: tally.position_older(),
            mean_velocity_mps: tally.mean_velocity_mps(),
            flags: tally.flags(),
            regions: BTreeMap::new(),
            quarantine: Quarantine { rows: 0, objects: BTreeMap::new() },
        };
        for (name, rows) in self.regions {
            let dataset = rows.finish(lake).await?;
            ctx.info(format!("{name}: {} rows at {}", dataset.rows, dataset.uri));
            output.regions.insert(name, RegionOutput { accepted: dataset.rows, dataset });
        }
        for ((batch_id, time, reason), rows) in &self.rejected {
            let key = keys::quarantine(batch_id, keys::instant(*time), reason.name());
            lake.put(&key, packed_lines(rows)?).await?;
            ctx.warn(format!("{} rows refused ({}), kept at {key}", rows.len(), reason.name()));
            output.quarantine.rows += rows.len() as u64;
            output.quarantine.objects.entry(reason.name().to_owned()).or_default().push(key);
        }
        Ok(output)
    }
}

fn packed_lines(rows: &[Value]) -> Result<Vec<u8>, TaskError> {
    let broken = |error: std::io::Error| TaskError::fail("BadOutput", format!("gzip: {error}"));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for row in rows {
        writeln!(encoder, "{row}").map_err(broken)?;
    }
    encoder.finish().map_err(broken)
}
