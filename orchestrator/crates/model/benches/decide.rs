//! What one finish costs in the core: `decide` and `apply`, without any I/O. Must follow the out-degree of the task,
//! not the size of the run: the chain and the fan-out must come out alike per finish.

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use updraft_model::graph::Compiled;
use updraft_model::id::{RunId, TaskId, TaskKey, VersionId, WorkflowId};
use updraft_model::input::{AttemptResult, Input};
use updraft_model::record::RunFacts;
use updraft_model::run::{Limits, Run};
use updraft_model::state::Trigger;
use updraft_model::time::{DataInterval, Timestamp};
use updraft_model::workflow::Workflow;

/// A started run over tasks with these upstreams.
fn started(tasks: usize, upstream: impl Fn(usize) -> Option<usize>) -> Run {
    let tasks: Vec<_> = (0..tasks)
        .map(|n| {
            let depends_on: Vec<String> = upstream(n).map(|up| format!("t{up}")).into_iter().collect();
            serde_json::json!({
                "id": format!("t{n}"), "type": "noop", "depends_on": depends_on,
            })
        })
        .collect();
    let workflow = serde_json::json!({ "id": "bench", "max_active_runs": 1, "tasks": tasks });
    let workflow: Workflow = serde_json::from_value(workflow).expect("a workflow");
    let compiled = Arc::new(Compiled::new(workflow).expect("no cycle"));
    let zero = Timestamp::from_millis(0);
    let facts = RunFacts {
        run_id: RunId(uuid::Uuid::nil()),
        workflow_id: WorkflowId(1),
        version_id: VersionId(1),
        run_key: "bench".to_owned(),
        trigger: Trigger::Manual,
        logical_at: zero,
        interval: DataInterval { start: zero, end: zero },
        conf: "{}".to_owned(),
        queue: "bench".to_owned(),
        priority: 0,
        created_at: zero,
    };
    let mut run = Run::unborn(compiled, facts, Limits::default());
    let create = Input::Create { by: "bench".to_owned(), conf_sha256: String::new(), only: None };
    run.step(create, zero).expect("created");
    run.step(Input::Start, zero).expect("started");
    run
}

fn finish_all(run: &mut Run, keys: &[TaskKey]) {
    for key in keys {
        let input = Input::Finish {
            key: key.clone(),
            dispatch_no: 1,
            result: AttemptResult::Succeeded { bytes: 2 },
            started_at: None,
            worker: None,
        };
        run.step(input, Timestamp::from_millis(1)).expect("accepted");
    }
}

fn benches(criterion: &mut Criterion) {
    let keys =
        |tasks: usize| -> Vec<TaskKey> { (0..tasks).map(|n| TaskKey::of(TaskId::from(format!("t{n}")))).collect() };
    let mut group = criterion.benchmark_group("finish");
    let shapes = [
        ("chain of 1,000", started(1_000, |n| n.checked_sub(1)), keys(1_000)),
        ("fan-out of 10,000", started(10_001, |n| (n > 0).then_some(0)), keys(10_001)),
    ];
    for (name, run, keys) in shapes {
        group.throughput(Throughput::Elements(keys.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(|| run.clone(), |run| finish_all(run, &keys), BatchSize::LargeInput);
        });
    }
    group.finish();
}

criterion_group!(decide, benches);
criterion_main!(decide);
