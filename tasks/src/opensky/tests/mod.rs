//! The OpenSky tasks against the stand-in server.

mod collecting;
#[cfg(feature = "sql")]
mod judging;
mod planning;
#[cfg(feature = "sql")]
mod regions;
#[cfg(feature = "sql")]
mod validating;

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use updraft_task::testing::TestRun;
use updraft_task::{Task, TaskError, Timestamp};
use updraft_testkit::opensky::{Options, Standin};

use super::client::Body;
use super::keys;
use super::plan::StateRequest;

const STATES: &str = "/api/states/all";
const TOKEN: &str = "/auth/realms/opensky-network/protocol/openid-connect/token";

/// A stand-in and a run that is connected to it.
pub(super) struct Bench {
    pub(super) standin: Standin,
    pub(super) run: TestRun,
    _dir: TempDir,
}

/// Two aircraft over Europe, one over America, one without a position, at Unix second 1,000.
fn four() -> Value {
    let row = |icao24: &str, lon: Value, lat: Value| {
        json!([
            icao24, "TEST1   ", "Germany", 990, 995, lon, lat, 1000.0, false, 100.0, 90.0, 0.0, null, 1010.0, "1000",
            false, 0, 2
        ])
    };
    json!({ "time": 1_000, "states": [
        row("aaaaa1", json!(8.5), json!(50.0)),
        row("aaaaa2", json!(9.5), json!(51.0)),
        row("aaaaa3", json!(-100.0), json!(40.0)),
        row("aaaaa4", Value::Null, Value::Null),
    ] })
}

pub(super) fn boxes() -> Value {
    json!({
        "europe": { "lamin": 35.0, "lomin": -10.0, "lamax": 70.0, "lomax": 40.0 },
        "north_america": { "lamin": 25.0, "lomin": -125.0, "lamax": 50.0, "lomax": -65.0 },
        "world": { "lamin": -90.0, "lomin": -180.0, "lamax": 90.0, "lomax": 180.0 },
    })
}

impl Bench {
    pub(super) fn new(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let standin = Standin::start(&Options { still: true, ..options }).unwrap();
        let run = TestRun::new(dir.path());
        let bench = Self { standin, run, _dir: dir };
        let secret = bench.standin.announcement().client_secret.clone();
        bench.connect(json!({ "client_id": "standin", "client_secret": secret }));
        bench
    }

    pub(super) fn four() -> Self {
        Self::new(Options { answers: vec![four()], ..Options::default() })
    }

    pub(super) fn playing(file: PathBuf) -> Self {
        Self::new(Options { play: vec![file], ..Options::default() })
    }

    /// Connects with these fields over the addresses.
    pub(super) fn connect(&self, fields: Value) {
        let mut entry =
            json!({ "kind": "opensky", "base_url": self.standin.url(), "token_url": self.standin.token_url() });
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.run.connect("opensky", entry);
    }

    /// The next interval.
    pub(super) fn next(&mut self) {
        self.shift(1);
    }

    /// An interval that was, so many before.
    pub(super) fn back(&mut self, intervals: i64) {
        self.shift(-intervals);
    }

    fn shift(&mut self, intervals: i64) {
        let at = Timestamp::from_millis(self.run.info.interval.start.as_millis() + intervals * 600_000);
        self.run.info.interval.start = at;
        self.run.info.interval.end = at;
    }

    pub(super) async fn task<T: Task>(&self, params: Value) -> Result<Value, TaskError> {
        let params = serde_json::from_value(params).unwrap();
        let output = T::run(params, &self.run.context("task", 1, None)).await?;
        Ok(serde_json::to_value(output).unwrap())
    }

    pub(super) async fn plan(&self, fields: Value) -> Result<Value, TaskError> {
        let mut params = json!({ "regions": ["europe"], "region_boxes": boxes() });
        params.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.task::<super::Plan>(params).await
    }

    /// Keeps an answer as the interval's, as if it had been asked for; the API is not asked then.
    pub(super) async fn keep(&self, answer: &Value) {
        let request = StateRequest { region: keys::GLOBAL.to_owned(), bbox: None, extended: true, credits: 4 };
        let body = Body {
            status: 200,
            content_type: "application/json".to_owned(),
            bytes: answer.to_string().into(),
            credits_left: None,
            asked: "GET /states/all?extended=1".to_owned(),
        };
        let ctx = self.run.context("task", 1, None);
        let batch_id = keys::batch_id(ctx.run(), keys::GLOBAL);
        super::collect::keep(&request, batch_id, &body, &ctx.lake().unwrap(), &ctx).await.unwrap();
    }

    pub(super) async fn collect(&self) -> Result<Value, TaskError> {
        let request = json!({ "region": "global", "bbox": null, "extended": true, "credits": 4 });
        self.task::<super::Collect>(json!({ "requests": [request] })).await
    }

    pub(super) fn asked(&self, path: &str) -> usize {
        self.standin.ledger().count(path)
    }
}
