//! Regions: boxes of latitude and longitude, and what a call for one costs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::TaskError;

/// A box in degrees WGS84; its edges are inside. It does not wrap across ±180°.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionBox {
    /// Southern edge, degrees.
    pub lamin: f64,
    /// Western edge, degrees.
    pub lomin: f64,
    /// Northern edge, degrees.
    pub lamax: f64,
    /// Eastern edge, degrees.
    pub lomax: f64,
}

impl RegionBox {
    /// Whether a position is inside, with a margin in degrees.
    pub fn contains(&self, latitude: f64, longitude: f64, margin: f64) -> bool {
        (self.lamin - margin..=self.lamax + margin).contains(&latitude)
            && (self.lomin - margin..=self.lomax + margin).contains(&longitude)
    }

    /// Credits that a call for this box costs.
    pub fn credits(&self) -> u32 {
        let area = (self.lamax - self.lamin) * (self.lomax - self.lomin);
        match area {
            area if area <= 25.0 => 1,
            area if area <= 100.0 => 2,
            area if area <= 400.0 => 3,
            _ => GLOBAL_CREDITS,
        }
    }

    fn check(&self, name: &str) -> Result<(), TaskError> {
        let Self { lamin, lomin, lamax, lomax } = *self;
        let fine = (-90.0..=90.0).contains(&lamin)
            && (-90.0..=90.0).contains(&lamax)
            && (-180.0..=180.0).contains(&lomin)
            && (-180.0..=180.0).contains(&lomax)
            && lamin < lamax
            && lomin < lomax;
        if fine {
            return Ok(());
        }
        Err(TaskError::fail(
            "BadParameters",
            format!(
                "the box of region `{name}` ({lamin}…{lamax}, {lomin}…{lomax}) is no box: latitudes lie in −90…90, longitudes in \
                 −180…180, minima below maxima; a box across ±180° is two boxes"
            ),
        ))
    }
}

/// Credits of the one global call.
pub const GLOBAL_CREDITS: u32 = 4;

/// The requested regions with their boxes, in the order asked for.
///
/// # Errors
/// `fail` `BadParameters`: none, twice the same, a name without a box, or a box that is none.
pub fn chosen(names: &[String], boxes: &BTreeMap<String, RegionBox>) -> Result<Vec<(String, RegionBox)>, TaskError> {
    if names.is_empty() {
        return Err(TaskError::fail("BadParameters", "`regions` is empty: name at least one region"));
    }
    let mut chosen: Vec<(String, RegionBox)> = Vec::with_capacity(names.len());
    for name in names {
        let found = boxes.get(name).ok_or_else(|| {
            let known: Vec<&str> = boxes.keys().map(String::as_str).collect();
            TaskError::fail(
                "BadParameters",
                format!("region `{name}` has no box in `region_boxes`; known: {}", known.join(", ")),
            )
        })?;
        found.check(name)?;
        if super::keys::RESERVED.contains(&name.as_str())
            || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            return Err(TaskError::fail(
                "BadParameters",
                format!("`{name}` cannot name a region: use letters, digits and `_`, not `global` or `unlocated`"),
            ));
        }
        if chosen.iter().any(|(other, _)| other == name) {
            return Err(TaskError::fail("BadParameters", format!("region `{name}` is asked for twice")));
        }
        chosen.push((name.clone(), *found));
    }
    Ok(chosen)
}

/// How the regions are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One call without a box, cut into regions here: cheaper for large boxes, and one instant for all.
    #[default]
    GlobalSplit,
    /// One call a region, one after the other.
    PerRegion,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(lamin: f64, lomin: f64, lamax: f64, lomax: f64) -> RegionBox {
        RegionBox { lamin, lomin, lamax, lomax }
    }

    #[test]
    fn credits_follow_the_area() {
        for (one, credits) in [
            (region(0.0, 0.0, 5.0, 5.0), 1),
            (region(0.0, 0.0, 10.0, 10.0), 2),
            (region(0.0, 0.0, 20.0, 20.0), 3),
            (region(35.0, -10.0, 70.0, 40.0), 4),
        ] {
            assert_eq!(one.credits(), credits, "{one:?}");
        }
    }

    #[test]
    fn what_is_no_region_is_refused() {
        let boxes = BTreeMap::from([
            ("a".to_owned(), region(0.0, 0.0, 1.0, 1.0)),
            ("flat".to_owned(), region(1.0, 0.0, 1.0, 1.0)),
            ("global".to_owned(), region(0.0, 0.0, 1.0, 1.0)),
        ]);
        for (names, words) in [
            (vec![], "empty"),
            (vec!["b"], "known: a, flat, global"),
            (vec!["flat"], "is no box"),
            (vec!["a", "a"], "twice"),
            (vec!["global"], "cannot name a region"),
        ] {
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            let error = chosen(&names, &boxes).unwrap_err();
            assert!(error.message().contains(words), "{error}");
        }
    }
}
