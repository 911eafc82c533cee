//! One recorded `/states/all` answer and what it looks like at another time. Pure: no clock, no files.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::area::Area;

/// Positions of the fields of a state vector that the stand-in touches.
pub(crate) mod field {
    pub(crate) const ICAO24: usize = 0;
    pub(crate) const TIME_POSITION: usize = 3;
    pub(crate) const LAST_CONTACT: usize = 4;
    pub(crate) const LONGITUDE: usize = 5;
    pub(crate) const LATITUDE: usize = 6;
    pub(crate) const VELOCITY: usize = 9;
    pub(crate) const TRUE_TRACK: usize = 10;
    /// Fields of a row without `extended`.
    pub(crate) const PLAIN: usize = 17;
    /// Fields of a row with `extended`: the category comes along.
    pub(crate) const EXTENDED: usize = 18;
}

const EARTH_RADIUS_M: f64 = 6_371_008.8;
/// Field 17 of a recording made without `extended`: "no information at all".
const NO_CATEGORY: i64 = 0;

/// A recorded answer.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    time: i64,
    rows: Option<Vec<Vec<Value>>>,
}

/// What is asked of a snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// The `time` of the answer.
    pub(crate) time: i64,
    /// For how long the aircraft have moved on since the recording was first shown; zero leaves them.
    pub(crate) moved_s: i64,
    pub(crate) area: Option<&'a Area>,
    pub(crate) icao24: &'a [String],
    pub(crate) extended: bool,
}

impl Snapshot {
    /// Reads an answer of the API's form.
    pub(crate) fn from_json(mut answer: Value) -> Result<Self> {
        let time = answer.get("time").and_then(Value::as_i64).context("`time` is missing or not a whole number")?;
        let rows = match answer.get_mut("states").map(Value::take) {
            Some(Value::Null) => None,
            Some(Value::Array(rows)) => Some(
                rows.into_iter()
                    .enumerate()
                    .map(|(i, row)| match row {
                        Value::Array(row) => Ok(row),
                        other => bail!("states[{i}] is not an array: {other}"),
                    })
                    .collect::<Result<_>>()?,
            ),
            Some(other) => bail!("`states` is neither an array nor null: {other}"),
            None => bail!("`states` is missing"),
        };
        Ok(Self { time, rows })
    }

    /// The rows as they are at the view's time; `None` where the service answers `null`.
    pub(crate) fn rows_at(&self, view: &View<'_>) -> Option<Vec<Value>> {
        let shift_s = view.time - self.time;
        let rows: Vec<Value> = self
            .rows
            .iter()
            .flatten()
            .filter(|row| view.icao24.is_empty() || is_one_of(row, view.icao24))
            .map(|row| {
                let mut row = row.clone();
                shift_times(&mut row, shift_s);
                move_on(&mut row, view.moved_s);
                row
            })
            .filter(|row| view.area.is_none_or(|area| is_inside(row, area)))
            .map(|row| Value::Array(with_width(row, view.extended)))
            .collect();
        (!rows.is_empty()).then_some(rows)
    }
}

/// The answer's JSON.
pub(crate) fn answer(time: i64, rows: Option<Vec<Value>>) -> Value {
    json!({ "time": time, "states": rows })
}

fn is_one_of(row: &[Value], wanted: &[String]) -> bool {
    row.get(field::ICAO24).and_then(Value::as_str).is_some_and(|address| wanted.iter().any(|w| w == address))
}

/// A row without a position is in no box: the service leaves it out without a word.
fn is_inside(row: &[Value], area: &Area) -> bool {
    match (number(row, field::LATITUDE), number(row, field::LONGITUDE)) {
        (Some(latitude), Some(longitude)) => area.contains(latitude, longitude),
        (None, _) | (_, None) => false,
    }
}

fn number(row: &[Value], index: usize) -> Option<f64> {
    row.get(index).and_then(Value::as_f64)
}

fn shift_times(row: &mut [Value], shift_s: i64) {
    for index in [field::TIME_POSITION, field::LAST_CONTACT] {
        if let Some(value) = row.get_mut(index)
            && let Some(time) = value.as_i64()
        {
            *value = json!(time.saturating_add(shift_s));
        }
    }
}

/// Moves the aircraft along the great circle of its track; without position, speed or track it stays.
#[expect(clippy::cast_precision_loss, reason = "seconds of a test's life are far below 2^52")]
fn move_on(row: &mut [Value], moved_s: i64) {
    let (Some(latitude), Some(longitude), Some(velocity_mps), Some(track_deg)) = (
        number(row, field::LATITUDE),
        number(row, field::LONGITUDE),
        number(row, field::VELOCITY),
        number(row, field::TRUE_TRACK),
    ) else {
        return;
    };
    if moved_s == 0 || velocity_mps == 0.0 {
        return;
    }
    let (lat, track) = (latitude.to_radians(), track_deg.to_radians());
    let angle = velocity_mps * moved_s as f64 / EARTH_RADIUS_M;
    let to_lat = (lat.sin() * angle.cos() + lat.cos() * angle.sin() * track.cos()).clamp(-1.0, 1.0).asin();
    let east = (track.sin() * angle.sin() * lat.cos()).atan2(angle.cos() - lat.sin() * to_lat.sin());
    let to_lon = (longitude + east.to_degrees() + 180.0).rem_euclid(360.0) - 180.0;
    row[field::LATITUDE] = json!(four_decimals(to_lat.to_degrees()));
    row[field::LONGITUDE] = json!(four_decimals(to_lon));
}

fn four_decimals(degrees: f64) -> f64 {
    (degrees * 10_000.0).round() / 10_000.0
}

/// 17 fields, or 18 with `extended`. A recorded row that is too short stays so: that is its content.
fn with_width(mut row: Vec<Value>, extended: bool) -> Vec<Value> {
    row.truncate(if extended { field::EXTENDED } else { field::PLAIN });
    if extended && row.len() == field::PLAIN {
        row.push(json!(NO_CATEGORY));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(icao24: &str, longitude: f64, latitude: f64, velocity: f64, track: f64) -> Value {
        json!([
            icao24, "TEST1   ", "Norway", 990, 995, longitude, latitude, 1000.0, false, velocity, track, 0, null, 1010,
            "1000", false, 0
        ])
    }

    fn snapshot(rows: &[Value]) -> Snapshot {
        Snapshot::from_json(json!({ "time": 1_000, "states": rows })).unwrap()
    }

    fn view(time: i64) -> View<'static> {
        View { time, moved_s: 0, area: None, icao24: &[], extended: false }
    }

    #[test]
    fn times_move_by_whole_seconds_and_ages_stay() {
        let mut nowhere = row("b", 0.0, 0.0, 1.0, 1.0);
        nowhere[field::TIME_POSITION] = Value::Null;
        let rows = snapshot(&[row("a", 1.0, 2.0, 0.0, 0.0), nowhere]).rows_at(&view(5_000)).unwrap();
        assert_eq!(rows[0][field::TIME_POSITION], json!(4_990));
        assert_eq!(rows[0][field::LAST_CONTACT], json!(4_995));
        assert_eq!(rows[1][field::TIME_POSITION], Value::Null);
    }

    #[test]
    fn an_unmoved_row_is_the_recorded_row() {
        let recorded = row("a", 12.3456, -65.4321, 200.0, 45.0);
        let rows = snapshot(std::slice::from_ref(&recorded)).rows_at(&view(1_000)).unwrap();
        assert_eq!(rows, [recorded]);
    }

    #[test]
    fn aircraft_move_along_their_track() {
        // One degree of a great circle is 111.195 km on this sphere: 111.195 m/s for 1,000 s.
        for (track, latitude, longitude) in
            [(0.0, 1.0, 10.0), (90.0, 0.0, 11.0), (180.0, -1.0, 10.0), (-90.0, 0.0, 9.0)]
        {
            let snapshot = snapshot(&[row("a", 10.0, 0.0, 111.195, track)]);
            let rows = snapshot.rows_at(&View { moved_s: 1_000, ..view(2_000) }).unwrap();
            let found = (rows[0][field::LATITUDE].as_f64().unwrap(), rows[0][field::LONGITUDE].as_f64().unwrap());
            assert!((found.0 - latitude).abs() < 2e-4 && (found.1 - longitude).abs() < 2e-4, "{track}: {found:?}");
        }
    }

    #[test]
    fn flying_over_the_date_line_goes_on_at_the_other_side() {
        let snapshot = snapshot(&[row("a", 179.9, 0.0, 111.195, 90.0)]);
        let rows = snapshot.rows_at(&View { moved_s: 1_000, ..view(2_000) }).unwrap();
        assert_eq!(rows[0][field::LONGITUDE], json!(-179.1));
    }

    #[test]
    fn what_has_no_speed_track_or_position_stays() {
        let mut rows =
            [row("a", 10.0, 0.0, 0.0, 90.0), row("b", 10.0, 0.0, 100.0, 90.0), row("c", 1.0, 1.0, 100.0, 90.0)];
        rows[1][field::TRUE_TRACK] = Value::Null;
        rows[2][field::LATITUDE] = Value::Null;
        let shown = snapshot(&rows).rows_at(&View { moved_s: 60, ..view(1_000) }).unwrap();
        assert_eq!(shown, rows);
    }

    #[test]
    fn a_box_cuts_and_silently_drops_what_has_no_position() {
        let mut nowhere = row("c", 0.0, 0.0, 1.0, 1.0);
        nowhere[field::LONGITUDE] = Value::Null;
        nowhere[field::LATITUDE] = Value::Null;
        let snapshot = snapshot(&[row("a", 5.0, 50.0, 1.0, 1.0), row("b", -100.0, 40.0, 1.0, 1.0), nowhere]);
        let names = |area: Option<&Area>| -> Vec<String> {
            let rows = snapshot.rows_at(&View { area, ..view(1_000) }).unwrap_or_default();
            rows.iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
        };
        let europe = Area { lamin: 35.0, lomin: -10.0, lamax: 70.0, lomax: 40.0 };
        assert_eq!(names(Some(&europe)), ["a"]);
        assert_eq!(names(None), ["a", "b", "c"]);
        let sea = Area { lamin: -60.0, lomin: 0.0, lamax: -50.0, lomax: 10.0 };
        assert!(snapshot.rows_at(&View { area: Some(&sea), ..view(1_000) }).is_none(), "an empty box is null");
    }

    #[test]
    fn rows_have_17_fields_and_18_when_extended() {
        let mut eighteen = row("b", 1.0, 1.0, 1.0, 1.0);
        eighteen.as_array_mut().unwrap().push(json!(4));
        let mut short = row("c", 1.0, 1.0, 1.0, 1.0);
        short.as_array_mut().unwrap().truncate(12);
        let snapshot = snapshot(&[row("a", 1.0, 1.0, 1.0, 1.0), eighteen, short]);
        let widths = |extended| -> Vec<usize> {
            let rows = snapshot.rows_at(&View { extended, ..view(1_000) }).unwrap();
            rows.iter().map(|row| row.as_array().unwrap().len()).collect()
        };
        assert_eq!(widths(false), [17, 17, 12]);
        assert_eq!(widths(true), [18, 18, 12]);
        let rows = snapshot.rows_at(&View { extended: true, ..view(1_000) }).unwrap();
        assert_eq!((&rows[0][17], &rows[1][17]), (&json!(0), &json!(4)));
    }

    #[test]
    fn single_aircraft_are_picked_by_address() {
        let snapshot = snapshot(&[row("aaaaaa", 1.0, 1.0, 1.0, 1.0), row("bbbbbb", 1.0, 1.0, 1.0, 1.0)]);
        let wanted = ["bbbbbb".to_owned(), "cccccc".to_owned()];
        let rows = snapshot.rows_at(&View { icao24: &wanted, ..view(1_000) }).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0][0], json!("bbbbbb"));
    }

    #[test]
    fn what_is_no_snapshot_is_refused_with_its_reason() {
        for (text, reason) in [
            (json!({ "states": [] }), "`time`"),
            (json!({ "time": 1 }), "`states` is missing"),
            (json!({ "time": 1, "states": 3 }), "neither an array nor null"),
            (json!({ "time": 1, "states": [3] }), "states[0]"),
        ] {
            let error = Snapshot::from_json(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
