//! The numbers of accepted rows, taken row by row. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{StateVector, flag};
use super::states_parquet::Seen;

/// Ages of a position that are counted, seconds.
const AGES_S: [i64; 3] = [15, 60, 300];

type IsNull = fn(&StateVector) -> bool;
/// The columns that may be null.
const NULLABLE: [(&str, IsNull); 12] = [
    ("callsign", |state| state.callsign.is_none()),
    ("origin_country", |state| state.origin_country.is_none()),
    ("time_position", |state| state.time_position.is_none()),
    ("longitude_deg", |state| state.longitude_deg.is_none()),
    ("latitude_deg", |state| state.latitude_deg.is_none()),
    ("baro_altitude_m", |state| state.baro_altitude_m.is_none()),
    ("geo_altitude_m", |state| state.geo_altitude_m.is_none()),
    ("velocity_mps", |state| state.velocity_mps.is_none()),
    ("true_track_deg", |state| state.true_track_deg.is_none()),
    ("vertical_rate_mps", |state| state.vertical_rate_mps.is_none()),
    ("squawk", |state| state.squawk.is_none()),
    ("category", |state| state.category.is_none()),
];

/// Counts of what was taken.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rows.
    pub accepted: u64,
    /// Rows with `on_ground`.
    pub on_ground: u64,
    /// Rows without a callsign.
    pub blank_callsign: u64,
    nulls: [u64; NULLABLE.len()],
    older: [u64; AGES_S.len()],
    flags: [u64; flag::NAMES.len()],
    countries: BTreeSet<String>,
    velocity_sum: f64,
    velocities: u32,
}

impl Tally {
    /// Counts one row.
    pub fn add(&mut self, seen: &Seen) {
        let state = &seen.state;
        self.accepted += 1;
        self.on_ground += u64::from(state.on_ground);
        self.blank_callsign += u64::from(state.callsign.is_none());
        for (count, (_, is_null)) in self.nulls.iter_mut().zip(NULLABLE) {
            *count += u64::from(is_null(state));
        }
        for (count, limit) in self.older.iter_mut().zip(AGES_S) {
            *count += u64::from(seen.position_age_s().is_some_and(|age| age > limit));
        }
        for (count, (bit, _)) in self.flags.iter_mut().zip(flag::NAMES) {
            *count += u64::from(state.flags & bit != 0);
        }
        if let Some(country) = &state.origin_country
            && !self.countries.contains(country)
        {
            self.countries.insert(country.clone());
        }
        if let Some(velocity) = state.velocity_mps {
            self.velocity_sum += velocity;
            self.velocities += 1;
        }
    }

    /// Nulls by column.
    pub fn nulls(&self) -> BTreeMap<String, u64> {
        NULLABLE.iter().zip(self.nulls).map(|((column, _), count)| ((*column).to_owned(), count)).collect()
    }

    /// Rows whose position was older, by seconds.
    pub fn position_older(&self) -> BTreeMap<String, u64> {
        AGES_S.iter().zip(self.older).map(|(seconds, count)| (seconds.to_string(), count)).collect()
    }

    /// Rows by flag.
    pub fn flags(&self) -> BTreeMap<String, u64> {
        flag::NAMES.iter().zip(self.flags).map(|((_, name), count)| ((*name).to_owned(), count)).collect()
    }

    /// Number of different countries.
    pub fn countries(&self) -> u64 {
        self.countries.len() as u64
    }

    /// Mean velocity, m/s, to 1/1000; `None` without any.
    pub fn mean_velocity_mps(&self) -> Option<f64> {
        (self.velocities > 0).then(|| (self.velocity_sum / f64::from(self.velocities) * 1000.0).round() / 1000.0)
    }
}
