//! From rows to what pages show: lines, medians, grids, days. Pure, and shared by every store; the order of columns is said
//! at each function and kept by the statements.

mod attempts;
mod grid;
mod home;
mod lines;
mod times;

use super::line::Spread;

pub use attempts::{attempts, items, metrics};
pub use grid::{COLUMNS as GRID_COLUMNS, facts_needed, grid};
pub use home::{incident_order, incidents, lost, open_counts, over_counts, waiting};
pub use lines::{
    BarRow, bars, note, page_of_runs, run_lines, usual_of, version_lines, version_source, workflow_page, workflow_rows,
};
pub use times::{days, durations, spans, task_history, usual};

/// Median and 95th percentile; `None` of nothing.
pub fn spread(mut of: Vec<i64>) -> Option<Spread> {
    of.sort_unstable();
    let last = of.len().checked_sub(1)?;
    let median = if of.len() % 2 == 1 { of[last / 2] } else { i64::midpoint(of[last / 2], of[last / 2 + 1]) };
    // Nearest rank: the smallest value that at least 95 % do not exceed.
    let rank = (of.len() * 95).div_ceil(100) - 1;
    Some(Spread { median, p95: of[rank] })
}

/// The first line of a text that says something.
pub fn first_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| !line.is_empty())
}

/// Fields of one line of text that a statement put together.
fn fields(line: &str) -> std::str::Split<'_, char> {
    line.split('\t')
}

fn bad(what: &'static str, line: &str) -> crate::StoreError {
    crate::StoreError::Inconsistent {
        table: "history",
        column: what,
        id: line.to_owned(),
        detail: "unreadable".to_owned(),
    }
}

fn number(text: Option<&str>) -> Option<i64> {
    text.filter(|text| !text.is_empty())?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_p95_the_nearest_rank() {
        assert_eq!(spread(vec![]), None);
        assert_eq!(spread(vec![5]), Some(Spread { median: 5, p95: 5 }));
        assert_eq!(spread(vec![4, 1]), Some(Spread { median: 2, p95: 4 }));
        assert_eq!(spread((1..=100).collect()), Some(Spread { median: 50, p95: 95 }));
        assert_eq!(spread((1..=20).rev().collect()), Some(Spread { median: 10, p95: 19 }));
    }

    #[test]
    fn the_first_line_says_something() {
        assert_eq!(first_line("\n  \n a b \nc"), Some("a b"));
        assert_eq!(first_line(" \n"), None);
    }
}
