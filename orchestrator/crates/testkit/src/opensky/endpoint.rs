//! The data endpoints: checks of parameters, charging, and the answer's content. Pure but for the state that it is
//! given; how a call arrives and how an answer is written is `server.rs`'s and `reply.rs`'s business.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    area::{Area, history_credits, states_credits},
    budget::{Bucket, Budgets, Caller},
    fault::{Fault, Target},
    reel::{Question, Reel, States},
    reply::{Reply, spoil},
};

const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 86_400;

/// A data endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    StatesAll,
    StatesOwn,
    FlightsAll,
    FlightsAircraft,
    FlightsArrival,
    FlightsDeparture,
    TracksAll,
}

impl Endpoint {
    /// The endpoint under the base URL, if there is one of this path.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        match path {
            "/states/all" => Some(Self::StatesAll),
            "/states/own" => Some(Self::StatesOwn),
            "/flights/all" => Some(Self::FlightsAll),
            "/flights/aircraft" => Some(Self::FlightsAircraft),
            "/flights/arrival" => Some(Self::FlightsArrival),
            "/flights/departure" => Some(Self::FlightsDeparture),
            "/tracks/all" => Some(Self::TracksAll),
            _ => None,
        }
    }

    pub(crate) const fn target(self) -> Target {
        match self {
            Self::StatesAll | Self::StatesOwn => Target::States,
            Self::FlightsAll
            | Self::FlightsAircraft
            | Self::FlightsArrival
            | Self::FlightsDeparture
            | Self::TracksAll => Target::History,
        }
    }
}

/// What the endpoints answer from.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) reel: Reel,
    pub(crate) flights: Vec<Value>,
    pub(crate) tracks: Vec<Value>,
    pub(crate) budgets: Budgets,
}

/// One data call.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) parameters: &'a [(String, String)],
    pub(crate) caller: Caller,
    pub(crate) now: DateTime<Utc>,
    pub(crate) fault: Option<Fault>,
}

impl Call<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn seconds(&self, name: &str) -> Result<Option<i64>, Reply> {
        let Some(text) = self.parameter(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| bad_request(&format!("{name}={text} is not a time in seconds")))
    }

    fn required(&self, name: &str) -> Result<&str, Reply> {
        self.parameter(name).ok_or_else(|| bad_request(&format!("required parameter {name} is missing")))
    }
}

/// The service says 400 with a sentence.
fn bad_request(message: &str) -> Reply {
    Reply::json(StatusCode::BAD_REQUEST, &json!({ "status": 400, "error": "Bad Request", "message": message }))
}

impl Content {
    /// Answers a call whose token has been looked at.
    pub(crate) fn answer(&mut self, call: &Call<'_>) -> Reply {
        let answered = match call.endpoint {
            Endpoint::StatesAll => self.states_all(call),
            Endpoint::StatesOwn => Ok(states_own(call)),
            Endpoint::FlightsAll
            | Endpoint::FlightsAircraft
            | Endpoint::FlightsArrival
            | Endpoint::FlightsDeparture => self.flights(call),
            Endpoint::TracksAll => self.track(call),
        };
        answered.unwrap_or_else(|refused| refused)
    }

    fn charge(&mut self, call: &Call<'_>, bucket: Bucket, credits: u32) -> Result<u32, Reply> {
        self.budgets
            .charge(call.caller, bucket, credits, call.now)
            .map_err(|exhausted| Reply::too_many_requests(exhausted.retry_after_s))
    }

    fn states_all(&mut self, call: &Call<'_>) -> Result<Reply, Reply> {
        let edges = ["lamin", "lomin", "lamax", "lomax"].map(|name| call.parameter(name));
        let area = Area::from_parameters(edges).map_err(|message| bad_request(&message))?;
        let now = call.now.timestamp();
        let at = match (call.caller, call.seconds("time")?) {
            (Caller::Anonymous, _) | (Caller::Registered, None | Some(0)) => None,
            (Caller::Registered, Some(time)) if now - time > HOUR_S => {
                return Err(bad_request(&format!("time={time} is more than an hour back")));
            }
            (Caller::Registered, Some(time)) => Some(time.min(now)),
        };
        let question = Question {
            area,
            icao24: call.parameters.iter().filter(|(key, _)| key == "icao24").map(|(_, value)| value.clone()).collect(),
            extended: call.parameter("extended") == Some("1"),
            at,
            is_poll: at.is_none() && !matches!(call.fault, Some(Fault::Broken | Fault::Drop)),
            resolution_s: call.caller.resolution_s(),
        };
        let credits = states_credits(question.area.as_ref());
        let remaining = self.charge(call, Bucket::States, credits)?;
        let mut states = self.reel.ask(&question, now);
        if let Some(fault) = call.fault {
            spoil(&mut states, fault);
        }
        Ok(Reply::states(states).charged(credits, remaining))
    }

    fn flights(&mut self, call: &Call<'_>) -> Result<Reply, Reply> {
        let begin = call.seconds("begin")?.ok_or_else(|| bad_request("required parameter begin is missing"))?;
        let end = call.seconds("end")?.ok_or_else(|| bad_request("required parameter end is missing"))?;
        let longest_s = if call.endpoint == Endpoint::FlightsAll { 2 * HOUR_S } else { 2 * DAY_S };
        if begin >= end {
            return Err(bad_request("begin is not before end"));
        }
        if end - begin > longest_s {
            return Err(bad_request(&format!("the window of {} s is longer than {longest_s} s", end - begin)));
        }
        // (field with the name, wanted name, field with the time)
        let (wanted, time) = match call.endpoint {
            Endpoint::FlightsAircraft => (Some(("icao24", call.required("icao24")?)), "firstSeen"),
            Endpoint::FlightsArrival => (Some(("estArrivalAirport", call.required("airport")?)), "lastSeen"),
            Endpoint::FlightsDeparture => (Some(("estDepartureAirport", call.required("airport")?)), "firstSeen"),
            Endpoint::FlightsAll | Endpoint::StatesAll | Endpoint::StatesOwn | Endpoint::TracksAll => {
                (None, "firstSeen")
            }
        };
        let credits = history_credits(begin, end, call.now.timestamp());
        let remaining = self.charge(call, Bucket::Flights, credits)?;
        let found: Vec<Value> = self
            .flights
            .iter()
            .filter(|flight| flight[time].as_i64().is_some_and(|time| (begin..end).contains(&time)))
            .filter(|flight| wanted.is_none_or(|(field, name)| flight[field].as_str() == Some(name)))
            .cloned()
            .collect();
        let reply = if found.is_empty() { Reply::empty(StatusCode::NOT_FOUND) } else { Reply::list(found) };
        Ok(reply.charged(credits, remaining))
    }

    /// A recorded track is played as one that ends now.
    fn track(&mut self, call: &Call<'_>) -> Result<Reply, Reply> {
        let icao24 = call.required("icao24")?;
        let now = call.now.timestamp();
        let time = call.seconds("time")?.filter(|time| *time != 0).unwrap_or(now);
        let credits = history_credits(time, time, now);
        let remaining = self.charge(call, Bucket::Tracks, credits)?;
        let found = self
            .tracks
            .iter()
            .filter(|track| track["icao24"].as_str() == Some(icao24))
            .map(|track| ending_at(track, now))
            .find(|track| track["startTime"].as_i64().is_none_or(|start| start <= time) && time <= now);
        let reply = match found {
            Some(track) => Reply::json(StatusCode::OK, &track),
            None => Reply::empty(StatusCode::NOT_FOUND),
        };
        Ok(reply.charged(credits, remaining))
    }
}

/// The stand-in has no receivers, so a member's own sensors saw nothing.
fn states_own(call: &Call<'_>) -> Reply {
    match call.caller {
        Caller::Anonymous => Reply::empty(StatusCode::FORBIDDEN),
        Caller::Registered => {
            let now = call.now.timestamp();
            Reply::states(States { time: now - now.rem_euclid(call.caller.resolution_s()), rows: None })
        }
    }
}

fn ending_at(track: &Value, now: i64) -> Value {
    let mut track = track.clone();
    let Some(end) = track["endTime"].as_i64() else { return track };
    let shift = |value: &mut Value| {
        if let Some(time) = value.as_i64() {
            *value = json!(time + now - end);
        }
    };
    shift(&mut track["endTime"]);
    if let Some(start) = track.get_mut("startTime") {
        shift(start);
    }
    for waypoint in track.get_mut("path").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(time) = waypoint.get_mut(0) {
            shift(time);
        }
    }
    track
}
