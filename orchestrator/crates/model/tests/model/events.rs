//! Events as they are stored: frozen from their first release on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use updraft_model::effects::Effects;
use updraft_model::event::Event;
use updraft_model::graph::Compiled;
use updraft_model::id::TaskKey;
use updraft_model::input::{AttemptResult, Halted, Input, Mark, Retry, RetryWhat};
use updraft_model::record::{ClearedRow, Dispatch, RunFacts, RunProjection, TaskRunRow};
use updraft_model::run::{Commit, Limits, Run};
use updraft_model::state::{Cause, FinalState, Place};
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;

use super::support::{
    Driven, compiled, create, expand, facts, fail, mark, ok, retry, retryable, skip, stamp, standing, task, workflow,
};

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "a handful of lines in a test")]
enum Line {
    Run {
        name: String,
        workflow: Workflow,
        facts: RunFacts,
    },
    Commit {
        version: u64,
        at: Timestamp,
        events: Vec<Event>,
    },
    Rows {
        run: RunProjection,
        task_runs: Vec<TaskRunRow>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        cleared: Vec<ClearedRow>,
        work: Vec<Dispatch>,
    },
}

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events_v1.jsonl")
}

fn rows(driven: &Driven) -> Line {
    let all: Vec<Event> = driven.log.iter().flat_map(|(_, events)| events.clone()).collect();
    let effects = Effects::of(&driven.run, &all);
    Line::Rows {
        run: effects.run,
        task_runs: effects.task_runs,
        cleared: effects.cleared,
        work: effects.dispatched.into_iter().map(|row| row.dispatch).collect(),
    }
}

fn lines(name: &str, driven: &Driven) -> Vec<Line> {
    let workflow = (*driven.run.compiled().workflow).clone();
    let mut lines = vec![Line::Run { name: name.to_owned(), workflow, facts: facts() }];
    lines.extend(driven.log.iter().enumerate().map(|(n, (at, events))| Line::Commit {
        version: n as u64 + 1,
        at: *at,
        events: events.clone(),
    }));
    lines.push(rows(driven));
    lines
}

/// Runs that together write every kind and every field.
fn histories() -> Vec<Line> {
    let diamond = || {
        let mut tasks =
            vec![task("a", &[]), task("b", &["a"]), task("c", &["a"]), task("d", &["b", "c"]), task("e", &["b"])];
        tasks[1].retry.limit = 1;
        workflow(tasks)
    };
    let mut all = Vec::new();

    let mut whole = Driven::started(diamond());
    whole.finish("a", ok());
    whole.finish("b", retryable("Busy", 60_000));
    whole.finish("c", AttemptResult::Lost { cause: Cause::WorkerDied, message: String::new() });
    whole.finish("c", skip());
    whole.finish("b", fail());
    all.extend(lines("failed, with a retry, a loss and a skip", &whole));

    let mut cancelled = Driven::started(diamond());
    cancelled.finish("a", ok());
    let halted = Halted { removed: vec![TaskKey::of("b")], executing: vec![TaskKey::of("c")] };
    cancelled.give(Input::Cancel { by: "me".into(), reason: "enough".into(), halted });
    cancelled.finish("c", AttemptResult::Cancelled);
    all.extend(lines("cancelled", &cancelled));

    let mut timed = Driven::new(&compiled(diamond()), Limits::default());
    timed.give(create(Some(&["b"])));
    timed.give(Input::Start);
    timed.finish("a", ok());
    let halted = Halted { executing: vec![TaskKey::of("b")], ..Halted::default() };
    timed.give(Input::Abort { cause: Cause::RunTimeout, halted });
    timed.finish("b", AttemptResult::TimedOut { message: "cut off".into() });
    all.extend(lines("a chosen task, past the time of the run", &timed));

    let mut open = Driven::started(diamond());
    open.give(Input::Break { code: "E_STRIKES".into(), detail: "three strikes".into() });
    open.give(Input::Repair { by: "me".into() });
    open.finish("a", AttemptResult::Panicked { message: "index out of bounds".into() });
    all.extend(lines("broken and repaired", &open));

    let mut running = Driven::started(diamond());
    running.finish("a", ok());
    running.finish("b", AttemptResult::TimedOut { message: "took 3 s".into() });
    all.extend(lines("under way", &running));

    let mut again = Driven::started(diamond());
    again.finish("a", ok());
    again.finish("c", fail());
    again.give(Input::Retry(Box::new(Retry {
        work: vec![standing("b", Place::Executing)],
        ..retry(RetryWhat::Failed, &[])
    })));
    again.finish("c", ok());
    again.finish("b", fail());
    again.give(Input::Retry(Box::new(Retry { queue: Some("default".into()), ..retry(RetryWhat::Failed, &[]) })));
    again.finish("b", ok());
    again.finish("d", fail());
    let work = vec![standing("e", Place::Executing)];
    again.give(Input::Mark(Box::new(Mark { work, ..mark(FinalState::Succeeded, Some(&["d", "e"])) })));
    all.extend(lines("cleared, re-opened, marked", &again));

    let mut waiting = Driven::started(diamond());
    waiting.finish("a", ok());
    waiting.finish("b", fail());
    waiting.finish("c", ok());
    let mut all_again = retry(RetryWhat::All, &[]);
    all_again.reason = "bad input".into();
    waiting.give(Input::Retry(Box::new(all_again)));
    all.extend(lines("re-opened as a whole, under way", &waiting));

    let mut queued = Driven::started(diamond());
    queued.finish("a", ok());
    queued.finish("b", fail());
    queued.finish("c", fail());
    queued.give(Input::Retry(Box::new(Retry { waits: true, ..retry(RetryWhat::Tasks, &["b", "d", "e"]) })));
    queued.give(Input::Start);
    queued.finish("b", ok());
    all.extend(lines("re-opened, started when there was room", &queued));

    let mut mapped = Driven::new(&compiled(diamond()), Limits::default());
    mapped.give(create(None));
    mapped.give(expand("b", 3));
    mapped.give(Input::Start);
    mapped.finish("a", ok());
    mapped.finish("b[1]", retryable("Busy", 60_000));
    mapped.finish("b[0]", ok());
    mapped.finish("b[1]", fail());
    mapped.finish("c", ok());
    mapped.finish("b[2]", ok());
    mapped.give(Input::Retry(Box::new(retry(RetryWhat::Failed, &[]))));
    all.extend(lines("mapped, one instance of three again", &mapped));
    all
}

/// The file is written anew with `UPDRAFT_UPDATE_GOLDEN=1`, which is allowed until the first release only.
#[test]
fn this_build_writes_the_golden_histories() {
    let text: String = histories().iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
    if std::env::var_os("UPDRAFT_UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(golden().parent().unwrap()).unwrap();
        std::fs::write(golden(), &text).unwrap();
    }
    let kept = std::fs::read_to_string(golden()).unwrap();
    for (number, (kept, written)) in kept.lines().zip(text.lines()).enumerate() {
        assert_eq!(kept, written, "line {}", number + 1);
    }
    assert_eq!(kept.lines().count(), text.lines().count());
}

#[test]
fn golden_histories_replay_to_the_rows_that_were_written() {
    let text = std::fs::read_to_string(golden()).unwrap();
    let mut run: Option<Run> = None;
    let mut work = BTreeMap::new();
    let mut task_runs = BTreeMap::new();
    let mut cleared = BTreeMap::new();
    let mut runs = 0;
    for (number, line) in text.lines().enumerate() {
        let line: Line = serde_json::from_str(line).unwrap_or_else(|error| panic!("line {}: {error}", number + 1));
        match line {
            Line::Run { workflow, facts, .. } => {
                let compiled = Arc::new(Compiled::new(workflow).unwrap());
                run = Some(Run::unborn(compiled, facts, Limits::default()));
                work.clear();
                task_runs.clear();
                cleared.clear();
            }
            Line::Commit { version, at, events } => {
                let run = run.as_mut().expect("a run line comes first");
                run.catch_up(&Commit { version, stamp: stamp(0), at, events: &events }).unwrap();
                let effects = Effects::of(run, &events);
                for key in &effects.removed {
                    work.remove(key);
                }
                work.extend(effects.dispatched.into_iter().map(|row| (row.dispatch.key.clone(), row.dispatch)));
                for row in effects.cleared {
                    task_runs.remove(&row.key);
                    cleared.insert(row.key.clone(), row);
                }
                for row in effects.task_runs {
                    cleared.remove(&row.key);
                    task_runs.insert(row.key.clone(), row);
                }
            }
            Line::Rows { run: projection, task_runs: expected, cleared: anew, work: dispatched } => {
                let run = run.as_ref().expect("a run line comes first");
                assert_eq!(*run.projection(), projection, "line {}", number + 1);
                let by_key: BTreeMap<_, _> = expected.into_iter().map(|row| (row.key.clone(), row)).collect();
                assert_eq!(task_runs, by_key, "line {}", number + 1);
                let by_key: BTreeMap<_, _> = anew.into_iter().map(|row| (row.key.clone(), row)).collect();
                assert_eq!(cleared, by_key, "line {}", number + 1);
                let by_key: BTreeMap<_, _> = dispatched.into_iter().map(|row| (row.key.clone(), row)).collect();
                assert_eq!(work, by_key, "line {}", number + 1);
                runs += 1;
            }
        }
    }
    assert_eq!(runs, 9);
}

#[test]
fn golden_histories_hold_every_kind_and_every_field() {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in std::fs::read_to_string(golden()).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for event in line["events"].as_array().into_iter().flatten() {
            let fields = event.as_object().unwrap().keys().filter(|key| *key != "k").cloned();
            found.entry(event["k"].as_str().unwrap().to_owned()).or_default().extend(fields);
        }
    }
    let expected = json!({
        "attempt_ended": ["bytes", "cause", "class", "d", "i", "message", "outcome", "started_at", "t", "worker"],
        "run_aborted": ["cause"],
        "run_broken": ["code", "detail"],
        "run_cancel_requested": ["by", "reason"],
        "run_created": ["by", "conf_sha256", "interval", "logical_at", "only", "priority", "run_key", "trigger", "version_id", "workflow"],
        "run_finished": ["cause", "outcome"],
        "run_reopened": ["by", "generation", "queue", "reason", "tasks", "version_id", "waits"],
        "run_repaired": ["by"],
        "run_started": [],
        "task_cleared": ["by", "gen", "t"],
        "task_dispatched": ["d", "due", "gen", "i", "losses", "t", "try", "why"],
        "task_expanded": ["gen", "n", "t"],
        "task_finished": ["cause", "d", "i", "state", "t"],
        "task_set": ["by", "reason", "state", "t"],
    });
    assert_eq!(serde_json::to_value(found).unwrap(), expected);
}

#[test]
fn unknown_kinds_and_fields_are_refused() {
    for (text, what) in [
        (r#"{"k":"task_teleported","t":"a"}"#, "unknown variant"),
        (r#"{"k":"run_started","when":1}"#, "unknown field"),
        (r#"{"k":"task_finished","t":"a","state":"succeeded","cause":"task","extra":1}"#, "unknown field"),
        (r#"{"k":"task_finished","t":"a","state":"exploded","cause":"task"}"#, "unknown variant"),
        (r#"{"k":"attempt_ended","t":"a","d":1}"#, "missing field"),
        (r#"{"k":"run_repaired","by":"me","by":"you"}"#, "duplicate field"),
    ] {
        let error = serde_json::from_str::<Event>(text).expect_err(text).to_string();
        assert!(error.contains(what), "{text}: {error}");
    }
}

#[test]
fn a_mapped_instance_is_named_and_an_unmapped_task_is_not() {
    let mapped = r#"{"k":"task_finished","t":"a","i":3,"state":"skipped","cause":"task"}"#;
    let plain = r#"{"k":"task_finished","t":"a","state":"skipped","cause":"task"}"#;
    for text in [mapped, plain] {
        let event: Event = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }
}
