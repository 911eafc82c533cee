//! Airflow's truth tables as data.

use updraft_model::judge::{Counts, Verdict, judge};
use updraft_model::state::FinalState;
use updraft_model::trigger_rule::TriggerRule;

use super::oracle::{self, Answer};

/// Two direct upstreams, in any order: `s`ucceeded, `f`ailed, s`k`ipped, `u``pstream_failed`, `c`ancelled, `.` not over.
/// Answers: `run`, `skip`, `uf` (`upstream_failed`), `…` (not yet known).
///
/// All rows without `.` and `c` are Airflow's own answers. Rows with `.` are Airflow's too, but for one: `all_success`
/// over `k.`, which Airflow skips if it happens to look before the other upstream has ended; this waits.
const COLUMNS: [&str; 15] = ["ss", "sf", "sk", "su", "ff", "fk", "fu", "kk", "ku", "uu", "s.", "f.", "k.", "u.", ".."];
#[rustfmt::skip]
const TABLE: [(TriggerRule, [&str; 15]); 12] = [
    //                                    ss      sf      sk      su      ff      fk      fu      kk      ku      uu      s.      f.      k.      u.      ..
    (TriggerRule::AllSuccess,           ["run",  "uf",   "skip", "uf",   "uf",   "uf",   "uf",   "skip", "uf",   "uf",   "…",    "uf",   "…",    "uf",   "…"]),
    (TriggerRule::AllFailed,            ["skip", "skip", "skip", "skip", "run",  "skip", "run",  "skip", "skip", "run",  "skip", "…",    "skip", "…",    "…"]),
    (TriggerRule::AllDone,              ["run",  "run",  "run",  "run",  "run",  "run",  "run",  "run",  "run",  "run",  "…",    "…",    "…",    "…",    "…"]),
    (TriggerRule::AllDoneMinOneSuccess, ["run",  "run",  "skip", "run",  "uf",   "skip", "uf",   "skip", "skip", "uf",   "…",    "…",    "skip", "…",    "…"]),
    (TriggerRule::AllSkipped,           ["skip", "skip", "skip", "skip", "skip", "skip", "skip", "run",  "skip", "skip", "skip", "skip", "…",    "skip", "…"]),
    (TriggerRule::OneFailed,            ["skip", "run",  "skip", "run",  "run",  "run",  "run",  "skip", "run",  "run",  "…",    "run",  "…",    "run",  "…"]),
    (TriggerRule::OneSuccess,           ["run",  "run",  "run",  "run",  "uf",   "uf",   "uf",   "skip", "uf",   "uf",   "run",  "…",    "…",    "…",    "…"]),
    (TriggerRule::OneDone,              ["run",  "run",  "run",  "run",  "run",  "run",  "run",  "skip", "skip", "skip", "run",  "run",  "…",    "…",    "…"]),
    (TriggerRule::NoneFailed,           ["run",  "uf",   "run",  "uf",   "uf",   "uf",   "uf",   "run",  "uf",   "uf",   "…",    "uf",   "…",    "uf",   "…"]),
    (TriggerRule::NoneFailedMinOneSuccess,
                                        ["run",  "uf",   "run",  "uf",   "uf",   "uf",   "uf",   "skip", "uf",   "uf",   "…",    "uf",   "…",    "uf",   "…"]),
    (TriggerRule::NoneSkipped,          ["run",  "run",  "skip", "run",  "run",  "skip", "run",  "skip", "skip", "run",  "…",    "…",    "skip", "…",    "…"]),
    (TriggerRule::Always,               ["run",  "run",  "run",  "run",  "run",  "run",  "run",  "run",  "run",  "run",  "run",  "run",  "run",  "run",  "run"]),
];

fn state(letter: char) -> Option<FinalState> {
    match letter {
        's' => Some(FinalState::Succeeded),
        'f' => Some(FinalState::Failed),
        'k' => Some(FinalState::Skipped),
        'u' => Some(FinalState::UpstreamFailed),
        'c' => Some(FinalState::Cancelled),
        'r' => Some(FinalState::Removed),
        '.' => None,
        other => panic!("no state `{other}`"),
    }
}

fn counts(upstreams: &str) -> Counts {
    let mut counts = Counts { total: u32::try_from(upstreams.len()).unwrap(), ..Counts::default() };
    for state in upstreams.chars().filter_map(state) {
        counts.add(state);
    }
    counts
}

fn shown(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Wait => "…",
        Verdict::Start => "run",
        Verdict::Skip(_) => "skip",
        Verdict::UpstreamFailed(_) => "uf",
    }
}

fn answer(verdict: Verdict) -> Answer {
    match verdict {
        Verdict::Wait => Answer::Wait,
        Verdict::Start => Answer::Start,
        Verdict::Skip(_) => Answer::End(FinalState::Skipped),
        Verdict::UpstreamFailed(_) => Answer::End(FinalState::UpstreamFailed),
    }
}

#[test]
fn two_upstreams_are_judged_as_airflow_judges_them() {
    assert_eq!(TABLE.map(|(rule, _)| rule), TriggerRule::ALL, "every rule has its row");
    for (rule, answers) in TABLE {
        for (upstreams, expected) in COLUMNS.iter().zip(answers) {
            assert_eq!(shown(judge(rule, counts(upstreams))), expected, "{} over `{upstreams}`", rule.name());
        }
    }
}

#[test]
fn a_cancelled_upstream_counts_as_failed_and_a_removed_one_does_not_count() {
    for rule in TriggerRule::ALL {
        for upstreams in ["c", "cs", "ck", "cu", "c.", "cc"] {
            let as_failed = judge(rule, counts(&upstreams.replace('c', "f")));
            assert_eq!(judge(rule, counts(upstreams)), as_failed, "{} over `{upstreams}`", rule.name());
        }
        for upstreams in ["rs", "rf", "rk", "ru", "r.", "rsk"] {
            let without = judge(rule, counts(&upstreams.replace('r', "")));
            assert_eq!(judge(rule, counts(upstreams)), without, "{} over `{upstreams}`", rule.name());
        }
    }
}

#[test]
fn a_task_without_upstreams_starts_whatever_its_rule() {
    for rule in TriggerRule::ALL {
        assert_eq!(judge(rule, Counts::default()), Verdict::Start, "{}", rule.name());
    }
}

/// Every multiset of up to four upstreams.
fn all_upstreams() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..4 {
        last = last
            .iter()
            .flat_map(|text| {
                "sfkuc."
                    .chars()
                    .filter(|letter| text.chars().last().is_none_or(|last| last <= *letter))
                    .map(move |letter| format!("{text}{letter}"))
            })
            .collect();
        all.extend(last.clone());
    }
    all
}

#[test]
fn up_to_four_upstreams_are_judged_as_the_rules_are_told_in_words() {
    let all = all_upstreams();
    assert!(all.len() > 100);
    for rule in TriggerRule::ALL {
        for upstreams in &all {
            let states: Vec<_> = upstreams.chars().map(state).collect();
            let expected = oracle::judge(rule, &states);
            assert_eq!(answer(judge(rule, counts(upstreams))), expected, "{} over `{upstreams}`", rule.name());
        }
    }
}

#[test]
fn a_verdict_never_changes_when_more_upstreams_end() {
    for rule in TriggerRule::ALL {
        for upstreams in all_upstreams().iter().filter(|upstreams| upstreams.contains('.')) {
            let before = judge(rule, counts(upstreams));
            if before == Verdict::Wait {
                continue;
            }
            for letter in ["s", "f", "k", "u", "c"] {
                let after = judge(rule, counts(&upstreams.replacen('.', letter, 1)));
                assert_eq!(before, after, "{} over `{upstreams}`, then `{letter}`", rule.name());
            }
        }
    }
}
