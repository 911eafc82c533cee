//! Against the real program and a DuckDB file; skipped loudly where dbt is not installed.

use std::path::Path;

use serde_json::json;
use updraft_task::Verdict;
use updraft_task::testing::TestRun;

use super::*;

#[cfg(feature = "sql")]
mod cancelling;
mod commands;
#[cfg(feature = "sql")]
mod engines;
mod retry;

/// A project of one seed, two models and three tests in `folder/dbt`.
fn project(folder: &Path) -> TestRun {
    let write = |path: &str, text: &str| {
        let path = folder.join("dbt").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "dbt_project.yml",
        "name: tiny\nversion: '1.0.0'\nprofile: tiny\nflags: {send_anonymous_usage_stats: false}\n",
    );
    write(
        "profiles.yml",
        "tiny:\n  target: duckdb\n  outputs:\n    duckdb: {type: duckdb, path: \"{{ env_var('UPDRAFT_DUCKDB_PATH') }}\", threads: 1}\n",
    );
    write("seeds/numbers.csv", "n\n1\n2\n3\n");
    write("models/doubled.sql", "select n * 2 as n from {{ ref('numbers') }}\n");
    write(
        "models/broken.sql",
        "{{ config(enabled=var('broken', false)) }} select no_such_column from {{ ref('numbers') }}\n",
    );
    write(
        "models/schema.yml",
        "models:\n  - name: doubled\n    columns:\n      - name: n\n        data_tests:\n          - not_null\n          - accepted_values:\n              arguments: {values: [2, 4, 6], quote: false}\n",
    );
    write("tests/never_big.sql", "select * from {{ ref('doubled') }} where n > {{ var('big', 100) }}\n");
    let run = TestRun::new(folder);
    run.connect(
        "dbt",
        json!({ "kind": "dbt", "project": "dbt", "target": "duckdb", "duckdb_path": "w/warehouse.duckdb" }),
    );
    run
}

fn installed(run: &TestRun) -> bool {
    let connection: Dbt = run.context("probe", 1, None).connection().unwrap();
    match connection.program(&run.context("probe", 1, None)) {
        Ok(_) => true,
        Err(error) => {
            updraft_testkit::skip::report("dbt", error.message());
            false
        }
    }
}

fn params(value: Value) -> Params {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn models_and_tests_become_rows() {
    let folder = tempfile::tempdir().unwrap();
    let run = project(folder.path());
    if !installed(&run) {
        return;
    }
    let built = DbtRun::run(serde_json::from_value(json!({ "seed": true })).unwrap(), &run.context("run", 1, None))
        .await
        .unwrap();
    assert_eq!((built.models.ok, built.seeds.ok, built.tests.total), (1, 1, 0));
    let tested = DbtTest::run(params(json!({})), &run.context("test", 1, None)).await.unwrap();
    assert_eq!((tested.tests.total, tested.tests.ok), (3, 3));
    let mut kinds: Vec<String> = run.items().iter().map(|item| format!("{} {}", item.kind, item.state)).collect();
    kinds.sort();
    assert_eq!(kinds, ["dbt_model success", "dbt_seed success", "dbt_test pass", "dbt_test pass", "dbt_test pass"]);
    // While dbt ran, each node was shown when it began and when it ended.
    let shown: Vec<String> = run.live_items().iter().map(|item| format!("{} {}", item.name, item.state)).collect();
    assert_eq!(shown[..4], ["numbers running", "numbers success", "doubled running", "doubled success"]);
    assert_eq!(shown.len(), 10, "{shown:?}");
    assert!(folder.path().join("w/warehouse.duckdb").is_file());
    assert_eq!(tested.database.as_deref(), Some("w/warehouse.duckdb"));
    assert!(folder.path().join(".updraft/dbt/test/run/duckdb-partial_parse.msgpack").is_file());
    // Twice changes nothing and finds its way with the kept parse.
    let again = DbtRun::run(serde_json::from_value(json!({})).unwrap(), &run.context("run", 2, None)).await.unwrap();
    assert_eq!((again.models.ok, again.seeds.total), (1, 0));
}

#[tokio::test]
async fn failures_say_what_failed() {
    let folder = tempfile::tempdir().unwrap();
    let run = project(folder.path());
    if !installed(&run) {
        return;
    }
    let error =
        DbtBuild::run(params(json!({ "vars": { "big": 5 } })), &run.context("build", 1, None)).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("TestFailed", &Verdict::Fail));
    assert!(error.message().contains("never_big: Got 1 result"), "{error}");
    assert!(run.items().iter().any(|item| item.name == "never_big" && item.state == "fail"));
    let error =
        DbtBuild::run(params(json!({ "vars": { "broken": true } })), &run.context("build", 2, None)).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("ModelFailed", &Verdict::Retry { after: None }));
    assert!(error.message().contains("no_such_column"), "{error}");
}

#[tokio::test]
async fn nothing_executed_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let run = project(folder.path());
    if !installed(&run) {
        return;
    }
    let none = params(json!({ "select": "no_such_model" }));
    assert_eq!(DbtTest::run(none, &run.context("a", 1, None)).await.unwrap_err().class(), "NoNodes");
    let only_tests = serde_json::from_value(json!({ "select": "never_big" })).unwrap();
    assert_eq!(DbtRun::run(only_tests, &run.context("d", 1, None)).await.unwrap_err().class(), "NoNodes");
    let only_seed = params(json!({ "select": ["numbers"] }));
    assert_eq!(DbtBuild::run(only_seed, &run.context("b", 1, None)).await.unwrap_err().class(), "NoTests");
    run.connect(
        "dbt",
        json!({ "kind": "dbt", "project": "dbt", "target": "moon", "duckdb_path": "w/warehouse.duckdb" }),
    );
    let error = DbtTest::run(params(json!({})), &run.context("c", 1, None)).await.unwrap_err();
    assert_eq!(error.class(), "DbtUsage");
    assert!(error.message().contains("moon"), "{error}");
}

#[tokio::test]
async fn a_warehouse_that_another_process_holds_is_worth_another_try() {
    let folder = tempfile::tempdir().unwrap();
    let run = project(folder.path());
    if !installed(&run) {
        return;
    }
    let connection: Dbt = run.context("probe", 1, None).connection().unwrap();
    let python = connection.program(&run.context("probe", 1, None)).unwrap().with_file_name("python");
    std::fs::create_dir_all(folder.path().join("w")).unwrap();
    let hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()";
    let mut holder = std::process::Command::new(python)
        .args(["-c", hold])
        .arg(folder.path().join("w/warehouse.duckdb"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut line).unwrap();
    let error = DbtRun::run(serde_json::from_value(json!({ "seed": true })).unwrap(), &run.context("run", 1, None))
        .await
        .unwrap_err();
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!((error.class(), error.verdict()), ("Warehouse", &Verdict::Retry { after: None }), "{error}");
}

#[tokio::test]
async fn a_cancelled_attempt_stops_dbt_with_sigint_while_a_model_runs() {
    let folder = tempfile::tempdir().unwrap();
    let run = project(folder.path());
    if !installed(&run) {
        return;
    }
    // Longer than any test may take: only the signal ends it.
    std::fs::write(
        folder.path().join("dbt/models/endless.sql"),
        "{{ config(materialized='table') }} select count(*) as n from range(100000000) a, range(100000000) b \
         where a.range % 7 = b.range % 11\n",
    )
    .unwrap();
    let context = run.context("run", 1, None);
    let attempt = DbtRun::run(serde_json::from_value(json!({ "select": "endless" })).unwrap(), &context);
    tokio::pin!(attempt);
    let started =
        |run: &TestRun| run.lines().iter().any(|(_, line)| line.contains("START") && line.contains("endless"));
    loop {
        tokio::select! {
            ended = &mut attempt => panic!("it ended by itself: {:?}", ended.err()),
            () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {
                if started(&run) {
                    break;
                }
            }
        }
    }
    run.cancel();
    assert_eq!(attempt.await.unwrap_err().class(), "Cancelled");
    let items: Vec<(String, String)> = run.items().into_iter().map(|item| (item.name, item.state)).collect();
    // dbt's own last word, if it came to it.
    assert!(items.len() == 1 && matches!(items[0].1.as_str(), "error" | "interrupted"), "{items:?}");
    let lines: Vec<String> = run.lines().into_iter().map(|(_, line)| line).collect();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("KeyboardInterrupt") || line.contains("CANCEL") || line.contains("interrupted")),
        "{lines:#?}"
    );
}

#[tokio::test]
async fn an_artefact_of_an_earlier_call_is_never_read() {
    let folder = tempfile::tempdir().unwrap();
    let run = project(folder.path());
    let program = folder.path().join("silent-dbt");
    std::fs::write(&program, "#!/bin/sh\nexit 0\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    run.connect(
        "dbt",
        json!({ "kind": "dbt", "project": "dbt", "executable": "./silent-dbt", "duckdb_path": "w/warehouse.duckdb" }),
    );
    let context = run.context("test", 1, None);
    let target = context.attempt().scratch_dir.join("target");
    std::fs::create_dir_all(&target).unwrap();
    let stale = json!({ "results": [{ "unique_id": "test.p.a.1234567890", "status": "pass" }] });
    std::fs::write(target.join("run_results.json"), stale.to_string()).unwrap();
    let error = DbtTest::run(params(json!({})), &context).await.unwrap_err();
    assert_eq!(error.class(), "BadArtefact", "{error}");
}

#[tokio::test]
async fn the_ways_that_dbt_ends_have_their_classes() {
    let folder = tempfile::tempdir().unwrap();
    let run = project(folder.path());
    let program = folder.path().join("acting-dbt");
    run.connect(
        "dbt",
        json!({ "kind": "dbt", "project": "dbt", "executable": "./acting-dbt", "duckdb_path": "w/warehouse.duckdb" }),
    );
    for (end, class, again) in [
        (
            r#"echo '{"info":{"name":"MainEncounteredError","level":"error","msg":"Database Error: connection to server failed: Connection refused"}}'; exit 2"#,
            "Warehouse",
            true,
        ),
        (
            r#"echo '{"info":{"name":"MainEncounteredError","level":"error","msg":"Could not find profile named x"}}'; exit 2"#,
            "DbtUsage",
            false,
        ),
        ("kill -KILL $$", "Killed", true),
        ("exit 3", "DbtUsage", false),
    ] {
        std::fs::write(&program, format!("#!/bin/sh\n{end}\n")).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let error = DbtTest::run(params(json!({})), &run.context("test", 1, None)).await.unwrap_err();
        assert_eq!((error.class(), matches!(error.verdict(), Verdict::Retry { .. })), (class, again), "{error}");
    }
}

#[tokio::test]
async fn a_missing_project_or_program_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    run.connect("dbt", json!({ "kind": "dbt", "project": "nowhere", "executable": "bin/dbt" }));
    let error = DbtTest::run(params(json!({})), &run.context("t", 1, None)).await.unwrap_err();
    assert_eq!(error.class(), "BadConnection");
    assert!(error.message().contains("bin/dbt"), "{error}");
}
