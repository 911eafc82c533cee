//! Whether an aircraft can have flown from one fix to the next. Pure.

use std::collections::HashMap;

use super::state::StateVector;

/// Faster than this flies no aircraft that sends its position, m/s.
const FASTEST_MPS: f64 = 450.0;
/// Nearer than this, positions may be inexact and times whole seconds, metres.
const NEAR_M: f64 = 5_000.0;
/// Mean radius of the Earth, metres (IUGG).
const EARTH_M: f64 = 6_371_008.8;

/// Where an aircraft was, and when.
#[derive(Debug, Clone, Copy)]
struct Fix {
    /// Unix seconds.
    at: i64,
    latitude_deg: f64,
    longitude_deg: f64,
}

impl Fix {
    fn of(state: &StateVector) -> Option<Self> {
        Some(Self { at: state.time_position?, latitude_deg: state.latitude_deg?, longitude_deg: state.longitude_deg? })
    }

    /// Along a great circle, metres.
    fn distance_m(self, other: Self) -> f64 {
        let (from, to) = (self.latitude_deg.to_radians(), other.latitude_deg.to_radians());
        let half = |angle: f64| (angle / 2.0).sin().powi(2);
        let across = (other.longitude_deg - self.longitude_deg).to_radians();
        let chord = half(to - from) + from.cos() * to.cos() * half(across);
        2.0 * EARTH_M * chord.sqrt().min(1.0).asin()
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds between fixes are few")]
    fn is_jump_to(self, later: Self) -> bool {
        let distance = self.distance_m(later);
        distance > NEAR_M && distance > FASTEST_MPS * (later.at - self.at) as f64
    }
}

/// The last fix of each aircraft.
#[derive(Debug, Default)]
pub struct Fixes(HashMap<String, Fix>);

impl Fixes {
    /// Takes a state's fix; answers whether the aircraft cannot have come there from its fix before. A fix that is not later is
    /// the one before, told again.
    pub fn take(&mut self, state: &StateVector) -> bool {
        let Some(fix) = Fix::of(state) else { return false };
        match self.0.get_mut(&state.icao24) {
            None => {
                self.0.insert(state.icao24.clone(), fix);
                false
            }
            Some(last) if last.at < fix.at => std::mem::replace(last, fix).is_jump_to(fix),
            Some(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::snapshot::Snapshot;
    use super::*;

    fn state(at: i64, lat: f64, lon: f64) -> StateVector {
        let row = json!([
            "3c6444", null, null, at, at, lon, lat, 10_000.0, false, 220.5, 181.2, 0.0, null, null, null, false, 0
        ]);
        StateVector::judge(&row, at, None).unwrap()
    }

    #[test]
    fn nobody_flies_faster_than_450_m_s() {
        // One degree of latitude is 111.2 km.
        for (seconds, to, jump) in [
            (600, (52.0, 8.0), false),
            (248, (51.0, 8.0), false),
            (247, (51.0, 8.0), true),
            (1, (50.044, 8.0), false),
            (1, (50.046, 8.0), true),
            (600, (8.0, 50.0), true),
        ] {
            let mut fixes = Fixes::default();
            assert!(!fixes.take(&state(1_000_000_000, 50.0, 8.0)));
            assert_eq!(fixes.take(&state(1_000_000_000 + seconds, to.0, to.1)), jump, "{seconds} s to {to:?}");
        }
    }

    #[test]
    fn over_the_180th_meridian_is_near_and_a_fix_told_again_is_no_jump() {
        let mut fixes = Fixes::default();
        assert!(!fixes.take(&state(1_000_000_000, 10.0, 179.99)));
        assert!(!fixes.take(&state(1_000_000_010, 10.0, -179.99)));
        assert!(!fixes.take(&state(1_000_000_010, 50.0, 8.0)), "the same instant");
        assert!(!fixes.take(&state(1_000_000_000, 50.0, 8.0)), "an earlier one");
        assert!(fixes.take(&state(1_000_000_020, 50.0, 8.0)));
    }

    /// How many of a recorded series' fixes are jumps, and how many there are.
    fn of_series(folder: &str) -> Option<(usize, usize)> {
        let folder = updraft_testkit::shared_data_file(&format!("opensky/derived/{folder}"))?;
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
        files.sort();
        let (mut fixes, mut jumps, mut count) = (Fixes::default(), 0, 0);
        for file in files {
            let Ok(answer) = Snapshot::parse(&std::fs::read(file).unwrap()) else { continue };
            for state in answer.rows.iter().filter_map(|row| StateVector::judge(row, answer.time, None).ok()) {
                count += 1;
                jumps += usize::from(fixes.take(&state));
            }
        }
        Some((jumps, count))
    }

    /// Not the polls of Turkey: their positions have the times of polls, up to 15 s from those of the fixes.
    #[test]
    fn recorded_aircraft_do_not_jump() {
        for (folder, fixes) in [
            ("europe_switzerland_20180801_600s", 1_094),
            ("europe_switzerland_20180801_10s", 1_345),
            ("north_america_west_20200908_300s", 181),
        ] {
            let Some(found) = of_series(folder) else { return };
            assert_eq!(found, (0, fixes), "{folder}");
        }
    }
}
