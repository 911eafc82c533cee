//! Seeds, snapshots, freshness and documentation.

use super::*;
use crate::dbt::freshness::{Freshness, FreshnessReport};

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join("dbt").join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Asks the warehouse's file.
fn asked(run: &TestRun, query: &str) -> String {
    let probe = run.context("probe", 1, None);
    let python = probe.connection::<Dbt>().unwrap().program(&probe).unwrap().with_file_name("python");
    let script = "import duckdb, sys; print(duckdb.connect(sys.argv[1]).execute(sys.argv[2]).fetchall())";
    let file = run.folder().join("w/warehouse.duckdb");
    let output = std::process::Command::new(python).args(["-c", script]).arg(file).arg(query).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn seeds_are_loaded_and_snapshots_keep_what_was() {
    let folder = tempfile::tempdir().unwrap();
    let run = project(folder.path());
    if !installed(&run) {
        return;
    }
    write(
        folder.path(),
        "snapshots/history.yml",
        "snapshots:\n  - name: history\n    relation: ref('named')\n    config: {unique_key: n, strategy: check, check_cols: all}\n",
    );
    write(folder.path(), "seeds/named.csv", "n,name\n1,one\n2,two\n");
    let selection = serde_json::from_value(json!({ "select": "doubled" })).unwrap();
    let none = DbtSnapshot::run(selection, &run.context("x", 1, None)).await.unwrap_err();
    assert_eq!(none.class(), "NoNodes");
    let seeded = DbtSeed::run(params(json!({ "select": ["named"] })), &run.context("seed", 1, None)).await.unwrap();
    assert_eq!((seeded.seeds.ok, seeded.models.total, seeded.nodes[0].name.as_str()), (1, 0, "named"));
    let snapshot = || serde_json::from_value(json!({})).unwrap();
    let first = DbtSnapshot::run(snapshot(), &run.context("snapshot", 1, None)).await.unwrap();
    assert_eq!((first.snapshots.ok, first.seeds.total), (1, 0));
    write(folder.path(), "seeds/named.csv", "n,name\n1,one\n2,zwei\n");
    DbtSeed::run(params(json!({ "full_refresh": true })), &run.context("seed", 2, None)).await.unwrap();
    for attempt in [2, 3] {
        DbtSnapshot::run(snapshot(), &run.context("snapshot", attempt, None)).await.unwrap();
        // The second time nothing has changed, and nothing is kept.
        let rows = asked(&run, "select name, dbt_valid_to is null from main.history order by dbt_valid_from, name");
        assert_eq!(rows, "[('one', True), ('two', False), ('zwei', True)]");
    }
}

/// The freshness of tables whose newest rows are of some minutes ago.
async fn freshness(run: &TestRun, with: Value) -> Result<FreshnessReport, TaskError> {
    DbtSourceFreshness::run(serde_json::from_value(with).unwrap(), &run.context("fresh", 1, None)).await
}

#[tokio::test]
async fn sources_are_fresh_late_stale_or_cannot_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let run = project(folder.path());
    if !installed(&run) {
        return;
    }
    let limits = "{warn_after: {count: 20, period: minute}, error_after: {count: 1, period: hour}}";
    let table =
        |name| format!("      - name: {name}\n        config: {{loaded_at_field: seen_at, freshness: {limits}}}\n");
    let tables: String = ["fresh", "late", "stale", "empty", "missing"].map(table).concat();
    write(
        folder.path(),
        "models/sources.yml",
        &format!("sources:\n  - name: raw\n    schema: main\n    tables:\n{tables}"),
    );
    std::fs::create_dir_all(folder.path().join("w")).unwrap();
    for (table, minutes) in [("fresh", "1"), ("late", "30"), ("stale", "90"), ("empty", "null")] {
        let minutes = if minutes == "null" { "null::int".to_owned() } else { minutes.to_owned() };
        let rows =
            format!("select (now() at time zone 'UTC') - to_minutes({minutes}) as seen_at where {minutes} is not null");
        asked(&run, &format!("create table main.{table} as {rows}"));
    }
    let select = |names: &[&str]| names.iter().map(|name| format!("source:raw.{name}")).collect::<Vec<_>>();
    let report = freshness(&run, json!({ "select": select(&["fresh", "late"]) })).await.unwrap();
    assert_eq!((report.fresh, report.warned, report.stale), (1, 1, 0));
    let late = &report.sources[0];
    assert_eq!((late.name.as_str(), late.state), ("raw.late", Freshness::Warned));
    assert_eq!((late.warn_after_s, late.error_after_s), (Some(1_200), Some(3_600)));
    assert!((1_790.0..2_000.0).contains(&late.age_s.unwrap()), "{late:?}");
    assert_eq!(run.items().iter().filter(|item| item.kind == "dbt_source").count(), 2);
    let error = freshness(&run, json!({ "select": select(&["fresh", "stale"]) })).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("Stale", &Verdict::Retry { after: None }));
    assert!(error.message().contains("raw.stale"), "{error}");
    let allowed = freshness(&run, json!({ "select": select(&["fresh", "stale"]), "allow_stale": true })).await.unwrap();
    assert_eq!((allowed.fresh, allowed.stale), (1, 1));
    let error =
        freshness(&run, json!({ "select": select(&["fresh", "missing"]), "allow_stale": true })).await.unwrap_err();
    assert_eq!(error.class(), "SourceFailed", "{error}");
    assert!(error.message().contains("missing"), "{error}");
    let empty = freshness(&run, json!({ "select": select(&["empty"]) })).await.unwrap_err();
    assert_eq!(empty.class(), "Stale", "{empty}");
    assert!(empty.message().contains("raw.empty: it has no rows"), "{empty}");
    let none = freshness(&run, json!({ "select": "doubled" })).await.unwrap_err();
    assert_eq!(none.class(), "NoNodes", "{none}");
}

#[tokio::test]
async fn documentation_goes_into_the_lake() {
    let folder = tempfile::tempdir().unwrap();
    let run = project(folder.path());
    if !installed(&run) {
        return;
    }
    DbtBuild::run(params(json!({})), &run.context("build", 1, None)).await.unwrap();
    let docs = |attempt| {
        let context = run.context("docs", attempt, None);
        async move { DbtDocs::run(serde_json::from_value(json!({})).unwrap(), &context).await.unwrap() }
    };
    let report = docs(1).await;
    assert_eq!((report.nodes, report.sources, report.errors.len()), (2, 0, 0));
    let lake = run.context("x", 1, None).lake().unwrap();
    let catalog: Value = serde_json::from_slice(&lake.read(&report.catalog).await.unwrap()).unwrap();
    assert_eq!(catalog["nodes"]["model.tiny.doubled"]["columns"]["n"]["index"], 1);
    let manifest: Value = serde_json::from_slice(&lake.read(&report.manifest).await.unwrap()).unwrap();
    assert!(manifest["nodes"]["model.tiny.doubled"].is_object());
    assert!(lake.read(&report.index).await.unwrap().starts_with(b"<!doctype html>"));
    // Again: the same places.
    let again = docs(2).await;
    assert_eq!((again.catalog.uri, again.index.uri), (report.catalog.uri, report.index.uri));
}
