//! The planted story: what a team's month looks like, with the troubles that a run-history page must make plain
//! (`ui-anchors` §1). [`Story`] says where each one is.

use std::sync::Arc;

use anyhow::Result;
use serde_json::json;
use updraft_model::id::{RunId, TaskKey};
use updraft_model::record::{RunMetric, TaskItem};
use updraft_model::state::Trigger;
use updraft_model::time::{DataInterval, Timestamp};
use updraft_store::{Scheduling, Store};

use crate::draft::{Draft, Planted, Task};
use crate::rng::Rng;
use crate::script::{Act, End, Script};
use crate::sim::{Planter, Spec};

/// Milliseconds.
pub const MINUTE: i64 = 60_000;
/// Milliseconds.
pub const HOUR: i64 = 60 * MINUTE;
/// Milliseconds.
pub const DAY: i64 = 24 * HOUR;

/// Where the troubles are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story {
    /// Daily runs of `flights_etl`, oldest first.
    pub flights: Vec<RunId>,
    /// Those whose quality check failed for good: the newest two.
    pub failed: Vec<RunId>,
    /// Those whose quality check succeeded at the second try.
    pub second_try: Vec<RunId>,
    /// The one that succeeded and hides a failed check.
    pub masked: Vec<RunId>,
    /// Those with an attempt that was lost before its body began.
    pub lost: Vec<RunId>,
    /// The one of which an instance of `fetch_region` failed for good.
    pub instance_failed: Vec<RunId>,
    /// Runs of a backfill, of long ago by their dates, that failed in the last 24 hours.
    pub backfill_failed: Vec<RunId>,
    /// The run of `clickhouse_rebuild` with two tasks that execute and four that wait.
    pub rebuild: Vec<RunId>,
    /// The run of `adsb_compaction` that is under way.
    pub running: Vec<RunId>,
    /// The first run of `flights_etl` on its second version.
    pub changed: Vec<RunId>,
}

/// Instances of `fetch_region` in each run of `flights_etl`.
pub const REGIONS: u32 = 20;
/// The instance that is lost before its body begins, where one is.
pub const LOST_REGION: i32 = 7;
/// The instance that fails, where one does.
pub const BAD_REGION: i32 = 4;

/// The message of the quality check that failed for good.
pub const QUALITY: &str = "row count 922,906 is 61 % below the mean of the last 7 days (2,366,425)\n\
rule row_count_vs_mean: limit 20 %, found 61 %\nsee the partition ds=… of states_deduped";

/// Every workflow of the story, as it stands now; `flights_etl` is the newer version. A daemon may carry them out: they say
/// something and end.
pub fn drafts() -> Vec<Draft> {
    vec![flights(2), warehouse(), compaction(), report(), rebuild(), paused()]
}

/// Gives workflows that are published their schedules, from `now` on: nothing of before is caught up with.
///
/// # Errors
/// A draft is no workflow, or the store fails.
pub async fn schedule(scheduling: &dyn Scheduling, drafts: &[Draft], now: Timestamp) -> Result<()> {
    let versions = drafts.iter().map(Draft::version).collect::<Result<Vec<_>>>()?;
    scheduling.publish_all(&versions, now).await?;
    for draft in drafts.iter().filter(|draft| draft.paused) {
        scheduling.set_paused(&draft.id, true, "marta", Some("the model is being replaced"), now).await?;
    }
    Ok(())
}

/// A file that does not say what a workflow is, by name and text.
pub const BROKEN: (&str, &str) = (
    "flight_prices.yaml",
    "id: flight_prices\ndescription: Ticket prices beside the flights\nschedule: \"0 25 * * *\"\ntasks:\n  - id: fetch\n    \
     type: http.reqest\n    depends_on: [fetch_all]\n",
);

/// The daily workflow: 13 tasks, a branch, retries. In version 1 the quality check was excused.
pub fn flights(version: u32) -> Draft {
    let check = Task::shell("row_counts", &["dbt_build"], "echo 3 rules hold").retries(2);
    let check = if version == 1 { check.excused() } else { check };
    let tasks = vec![
        Task::shell("plan_regions", &[], "echo planned 12 regions"),
        Task::shell("fetch_region", &["plan_regions"], "echo fetched 12 regions").retries(3),
        Task::shell("merge_states", &["fetch_region"], "echo merged 2366425 rows"),
        Task::shell("validate_schema", &["merge_states"], "echo 31 columns as expected"),
        Task::shell("choose_path", &["validate_schema"], "echo this day is loaded incrementally"),
        Task::shell("full_refresh", &["choose_path"], "echo loaded all days"),
        Task::shell("incremental", &["choose_path"], "echo loaded one day"),
        Task::shell("load_postgres", &["merge_states"], "echo copied 2366425 rows").retries(2),
        Task::noop("loaded", &["full_refresh", "incremental"]).rule("none_failed_min_one_success"),
        Task::shell("dbt_build", &["loaded"], "echo 8 models built").retries(1),
        check,
        Task::shell("publish_dashboards", &["row_counts", "load_postgres"], "echo 4 dashboards published"),
        Task::shell("notify_on_call", &["row_counts", "publish_dashboards"], "echo nobody to wake").rule("all_done"),
    ];
    let what = if version == 1 {
        "Flights of the day before: collected, merged, modelled"
    } else {
        "Flights of the day before: collected, merged, modelled, checked"
    };
    Draft::new("flights_etl", what, "flight-data", &["flights", "daily"], tasks).cron("30 2 * * *", "UTC")
}

fn warehouse() -> Draft {
    let mut tasks = Vec::with_capacity(120);
    for layer in 0..10 {
        for at in 0..12 {
            let id =
                format!("{}_{at:02}", ["src", "stg", "int", "core", "dim", "fct", "agg", "mart", "exp", "chk"][layer]);
            let before = |at: usize| {
                let layer = ["src", "stg", "int", "core", "dim", "fct", "agg", "mart", "exp"][layer - 1];
                format!("{layer}_{:02}", at % 12)
            };
            let up = if layer == 0 { Vec::new() } else { vec![before(at), before(at + 1)] };
            let up: Vec<&str> = up.iter().map(String::as_str).collect();
            tasks.push(Task::shell(id, &up, "echo 1 model built").retries(1));
        }
    }
    Draft::new("warehouse_models", "All models of the warehouse, layer by layer", "analytics", &["dbt", "daily"], tasks)
        .cron("0 4 * * *", "UTC")
}

fn compaction() -> Draft {
    let tasks = vec![
        Task::shell("list_segments", &[], "echo 214 segments"),
        Task::shell("compact", &["list_segments"], "for i in $(seq 20); do echo segment $i of 20; sleep 2; done")
            .retries(1),
        Task::shell("drop_old", &["compact"], "echo dropped 214 segments"),
    ];
    Draft::new("adsb_compaction", "Small ADS-B segments into large ones", "platform", &["storage"], tasks)
        .cron("*/20 * * * *", "UTC")
}

fn report() -> Draft {
    let tasks = vec![
        Task::shell("query", &[], "echo 7 days read"),
        Task::shell("render", &["query"], "echo 4 pages"),
        Task::shell("send", &["render"], "echo sent to 3 people").retries(2),
    ];
    let params = json!({
        "airport": { "type": "string", "enum": ["EDDB", "EDDF", "LFPG"], "default": "EDDB", "description": "ICAO code" },
        "days": { "type": "integer", "minimum": 1, "maximum": 31, "default": 7 }
    });
    Draft {
        params,
        ..Draft::new("airport_report", "A report on one airport, when somebody asks", "flight-data", &["report"], tasks)
    }
}

fn rebuild() -> Draft {
    let tasks = (0..6).map(|at| Task::shell(format!("rebuild_{at}"), &[], "sleep 5400")).collect();
    let draft =
        Draft::new("clickhouse_rebuild", "Six tables from scratch, two at a time", "platform", &["storage"], tasks);
    Draft { max_active_tasks: Some(2), ..draft }
}

fn paused() -> Draft {
    let tasks =
        vec![Task::shell("features", &[], "echo 52 features"), Task::shell("train", &["features"], "echo trained")];
    let draft = Draft::new("delay_features", "Features of the delay model", "data-science", &["ml"], tasks)
        .cron("15 6 * * 1", "Europe/Berlin");
    Draft { paused: true, ..draft }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn scheduled(of: &Planted, fire: i64, span: i64, late: i64, script: Script) -> Spec {
    Spec {
        of: of.clone(),
        trigger: Trigger::Schedule,
        logical_at: at(fire - span),
        interval: DataInterval { start: at(fire - span), end: at(fire) },
        created_at: at(fire + late),
        queued_ms: 0,
        by: "schedule".to_owned(),
        conf: "{}".to_owned(),
        priority: 0,
        mapped: Vec::new(),
        script,
    }
}

/// With `fetch_region` as so many instances.
fn mapped(spec: Spec) -> Spec {
    Spec { mapped: vec![("fetch_region".into(), REGIONS)], ..spec }
}

/// A duration around a usual one, the same for the same run and task.
fn around(seed: u64, key: &TaskKey, usual: i64) -> i64 {
    let salt = key.task.as_str().bytes().fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut rng = Rng::new(salt);
    usual * rng.between(80, 125) / 100
}

/// What happens to the quality check of a day.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    Good,
    SecondTry,
    Bad,
}

/// What happens to an instance of `fetch_region`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// One is lost before it begins.
    Lost,
    /// One fails twice and then succeeds.
    Flaky,
    /// One fails for good.
    Bad,
}

/// A region's part of the day: one is slow, some days the last ones wait for a worker.
fn region(seed: u64, key: &TaskKey, dispatch_no: u32, trouble: Trouble) -> Act {
    let index = key.map_index.0;
    let usual = if index == 11 { 240_000 } else { 70_000 + 1_300 * i64::from(index) };
    let took = around(seed.wrapping_add(u64::try_from(index).unwrap_or(0)), key, usual);
    let wait = if seed.is_multiple_of(5) && index >= 16 { 14_000 } else { 40 + 90 * i64::from(index) };
    let refused = || Act::bad(9_000, "Network", "HTTP 503 from the region's receiver: try later").after(wait);
    match trouble {
        Trouble::Lost if index == LOST_REGION && dispatch_no == 1 => Act { end: End::NeverStarted, ..Act::good(0) },
        Trouble::Bad if index == BAD_REGION => refused(),
        Trouble::Flaky if index == BAD_REGION && dispatch_no <= 2 => refused(),
        Trouble::None | Trouble::Lost | Trouble::Flaky | Trouble::Bad => Act::good(took).after(wait),
    }
}

fn flights_script(seed: u64, check: Check, trouble: Trouble) -> Script {
    Arc::new(move |key, dispatch_no| {
        let task = key.task.as_str();
        let took = |usual| around(seed, key, usual);
        match task {
            "fetch_region" => region(seed, key, dispatch_no, trouble),
            "full_refresh" => Act { end: End::Skip("this day is loaded incrementally".to_owned()), ..Act::good(300) },
            "load_postgres" if seed.is_multiple_of(11) && dispatch_no == 1 => {
                Act::bad(4_000, "Network", "connection reset by peer while COPY was under way")
            }
            "load_postgres" => Act::good(took(31_000)),
            "dbt_build" => {
                let items = (0..8).map(|at| item("dbt_model", &format!("stg_{at}"), "success", Some(1.5)));
                Act { items: items.collect(), ..Act::good(took(64_000)) }
            }
            "row_counts" => quality(took(8_000), check, dispatch_no),
            "merge_states" => {
                let metric = RunMetric {
                    name: "rows_merged".to_owned(),
                    value: 2_366_425.0,
                    unit: "rows".to_owned(),
                    labels: std::collections::BTreeMap::new(),
                };
                Act { metrics: vec![metric], ..Act::good(took(22_000)).output(r#"{"rows":2366425}"#) }
            }
            _ => Act::good(took(5_000)),
        }
    })
}

fn item(kind: &str, name: &str, state: &str, seconds: Option<f64>) -> TaskItem {
    TaskItem {
        kind: kind.to_owned(),
        name: name.to_owned(),
        state: state.to_owned(),
        seconds,
        value: None,
        message: None,
    }
}

fn quality(took: i64, check: Check, dispatch_no: u32) -> Act {
    let rule = |state: &str, value: f64, message: Option<&str>| TaskItem {
        value: Some(value),
        message: message.map(str::to_owned),
        ..item("quality_rule", "row_count_vs_mean", state, None)
    };
    let others =
        [item("quality_rule", "icao24_not_null", "pass", None), item("quality_rule", "positions_inside", "warn", None)];
    match check {
        Check::Bad => Act {
            items: others.into_iter().chain([rule("fail", 0.61, Some("61 % below the mean of 7 days"))]).collect(),
            ..Act::bad(took, "Quality", QUALITY)
        },
        Check::SecondTry if dispatch_no == 1 => {
            Act::bad(took, "Timeout", "the query did not answer within 8 s\nretrying may help")
        }
        Check::SecondTry | Check::Good => Act {
            items: others.into_iter().chain([rule("pass", 0.03, None)]).collect(),
            ..Act::good(took).output(r#"{"failed":0,"rules":3}"#)
        },
    }
}

fn plain(seed: u64, usual: i64) -> Script {
    Arc::new(move |key, _| Act::good(around(seed, key, usual)))
}

/// The newest instant at `minute_of_day` that lies at least `before` milliseconds ago.
fn last_fire(now: Timestamp, minute_of_day: i64, before: i64) -> i64 {
    let latest = now.as_millis() - before;
    let day = latest.div_euclid(DAY) * DAY + minute_of_day * MINUTE;
    if day > latest { day - DAY } else { day }
}

/// Plants the story; `planter` writes nothing later than `now`.
///
/// # Errors
/// The model or the store refuses something.
pub async fn plant(store: &dyn Store, planter: &mut Planter<'_>, now: Timestamp) -> Result<Story> {
    let mut story = Story::default();
    let long_ago = at(now.as_millis() - 60 * DAY);
    let v1 = flights(1).publish(store, long_ago).await?;
    let last = last_fire(now, 150, HOUR);
    let v2 = flights(2).publish(store, at(last - 17 * DAY)).await?;
    for day in 0..35_i64 {
        let back = 34 - day;
        let check = match back {
            0 | 1 | 24 => Check::Bad,
            3 | 6 | 9 | 13 | 20 | 29 => Check::SecondTry,
            _ => Check::Good,
        };
        let trouble = match back {
            5 | 16 => Trouble::Lost,
            12 => Trouble::Flaky,
            27 => Trouble::Bad,
            _ => Trouble::None,
        };
        let seed = u64::try_from(day).unwrap_or(0);
        let of = if back > 17 { &v1 } else { &v2 };
        let spec = mapped(scheduled(of, last - back * DAY, DAY, 60, flights_script(seed, check, trouble)));
        let planted = planter.plant(vec![spec]).await?;
        if back == 17 {
            story.changed.clone_from(&planted);
        }
        match (check, back) {
            (Check::Bad, 24) => story.masked.extend(&planted),
            (Check::Bad, _) => story.failed.extend(&planted),
            (Check::SecondTry, _) => story.second_try.extend(&planted),
            (Check::Good, _) => {}
        }
        match trouble {
            Trouble::Lost => story.lost.extend(&planted),
            Trouble::Bad => story.instance_failed.extend(&planted),
            Trouble::None | Trouble::Flaky => {}
        }
        story.flights.extend(planted);
    }
    backfill(planter, &v2, now, last, &mut story).await?;
    others(store, planter, now, &mut story).await?;
    Ok(story)
}

/// A backfill of days long ago that ran in the last hours, two of three failed.
async fn backfill(planter: &mut Planter<'_>, of: &Planted, now: Timestamp, last: i64, story: &mut Story) -> Result<()> {
    for n in 0..3_i64 {
        let check = if n == 1 { Check::Good } else { Check::Bad };
        let fire = last - (42 - n) * DAY;
        let spec = Spec {
            trigger: Trigger::Backfill,
            created_at: at(now.as_millis() - 5 * HOUR + n * 9 * MINUTE),
            queued_ms: 40_000,
            by: "marta".to_owned(),
            priority: -12,
            ..mapped(scheduled(
                of,
                fire,
                DAY,
                0,
                flights_script(u64::try_from(100 + n).unwrap_or(0), check, Trouble::None),
            ))
        };
        let planted = planter.plant(vec![spec]).await?;
        if check == Check::Bad {
            story.backfill_failed.extend(planted);
        }
    }
    Ok(())
}

async fn others(store: &dyn Store, planter: &mut Planter<'_>, now: Timestamp, story: &mut Story) -> Result<()> {
    let long_ago = at(now.as_millis() - 60 * DAY);
    let warehouse = warehouse().publish(store, long_ago).await?;
    let last = last_fire(now, 240, HOUR);
    for back in (0..30_i64).rev() {
        let script = plain(u64::try_from(back).unwrap_or(0), 9_000);
        planter.plant(vec![scheduled(&warehouse, last - back * DAY, DAY, 90, script)]).await?;
    }
    let compaction = compaction().publish(store, long_ago).await?;
    let every = 20 * MINUTE;
    let newest = (now.as_millis() - 4 * MINUTE).div_euclid(every) * every;
    for back in (0..216_i64).rev() {
        let fire = newest - back * every;
        let seed = u64::try_from(back).unwrap_or(0);
        // The newest one compacts for longer than there is time.
        let usual = if back == 0 { 10 * HOUR } else { 40_000 };
        let script: Script = Arc::new(move |key: &TaskKey, dispatch_no| match key.task.as_str() {
            "compact" if seed % 37 == 7 && dispatch_no == 1 => Act { end: End::Lost, ..Act::good(30_000) },
            "compact" => Act::good(around(seed, key, usual)),
            _ => Act::good(around(seed, key, 800)),
        });
        let planted = planter.plant(vec![scheduled(&compaction, fire, every, 30, script)]).await?;
        if back == 0 {
            story.running = planted;
        }
    }
    let report = report().publish(store, long_ago).await?;
    for n in 0..8_i64 {
        let created = at(now.as_millis() - (8 - n) * 3 * DAY + n * 17 * MINUTE);
        let airport = ["EDDB", "EDDF", "LFPG"][usize::try_from(n % 3).unwrap_or(0)];
        let script = plain(u64::try_from(n).unwrap_or(0), 12_000);
        let spec = Spec {
            trigger: if n % 2 == 0 { Trigger::Manual } else { Trigger::Api },
            logical_at: created,
            interval: DataInterval { start: created, end: created },
            created_at: created,
            by: ["marta", "jonas"][usize::try_from(n % 2).unwrap_or(0)].to_owned(),
            conf: format!(r#"{{"airport":"{airport}","days":7}}"#),
            ..scheduled(&report, created.as_millis(), 0, 0, script)
        };
        planter.plant(vec![spec]).await?;
    }
    let rebuild = rebuild().publish(store, long_ago).await?;
    let created = at(now.as_millis() - 18 * MINUTE);
    let spec = Spec {
        trigger: Trigger::Manual,
        logical_at: created,
        interval: DataInterval { start: created, end: created },
        by: "jonas".to_owned(),
        ..scheduled(&rebuild, created.as_millis(), 0, 0, plain(0, 90 * MINUTE))
    };
    story.rebuild = planter.plant(vec![spec]).await?;
    let paused = paused().publish(store, long_ago).await?;
    let monday = last_fire(now, 315, DAY);
    for back in (2..6_i64).rev() {
        let script = plain(u64::try_from(back).unwrap_or(0), 200_000);
        planter.plant(vec![scheduled(&paused, monday - back * 7 * DAY, 7 * DAY, 45, script)]).await?;
    }
    Ok(())
}
