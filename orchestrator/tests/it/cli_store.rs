//! `migrate`, `doctor`, and where the store lies.

use insta::assert_snapshot;

use crate::cli_support::{CHAIN, Place};

#[test]
fn migrations_are_listed_and_applied() {
    let place = Place::new(&[]);
    let all = [vec!["migrate", "--status"], vec!["migrate"], vec!["migrate"], vec!["migrate", "--status"]]
        .map(|arguments| place.transcript(&arguments))
        .join("\n");
    place.tables().bind(|| assert_snapshot!(all));
    let steps = place.json(&["migrate", "--status", "--json"]);
    assert!(steps["migrations"].as_array().unwrap().iter().all(|step| step["applied"] == true), "{steps}");
}

#[test]
fn doctor_says_what_is_there_and_what_is_not() {
    let place = Place::new(&[("workflows/chain.yaml", CHAIN)]);
    let mut settings = place.tables();
    settings.add_filter(r"[0-9]+ MiB free of [0-9]+ MiB", "[MEMORY]");
    settings.add_filter(r"[0-9]+ GiB free|[0-9]+ MiB free", "[FREE]");
    settings.add_filter(r"[0-9]+ task types", "[N] task types");
    settings.bind(|| assert_snapshot!("doctor_without_a_project", place.transcript(&["doctor"])));
    place.write(
        "updraft.yaml",
        "server: {listen: ['127.0.0.1:0']}\nprofiles: {embedded: {connections: {lake: {kind: lake, nonsense: 1}}}}\n",
    );
    assert_eq!(place.updraft(&["run", "workflows/chain.yaml"]).code(), Some(0));
    settings.bind(|| assert_snapshot!("doctor_with_a_wrong_connection", place.transcript(&["doctor"])));
}

#[test]
fn the_store_is_chosen_by_flag_then_environment_then_project() {
    let place = Place::new(&[("chain.yaml", CHAIN)]);
    assert_eq!(place.updraft(&["run", "chain.yaml", "--store", "sqlite:flag/runs.db"]).code(), Some(0));
    assert!(place.path("flag/runs.db").exists() && !place.path(".updraft/updraft.db").exists());
    let finished = place.program(&["run", "chain.yaml"]).env("UPDRAFT_STORE", "sqlite:env.db").run().unwrap();
    assert_eq!(finished.code(), Some(0), "{}", finished.err);
    assert!(place.path("env.db").exists() && !place.path(".updraft/updraft.db").exists());
    assert_eq!(place.updraft(&["run", "chain.yaml"]).code(), Some(0));
    assert!(place.path(".updraft/updraft.db").exists());
    let all = [vec!["runs", "--store", "mysql://u:secret@h/d"], vec!["runs", "--store", "sqlite:"]]
        .map(|arguments| place.transcript(&arguments))
        .join("\n");
    assert_snapshot!(all);
    assert!(!all.split("── stderr").nth(1).unwrap().contains("secret"), "{all}");
}

#[test]
fn a_wrong_project_file_is_told_with_its_place() {
    let place = Place::new(&[("updraft.yaml", "workflows: [a]\nprofile: {}\n")]);
    place.settings().bind(|| assert_snapshot!(place.transcript(&["check"])));
}

#[test]
fn variables_stand_over_profiles() {
    let project = "profiles: {embedded: {connections: {a-b: {kind: lake, url: x}}}}\n";
    let place = Place::new(&[("updraft.yaml", project), ("workflows/chain.yaml", CHAIN)]);
    let all = [("UPDRAFT_CONN_A_B__NONSENSE", "1"), ("UPDRAFT_CONN_NOBODY__URL", "1")]
        .map(|(name, value)| {
            let finished = place.program(&["check"]).env(name, value).run().unwrap();
            format!("{name}={value} {}", crate::cli_support::transcript(&["check"], &finished))
        })
        .join("\n");
    place.settings().bind(|| assert_snapshot!(all));
}
