//! From rows to what pages show: medians, grids, days. Pure, and shared by every store.

use super::line::Spread;

/// Median and 95th percentile; `None` of nothing.
pub fn spread(mut of: Vec<i64>) -> Option<Spread> {
    of.sort_unstable();
    let last = of.len().checked_sub(1)?;
    let median = if of.len() % 2 == 1 { of[last / 2] } else { i64::midpoint(of[last / 2], of[last / 2 + 1]) };
    // Nearest rank: the smallest value that at least 95 % do not exceed.
    let rank = (of.len() * 95).div_ceil(100) - 1;
    Some(Spread { median, p95: of[rank] })
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
}
