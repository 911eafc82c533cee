//! What an attempt keeps for those after it: read by them, whatever became of its process, and refused to a zombie.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use updraft_engine::Engine;
use updraft_model::id::TaskKey;
use updraft_model::state::{Outcome, RunState};
use updraft_store::{StoreError, TaskStateKey};
use updraft_store_sqlite::SqliteReader;
use updraft_task::{Context, TaskError};

use crate::liveness::quick;
use crate::processes::{Worker, create, over};
use crate::support::{Place, config, detail, ended, memory, outcomes, postgres, sqlite, start, state_of, workflow};

/// Says in `<folder>/kept` what it found and what stands; then, as soon as `<folder>/late` is there, what became of another
/// value, which even an attempt that was stopped tries to put. The first attempt ends by `<folder>/again`, as a fault that
/// passes; every other one by itself.
pub async fn keep(folder: &str, ctx: &Context) -> Result<Value, TaskError> {
    let folder = std::path::PathBuf::from(folder);
    let no = ctx.attempt().dispatch_no;
    let found = ctx.state().get("who").await?;
    let stands = ctx.state().put_once("who", json!({ "first": no })).await?;
    say(&folder, &json!([no, found, stands]));
    let (late, place) = (ctx.clone(), folder.clone());
    tokio::spawn(async move {
        there(&place.join("late")).await;
        let put = late.state().put_once("late", json!(no)).await;
        say(&place, &json!([no, "late", put.map_err(|error| error.class())]));
    });
    if no == 1 {
        let again = folder.join("again");
        tokio::select! {
            () = there(&again) => return Err(TaskError::retry("Flaky", "not this time")),
            () = ctx.cancelled().cancelled() => return Err(TaskError::cancelled()),
        }
    }
    said(&folder, |lines| lines.iter().filter(|line| line[1] == "late").count() > 1).await;
    Ok(stands)
}

fn say(folder: &Path, line: &Value) {
    use std::io::Write;
    let mut kept = std::fs::File::options().create(true).append(true).open(folder.join("kept")).unwrap();
    kept.write_all(format!("{line}\n").as_bytes()).unwrap();
}

async fn there(path: &Path) {
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn said(folder: &Path, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let text = std::fs::read_to_string(folder.join("kept")).unwrap_or_default();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if wanted(&lines) {
            return lines;
        }
        assert!(Instant::now() < deadline, "said so far: {lines:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn keeps(folder: &Path) -> Value {
    json!([{
        "id": "t", "type": "act", "with": { "act": "keep", "argv": [folder] },
        "retry": {
            "limit": 2, "delay": "1ms", "backoff": "constant", "factor": 1.0, "max_delay": "1s", "jitter": 0.0,
        },
    }])
}

/// What the first attempt put stands for the second; what it wants to put afterwards is refused.
fn assert_said(mut lines: Vec<Value>) {
    lines.sort_by_key(Value::to_string);
    assert_eq!(
        lines,
        [
            json!([1, "late", { "Err": "Fenced" }]),
            json!([1, null, { "first": 1 }]),
            json!([2, "late", { "Ok": 2 }]),
            json!([2, { "first": 1 }, { "first": 1 }]),
        ]
    );
}

async fn a_second_attempt_reads_what_the_first_one_put(place: &Place) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let engine = Engine::start(config(place, folder)).await.unwrap();
    let mut handle = start(&engine, place, workflow(keeps(folder))).await;
    std::fs::write(folder.join("again"), "").unwrap();
    said(folder, |lines| lines.len() > 1).await;
    std::fs::write(folder.join("late"), "").unwrap();
    assert_eq!(state_of(&ended(&mut handle).await), RunState::Succeeded);
    assert_said(said(folder, |_| true).await);
    engine.shutdown().await;
    let detail = detail(place, handle.run_id()).await;
    assert_eq!(outcomes(&detail, "t"), [Outcome::Failed, Outcome::Succeeded]);
    let key = TaskStateKey { run_id: handle.run_id(), key: TaskKey::of("t"), generation: 0, name: "late".to_owned() };
    assert_eq!(place.store.task_state(&key).await.unwrap().as_deref(), Some("2"));
    let after = place.store.put_task_state(&key, detail.attempts[1].attempt_id, "3").await;
    assert!(matches!(after, Ok::<_, StoreError>(None)), "{after:?}");
}

#[tokio::test]
async fn a_second_attempt_reads_what_the_first_one_put_in_memory() {
    a_second_attempt_reads_what_the_first_one_put(&memory()).await;
}

#[tokio::test]
async fn a_second_attempt_reads_what_the_first_one_put_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let place = sqlite(folder.path()).await;
    a_second_attempt_reads_what_the_first_one_put(&place).await;
    place.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_reads_what_the_first_one_put_on_postgres() {
    let Some((place, _database)) = postgres().await else { return };
    a_second_attempt_reads_what_the_first_one_put(&place).await;
    place.store.close().await;
}

/// Killed right after it put: what it put was durable.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_put_is_read_after_it() {
    let Some((place, database)) = postgres().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let dying = Worker::start(database.url(), folder, &[]);
    let run = create(&place, folder, keeps(folder)).await;
    said(folder, |lines| !lines.is_empty()).await;
    let survivor = Worker::start(database.url(), folder, &[]);
    tokio::time::sleep(quick().settle + Duration::from_secs(1)).await;
    dying.signal(Signal::SIGKILL);
    let lines = said(folder, |lines| lines.len() > 1).await;
    assert_eq!(lines[1], json!([2, { "first": 1 }, { "first": 1 }]));
    // Nobody is left who could be refused.
    say(folder, &json!([1, "late", "died"]));
    std::fs::write(folder.join("late"), "").unwrap();
    assert_eq!(over(&place, run).await.run.row.projection.state, RunState::Succeeded);
    survivor.stop();
    place.store.close().await;
}

/// As above on a file, which the next process finds as the killed one left it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_put_into_a_file_is_read_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let place = sqlite(folder).await;
    let run = create(&place, folder, keeps(folder)).await;
    place.store.close().await;
    let url = format!("sqlite:{}", folder.display());
    let dying = Worker::start(&url, folder, &[]);
    said(folder, |lines| !lines.is_empty()).await;
    dying.signal(Signal::SIGKILL);
    drop(dying);
    let next = Worker::start(&url, folder, &[]);
    let lines = said(folder, |lines| lines.len() > 1).await;
    assert_eq!(lines[1], json!([2, { "first": 1 }, { "first": 1 }]));
    say(folder, &json!([1, "late", "died"]));
    std::fs::write(folder.join("late"), "").unwrap();
    let reader = std::sync::Arc::new(SqliteReader::open(folder.join("updraft.db")).await.unwrap());
    let seen = Place { reader, ..place };
    assert_eq!(over(&seen, run).await.run.row.projection.state, RunState::Succeeded);
    next.stop();
}

/// A process that was stopped and taken for dead comes back: what it wants to keep is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_comes_back_keeps_nothing() {
    let Some((place, database)) = postgres().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let zombie = Worker::start(database.url(), folder, &[]);
    let run = create(&place, folder, keeps(folder)).await;
    said(folder, |lines| !lines.is_empty()).await;
    let survivor = Worker::start(database.url(), folder, &[]);
    tokio::time::sleep(quick().settle + Duration::from_secs(1)).await;
    zombie.signal(Signal::SIGSTOP);
    crate::processes::age_lease(database.url(), zombie.number()).await;
    said(folder, |lines| lines.len() > 1).await;
    std::fs::write(folder.join("late"), "").unwrap();
    said(folder, |lines| lines.len() > 2).await;
    zombie.signal(Signal::SIGCONT);
    assert_said(said(folder, |lines| lines.len() > 3).await);
    assert_eq!(over(&place, run).await.run.row.projection.state, RunState::Succeeded);
    survivor.stop();
    place.store.close().await;
}
