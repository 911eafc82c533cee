//! "Did you mean": the nearest known name to an unknown one.

/// Most candidates looked at: advice must not cost more than the check.
const MOST: usize = 2_000;

/// The candidate most like `name`, if it is like enough to be meant.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let folded = fold(name);
    candidates
        .into_iter()
        .take(MOST)
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= 6)
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= tolerance(name.len().min(candidate.len())))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Upper case, hyphens and `camelCase` are habits, not mistakes of spelling.
fn fold(name: &str) -> String {
    let mut folded = String::with_capacity(name.len() + 4);
    let mut before = ' ';
    for c in name.chars().take(100) {
        if c.is_uppercase() && before.is_lowercase() {
            folded.push('_');
        }
        before = c;
        folded.extend(if matches!(c, '-' | ' ') { '_' } else { c }.to_lowercase());
    }
    folded
}

fn distance(a: &str, b: &str) -> usize {
    strsim::damerau_levenshtein(a, b)
}

fn tolerance(length: usize) -> usize {
    match length {
        0..=2 => 0,
        3..=5 => 1,
        6..=9 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["depends_on", "timeout", "retry", "id"];
        for (name, expected) in [
            ("depend_on", Some("depends_on")),
            ("dependsOn", Some("depends_on")),
            ("depends-on", Some("depends_on")),
            ("tiemout", Some("timeout")),
            ("retries", None),
            ("ID", Some("id")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }
}
