//! The four numbers of a box, and what a question about an area or a window costs. Pure.

use std::fmt;

/// A box in decimal degrees, edges included. One that crosses ±180° is empty, as in the real service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Southern edge.
    pub lamin: f64,
    /// Western edge.
    pub lomin: f64,
    /// Northern edge.
    pub lamax: f64,
    /// Eastern edge.
    pub lomax: f64,
}

impl Area {
    /// Reads the four parameters: all of them, or none.
    ///
    /// # Errors
    /// A text for the 400 answer: some are missing, or one is no number or no place on Earth.
    pub fn from_parameters(values: [Option<&str>; 4]) -> Result<Option<Self>, String> {
        const NAMES: [&str; 4] = ["lamin", "lomin", "lamax", "lomax"];
        if values.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut numbers = [0.0; 4];
        for (i, value) in values.into_iter().enumerate() {
            let name = NAMES[i];
            let limit = if name.starts_with("la") { 90.0 } else { 180.0 };
            let text = value.ok_or_else(|| format!("{name} is missing: a box needs lamin, lomin, lamax and lomax"))?;
            let number: f64 = text.parse().map_err(|_| format!("{name}={text} is not a number"))?;
            if !number.is_finite() || number.abs() > limit {
                return Err(format!("{name}={text} is outside -{limit}..{limit}"));
            }
            numbers[i] = number;
        }
        let [lamin, lomin, lamax, lomax] = numbers;
        Ok(Some(Self { lamin, lomin, lamax, lomax }))
    }

    /// Whether the point lies in the box.
    pub fn contains(&self, latitude_deg: f64, longitude_deg: f64) -> bool {
        (self.lamin..=self.lamax).contains(&latitude_deg) && (self.lomin..=self.lomax).contains(&longitude_deg)
    }

    fn square_degrees(&self) -> f64 {
        (self.lamax - self.lamin).max(0.0) * (self.lomax - self.lomin).max(0.0)
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.lamin, self.lomin, self.lamax, self.lomax)
    }
}

/// Credits for one `/states/all` call; `None` is the whole Earth.
pub fn states_credits(area: Option<&Area>) -> u32 {
    match area.map(Area::square_degrees) {
        Some(area) if area <= 25.0 => 1,
        Some(area) if area <= 100.0 => 2,
        Some(area) if area <= 400.0 => 3,
        Some(_) | None => 4,
    }
}

/// Credits for a `/flights/*` or `/tracks/*` call about `begin..=end` (Unix seconds) asked at `now`.
pub fn history_credits(begin: i64, end: i64, now: i64) -> u32 {
    const DAY: i64 = 86_400;
    if now - begin < DAY {
        return 4;
    }
    let days = u32::try_from(end.div_euclid(DAY) - begin.div_euclid(DAY) + 1).unwrap_or(1);
    let per_day = match days {
        0..=2 => return 30,
        3..=10 => 60,
        11..=15 => 120,
        16..=20 => 240,
        21..=25 => 480,
        26.. => 960,
    };
    days.saturating_mul(per_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(lamin: f64, lomin: f64, lamax: f64, lomax: f64) -> Area {
        Area { lamin, lomin, lamax, lomax }
    }

    #[test]
    fn credits_follow_the_area_table() {
        for (area, credits) in [
            (Some(area(0.0, 0.0, 5.0, 5.0)), 1),
            (Some(area(0.0, 0.0, 5.0, 5.01)), 2),
            (Some(area(-5.0, -5.0, 5.0, 5.0)), 2),
            (Some(area(0.0, 0.0, 20.0, 20.0)), 3),
            (Some(area(0.0, 0.0, 20.0, 20.1)), 4),
            (Some(area(35.0, -10.0, 70.0, 40.0)), 4),
            (Some(area(10.0, 170.0, 20.0, -170.0)), 1),
            (None, 4),
        ] {
            assert_eq!(states_credits(area.as_ref()), credits, "{area:?}");
        }
    }

    #[test]
    fn credits_for_history_follow_the_days_touched() {
        let now = 1_800_000_000;
        let midnight = 1_700_006_400;
        assert_eq!(midnight % 86_400, 0);
        for (begin, end, credits) in [
            (now - 3_600, now, 4),
            (midnight, midnight + 7_200, 30),
            (midnight, midnight + 86_400, 30),
            (midnight, midnight + 2 * 86_400, 180),
            (midnight, midnight + 10 * 86_400, 11 * 120),
            (midnight, midnight + 29 * 86_400, 30 * 960),
        ] {
            assert_eq!(history_credits(begin, end, now), credits, "{begin}..{end}");
        }
    }

    #[test]
    fn a_box_has_all_four_edges_or_none() {
        assert_eq!(Area::from_parameters([None; 4]), Ok(None));
        let whole = Area::from_parameters([Some("35.0"), Some("-10"), Some("70"), Some("40")]);
        assert_eq!(whole, Ok(Some(area(35.0, -10.0, 70.0, 40.0))));
        for (values, word) in [
            ([Some("35"), None, Some("70"), Some("40")], "lomin is missing"),
            ([Some("35"), Some("-10"), Some("north"), Some("40")], "lamax=north"),
            ([Some("-91"), Some("-10"), Some("70"), Some("40")], "lamin=-91"),
            ([Some("35"), Some("-10"), Some("70"), Some("NaN")], "lomax=NaN"),
        ] {
            let error = Area::from_parameters(values).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn edges_belong_to_the_box() {
        let europe = area(35.0, -10.0, 70.0, 40.0);
        assert!(europe.contains(35.0, -10.0) && europe.contains(70.0, 40.0));
        assert!(!europe.contains(34.9999, 0.0) && !europe.contains(50.0, 40.0001));
    }
}
