//! A repeated attempt runs again what failed, and only where the attempt before can be trusted.

use super::*;

/// The tiny project with a model that fails while its file is missing, and one that reads it.
fn flaky(folder: &Path) -> TestRun {
    let run = project(folder);
    let file = folder.join("late.csv").display().to_string();
    std::fs::write(folder.join("dbt/models/late.sql"), format!("select n from read_csv('{file}')\n")).unwrap();
    std::fs::write(folder.join("dbt/models/after.sql"), "select n from {{ ref('late') }}\n").unwrap();
    run
}

fn late(folder: &Path) {
    std::fs::write(folder.join("late.csv"), "n\n7\n").unwrap();
}

async fn build(run: &TestRun, attempt: u32, with: Value) -> Result<Output, TaskError> {
    DbtBuild::run(params(with), &run.context("build", attempt, None)).await
}

/// The subcommands that were called so far.
fn called(run: &TestRun) -> Vec<String> {
    let lines = run.lines().into_iter().filter_map(|(_, line)| line.strip_prefix("dbt ").map(str::to_owned));
    lines.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn only_what_failed_is_run_again_and_the_rest_is_reused() {
    let folder = tempfile::tempdir().unwrap();
    let run = flaky(folder.path());
    if !installed(&run) {
        return;
    }
    assert_eq!(build(&run, 1, json!({})).await.unwrap_err().class(), "ModelFailed");
    // Once more in vain: what the first attempt did is known to the third, too.
    assert_eq!(build(&run, 2, json!({})).await.unwrap_err().class(), "ModelFailed");
    late(folder.path());
    let output = build(&run, 3, json!({})).await.unwrap();
    assert_eq!(called(&run), ["build", "retry", "retry"]);
    let of = |total, reused| Counts { total, ok: total, reused, ..Counts::default() };
    assert_eq!((output.models, output.seeds, output.tests), (of(3, 1), of(1, 1), of(3, 3)));
    let words: Vec<(&str, &str)> =
        output.nodes.iter().map(|node| (node.name.as_str(), node.word.as_str())).take(3).collect();
    assert_eq!(words[..2], [("after", "success"), ("late", "success")]);
    assert_eq!(words[2].1, "reused");
    let last = run.items().into_iter().rev().take(7).filter(|item| item.state == "reused").count();
    assert_eq!(last, 5);
}

#[tokio::test]
async fn another_question_or_a_lost_attempt_runs_everything() {
    let folder = tempfile::tempdir().unwrap();
    let run = flaky(folder.path());
    if !installed(&run) {
        return;
    }
    build(&run, 1, json!({})).await.unwrap_err();
    // The second attempt is lost: whatever it did after the first is unknown.
    build(&run, 3, json!({})).await.unwrap_err();
    build(&run, 4, json!({ "exclude": "doubled" })).await.unwrap_err();
    late(folder.path());
    let output = build(&run, 5, json!({ "select": "late" })).await.unwrap_err();
    assert_eq!(output.class(), "NoTests");
    assert_eq!(called(&run), ["build", "build", "build", "build"]);
}

#[tokio::test]
async fn a_project_that_has_lost_the_node_meanwhile_is_built_whole() {
    let folder = tempfile::tempdir().unwrap();
    let run = flaky(folder.path());
    if !installed(&run) {
        return;
    }
    build(&run, 1, json!({})).await.unwrap_err();
    for model in ["late", "after"] {
        std::fs::remove_file(folder.path().join(format!("dbt/models/{model}.sql"))).unwrap();
    }
    let output = build(&run, 2, json!({})).await.unwrap();
    assert_eq!((output.models.ok, output.tests.ok), (1, 3));
    assert!(output.nodes.iter().all(|node| node.word != "late"));
}

#[tokio::test]
async fn results_that_are_gone_from_the_lake_run_everything() {
    let folder = tempfile::tempdir().unwrap();
    let run = flaky(folder.path());
    if !installed(&run) {
        return;
    }
    build(&run, 1, json!({})).await.unwrap_err();
    let lake = run.context("x", 1, None).lake().unwrap();
    let kept = lake.list("dbt/run_results").await.unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    lake.delete(&kept[0].0).await.unwrap();
    late(folder.path());
    assert_eq!(build(&run, 2, json!({})).await.unwrap().models.reused, 0);
    assert_eq!(called(&run), ["build", "build"]);
}
