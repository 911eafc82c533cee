//! The stand-in as its clients see it: over HTTP, byte by byte.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "tests say what they expect"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use updraft_testkit::opensky::{Clock, Fault, Ledger, Options, Standin};

const RECORDED_AT: i64 = 1_700_000_000;
/// 2026-11-24T12:00:00Z
const NOON: i64 = 1_795_521_600;

fn row(icao24: &str, longitude: f64, latitude: f64) -> Value {
    let contact = RECORDED_AT - 3;
    json!([
        icao24,
        "TEST1   ",
        "Norway",
        contact - 4,
        contact,
        longitude,
        latitude,
        9753.6,
        false,
        200.0,
        90.0,
        0.0,
        null,
        10050.78,
        "0062",
        false,
        0
    ])
}

/// Three aircraft: over Europe, over North America, and somewhere unknown.
fn snapshot() -> Value {
    let mut nowhere = row("cccccc", 0.0, 0.0);
    for index in [3, 5, 6] {
        nowhere[index] = Value::Null;
    }
    json!({ "time": RECORDED_AT, "states": [row("aaaaaa", 10.0, 50.0), row("bbbbbb", -100.0, 40.0), nowhere] })
}

/// A stand-in whose time is set by the test, and a client.
struct Sky {
    standin: Standin,
    client: Client,
    now: Arc<AtomicI64>,
}

const EUROPE: &str = "lamin=35&lomin=-10&lamax=70&lomax=40";

fn client() -> Client {
    Client::builder().timeout(Duration::from_mins(1)).build().unwrap()
}

impl Sky {
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        let now = Arc::new(AtomicI64::new(NOON));
        let seconds = Arc::clone(&now);
        let clock = Clock::from_fn(move || DateTime::<Utc>::from_timestamp(seconds.load(Ordering::SeqCst), 0).unwrap());
        let mut options = Options { answers: vec![snapshot()], clock, ..Options::default() };
        change(&mut options);
        Self { standin: Standin::start(&options).unwrap(), client: client(), now }
    }

    fn plain() -> Self {
        Self::new(|_| {})
    }

    fn failing(fault: Fault) -> Self {
        let sky = Self::plain();
        sky.standin.fail(fault, 1);
        sky
    }

    fn later(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.standin.url())).send().await.unwrap()
    }

    async fn get_with(&self, token: &str, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.standin.url())).bearer_auth(token).send().await.unwrap()
    }

    async fn states(&self, query: &str) -> Value {
        self.get(&format!("/states/all?{query}")).await.json().await.unwrap()
    }

    async fn ask_for_token(&self, secret: &str) -> Response {
        let form = [("grant_type", "client_credentials"), ("client_id", "standin"), ("client_secret", secret)];
        self.client.post(self.standin.token_url()).form(&form).send().await.unwrap()
    }

    async fn token(&self) -> String {
        let answer: Value = self.ask_for_token(&self.standin.announcement().client_secret).await.json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

fn addresses(answer: &Value) -> Vec<&str> {
    answer["states"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_answer_is_the_recording_moved_to_now() {
    let sky = Sky::plain();
    sky.later(7);
    let response = sky.get("/states/all").await;
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    let answer: Value = response.json().await.unwrap();
    let shift = NOON - RECORDED_AT;
    let mut expected = snapshot();
    expected["time"] = json!(NOON);
    for row in expected["states"].as_array_mut().unwrap() {
        for index in [3, 4] {
            if let Some(time) = row[index].as_i64() {
                row[index] = json!(time + shift);
            }
        }
    }
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn a_box_cuts_and_an_empty_one_is_null() {
    let sky = Sky::plain();
    assert_eq!(addresses(&sky.states("").await), ["aaaaaa", "bbbbbb", "cccccc"]);
    assert_eq!(addresses(&sky.states(EUROPE).await), ["aaaaaa"]);
    assert_eq!(sky.states("lamin=-60&lomin=0&lamax=-50&lomax=10").await["states"], Value::Null);
    assert_eq!(addresses(&sky.states("icao24=cccccc&icao24=bbbbbb").await), ["bbbbbb", "cccccc"]);
}

#[tokio::test]
async fn category_comes_only_with_extended() {
    let sky = Sky::plain();
    for (query, fields) in [("", 17), ("extended=1", 18), ("extended=0", 17)] {
        assert_eq!(sky.states(query).await["states"][0].as_array().unwrap().len(), fields, "{query}");
    }
}

#[tokio::test]
async fn aircraft_fly_on_between_polls_and_their_ages_stay() {
    for (still, moved) in [(false, true), (true, false)] {
        let sky = Sky::new(|options| options.still = still);
        let first = sky.states("").await;
        sky.later(60);
        let second = sky.states("").await;
        assert_eq!(second["time"], json!(NOON + 60));
        assert_eq!(second["states"][0][4], json!(NOON + 60 - 3));
        let (before, after) = (first["states"][0][5].as_f64().unwrap(), second["states"][0][5].as_f64().unwrap());
        // 200 m/s east for 60 s at 50° north is 0.168°.
        assert_eq!((after - before - 0.168).abs() < 0.001, moved, "{before} {after}");
        assert_eq!(before == after, !moved);
    }
}

#[tokio::test]
async fn the_same_time_is_answered_for_ten_seconds_or_five_with_a_token() {
    let sky = Sky::plain();
    let token = sky.token().await;
    for (later, anonymous, registered) in [(0, 0, 0), (4, 0, 0), (2, 0, 5), (3, 0, 5), (1, 10, 10)] {
        sky.later(later);
        let with_token: Value = sky.get_with(&token, "/states/all").await.json().await.unwrap();
        assert_eq!(sky.states("").await["time"], json!(NOON + anonymous));
        assert_eq!(with_token["time"], json!(NOON + registered));
    }
}

#[tokio::test]
async fn credits_are_charged_by_area_and_the_header_says_what_is_left() {
    let sky = Sky::plain();
    for (query, left) in [
        ("", "396"),
        (EUROPE, "392"),
        ("lamin=0&lomin=0&lamax=5&lomax=5", "391"),
        ("lamin=0&lomin=0&lamax=10&lomax=10", "389"),
        ("lamin=0&lomin=0&lamax=20&lomax=20", "386"),
    ] {
        let response = sky.get(&format!("/states/all?{query}")).await;
        assert_eq!(header(&response, "X-Rate-Limit-Remaining"), Some(left), "{query}");
    }
    let token = sky.token().await;
    let response = sky.get_with(&token, "/states/all").await;
    assert_eq!(header(&response, "X-Rate-Limit-Remaining"), Some("3996"), "a bucket of its own");
    assert_eq!(sky.standin.ledger().credits(), 18);
}

#[tokio::test]
async fn used_up_credits_are_429_with_the_wait_until_midnight() {
    let sky = Sky::new(|options| options.credits = Some(9));
    for left in ["5", "1"] {
        assert_eq!(header(&sky.get("/states/all").await, "X-Rate-Limit-Remaining"), Some(left));
    }
    let refused = sky.get("/states/all").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "X-Rate-Limit-Retry-After-Seconds"), Some("43200"));
    assert_eq!(header(&refused, "X-Rate-Limit-Remaining"), None);
    assert_eq!(refused.text().await.unwrap(), "Too many requests");
    sky.later(43_200);
    assert_eq!(sky.get("/states/all").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn bad_parameters_are_400_and_cost_nothing() {
    let sky = Sky::plain();
    let token = sky.token().await;
    let too_old = format!("/states/all?time={}", NOON - 3_601);
    for path in ["/states/all?lamin=35&lomin=-10", "/states/all?lamin=a&lomin=1&lamax=2&lomax=3", too_old.as_str()] {
        assert_eq!(sky.get_with(&token, path).await.status(), StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(sky.get(&too_old).await.status(), StatusCode::OK, "an anonymous caller's time is ignored");
    assert_eq!(sky.standin.ledger().credits(), 4);
    let hour_ago: Value =
        sky.get_with(&token, &format!("/states/all?time={}", NOON - 3_600)).await.json().await.unwrap();
    assert_eq!(hour_ago["time"], json!(NOON - 3_600));
}

#[tokio::test]
async fn a_token_has_a_lifetime_and_a_wrong_secret_gets_none() {
    let sky = Sky::new(|options| options.token_ttl_s = 60);
    let refused = sky.ask_for_token("wrong").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.json::<Value>().await.unwrap()["error"], json!("invalid_client"));

    let answer: Value = sky.ask_for_token(&sky.standin.announcement().client_secret).await.json().await.unwrap();
    assert_eq!((&answer["expires_in"], &answer["token_type"]), (&json!(60), &json!("Bearer")));
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(sky.get_with(token, "/states/all").await.status(), StatusCode::OK);
    sky.later(60);
    assert_eq!(sky.get_with(token, "/states/all").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(sky.get_with("made-up", "/states/all").await.status(), StatusCode::UNAUTHORIZED);
    let basic = sky.client.get(format!("{}/states/all", sky.standin.url())).basic_auth("u", Some("p"));
    assert_eq!(basic.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);

    let grant = [("grant_type", "password"), ("client_id", "standin")];
    let refused = sky.client.post(sky.standin.token_url()).form(&grant).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn own_receivers_need_a_login_and_cost_nothing() {
    let sky = Sky::plain();
    assert_eq!(sky.get("/states/own").await.status(), StatusCode::FORBIDDEN);
    let token = sky.token().await;
    let own: Value = sky.get_with(&token, "/states/own").await.json().await.unwrap();
    assert_eq!(own["states"], Value::Null);
    assert_eq!(sky.standin.ledger().credits(), 0);
}

#[tokio::test]
async fn a_401_takes_the_token_with_it() {
    let sky = Sky::plain();
    let token = sky.token().await;
    sky.standin.fail(Fault::Unauthorized, 1);
    for _ in 0..2 {
        assert_eq!(sky.get_with(&token, "/states/all").await.status(), StatusCode::UNAUTHORIZED);
    }
    let new = sky.token().await;
    assert_eq!(sky.get_with(&new, "/states/all").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_token_401_is_for_the_token_endpoint_alone() {
    let sky = Sky::failing(Fault::TokenUnauthorized);
    assert_eq!(sky.get("/states/all").await.status(), StatusCode::OK);
    let secret = &sky.standin.announcement().client_secret;
    assert_eq!(sky.ask_for_token(secret).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(sky.ask_for_token(secret).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn failures_with_a_status_have_the_service_s_headers_and_bodies() {
    for (fault, status, content_type, wait, body) in [
        (Fault::TooManyRequests, 429, "text/plain;charset=UTF-8", Some("22688"), "Too many requests"),
        (Fault::TooManyRequestsShort, 429, "text/plain;charset=UTF-8", Some("2"), "Too many requests"),
        (Fault::BadGateway, 502, "text/html", None, "502 Bad Gateway"),
        (Fault::ServiceUnavailable, 503, "text/html", None, "503 Service Unavailable"),
        (Fault::Html, 200, "text/html", None, "<html>"),
    ] {
        let sky = Sky::failing(fault);
        let response = sky.get("/states/all").await;
        assert_eq!(response.status().as_u16(), status, "{fault}");
        assert_eq!(header(&response, "content-type"), Some(content_type), "{fault}");
        assert_eq!(header(&response, "x-rate-limit-retry-after-seconds"), wait, "{fault}");
        let text = response.text().await.unwrap();
        assert!(text.contains(body), "{fault}: {text}");
        assert_eq!(sky.get("/states/all").await.status(), StatusCode::OK, "{fault} was for one call");
        assert_eq!(sky.standin.ledger().credits(), 4, "{fault} costs nothing");
    }
}

#[tokio::test]
async fn broken_is_half_the_json_under_its_own_length() {
    let sky = Sky::failing(Fault::Broken);
    let response = sky.get("/states/all").await;
    let length: usize = header(&response, "content-length").unwrap().parse().unwrap();
    let broken = response.bytes().await.unwrap();
    let whole = sky.get("/states/all").await.bytes().await.unwrap();
    assert_eq!((broken.len(), length), (whole.len() / 2, whole.len() / 2));
    assert_eq!(broken, whole[..length]);
    assert!(serde_json::from_slice::<Value>(&broken).is_err());
}

#[tokio::test]
async fn drop_closes_the_connection_halfway_through_the_body() {
    let sky = Sky::failing(Fault::Drop);
    let mut response = sky.get("/states/all").await;
    assert_eq!(response.status(), StatusCode::OK);
    let length: usize = header(&response, "content-length").unwrap().parse().unwrap();
    let mut received = 0;
    let error = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => received += chunk.len(),
            Ok(None) => panic!("the body ended as if it were whole"),
            Err(error) => break error,
        }
    };
    assert_eq!(received, length / 2, "{error}");
}

#[tokio::test]
async fn a_slow_answer_is_neither_played_nor_charged_if_the_client_goes_away() {
    let sky = Sky::new(|options| options.slow = Duration::from_mins(10));
    sky.standin.fail(Fault::Slow, 1);
    let waiting = tokio::spawn(sky.client.get(format!("{}/states/all", sky.standin.url())).send());
    while sky.standin.ledger().requests.is_empty() {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    let ledger = sky.standin.ledger();
    assert_eq!((ledger.requests[0].status, ledger.requests[0].fault.as_deref()), (None, Some("slow")));
    assert_eq!(ledger.credits(), 0);
}

#[tokio::test]
async fn slow_is_the_right_answer_if_the_client_waits() {
    let sky = Sky::new(|options| options.slow = Duration::from_millis(50));
    sky.standin.fail(Fault::Slow, 1);
    assert_eq!(addresses(&sky.states("").await).len(), 3);
}

#[tokio::test]
async fn an_answer_that_does_not_arrive_whole_is_not_the_file_s_turn() {
    let two = json!({ "time": RECORDED_AT, "states": [row("dddddd", 10.0, 50.0)] });
    let sky = Sky::new(|options| options.answers.push(two));
    sky.standin.fail(Fault::Broken, 1);
    sky.standin.fail(Fault::Drop, 1);
    for _ in 0..2 {
        assert!(sky.get("/states/all").await.json::<Value>().await.is_err());
    }
    assert_eq!(addresses(&sky.states("").await)[0], "aaaaaa");
    assert_eq!(addresses(&sky.states("").await)[0], "dddddd");
}

#[tokio::test]
async fn faults_of_content_change_the_rows_and_nothing_else() {
    let whole = Sky::plain().states("").await;
    let expected = |fault| {
        let mut answer = whole.clone();
        match fault {
            Fault::NoStates => answer["states"] = Value::Null,
            Fault::ShortRows => answer["states"][0].as_array_mut().unwrap().truncate(12),
            Fault::DuplicateRow => {
                let first = answer["states"][0].clone();
                answer["states"].as_array_mut().unwrap().push(first);
            }
            Fault::FutureContact => answer["states"][0][4] = json!(2_147_483_647),
            other => panic!("{other} is no fault of content"),
        }
        answer
    };
    for fault in [Fault::NoStates, Fault::ShortRows, Fault::DuplicateRow, Fault::FutureContact] {
        let sky = Sky::failing(fault);
        assert_eq!(sky.states("").await, expected(fault), "{fault}");
        assert_eq!(sky.states("").await, whole, "{fault} was for one call");
    }
}

#[tokio::test]
async fn the_ledger_says_what_was_asked_and_what_it_was_answered() {
    let sky = Sky::plain();
    let token = sky.token().await;
    sky.get_with(&token, &format!("/states/all?{EUROPE}&extended=1")).await;
    let planned = sky.client.post(format!("{}/_fail?kind=502&n=2", sky.standin.root_url())).send().await.unwrap();
    assert_eq!(planned.status(), StatusCode::NO_CONTENT);
    sky.get("/states/all").await;
    sky.get("/states/all").await;
    sky.get("/nothing/here").await;
    let unknown = sky.client.post(format!("{}/_fail?kind=teapot", sky.standin.root_url())).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);

    let url = format!("{}/_ledger", sky.standin.root_url());
    let text = sky.client.get(url).send().await.unwrap().text().await.unwrap();
    assert!(!text.contains(&token) && !text.contains(&sky.standin.announcement().client_secret));
    let ledger: Ledger = serde_json::from_str(&text).unwrap();
    let seen: Vec<_> = ledger
        .requests
        .iter()
        .map(|r| (r.method.as_str(), r.path.rsplit('/').next().unwrap(), r.authenticated, r.status, r.credits))
        .collect();
    assert_eq!(
        seen,
        [
            ("POST", "token", true, Some(200), 0),
            ("GET", "all", true, Some(200), 4),
            ("GET", "all", false, Some(502), 0),
            ("GET", "all", false, Some(502), 0),
            ("GET", "here", false, Some(404), 0),
        ]
    );
    let europe = &ledger.requests[1];
    assert_eq!((europe.query.as_str(), europe.rows), ("lamin=35&lomin=-10&lamax=70&lomax=40&extended=1", Some(1)));
    assert_eq!((europe.remaining, europe.fault.as_deref()), (Some(3_996), None));
    assert_eq!(europe.at.timestamp(), NOON);
    assert_eq!(ledger.requests[2].fault.as_deref(), Some("502"));
    let totals = &ledger.totals["/api/states/all"];
    assert_eq!((totals.requests, totals.credits), (3, 4));
    assert_eq!(totals.by_status, [(200, 1), (502, 2)].into());
}

#[tokio::test]
async fn planned_failures_can_be_forgotten() {
    let sky = Sky::plain();
    sky.standin.fail(Fault::ServiceUnavailable, 100);
    assert_eq!(sky.get("/states/all").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    sky.standin.heal();
    assert_eq!(sky.get("/states/all").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn flights_of_a_window_are_found_and_an_empty_window_is_404() {
    let flight = |icao24: &str, first: i64, last: i64, from: Option<&str>, to: Option<&str>| {
        json!({ "icao24": icao24, "firstSeen": first, "lastSeen": last, "estDepartureAirport": from,
                "estArrivalAirport": to, "callsign": "TEST1   " })
    };
    let day = NOON - 10 * 86_400;
    let flights = json!([
        flight("aaaaaa", day + 100, day + 7_000, Some("EDDF"), Some("LSZH")),
        flight("bbbbbb", day + 200, day + 9_000, None, Some("LSZH")),
    ]);
    let sky = Sky::new(|options| options.answers = vec![flights]);
    let window = format!("begin={day}&end={}", day + 7_200);
    for (path, found) in [
        (format!("/flights/all?{window}"), vec!["aaaaaa", "bbbbbb"]),
        (format!("/flights/aircraft?icao24=bbbbbb&{window}"), vec!["bbbbbb"]),
        (format!("/flights/departure?airport=EDDF&{window}"), vec!["aaaaaa"]),
        (format!("/flights/arrival?airport=LSZH&{window}"), vec!["aaaaaa"]),
    ] {
        let answer: Value = sky.get(&path).await.json().await.unwrap();
        let names: Vec<_> = answer.as_array().unwrap().iter().map(|f| f["icao24"].as_str().unwrap()).collect();
        assert_eq!(names, found, "{path}");
    }
    let empty = sky.get(&format!("/flights/all?begin={}&end={}", day - 7_200, day)).await;
    assert_eq!(empty.status(), StatusCode::NOT_FOUND);
    assert_eq!(empty.text().await.unwrap(), "");
    for path in [
        format!("/flights/all?begin={day}&end={}", day + 7_201),
        format!("/flights/arrival?airport=LSZH&begin={day}&end={}", day + 2 * 86_400 + 1),
        format!("/flights/all?begin={day}&end={day}"),
        format!("/flights/all?begin={day}"),
        format!("/flights/aircraft?{window}"),
    ] {
        assert_eq!(sky.get(&path).await.status(), StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(sky.standin.ledger().credits(), 5 * 30);
}

#[tokio::test]
async fn a_track_ends_now_and_an_unknown_one_is_404() {
    let track = json!({ "icao24": "484506", "callsign": "TRA051  ", "startTime": 1_000, "endTime": 2_000,
                        "path": [[1_000, 52.0, 4.0, 68, 3, false], [2_000, 53.0, 4.0, 0, 58, true]] });
    let sky = Sky::new(|options| options.answers = vec![track]);
    for time in [0, NOON - 500] {
        let answer: Value = sky.get(&format!("/tracks/all?icao24=484506&time={time}")).await.json().await.unwrap();
        assert_eq!((&answer["startTime"], &answer["endTime"]), (&json!(NOON - 1_000), &json!(NOON)));
        assert_eq!(answer["path"][0], json!([NOON - 1_000, 52.0, 4.0, 68, 3, false]));
    }
    for query in ["icao24=000000&time=0".to_owned(), format!("icao24=484506&time={}", NOON - 1_001)] {
        assert_eq!(sky.get(&format!("/tracks/all?{query}")).await.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(sky.get("/tracks/all?time=0").await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nobody_answers_after_stop() {
    let sky = Sky::plain();
    let url = format!("{}/states/all", sky.standin.url());
    assert_eq!(sky.client.get(&url).send().await.unwrap().status(), StatusCode::OK);
    sky.standin.stop();
    assert!(client().get(&url).send().await.unwrap_err().is_connect());
}
