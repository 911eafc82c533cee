//! `opensky.collect`: the calls of a plan; raw bytes reach the lake before anything looks at them.
//!
//! Order inside one call, so that a crash at any point neither loses an answer nor asks twice for one that is kept:
//! answer in memory → manifest of the batch (key and sha-256 of what is about to be written) → raw object → a look at it.
//! A later attempt, or another run of the interval, finds the manifest: if its object is there, whole and readable, the API is not
//! called. A manifest without its object, or with a broken one, counts for nothing and is replaced.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::lake::sha256_hex;
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Lake, Task, TaskError};

use super::budget;
use super::client::{Answer, Body, Client};
use super::connection::OpenSky;
use super::keys;
pub(crate) use super::keys::{RAW_ANSWERS, RAW_MANIFESTS};
use super::plan::StateRequest;
use super::region::{GLOBAL_CREDITS, RegionBox};
use super::snapshot::{Snapshot, time_of};

/// The task type.
pub struct Collect;

/// Parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The calls to make, one after the other: `tasks.….output.requests` of `opensky.plan`.
    pub requests: Vec<StateRequest>,
}

/// A raw answer in the lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSnapshot {
    /// Region that was asked for; `global` for the call without a box.
    pub region: String,
    /// Equal in every run of the interval.
    pub batch_id: String,
    /// Instant that the states belong to, Unix seconds.
    pub api_time: i64,
    /// When the answer came, RFC 3339 UTC.
    pub fetched_at: String,
    /// Key in the lake of the answer's exact bytes, in gzip.
    pub object_key: String,
    /// sha-256 of the exact bytes (before gzip), hex.
    pub sha256: String,
    /// Size of the answer before gzip, in bytes.
    pub bytes: u64,
    /// HTTP status.
    pub status: u16,
    /// Credits left after the call, as the answer said; null if it did not.
    pub credits_left: Option<u32>,
    /// Key in the lake of the answer before, of the same region, if one of this hour or the hour before was there when this one
    /// came: kept, so that a re-run looks for jumps in the same two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

/// What lies beside the raw answers of a batch: the snapshot, and what no other task needs of it.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    snapshot: RawSnapshot,
    /// The call, without secrets.
    request: String,
    content_type: String,
}

/// Output.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The first call's answer.
    #[serde(flatten)]
    pub first: RawSnapshot,
    /// All answers, in the order of the requests.
    pub snapshots: Vec<RawSnapshot>,
    /// Whether every answer was in the lake already, so that the API was not called.
    pub reused: bool,
    /// Calls made by this attempt.
    pub requests: u32,
    /// Credits that the calls of this attempt cost, by the price list.
    pub credits_spent: u32,
    /// States in all answers.
    pub rows_out: u64,
}

impl Task for Collect {
    const TYPE: &'static str = "opensky.collect";
    const SUMMARY: &'static str = "fetches state vectors from OpenSky and keeps the raw bytes in the lake";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Required(&["opensky"]);
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass { name: "Timeout", retryable: true, meaning: "no connection in 5 s, or no whole answer in 30 s" },
        ErrorClass { name: "Network", retryable: true, meaning: "refused, reset, or cut off half-way" },
        ErrorClass { name: "Certificate", retryable: false, meaning: "the server's certificate is not trusted" },
        ErrorClass { name: "Upstream5xx", retryable: true, meaning: "500…599: OpenSky is overloaded" },
        ErrorClass {
            name: "BrokenBody",
            retryable: true,
            meaning: "status 200, but not JSON of the documented form; the bytes are kept",
        },
        ErrorClass { name: "Auth", retryable: false, meaning: "wrong credentials, or 401 with a fresh token" },
        ErrorClass { name: "BadRequest", retryable: false, meaning: "400: the message holds the request" },
        ErrorClass { name: "Forbidden", retryable: false, meaning: "403" },
        ErrorClass { name: "TooLarge", retryable: false, meaning: "a body of more than 64 MiB" },
        ErrorClass { name: "Unexpected", retryable: false, meaning: "a status that the API does not document" },
        ErrorClass { name: "BadConnection", retryable: false, meaning: "the connection does not fit" },
        ErrorClass { name: "BadParameters", retryable: false, meaning: "no requests" },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be read or written just now" },
        ErrorClass { name: "Store", retryable: true, meaning: "holds and credits cannot be kept just now" },
    ];
    const EXAMPLE: &'static str = "- id: collect_flight_data\n  type: opensky.collect\n  depends_on: plan_collection\n  with:\n    requests: \"{{ tasks.plan_collection.output.requests }}\"\n  retry: {limit: 3, delay: 5s, max_delay: 60s, retry_on: [Timeout, Network, Upstream5xx, BrokenBody]}\n";
    type Params = Params;
    type Output = Output;

    async fn run(params: Params, ctx: &Context) -> Result<Output, TaskError> {
        let connection: OpenSky = ctx.connection()?;
        let lake = ctx.lake()?;
        let client = Client::new(&connection, ctx)?;
        let (mut snapshots, mut requests, mut credits_spent, mut rows_out) = (Vec::new(), 0, 0, 0);
        for request in &params.requests {
            let batch_id = keys::batch_id(ctx.run(), &request.region);
            let (raw, states) = if let Some(kept) = kept(&lake, &batch_id).await? {
                ctx.info(format!("{batch_id}: {} is in the lake; the API is not called", kept.0.object_key));
                kept
            } else {
                requests += 1;
                // Not `request.credits`: the plan counts 0 for an answer that was there then and is gone now.
                credits_spent += request.bbox.as_ref().map_or(GLOBAL_CREDITS, RegionBox::credits);
                fetch(request, batch_id, &client, &connection, &lake, ctx).await?
            };
            ctx.info(format!("{}: {states} states at {}", raw.region, raw.api_time));
            rows_out += states;
            snapshots.push(raw);
            ctx.progress(snapshots.len() as u64, Some(params.requests.len() as u64), "calls");
        }
        let first = snapshots
            .first()
            .cloned()
            .ok_or_else(|| TaskError::fail("BadParameters", "`requests` is empty: there is nothing to collect"))?;
        Ok(Output { first, snapshots, reused: requests == 0, requests, credits_spent, rows_out })
    }
}

/// The raw answer of a batch with its number of states, if it is in the lake, whole and readable.
///
/// # Errors
/// The lake's.
pub(crate) async fn kept(lake: &Lake, batch_id: &str) -> Result<Option<(RawSnapshot, u64)>, TaskError> {
    let Some(manifest) = lake.find(&keys::manifest(batch_id)).await? else { return Ok(None) };
    let Ok(manifest) = serde_json::from_slice::<Manifest>(&manifest) else { return Ok(None) };
    let raw = manifest.snapshot;
    let Some(object) = lake.find(&raw.object_key).await? else { return Ok(None) };
    let Ok(bytes) = unpack(&object) else { return Ok(None) };
    if sha256_hex(&bytes) != raw.sha256 {
        return Ok(None);
    }
    Ok(states(&bytes, &manifest.content_type).ok().map(|states| (raw, states)))
}

/// Number of states in an answer, or why it is none.
fn states(bytes: &[u8], content_type: &str) -> Result<u64, String> {
    if !content_type.to_ascii_lowercase().contains("json") {
        return Err(format!("status 200 with Content-Type `{content_type}` instead of JSON"));
    }
    match Snapshot::parse(bytes) {
        Ok(snapshot) => Ok(snapshot.rows.len() as u64),
        Err(error) => Err(format!("status 200, but the body is not of the documented form: {error}")),
    }
}

async fn fetch(
    request: &StateRequest,
    batch_id: String,
    client: &Client,
    connection: &OpenSky,
    lake: &Lake,
    ctx: &Context,
) -> Result<(RawSnapshot, u64), TaskError> {
    // The plan looked too, but a retry or another workflow may have met a 429 since.
    if let Some(until) = budget::read(connection, ctx).await?.hold(ctx.now()) {
        return Err(budget::held(until));
    }
    let mut query: Vec<(&str, String)> = Vec::new();
    if let Some(bbox) = request.bbox {
        query.extend([
            ("lamin", bbox.lamin.to_string()),
            ("lomin", bbox.lomin.to_string()),
            ("lamax", bbox.lamax.to_string()),
            ("lomax", bbox.lomax.to_string()),
        ]);
    }
    if request.extended {
        query.push(("extended", "1".to_owned()));
    }
    let answer = tokio::select! {
        answer = client.states(&query, ctx) => answer?,
        () = ctx.cancelled().cancelled() => return Err(TaskError::cancelled()),
    };
    let body = match answer {
        Answer::Body(body) => body,
        Answer::Exhausted { retry_after } => {
            let until = budget::keep_hold(connection, retry_after, ctx).await?;
            return Err(TaskError::skip(format!(
                "429: OpenSky's credits are used up; no call before {until} ({} s), which is kept as a hold",
                retry_after.as_secs()
            )));
        }
    };
    if let Some(left) = body.credits_left {
        budget::keep_credits(connection, left, ctx).await?;
    }
    keep(request, batch_id, &body, lake, ctx).await
}

/// Keeps an answer: its manifest, its bytes; then a look at it.
///
/// # Errors
/// `retry` `BrokenBody`; the lake's.
pub(super) async fn keep(
    request: &StateRequest,
    batch_id: String,
    body: &Body,
    lake: &Lake,
    ctx: &Context,
) -> Result<(RawSnapshot, u64), TaskError> {
    let fetched_at = ctx.now();
    let sha256 = sha256_hex(&body.bytes);
    // The key needs the answer's time; where not even broken bytes say one, the instant of the call stands in.
    let parsed = Snapshot::parse(&body.bytes).map(|snapshot| snapshot.time).ok();
    let api_time = parsed.or_else(|| time_of(&body.bytes)).unwrap_or(fetched_at.as_millis() / 1000);
    let object_key = keys::raw(&request.region, keys::instant(api_time), &sha256);
    let before = before(lake, &request.region, api_time).await?;
    let raw = RawSnapshot {
        region: request.region.clone(),
        batch_id,
        api_time,
        fetched_at: fetched_at.to_string(),
        object_key,
        sha256,
        bytes: body.bytes.len() as u64,
        status: body.status,
        credits_left: body.credits_left,
        before,
    };
    let manifest = Manifest { snapshot: raw, request: body.asked.clone(), content_type: body.content_type.clone() };
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| TaskError::fail("BadOutput", error.to_string()))?;
    let raw = manifest.snapshot;
    lake.put(&keys::manifest(&raw.batch_id), text).await?;
    lake.put(&raw.object_key, pack(&body.bytes)?).await?;
    ctx.info(format!("{} bytes lie at {}", raw.bytes, raw.object_key));
    match states(&body.bytes, &body.content_type) {
        Ok(states) => Ok((raw, states)),
        Err(reason) => Err(TaskError::retry("BrokenBody", format!("{reason}; the bytes lie at {}", raw.object_key))),
    }
}

/// The newest raw answer of the hour of `api_time` and the hour before that is older. By key: names of one folder sort by time.
async fn before(lake: &Lake, scope: &str, api_time: i64) -> Result<Option<String>, TaskError> {
    let own = keys::raw_at(scope, keys::instant(api_time));
    for seconds in [0, 3600] {
        let folder = keys::raw_hour(scope, keys::instant(api_time.saturating_sub(seconds)));
        let listed = lake.list(&folder).await?;
        let older = listed.into_iter().map(|(key, _)| key).filter(|key| *key < own).max();
        if older.is_some() {
            return Ok(older);
        }
    }
    Ok(None)
}

fn pack(bytes: &[u8]) -> Result<Vec<u8>, TaskError> {
    let broken = |error: std::io::Error| TaskError::fail("BadOutput", format!("gzip: {error}"));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).map_err(broken)?;
    encoder.finish().map_err(broken)
}

/// Unpacks a raw object.
///
/// # Errors
/// Not gzip.
pub(super) fn unpack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}
