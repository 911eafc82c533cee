//! `opensky.plan`: what to ask for, or a reason not to ask.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Lake, Task, TaskError};

use super::connection::OpenSky;
use super::region::{GLOBAL_CREDITS, RegionBox, Scope, chosen};
use super::{budget, collect, keys};

/// The task type.
pub struct Plan;

/// Parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// One global call, or one call a region.
    #[serde(default)]
    pub scope: Scope,
    /// Names of the wanted regions.
    pub regions: Vec<String>,
    /// Boxes of the known regions by name, in degrees.
    pub region_boxes: BTreeMap<String, RegionBox>,
    /// Asks for field 17, the category of the aircraft.
    #[serde(default = "yes")]
    pub extended: bool,
    /// Credits that must be left after the calls; 10 % of the caller's daily budget if left out (anonymous 40, registered 400).
    #[serde(default)]
    pub min_credits_reserve: Option<u32>,
    /// Says what would be asked for, and asks for nothing.
    #[serde(default)]
    pub dry_run: bool,
}

fn yes() -> bool {
    true
}

/// One call to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateRequest {
    /// Its region; `global` for the one call without a box.
    pub region: String,
    /// Its box, in degrees; null for the global call.
    pub bbox: Option<RegionBox>,
    /// Asks for field 17, the category of the aircraft.
    pub extended: bool,
    /// Credits that it costs; 0 if its raw answer is in the lake already.
    pub credits: u32,
}

/// Output: the plan.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The calls, in order.
    pub requests: Vec<StateRequest>,
    /// Credits that these calls cost together.
    pub est_credits: u32,
    /// Credits left as last heard; null if nothing was heard for a day.
    pub credits_left: Option<u32>,
    /// Credits that stay untouched.
    pub reserve: u32,
}

impl Task for Plan {
    const TYPE: &'static str = "opensky.plan";
    const SUMMARY: &'static str = "decides which OpenSky calls to make within credits and holds, or why none";
    const EFFECTS: Effects = Effects::ExactlyOnce;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Required(&["opensky"]);
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass {
            name: "BadParameters",
            retryable: false,
            meaning: "a region without a box, or a box that is none",
        },
        ErrorClass { name: "BadConnection", retryable: false, meaning: "the connection does not fit" },
        ErrorClass { name: "Store", retryable: true, meaning: "holds and credits cannot be read just now" },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be read just now" },
    ];
    const EXAMPLE: &'static str = "- id: plan_collection\n  type: opensky.plan\n  with:\n    regions: [europe]\n    region_boxes:\n      europe: {lamin: 35.0, lomin: -10.0, lamax: 70.0, lomax: 40.0}\n";
    type Params = Params;
    type Output = Output;

    async fn run(params: Params, ctx: &Context) -> Result<Output, TaskError> {
        let connection: OpenSky = ctx.connection()?;
        connection.credentials(&ctx.run().project_dir)?;
        let regions = chosen(&params.regions, &params.region_boxes)?;
        let lake = ctx.lake()?;
        let mut requests = match params.scope {
            Scope::GlobalSplit => vec![StateRequest {
                region: keys::GLOBAL.to_owned(),
                bbox: None,
                extended: params.extended,
                credits: GLOBAL_CREDITS,
            }],
            Scope::PerRegion => regions
                .iter()
                .map(|(name, bbox)| StateRequest {
                    region: name.clone(),
                    bbox: Some(*bbox),
                    extended: params.extended,
                    credits: bbox.credits(),
                })
                .collect(),
        };
        free_what_is_there(&mut requests, &lake, ctx).await?;
        let est_credits: u32 = requests.iter().map(|request| request.credits).sum();
        let daily = connection.daily_budget();
        let reserve = params.min_credits_reserve.unwrap_or(daily / 10);
        let now = ctx.now();
        let known = budget::read(&connection, ctx).await?;
        let credits_left = known.left(now);
        if est_credits > 0 {
            if let Some(until) = known.hold(now) {
                return Err(budget::held(until));
            }
            let left = credits_left.unwrap_or(daily);
            if left < est_credits + reserve {
                return Err(TaskError::skip(format!(
                    "the calls cost {est_credits} credits, {left} are left, and {reserve} are kept in reserve; nothing was asked for"
                )));
            }
        }
        for request in &requests {
            let place = request.bbox.map_or_else(
                || "the whole world".to_owned(),
                |b| format!("{}…{}°N {}…{}°E", b.lamin, b.lamax, b.lomin, b.lomax),
            );
            ctx.info(format!("{}: {place}, {} credits", request.region, request.credits));
        }
        if params.dry_run {
            return Err(TaskError::skip(format!(
                "dry run: {} calls for {est_credits} credits would be made, {} credits are left",
                requests.len(),
                credits_left.map_or_else(|| "an unknown number of".to_owned(), |left| left.to_string())
            )));
        }
        Ok(Output { requests, est_credits, credits_left, reserve })
    }
}

/// A call whose raw answer is in the lake costs nothing: it will not be made.
async fn free_what_is_there(requests: &mut [StateRequest], lake: &Lake, ctx: &Context) -> Result<(), TaskError> {
    for request in requests {
        let batch_id = keys::batch_id(ctx.run(), &request.region);
        if collect::kept(lake, &batch_id).await?.is_some() {
            ctx.info(format!("{batch_id} is in the lake already"));
            request.credits = 0;
        }
    }
    Ok(())
}
