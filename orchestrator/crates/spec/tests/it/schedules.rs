//! `docs/schedules.md`: what it says of Airflow's documented examples is what happens.

use std::path::Path;

use updraft_model::schedule::plan::{Load, Policy, Progress, plan};
use updraft_model::schedule::timetable::Timetable;
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;
use updraft_spec::check;

use crate::support::catalog;

/// The file of a row's keys, one level of them.
fn workflow(keys: &str) -> Workflow {
    let text = format!("{{id: w, max_active_runs: 1000, tasks: [{{id: a, type: noop}}], {keys}}}");
    let checked = check("row.yaml", &text, &catalog());
    assert!(checked.diagnostics.is_empty(), "{keys}: {:?}", checked.diagnostics);
    checked.workflow.expect("a workflow")
}

fn answer(workflow: &Workflow, story: &str) -> String {
    let mut progress: Option<Progress> = None;
    let mut said = String::new();
    for moment in story.split(", ") {
        let (what, at) = moment.split_once(' ').expect("a word and an instant");
        let now = Timestamp::parse(at).unwrap_or_else(|| panic!("`{at}` is no instant"));
        assert!(["publish", "pause", "unpause"].contains(&what), "{what}");
        let mut current = progress.take().unwrap_or_else(|| Progress::new(workflow, now));
        let timetable = Timetable::of(workflow, current.anchor).expect("computes").expect("a schedule");
        let (mut runs, mut next) = (Vec::new(), None);
        for _ in 0..10_000 {
            let planned = plan(&timetable, Policy::of(workflow), &current, Load::default(), now).expect("computes");
            runs.extend(planned.runs);
            current = planned.progress;
            next = planned.next.at;
            if next.is_none_or(|at| at > now) {
                break;
            }
        }
        let runs: Vec<String> = runs
            .iter()
            .map(|run| format!("{} ({} to {})", run.fire.at, run.fire.interval.start, run.fire.interval.end))
            .collect();
        let next = next.map_or("never".to_owned(), |at| at.to_string());
        said = if runs.is_empty() { format!("next {next}") } else { format!("{}; next {next}", runs.join(", ")) };
        progress = Some(current);
    }
    said
}

#[test]
fn airflows_documented_examples_are_answered_as_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/schedules.md");
    let text = std::fs::read_to_string(path).expect("readable");
    let (_, table) = text.split_once("## Airflow's documented examples").expect("the chapter");
    let mut rows = 0;
    for line in table.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [_, keys, story, airflow, ours] = cells.as_slice() else { panic!("five cells: {line}") };
        let found = answer(&workflow(keys.trim_matches('`')), story);
        if *ours == "as Airflow" {
            assert_eq!(found, *airflow, "{line}");
        } else {
            let (ours, why) = ours.split_once(". ").expect("our answer, and why");
            assert_eq!(found, ours, "{line}");
            assert!(found != *airflow && !why.is_empty(), "{line}");
        }
        rows += 1;
    }
    assert!(rows >= 20, "{rows} rows");
}
