//! One row of an answer: parsed, judged, flagged. Pure. What becomes of it is `validate.rs`'s matter.

use serde_json::Value;

use super::region::RegionBox;

/// Fewest elements of a row; the API may append more.
const ELEMENTS: usize = 17;
/// A contact may lie so far after the snapshot, seconds.
const FUTURE_S: i64 = 60;
/// 2000-01-01T00:00:00Z.
const EARLIEST: i64 = 946_684_800;
/// Margin around a requested box, degrees.
const MARGIN: f64 = 0.01;

/// Why a row is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reject {
    /// No array of 17 or more, or no address of six hex digits.
    Shape,
    /// An element of another type than documented.
    Type,
    /// Latitude or longitude out of range, or one without the other.
    Position,
    /// A time more than 60 s after the snapshot.
    Future,
}

impl Reject {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Shape, Self::Type, Self::Position, Self::Future];

    /// Name in counts and keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::Type => "type",
            Self::Position => "position",
            Self::Future => "future",
        }
    }
}

/// What is odd about a row that is taken: bits of `flags`.
pub mod flag {
    /// Outside the requested box by more than 0.01°.
    pub const OUTSIDE_BOX: i32 = 1;
    /// Velocity outside 0…350 m/s.
    pub const VELOCITY: i32 = 2;
    /// Barometric altitude outside −500…20,000 m.
    pub const BARO_ALTITUDE: i32 = 4;
    /// Barometric and geometric altitude differ by more than 1,000 m.
    pub const GEO_BARO_DIFFERENCE: i32 = 8;
    /// Vertical rate above 50 m/s, absolute.
    pub const VERTICAL_RATE: i32 = 16;
    /// On the ground, faster than 80 m/s.
    pub const GROUND_SPEED: i32 = 32;
    /// The track lay outside 0…360° and was taken modulo 360.
    pub const TRACK_REPAIRED: i32 = 64;
    /// The squawk was not four octal digits and was dropped.
    pub const SQUAWK_INVALID: i32 = 128;
    /// Outside the requested box, but inside with latitude and longitude exchanged.
    pub const SWAPPED_COORDINATES: i32 = 256;
    /// Over 450 m/s and 5 km away from the aircraft's fix before.
    pub const JUMP: i32 = 512;
    /// A position later than the last contact, or a time before 2000.
    pub const TIME_ORDER: i32 = 1024;

    /// Names of the bits, in order.
    pub const NAMES: [(i32, &str); 11] = [
        (OUTSIDE_BOX, "outside_box"),
        (VELOCITY, "velocity"),
        (BARO_ALTITUDE, "baro_altitude"),
        (GEO_BARO_DIFFERENCE, "geo_baro_difference"),
        (VERTICAL_RATE, "vertical_rate"),
        (GROUND_SPEED, "ground_speed"),
        (TRACK_REPAIRED, "track_repaired"),
        (SQUAWK_INVALID, "squawk_invalid"),
        (SWAPPED_COORDINATES, "swapped_coordinates"),
        (JUMP, "jump"),
        (TIME_ORDER, "time_order"),
    ];
}

/// A row that is taken. Times in Unix seconds, units in the names.
#[derive(Debug, Clone, PartialEq)]
pub struct StateVector {
    pub icao24: String,
    pub callsign: Option<String>,
    pub origin_country: Option<String>,
    pub time_position: Option<i64>,
    pub last_contact: i64,
    pub longitude_deg: Option<f64>,
    pub latitude_deg: Option<f64>,
    pub baro_altitude_m: Option<f64>,
    pub geo_altitude_m: Option<f64>,
    pub on_ground: bool,
    pub velocity_mps: Option<f64>,
    pub true_track_deg: Option<f64>,
    pub vertical_rate_mps: Option<f64>,
    pub squawk: Option<String>,
    pub spi: bool,
    pub position_source: i32,
    pub category: Option<i32>,
    pub flags: i32,
}

impl StateVector {
    /// Parses and judges one row of a snapshot taken at `time`; `bbox` is the box of a call that had one.
    ///
    /// # Errors
    /// Why the row is not taken.
    pub fn judge(row: &Value, time: i64, bbox: Option<&RegionBox>) -> Result<Self, Reject> {
        let row = row.as_array().filter(|row| row.len() >= ELEMENTS).ok_or(Reject::Shape)?;
        let icao24 = row[0].as_str().map(str::to_ascii_lowercase).ok_or(Reject::Shape)?;
        if icao24.len() != 6 || !icao24.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Reject::Shape);
        }
        let mut state = Self {
            icao24,
            callsign: text(&row[1])?,
            origin_country: text(&row[2])?,
            time_position: seconds(&row[3])?,
            last_contact: seconds(&row[4])?.ok_or(Reject::Type)?,
            longitude_deg: number(&row[5])?,
            latitude_deg: number(&row[6])?,
            baro_altitude_m: number(&row[7])?,
            on_ground: row[8].as_bool().ok_or(Reject::Type)?,
            velocity_mps: number(&row[9])?,
            true_track_deg: number(&row[10])?,
            vertical_rate_mps: number(&row[11])?,
            geo_altitude_m: number(&row[13])?,
            squawk: text(&row[14])?,
            spi: row[15].as_bool().ok_or(Reject::Type)?,
            position_source: small(&row[16])?.ok_or(Reject::Type)?,
            category: row.get(17).map_or(Ok(None), small)?,
            flags: 0,
        };
        match (state.latitude_deg, state.longitude_deg) {
            (None, None) => {}
            (Some(lat), Some(lon)) if (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon) => {}
            (_, _) => return Err(Reject::Position),
        }
        if state.last_contact > time + FUTURE_S || state.time_position.is_some_and(|at| at > time + FUTURE_S) {
            return Err(Reject::Future);
        }
        state.repair();
        state.flags |= state.outliers() | bbox.map_or(0, |bbox| state.misplaced(bbox));
        Ok(state)
    }

    fn repair(&mut self) {
        if let Some(track) = self.true_track_deg
            && !(0.0..360.0).contains(&track)
        {
            self.true_track_deg = Some(track.rem_euclid(360.0));
            // Exactly 360 is another name of north, not a fault.
            if !(0.0..=360.0).contains(&track) {
                self.flags |= flag::TRACK_REPAIRED;
            }
        }
        let octal = |squawk: &String| squawk.len() == 4 && squawk.bytes().all(|b| (b'0'..=b'7').contains(&b));
        if self.squawk.as_ref().is_some_and(|squawk| !octal(squawk)) {
            self.squawk = None;
            self.flags |= flag::SQUAWK_INVALID;
        }
    }

    fn outliers(&self) -> i32 {
        let outside =
            |value: Option<f64>, range: std::ops::RangeInclusive<f64>| value.is_some_and(|v| !range.contains(&v));
        let difference = self.baro_altitude_m.zip(self.geo_altitude_m).map(|(baro, geo)| geo - baro);
        let before_2000 = self.last_contact < EARLIEST || self.time_position.is_some_and(|at| at < EARLIEST);
        [
            (outside(self.velocity_mps, 0.0..=350.0), flag::VELOCITY),
            (outside(self.baro_altitude_m, -500.0..=20_000.0), flag::BARO_ALTITUDE),
            (outside(difference, -1_000.0..=1_000.0), flag::GEO_BARO_DIFFERENCE),
            (outside(self.vertical_rate_mps, -50.0..=50.0), flag::VERTICAL_RATE),
            (self.on_ground && self.velocity_mps.is_some_and(|v| v > 80.0), flag::GROUND_SPEED),
            (before_2000 || self.time_position.is_some_and(|at| at > self.last_contact), flag::TIME_ORDER),
        ]
        .into_iter()
        .filter_map(|(odd, bit)| odd.then_some(bit))
        .sum()
    }

    fn misplaced(&self, bbox: &RegionBox) -> i32 {
        match self.latitude_deg.zip(self.longitude_deg) {
            Some((lat, lon)) if !bbox.contains(lat, lon, MARGIN) => {
                let swapped = if bbox.contains(lon, lat, MARGIN) { flag::SWAPPED_COORDINATES } else { 0 };
                flag::OUTSIDE_BOX | swapped
            }
            Some(_) | None => 0,
        }
    }

    /// Altitude band by barometric altitude.
    pub fn altitude_band(&self) -> &'static str {
        match self.baro_altitude_m {
            _ if self.on_ground => "surface",
            None => "unknown",
            Some(m) if m < 3_000.0 => "low",
            Some(m) if m < 7_500.0 => "medium",
            Some(m) if m < 11_000.0 => "high",
            Some(_) => "cruise",
        }
    }

    /// Speed band by velocity over ground.
    pub fn speed_band(&self) -> &'static str {
        match self.velocity_mps {
            None => "unknown",
            Some(v) if v < 1.0 => "stopped",
            Some(v) if v < 30.0 => "taxi_slow",
            Some(v) if v < 100.0 => "slow",
            Some(v) if v < 200.0 => "medium",
            Some(v) if v < 260.0 => "fast",
            Some(_) => "very_fast",
        }
    }
}

/// Trimmed; blank is none.
fn text(value: &Value) -> Result<Option<String>, Reject> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(Reject::Type),
    }
}

fn number(value: &Value) -> Result<Option<f64>, Reject> {
    if value.is_null() { Ok(None) } else { value.as_f64().map(Some).ok_or(Reject::Type) }
}

/// Unix seconds.
fn seconds(value: &Value) -> Result<Option<i64>, Reject> {
    match whole(value)? {
        Some(seconds) if seconds < 0 => Err(Reject::Type),
        seconds => Ok(seconds),
    }
}

/// A whole number; a fraction is cut off, since the API writes `0.0` for `0`.
fn whole(value: &Value) -> Result<Option<i64>, Reject> {
    if value.is_null() {
        return Ok(None);
    }
    #[expect(clippy::cast_possible_truncation, reason = "cutting the fraction is meant; casts of floats saturate")]
    let whole = value.as_i64().or_else(|| value.as_f64().map(|number| number as i64));
    whole.map(Some).ok_or(Reject::Type)
}

fn small(value: &Value) -> Result<Option<i32>, Reject> {
    whole(value)?.map(i32::try_from).transpose().map_err(|_| Reject::Type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TIME: i64 = 1_764_668_079;

    fn row(edits: &[(usize, Value)]) -> Value {
        let mut row = json!([
            "3c6444",
            "DLH9LF  ",
            "Germany",
            TIME - 1,
            TIME,
            8.55,
            50.03,
            10_000.0,
            false,
            220.5,
            181.2,
            0.0,
            null,
            10_100.0,
            "1000",
            false,
            0
        ]);
        for (at, value) in edits {
            row[*at] = value.clone();
        }
        row
    }

    fn judge(edits: &[(usize, Value)]) -> Result<StateVector, Reject> {
        StateVector::judge(&row(edits), TIME, None)
    }

    #[test]
    fn a_good_row_is_taken_as_it_is() {
        let state = judge(&[]).unwrap();
        assert_eq!((state.callsign.as_deref(), state.flags, state.category), (Some("DLH9LF"), 0, None));
        assert_eq!((state.altitude_band(), state.speed_band()), ("high", "fast"));
    }

    #[test]
    fn nulls_stay_nulls_and_blanks_become_nulls() {
        let edits: Vec<(usize, Value)> = [3, 5, 6, 7, 9, 10, 11, 13, 14].map(|at| (at, Value::Null)).into();
        let state = judge(&edits).unwrap();
        assert_eq!((state.latitude_deg, state.baro_altitude_m, state.velocity_mps), (None, None, None));
        assert_eq!((state.altitude_band(), state.speed_band()), ("unknown", "unknown"));
        let blank = judge(&[(1, json!("        ")), (2, json!(""))]).unwrap();
        assert_eq!((blank.callsign, blank.origin_country), (None, None));
    }

    #[test]
    fn rows_are_refused_by_reason() {
        for (edits, reason) in [
            (vec![(0, json!("3c64"))], Reject::Shape),
            (vec![(0, json!("zzzzzz"))], Reject::Shape),
            (vec![(0, json!(5))], Reject::Shape),
            (vec![(4, Value::Null)], Reject::Type),
            (vec![(7, json!("high"))], Reject::Type),
            (vec![(8, json!(0))], Reject::Type),
            (vec![(5, Value::Null)], Reject::Position),
            (vec![(6, json!(91))], Reject::Position),
            (vec![(5, json!(-180.5))], Reject::Position),
            (vec![(4, json!(TIME + 61))], Reject::Future),
            (vec![(4, json!(2_147_483_647_i64))], Reject::Future),
        ] {
            assert_eq!(judge(&edits).unwrap_err(), reason, "{edits:?}");
        }
        assert_eq!(StateVector::judge(&json!(["3c6444"]), TIME, None), Err(Reject::Shape));
        assert_eq!(StateVector::judge(&json!({}), TIME, None), Err(Reject::Shape));
        assert!(judge(&[(4, json!(TIME + 60))]).is_ok());
    }

    #[test]
    fn odd_rows_are_taken_and_flagged() {
        for (edits, flags) in [
            (vec![(9, json!(351))], flag::VELOCITY),
            (vec![(7, json!(20_001)), (13, json!(20_001))], flag::BARO_ALTITUDE),
            (vec![(13, json!(11_001))], flag::GEO_BARO_DIFFERENCE),
            (vec![(11, json!(-50.1))], flag::VERTICAL_RATE),
            (vec![(8, json!(true))], flag::GROUND_SPEED),
            (vec![(10, json!(-221))], flag::TRACK_REPAIRED),
            (vec![(14, json!("1809"))], flag::SQUAWK_INVALID),
            (vec![(3, json!(TIME + 5))], flag::TIME_ORDER),
        ] {
            assert_eq!(judge(&edits).unwrap().flags, flags, "{edits:?}");
        }
        assert_eq!(judge(&[(10, json!(-221))]).unwrap().true_track_deg, Some(139.0));
        let north = judge(&[(10, json!(360))]).unwrap();
        assert_eq!((north.true_track_deg, north.flags), (Some(0.0), 0));
        assert_eq!(judge(&[(14, json!("0020"))]).unwrap().squawk.as_deref(), Some("0020"));
    }

    #[test]
    fn a_row_outside_the_requested_box_is_flagged() {
        let bbox = RegionBox { lamin: 40.0, lomin: 0.0, lamax: 60.0, lomax: 20.0 };
        let judge = |edits: &[(usize, Value)]| StateVector::judge(&row(edits), TIME, Some(&bbox)).unwrap().flags;
        assert_eq!(judge(&[]), 0);
        assert_eq!(judge(&[(6, json!(60.005))]), 0);
        assert_eq!(judge(&[(6, json!(61))]), flag::OUTSIDE_BOX);
        assert_eq!(judge(&[(6, json!(8.55)), (5, json!(50.03))]), flag::OUTSIDE_BOX | flag::SWAPPED_COORDINATES);
    }

    #[test]
    fn whole_numbers_and_unknown_sources_are_read() {
        let state = judge(&[(7, json!(0)), (13, json!(0)), (16, json!(7))]).unwrap();
        assert_eq!((state.baro_altitude_m, state.position_source), (Some(0.0), 7));
        let mut extended = row(&[]);
        extended.as_array_mut().unwrap().extend([json!(-1), json!("what comes later")]);
        assert_eq!(StateVector::judge(&extended, TIME, None).unwrap().category, Some(-1));
    }

    #[test]
    fn times_that_no_clock_shows_are_refused_without_overflow() {
        for time in [json!(-1), json!(i64::MIN), json!(-1e300)] {
            assert_eq!(judge(&[(3, time.clone())]), Err(Reject::Type), "{time}");
        }
        for time in [json!(u64::MAX), json!(1e300)] {
            assert_eq!(judge(&[(3, time.clone())]), Err(Reject::Future), "{time}");
        }
    }
}
