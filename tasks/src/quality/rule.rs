//! Rules as they stand in a workflow file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::history::{Compare, Same};

/// What a broken rule means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Shown, nothing stops.
    Warning,
    /// The task fails after all results were written.
    Error,
}

impl Severity {
    /// The name, as written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Part of the score that a rule counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Nothing is missing: 30 points.
    Completeness,
    /// Values are possible: 30 points.
    Validity,
    /// Rows agree with each other: 25 points.
    Consistency,
    /// Rows are new enough: 15 points.
    Timeliness,
}

/// What a rule is judged on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// All rows of all datasets together.
    #[default]
    All,
    /// Each dataset by itself, under its name.
    Region,
}

/// Allowed values, ends included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Least.
    #[serde(default)]
    pub min: Option<f64>,
    /// Greatest.
    #[serde(default)]
    pub max: Option<f64>,
}

/// A limit of what was observed: a greatest value, or a range.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a greatest value, or a range of `min` and `max`")]
pub enum Limit {
    /// Greatest value.
    Max(f64),
    /// Range.
    Range(Range),
}

impl Limit {
    /// `None` for a range without ends.
    pub(crate) fn range(self) -> Option<Range> {
        match self {
            Self::Max(max) => Some(Range { min: None, max: Some(max) }),
            Self::Range(range) => Some(range).filter(|range| range.min.is_some() || range.max.is_some()),
        }
    }
}

/// What all rules have.
pub(super) struct Common<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) severity: Severity,
    pub(super) dimension: Option<Dimension>,
    pub(super) per: Per,
    pub(super) regions: &'a [String],
    pub(super) warn: Option<Range>,
    pub(super) error: Option<Range>,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident { $($(#[$of_field:meta])* $field:ident: $type:ty,)* })*) => {
        /// A rule: what is checked, and from where on it warns or fails.
        #[derive(Debug, Clone, Deserialize, JsonSchema)]
        #[serde(tag = "check", rename_all = "snake_case", deny_unknown_fields)]
        pub enum Rule {
            $(
                $(#[$doc])*
                $variant {
                    $($(#[$of_field])* $field: $type,)*
                    /// Name in results; the check and its columns if left out.
                    #[serde(default)]
                    name: Option<String>,
                    /// What breaking it means, if neither `warn` nor `error` says so; `error` if left out.
                    #[serde(default)]
                    severity: Option<Severity>,
                    /// Part of the score that it counts for; by the kind of check if left out.
                    #[serde(default)]
                    dimension: Option<Dimension>,
                    /// What it is judged on: all rows together, or each region alone.
                    #[serde(default)]
                    per: Per,
                    /// With `per: region`, the regions that it is for; all if left out.
                    #[serde(default)]
                    regions: Vec<String>,
                    /// Warn if what was observed is beyond this.
                    #[serde(default)]
                    warn: Option<Limit>,
                    /// Fail if what was observed is beyond this.
                    #[serde(default)]
                    error: Option<Limit>,
                },
            )*
        }

        impl Rule {
            pub(super) fn common(&self) -> Common<'_> {
                match self {
                    $(Self::$variant { name, severity, dimension, per, regions, warn, error, .. } => Common {
                        name: name.as_deref(),
                        severity: severity.unwrap_or(Severity::Error),
                        dimension: *dimension,
                        per: *per,
                        regions,
                        warn: warn.and_then(Limit::range),
                        error: error.and_then(Limit::range),
                    },)*
                }
            }
        }
    };
}

rules! {
    /// No nulls. Observed: share of rows with a null, for each column.
    NotNull {
        /// Columns.
        columns: Vec<String>,
    }
    /// Numbers within bounds, ends included; nulls pass. Observed: share of rows outside.
    Between {
        /// Column.
        column: String,
        /// Least value, in the column's unit.
        #[serde(default)]
        min: Option<f64>,
        /// Greatest value, in the column's unit.
        #[serde(default)]
        max: Option<f64>,
    }
    /// No two rows with equal values. Observed: share of rows that repeat another.
    Unique {
        /// Columns, taken together.
        columns: Vec<String>,
    }
    /// Values of a list; nulls pass. Observed: share of other rows.
    Accepted {
        /// Column.
        column: String,
        /// Texts, numbers or booleans.
        values: Vec<Value>,
    }
    /// Texts that match a regular expression; nulls pass. Observed: share of other rows.
    Regex {
        /// Column.
        column: String,
        /// Regular expression, found anywhere unless anchored.
        pattern: String,
    }
    /// Number of rows within bounds. Observed: rows.
    RowCount {
        /// Least number of rows.
        #[serde(default)]
        min: Option<u64>,
        /// Greatest number of rows.
        #[serde(default)]
        max: Option<u64>,
    }
    /// The newest value of a time column is not too old. Observed: its age in seconds, 0 if it is in the future.
    Freshness {
        /// Column with instants.
        column: String,
        /// Greatest age, in seconds.
        #[serde(default)]
        max_age_s: Option<f64>,
        /// What ages are counted to: a column, whose newest value is taken, such as `fetched_at`, or an instant such as
        /// `2026-01-31T12:00:00Z` (default: the end of the run's data interval).
        #[serde(default)]
        as_of: Option<String>,
    }
    /// Share of some rows among others. Observed: rows with `where` and `of`, divided by rows with `of`.
    Ratio {
        /// SQL predicate of the rows that are counted.
        r#where: String,
        /// SQL predicate of the rows that they are compared with.
        of: String,
    }
    /// A number of one's own. Observed: the one value of the query. The rows are the table `data`; beside it every dataset
    /// of `input` is a table by its name (but for one that is itself named `data`).
    Sql {
        /// A query with one row and one column.
        sql: String,
    }
    /// What another rule observes, compared with what it observed in earlier intervals (by the lake's table of results; the
    /// newest run of each). Only intervals that end before this one count, so that a re-run of an old interval is judged as
    /// its first run was. Observed: by `compare`; nothing while there are fewer than `min_history` earlier results, which
    /// the log notes.
    History {
        /// Name of that rule. It is one of this task's, has one number, and the same `per` and `regions`.
        of: String,
        /// What is made of the numbers.
        #[serde(default)]
        compare: Compare,
        /// Which earlier intervals count.
        #[serde(default)]
        same: Same,
        /// Most earlier results that are looked at, the newest ones.
        #[serde(default = "thirty")]
        #[schemars(range(min = 1))]
        last: u32,
        /// Days that are looked back.
        #[serde(default = "five_weeks")]
        #[schemars(range(max = 366))]
        days: u32,
        /// Fewest earlier results to judge by, from 1; if left out 3 for a median, else 1.
        #[serde(default)]
        min_history: Option<u32>,
    }
}

const fn thirty() -> u32 {
    30
}

const fn five_weeks() -> u32 {
    35
}

impl Rule {
    /// That a region that was asked for has rows: judged if the author has no rule about it.
    pub(super) const fn rows_present() -> Self {
        Self::RowCount {
            min: Some(1),
            max: None,
            name: None,
            severity: Some(Severity::Warning),
            dimension: None,
            per: Per::Region,
            regions: Vec::new(),
            warn: None,
            error: None,
        }
    }

    /// Whether it is judged on all rows (`None`), or on those of this region.
    pub(super) fn is_for(&self, region: Option<&str>) -> bool {
        let Common { per, regions, .. } = self.common();
        match (per, region) {
            (Per::All, None) => true,
            (Per::Region, Some(region)) => regions.is_empty() || regions.iter().any(|wanted| wanted == region),
            (Per::All, Some(_)) | (Per::Region, None) => false,
        }
    }

    /// Whether what is observed is the share of rows that break the rule.
    pub(super) const fn counts_bad_rows(&self) -> bool {
        match self {
            Self::NotNull { .. }
            | Self::Between { .. }
            | Self::Unique { .. }
            | Self::Accepted { .. }
            | Self::Regex { .. } => true,
            Self::RowCount { .. }
            | Self::Freshness { .. }
            | Self::Ratio { .. }
            | Self::Sql { .. }
            | Self::History { .. } => false,
        }
    }

    /// Name of the check.
    pub(super) const fn check(&self) -> &'static str {
        match self {
            Self::NotNull { .. } => "not_null",
            Self::Between { .. } => "between",
            Self::Unique { .. } => "unique",
            Self::Accepted { .. } => "accepted",
            Self::Regex { .. } => "regex",
            Self::RowCount { .. } => "row_count",
            Self::Freshness { .. } => "freshness",
            Self::Ratio { .. } => "ratio",
            Self::Sql { .. } => "sql",
            Self::History { .. } => "history",
        }
    }

    /// Its columns, as one text per result.
    pub(super) fn columns(&self) -> Vec<String> {
        match self {
            Self::NotNull { columns, .. } => columns.clone(),
            Self::Unique { columns, .. } => vec![columns.join(", ")],
            Self::Between { column, .. }
            | Self::Accepted { column, .. }
            | Self::Regex { column, .. }
            | Self::Freshness { column, .. } => vec![column.clone()],
            Self::RowCount { .. } | Self::Ratio { .. } | Self::Sql { .. } | Self::History { .. } => {
                vec![String::new()]
            }
        }
    }

    /// Its name in results.
    pub(super) fn name(&self) -> String {
        match (self.common().name, self.columns().first()) {
            (Some(name), _) => name.to_owned(),
            (None, Some(column)) if !column.is_empty() => format!("{}({})", self.check(), self.columns().join(", ")),
            (None, _) => self.check().to_owned(),
        }
    }

    /// Part of the score that it counts for.
    pub(super) fn dimension(&self) -> Dimension {
        self.common().dimension.unwrap_or(match self {
            Self::NotNull { .. } | Self::RowCount { .. } => Dimension::Completeness,
            Self::Between { .. } | Self::Accepted { .. } | Self::Regex { .. } => Dimension::Validity,
            Self::Unique { .. } | Self::Ratio { .. } | Self::Sql { .. } => Dimension::Consistency,
            Self::History { compare: Compare::MedianRatio, .. } => Dimension::Completeness,
            Self::History { compare: Compare::MedianDifference, .. } => Dimension::Consistency,
            Self::Freshness { .. } | Self::History { compare: Compare::Repeats | Compare::NotGreater, .. } => {
                Dimension::Timeliness
            }
        })
    }

    /// The limit that the check itself names, for its severity; `None` if only `warn` and `error` can.
    pub(super) fn own_limit(&self) -> Option<Range> {
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
        let rows = |count: &Option<u64>| count.map(|count| count as f64);
        match self {
            Self::NotNull { .. }
            | Self::Between { .. }
            | Self::Unique { .. }
            | Self::Accepted { .. }
            | Self::Regex { .. } => Some(Range { min: None, max: Some(0.0) }),
            Self::RowCount { min, max, .. } => {
                (min.is_some() || max.is_some()).then(|| Range { min: rows(min), max: rows(max) })
            }
            Self::Freshness { max_age_s, .. } => max_age_s.map(|max| Range { min: None, max: Some(max) }),
            Self::Ratio { .. } | Self::Sql { .. } | Self::History { .. } => None,
        }
    }
}
