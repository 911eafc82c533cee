//! From what was observed to a state and a share of the score. Pure.

use schemars::JsonSchema;
use serde::Serialize;

use super::rule::{Dimension, Range, Rule, Severity};

/// What a rule says of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Beyond an error limit.
    Failed,
    /// Beyond a warning limit.
    Warned,
    /// Within its limits, or nothing to judge.
    Passed,
}

impl State {
    /// The name, as shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Warned => "warned",
            Self::Passed => "passed",
        }
    }
}

/// The limits of a rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limits {
    pub(crate) warn: Option<Range>,
    pub(crate) error: Option<Range>,
    /// What is observed is the share of rows that break the rule.
    pub(crate) bad_rows: bool,
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) state: State,
    /// The limit that decided, or the one that was kept.
    pub(crate) threshold: Option<f64>,
    /// 0 to 1; `None` if there was nothing to judge.
    pub(crate) share: Option<f64>,
}

/// The limits of a rule; `None` if it has none, so that it could never say anything.
pub(super) fn limits(rule: &Rule) -> Option<Limits> {
    let common = rule.common();
    let own = rule.own_limit();
    let shares = rule.counts_bad_rows();
    // The 0 of a share gives way to any limit that is written; bounds that are written stand beside it.
    let own = if shares && (common.warn.is_some() || common.error.is_some()) { None } else { own };
    let at = |severity: Severity, written: Option<Range>| written.or(own.filter(|_| common.severity == severity));
    let limits = Limits {
        warn: at(Severity::Warning, common.warn),
        error: at(Severity::Error, common.error),
        bad_rows: rule.counts_bad_rows(),
    };
    (limits.warn.is_some() || limits.error.is_some()).then_some(limits)
}

impl Limits {
    /// The worst that breaking it means.
    pub(crate) const fn severity(&self) -> Severity {
        if self.error.is_some() { Severity::Error } else { Severity::Warning }
    }

    /// Of a number of rows in a region that was asked for and has none: a warning, whatever the rule says.
    pub(super) fn of_no_rows(self) -> Self {
        let range = self.error.or(self.warn).unwrap_or_default();
        let least = range.min.unwrap_or(1.0).max(1.0);
        Self { warn: Some(Range { min: Some(least), max: range.max }), error: None, ..self }
    }
}

/// The end of a range that a number is beyond.
fn broken(range: Range, observed: f64) -> Option<f64> {
    range.max.filter(|max| observed > *max).or_else(|| range.min.filter(|min| observed < *min))
}

pub(crate) fn judge(limits: &Limits, observed: Option<f64>) -> Verdict {
    let kept = limits.error.or(limits.warn).and_then(|range| range.max.or(range.min));
    let Some(observed) = observed else { return Verdict { state: State::Passed, threshold: kept, share: None } };
    let (state, threshold) = if let Some(limit) = limits.error.and_then(|range| broken(range, observed)) {
        (State::Failed, Some(limit))
    } else if let Some(limit) = limits.warn.and_then(|range| broken(range, observed)) {
        (State::Warned, Some(limit))
    } else {
        (State::Passed, kept)
    };
    let share = match limits.error {
        Some(Range { max: Some(max), .. }) if max > 0.0 => 1.0 - observed / max,
        Some(Range { max: Some(_), .. }) => 1.0 - observed,
        Some(Range { min: Some(min), .. }) if state == State::Failed && min > 0.0 => observed / min,
        None if limits.bad_rows => 1.0 - observed,
        Some(_) | None => match state {
            State::Passed => 1.0,
            State::Warned => 0.5,
            State::Failed => 0.0,
        },
    };
    Verdict { state, threshold, share: Some(share.clamp(0.0, 1.0)) }
}

/// Points of a part of the score.
const fn weight(dimension: Dimension) -> f64 {
    match dimension {
        Dimension::Completeness | Dimension::Validity => 30.0,
        Dimension::Consistency => 25.0,
        Dimension::Timeliness => 15.0,
    }
}

/// 0 to 100 with two decimals: the weighted sum of the parts' means. A part without a judged rule counts as full.
pub(super) fn score(shares: &[(Dimension, f64)]) -> f64 {
    let mut points = 0.0;
    for part in [Dimension::Completeness, Dimension::Validity, Dimension::Consistency, Dimension::Timeliness] {
        let (mut sum, mut count) = (0.0, 0.0);
        for (_, share) in shares.iter().filter(|(dimension, _)| *dimension == part) {
            sum += share;
            count += 1.0;
        }
        points += weight(part) * if count > 0.0 { sum / count } else { 1.0 };
    }
    (100.0 * points).round() / 100.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_and_severities_decide() {
        let cases = [
            (json!({"check": "not_null", "columns": ["a"]}), Some(0.0), State::Passed, 1.0),
            (json!({"check": "not_null", "columns": ["a"]}), Some(0.25), State::Failed, 0.75),
            (json!({"check": "not_null", "columns": ["a"], "severity": "warning"}), Some(0.25), State::Warned, 0.75),
            (
                json!({"check": "regex", "column": "a", "pattern": "x", "warn": 0.1, "error": 0.5}),
                Some(0.05),
                State::Passed,
                0.9,
            ),
            (
                json!({"check": "regex", "column": "a", "pattern": "x", "warn": 0.1, "error": 0.5}),
                Some(0.2),
                State::Warned,
                0.6,
            ),
            (
                json!({"check": "ratio", "where": "x", "of": "y", "warn": {"min": 0.02, "max": 0.25}}),
                Some(0.01),
                State::Warned,
                0.5,
            ),
            (json!({"check": "ratio", "where": "x", "of": "y", "error": {"max": 0.6}}), Some(0.7), State::Failed, 0.0),
            (json!({"check": "row_count", "min": 10}), Some(4.0), State::Failed, 0.4),
            (
                json!({"check": "row_count", "min": 10, "severity": "warning", "error": {"min": 2}}),
                Some(4.0),
                State::Warned,
                0.5,
            ),
            (
                json!({"check": "freshness", "column": "a", "max_age_s": 120, "warn": {"max": 60}}),
                Some(90.0),
                State::Warned,
                0.25,
            ),
        ];
        for (rule, observed, state, share) in cases {
            let parsed: Rule = serde_json::from_value(rule.clone()).unwrap();
            let verdict = judge(&limits(&parsed).unwrap(), observed);
            assert_eq!(
                (verdict.state, verdict.share.map(|share| (share * 1e9).round() / 1e9)),
                (state, Some(share)),
                "{rule}"
            );
        }
    }

    #[test]
    fn a_rule_without_limits_has_none_and_nothing_observed_passes_without_a_score() {
        let rule: Rule = serde_json::from_value(json!({"check": "sql", "sql": "select 1"})).unwrap();
        assert_eq!(limits(&rule), None);
        let verdict =
            judge(&Limits { warn: None, error: Some(Range { min: None, max: Some(0.5) }), bad_rows: true }, None);
        assert_eq!((verdict.state, verdict.share), (State::Passed, None));
    }

    #[test]
    fn the_score_weighs_its_parts_and_those_without_rules_are_full() {
        use Dimension::{Completeness, Consistency, Timeliness, Validity};
        for (shares, expected) in [
            (vec![], 100.0),
            (vec![(Completeness, 1.0), (Validity, 1.0), (Consistency, 1.0), (Timeliness, 0.0)], 85.0),
            (
                vec![(Completeness, 1.0), (Completeness, 0.0), (Validity, 1.0), (Consistency, 1.0), (Timeliness, 1.0)],
                85.0,
            ),
            (vec![(Validity, 0.5)], 85.0),
        ] {
            assert!((score(&shares) - expected).abs() < 1e-9, "{shares:?}");
        }
    }
}
