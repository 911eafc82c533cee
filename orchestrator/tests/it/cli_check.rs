//! `check`, `fmt` and `schema`.

use std::fs;

use insta::{assert_json_snapshot, assert_snapshot};

use crate::cli_support::{CHAIN, Place};

const WRONG: &str = "\
id: wrong
tasks:
  - id: greet
    type: comand
    with: {argv: [echo, hi]}
  - id: shout
    type: command
    depends_on: great
    retrys: 3
    with: {argv: [echo, \"{{ tasks.greet.output.text }}\"], shell: yes}
";

#[test]
fn every_mistake_is_shown_at_once() {
    let place = Place::new(&[("wrong.yaml", WRONG), ("good.yaml", CHAIN)]);
    place.settings().bind(|| assert_snapshot!(place.transcript(&["check", "wrong.yaml", "good.yaml"])));
}

#[test]
fn the_same_mistakes_are_given_as_json() {
    let place = Place::new(&[("wrong.yaml", WRONG)]);
    let arguments = ["check", "wrong.yaml", "--json"];
    assert_eq!(place.updraft(&arguments).code(), Some(2));
    assert_json_snapshot!(place.json(&arguments));
}

#[test]
fn good_files_pass_and_the_project_is_checked_by_default() {
    let place = Place::new(&[("updraft.yaml", "workflows: [flows]\n"), ("flows/a.yaml", CHAIN)]);
    let all =
        [vec!["check"], vec!["check", "--json"], vec!["check", "nowhere.yaml"], vec!["check", "-C", "flows", "a.yaml"]]
            .map(|arguments| place.transcript(&arguments))
            .join("\n");
    place.settings().bind(|| assert_snapshot!(all));
}

#[test]
fn fmt_rewrites_spellings_and_keeps_comments() {
    let odd =
        "name: odd # its name\nsteps:\n  - {task_id: a, uses: noop}\n  # then\n  - {id: b, type: noop, needs: a}\n";
    let place = Place::new(&[("odd.yaml", odd)]);
    let finished = place.updraft(&["fmt", "--check", "odd.yaml"]);
    assert_eq!((finished.code(), finished.out.as_str()), (Some(2), "would change odd.yaml\n"));
    assert_eq!(fs::read_to_string(place.path("odd.yaml")).unwrap(), odd);
    let finished = place.updraft(&["fmt", "odd.yaml"]);
    assert_eq!((finished.code(), finished.out.as_str()), (Some(0), "changed odd.yaml\n"));
    assert_eq!(
        fs::read_to_string(place.path("odd.yaml")).unwrap(),
        "id: odd # its name\ntasks:\n  - {id: a, type: noop}\n  # then\n  - {id: b, type: noop, depends_on: a}\n"
    );
    let finished = place.updraft(&["fmt", "--check", "--json", "odd.yaml"]);
    assert_eq!(finished.code(), Some(0));
    assert_json_snapshot!(place.json(&["fmt", "--check", "--json", "odd.yaml"]));
}

#[test]
fn the_schema_knows_every_task_type() {
    let place = Place::new(&[]);
    let schema = place.updraft(&["schema"]);
    assert_eq!((schema.code(), schema.err.as_str()), (Some(0), ""));
    let types = place.json(&["tasks", "--types", "--json"]);
    for one in types["types"].as_array().unwrap() {
        let name = one["type"].as_str().unwrap();
        assert!(schema.out.contains(&format!("\"{name}\"")), "{name}");
    }
}
