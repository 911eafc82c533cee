//! A cancelled attempt leaves nothing running on the server.

use std::future::Future;
use std::time::{Duration, Instant};

use updraft_testkit::services::clickhouse;

use super::*;
use crate::{clickhouse::testing as on_clickhouse, postgres::testing as on_postgres};

const PROFILES: &str = "tiny:
  outputs:
    postgres:
      type: postgres
      host: \"{{ env_var('UPDRAFT_POSTGRES_HOST') }}\"
      port: \"{{ env_var('UPDRAFT_POSTGRES_PORT') | int }}\"
      user: \"{{ env_var('UPDRAFT_POSTGRES_USER') }}\"
      password: \"{{ env_var('DBT_ENV_SECRET_PASSWORD', '') }}\"
      dbname: \"{{ env_var('UPDRAFT_POSTGRES_DATABASE') }}\"
      schema: public
      application_name: \"{{ 'updraft ' ~ env_var('UPDRAFT_ATTEMPT_ID') }}\"
      threads: 2
    clickhouse:
      type: clickhouse
      host: \"{{ env_var('UPDRAFT_CLICKHOUSE_HOST') }}\"
      port: \"{{ env_var('UPDRAFT_CLICKHOUSE_PORT') | int }}\"
      user: \"{{ env_var('UPDRAFT_CLICKHOUSE_USER') }}\"
      password: \"{{ env_var('DBT_ENV_SECRET_PASSWORD') }}\"
      schema: \"{{ env_var('UPDRAFT_CLICKHOUSE_DATABASE') }}\"
      threads: 2
      custom_settings: {log_comment: \"{{ env_var('UPDRAFT_ATTEMPT_ID') }}\"}
";

/// The tiny project with one endless model, on a server.
fn endless(folder: &Path, target: &str, model: &str) -> TestRun {
    let run = project(folder);
    std::fs::write(folder.join("dbt/profiles.yml"), PROFILES).unwrap();
    let model = format!("{{{{ config(materialized='table') }}}} {model}");
    std::fs::write(folder.join("dbt/models/endless.sql"), model).unwrap();
    run.connect("dbt", json!({ "kind": "dbt", "project": "dbt", "target": target, "warehouse": "warehouse" }));
    run
}

/// Cancels the attempt once `begun`, and says how long it took to stop.
async fn cancelled(run: &TestRun, attempt: u32, begun: impl Future<Output = ()>) -> Duration {
    let context = run.context("run", attempt, None);
    let work = DbtRun::run(serde_json::from_value(json!({ "select": "endless" })).unwrap(), &context);
    let cancel = async {
        begun.await;
        run.cancel();
        Instant::now()
    };
    let (result, since) = tokio::join!(work, cancel);
    assert_eq!(result.unwrap_err().class(), "Cancelled");
    let lines: Vec<String> = run.lines().into_iter().map(|(_, line)| line).collect();
    assert!(lines.iter().any(|line| line == "nothing of this attempt runs on `warehouse` any more"), "{lines:#?}");
    since.elapsed()
}

#[tokio::test]
async fn a_query_in_postgres_ends_with_its_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let run = endless(folder.path(), "postgres", "select count(*) as n from generate_series(1, 1000000000000) as a\n");
    if !installed(&run) {
        return;
    }
    let Some(database) = updraft_testkit::postgres::fresh_database().unwrap() else { return };
    on_postgres::connect(&run, "warehouse", database.url());
    // Attempts of other tests may run on the same server.
    let attempt = 710_001;
    let name = format!("updraft {}", run.context("run", attempt, None).attempt().attempt_id);
    let active = format!(
        "select count(*) > 0 from pg_stat_activity where application_name = '{name}' and query like '%generate_series%'"
    );
    let took = Box::pin(cancelled(&run, attempt, on_postgres::until(database.url(), &active))).await;
    let left = format!("select count(*)::text from pg_stat_activity where application_name = '{name}'");
    assert_eq!(on_postgres::texts(database.url(), &left).await, ["0"]);
    assert!(took < Duration::from_secs(9), "{took:?}");
}

#[tokio::test]
async fn a_query_in_clickhouse_ends_with_its_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let run = endless(
        folder.path(),
        "clickhouse",
        "select count() as n from numbers(1000000000000) where sipHash64(number) % 7 = 1\n",
    );
    if !installed(&run) {
        return;
    }
    let Some(database) = clickhouse::fresh_database().unwrap() else { return };
    on_clickhouse::connect(&run, "warehouse", database.address(), database.name());
    let attempt = 710_002;
    let id = run.context("run", attempt, None).attempt().attempt_id;
    let running = format!("select count() > 0 from system.processes where Settings['log_comment'] = '{id}'");
    let took = Box::pin(cancelled(&run, attempt, on_clickhouse::until(database.address(), &running))).await;
    assert_eq!(database.address().query(&running).unwrap(), "0");
    assert!(took < Duration::from_secs(9), "{took:?}");
}

#[tokio::test]
async fn a_warehouse_that_is_a_lake_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = endless(folder.path(), "postgres", "select 1 as n\n");
    run.connect("warehouse", json!({ "kind": "warehouse", "engine": "lake" }));
    let program = folder.path().join("never");
    std::fs::write(&program, "").unwrap();
    run.connect("dbt", json!({ "kind": "dbt", "project": "dbt", "executable": "./never", "warehouse": "warehouse" }));
    let error = DbtTest::run(params(json!({})), &run.context("t", 1, None)).await.unwrap_err();
    assert_eq!(error.class(), "BadConnection");
    assert!(error.message().contains("engine: postgres"), "{error}");
}
