//! Random graphs, random results, random orders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use updraft_model::effects::Effects;
use updraft_model::event::Event;
use updraft_model::graph::Compiled;
use updraft_model::id::{TaskId, TaskKey};
use updraft_model::input::{AttemptResult, Halted, Input, Reject, Retryable};
use updraft_model::record::{Dispatch, RunRow, TaskRunRow};
use updraft_model::retry::RetryPolicy;
use updraft_model::run::{Limits, Run, Snapshot};
use updraft_model::state::{Cause, DispatchWhy, FinalState, RunState};
use updraft_model::trigger_rule::TriggerRule;
use updraft_model::workflow::Workflow;

use super::oracle::{self, Answer};
use super::support::{Driven, compiled, create, facts, task, workflow};

/// A random task: which of the tasks before it are its upstreams (bits), its rule, and its leniences.
#[derive(Debug, Clone)]
struct Plan {
    upstreams: u16,
    rule: usize,
    allow_failure: bool,
    retries: u32,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let plan = (any::<u16>(), any::<u16>(), 0..12_usize, any::<bool>(), 0..3_u32).prop_map(
        |(dense, thin, rule, allow_failure, retries)| Plan { upstreams: dense & thin, rule, allow_failure, retries },
    );
    proptest::collection::vec(plan, 1..12)
}

fn built(plans: &[Plan], max_active_tasks: Option<u32>) -> Workflow {
    let names: Vec<String> = (0..plans.len()).map(|n| format!("t{n}")).collect();
    let tasks = plans
        .iter()
        .enumerate()
        .map(|(n, plan)| {
            let upstreams: Vec<&str> =
                (0..n).filter(|up| plan.upstreams & (1 << up) != 0).map(|up| names[up].as_str()).collect();
            let mut task = task(&names[n], &upstreams);
            task.trigger_rule = TriggerRule::ALL[plan.rule];
            task.allow_failure = plan.allow_failure;
            task.retry = RetryPolicy { limit: plan.retries, ..RetryPolicy::default() };
            task
        })
        .collect();
    Workflow { max_active_tasks, ..workflow(tasks) }
}

/// A small generator of choices, so that a failing case is one number.
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// The same for the same attempt of the same seed, whatever came before.
fn result_of(seed: u64, task: &str, dispatch_no: u32) -> AttemptResult {
    let hash = blake3::hash(format!("{seed}/{task}/{dispatch_no}").as_bytes());
    let message = "said so".to_owned();
    match hash.as_bytes()[0] % 10 {
        0..=3 => AttemptResult::Succeeded { bytes: 0 },
        4 => AttemptResult::Skipped { reason: message },
        5 => AttemptResult::Failed { class: "A".into(), message, retryable: Retryable::Never },
        6 => AttemptResult::Failed { class: "B".into(), message, retryable: Retryable::YES },
        7 => AttemptResult::TimedOut { message },
        8 => AttemptResult::Panicked { message },
        _ => AttemptResult::Lost { cause: Cause::WorkerDied, message: String::new() },
    }
}

/// Rows as a store would keep them, fed with [`Effects`] only.
#[derive(Default)]
struct Rows {
    task_runs: BTreeMap<TaskKey, TaskRunRow>,
    work: BTreeMap<TaskKey, Dispatch>,
}

impl Rows {
    fn write(&mut self, effects: &Effects) {
        for key in &effects.removed {
            assert!(self.work.remove(key).is_some(), "{key} had a row in `work`");
        }
        for row in &effects.task_runs {
            let before = self.task_runs.insert(row.key.clone(), row.clone());
            assert_eq!(before, None, "{} ends once", row.key);
        }
        for row in &effects.dispatched {
            self.work.insert(row.dispatch.key.clone(), row.dispatch.clone());
        }
    }

    fn load(&self, run: &Run, limits: Limits) -> Run {
        let snapshot = Snapshot {
            row: RunRow {
                facts: facts(),
                projection: run.projection().clone(),
                version: run.version(),
                stamp: run.stamp(),
            },
            only: run.only().map(<[TaskId]>::to_vec),
            events: run.events(),
            task_runs: self.task_runs.values().cloned().collect(),
            dispatched: self.work.values().cloned().collect(),
        };
        Run::load(Arc::clone(run.compiled()), snapshot, limits).expect("rows that fit")
    }
}

/// Everything that must hold after a commit.
fn check(driven: &Driven, rows: &mut Rows, events: &[Event], limits: Limits) {
    let run = &driven.run;
    let effects = Effects::of(run, events);
    rows.write(&effects);
    assert_eq!(&effects.run, run.projection());
    assert_eq!(rows.load(run, limits), *run, "rows hold the whole state");
    assert_eq!(driven.replayed(limits), *run, "events hold the whole state");
    assert!(run.dispatched() <= run.width());
    assert_eq!(usize::try_from(run.dispatched()).unwrap(), rows.work.len());
    if run.projection().state == RunState::Running {
        let starved = run.startable().next().is_some() && run.dispatched() < run.width();
        assert!(!starved, "a free place is filled by the same commit");
    }
    if run.projection().state.is_final() {
        assert_eq!((run.open(), run.dispatched()), (0, 0));
    }
}

/// Starts and ends follow from the states of direct upstreams at that moment, as the oracle sees them.
fn check_history(compiled: &Compiled, log: &[(updraft_model::time::Timestamp, Vec<Event>)]) {
    let mut states: BTreeMap<TaskId, FinalState> = BTreeMap::new();
    let mut started = BTreeSet::new();
    let mut stopping = false;
    let answer = |task: &TaskId, states: &BTreeMap<TaskId, FinalState>| {
        let task = compiled.workflow.task(task.as_str()).unwrap();
        let upstreams: Vec<_> = task.depends_on.iter().map(|id| states.get(id).copied()).collect();
        oracle::judge(task.trigger_rule, &upstreams)
    };
    for event in log.iter().flat_map(|(_, events)| events) {
        match event {
            Event::TaskDispatched { subject, why, .. } => {
                assert!(!stopping, "nothing starts once the run is being stopped");
                if *why == DispatchWhy::First {
                    assert!(started.insert(subject.task.clone()), "{} starts once", subject.task);
                    assert_eq!(answer(&subject.task, &states), Answer::Start, "{} starts", subject.task);
                }
            }
            Event::TaskFinished { subject, state, .. } => {
                if !started.contains(&subject.task) {
                    let answer =
                        if stopping { Answer::End(FinalState::Cancelled) } else { answer(&subject.task, &states) };
                    assert_eq!(answer, Answer::End(*state), "{} ends without a start", subject.task);
                }
                assert_eq!(states.insert(subject.task.clone(), *state), None, "{} ends once", subject.task);
            }
            Event::RunCancelRequested { .. } | Event::RunAborted { .. } => stopping = true,
            Event::RunCreated { .. }
            | Event::RunStarted {}
            | Event::RunFinished { .. }
            | Event::RunBroken { .. }
            | Event::RunRepaired { .. }
            | Event::AttemptEnded { .. } => {}
        }
    }
}

/// The outcome as the contract words it, task by task.
fn expected_outcome(driven: &Driven) -> RunState {
    let compiled = driven.run.compiled();
    let bad = |task: &TaskId| {
        matches!(driven.ended(task.as_str()), Some((FinalState::Failed | FinalState::UpstreamFailed, _)))
    };
    let mut excused: BTreeSet<&TaskId> = BTreeSet::new();
    let mut failed = false;
    for &position in compiled.graph.topological() {
        let task = compiled.task(position);
        if !bad(&task.id) {
            continue;
        }
        let because: Vec<_> = task.depends_on.iter().filter(|up| bad(up)).collect();
        let never_started = matches!(driven.ended(task.id.as_str()), Some((FinalState::UpstreamFailed, _)));
        if task.allow_failure || (never_started && because.iter().all(|up| excused.contains(up))) {
            excused.insert(&task.id);
        } else {
            failed = true;
        }
    }
    if failed { RunState::Failed } else { RunState::Succeeded }
}

fn finish(run: &Run, task: &str, seed: u64) -> Input {
    let key = TaskKey::of(task);
    let Some(updraft_model::run::Slot::Dispatched(numbers)) = run.slot_of(&key) else { panic!("not dispatched") };
    let result = result_of(seed, task, numbers.dispatch_no);
    Input::Finish { key, dispatch_no: numbers.dispatch_no, result, started_at: None, worker: None }
}

/// Runs to the end in an order that `choices` picks.
fn drive(workflow: Workflow, limits: Limits, seed: u64, choices: &mut Choices) -> Driven {
    let compiled = compiled(workflow);
    let (mut driven, mut rows) = (Driven::new(&compiled, limits), Rows::default());
    for input in [create(None), Input::Start] {
        let events = driven.give(input);
        check(&driven, &mut rows, &events, limits);
    }
    for _ in 0..1_000 {
        let dispatched = driven.dispatched();
        if dispatched.is_empty() {
            break;
        }
        let task = &dispatched[choices.below(dispatched.len())];
        let input = finish(&driven.run, task, seed);
        let events = driven.give(input.clone());
        check(&driven, &mut rows, &events, limits);
        let again = driven.try_give(input).unwrap_err();
        assert!(matches!(again, Reject::Fenced { .. } | Reject::RunOver(_)), "{again}");
    }
    check_history(&compiled, &driven.log);
    driven
}

fn endings(driven: &Driven) -> Vec<Option<(FinalState, Cause)>> {
    driven.run.compiled().workflow.tasks.iter().map(|task| driven.ended(task.id.as_str())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_ends_and_its_rows_and_events_agree(
        plans in plans(), width in proptest::option::of(1..4_u32), seed: u64, order: u64,
    ) {
        let driven = drive(built(&plans, width), Limits::default(), seed, &mut Choices(order));
        prop_assert!(driven.run.projection().state.is_final());
        prop_assert_eq!(driven.run.projection().state, expected_outcome(&driven));
        prop_assert!(endings(&driven).iter().all(Option::is_some));
    }

    #[test]
    fn the_order_of_finishes_does_not_change_how_tasks_end(
        plans in plans(), widths in (proptest::option::of(1..4_u32), proptest::option::of(1..4_u32)),
        seed: u64, orders: (u64, u64),
    ) {
        let one = drive(built(&plans, widths.0), Limits::default(), seed, &mut Choices(orders.0));
        let other = drive(built(&plans, widths.1), Limits::default(), seed, &mut Choices(orders.1));
        prop_assert_eq!(endings(&one), endings(&other));
        prop_assert_eq!(one.run.projection().state, other.run.projection().state);
    }

    #[test]
    fn two_independent_finishes_commute(plans in plans(), seed: u64, order: u64) {
        let mut driven = Driven::started(built(&plans, None));
        let mut choices = Choices(order);
        loop {
            let dispatched = driven.dispatched();
            if let [first, .., last] = dispatched.as_slice() {
                let both = [finish(&driven.run, first, seed), finish(&driven.run, last, seed)];
                let now = driven.now();
                let (mut there, mut back) = (driven.run.clone(), driven.run.clone());
                for input in &both {
                    there.step(input.clone(), now).unwrap();
                }
                for input in both.iter().rev() {
                    back.step(input.clone(), now).unwrap();
                }
                prop_assert_eq!(there, back);
            }
            if dispatched.is_empty() {
                break;
            }
            let input = finish(&driven.run, &dispatched[choices.below(dispatched.len())], seed);
            driven.give(input);
        }
    }

    #[test]
    fn many_finishes_may_share_a_commit(plans in plans(), seed: u64, order: u64, sizes in 1..5_usize) {
        let (limits, mut choices, mut rows) = (Limits::default(), Choices(order), Rows::default());
        let mut driven = Driven::new(&compiled(built(&plans, None)), limits);
        let now = driven.now();
        let mut inputs = vec![create(None), Input::Start];
        while !inputs.is_empty() {
            let mut events = Vec::new();
            for input in inputs.drain(..) {
                events.extend(driven.run.step(input, now).unwrap());
            }
            driven.run.committed(super::support::stamp(driven.log.len()));
            driven.log.push((now, events.clone()));
            check(&driven, &mut rows, &events, limits);
            let mut open = driven.dispatched();
            while !open.is_empty() && inputs.len() < sizes {
                let task = open.swap_remove(choices.below(open.len()));
                inputs.push(finish(&driven.run, &task, seed));
            }
        }
        prop_assert_eq!(driven.run.projection().state, expected_outcome(&driven));
        check_history(driven.run.compiled(), &driven.log);
    }

    #[test]
    fn a_stop_lets_nothing_start_and_ends_the_run(
        plans in plans(), width in proptest::option::of(1..4_u32), seed: u64, order: u64, steps in 0..8_usize, limit: bool,
    ) {
        let (limits, mut choices) = (Limits::default(), Choices(order));
        let (mut driven, mut rows) = (Driven::new(&compiled(built(&plans, width)), limits), Rows::default());
        for input in [create(None), Input::Start] {
            let events = driven.give(input);
            check(&driven, &mut rows, &events, limits);
        }
        for _ in 0..steps {
            let dispatched = driven.dispatched();
            if !dispatched.is_empty() {
                let input = finish(&driven.run, &dispatched[choices.below(dispatched.len())], seed);
                let events = driven.give(input);
                check(&driven, &mut rows, &events, limits);
            }
        }
        prop_assume!(!driven.run.projection().state.is_final());
        let (removed, executing): (Vec<_>, Vec<_>) =
            driven.dispatched().iter().map(|task| TaskKey::of(task.as_str())).partition(|_| choices.below(2) == 0);
        let halted = Halted { removed, executing };
        let events = driven.give(if limit {
            Input::Abort { cause: Cause::RunTimeout, halted }
        } else {
            Input::Cancel { by: "me".into(), reason: "enough".into(), halted }
        });
        check(&driven, &mut rows, &events, limits);
        for task in driven.dispatched() {
            let input = finish(&driven.run, &task, seed);
            let events = driven.give(input);
            check(&driven, &mut rows, &events, limits);
        }
        let ended = driven.run.projection();
        let expected = if limit {
            (RunState::Failed, Some(Cause::RunTimeout))
        } else {
            (RunState::Cancelled, Some(Cause::CancelRequested))
        };
        prop_assert_eq!((ended.state, ended.cause), expected);
        check_history(driven.run.compiled(), &driven.log);
    }

    #[test]
    fn a_run_of_chosen_tasks_is_a_run_of_the_workflow_without_the_others(
        plans in plans(), pick: u16, seed: u64, order: u64,
    ) {
        let whole = built(&plans, None);
        let chosen = format!("t{}", usize::from(pick) % plans.len());
        let full = compiled(whole.clone());
        let inside = full.graph.upstream_closure(full.graph.position(&chosen));
        let mut part = whole.clone();
        part.tasks = whole.tasks.iter().zip(&inside).filter(|(_, inside)| **inside).map(|(t, _)| t.clone()).collect();

        let mut driven = Driven::new(&full, Limits::default());
        driven.give(create(Some(&[&chosen])));
        driven.give(Input::Start);
        let mut choices = Choices(order);
        loop {
            let dispatched = driven.dispatched();
            if dispatched.is_empty() { break; }
            let input = finish(&driven.run, &dispatched[choices.below(dispatched.len())], seed);
            driven.give(input);
        }
        let alone = drive(part.clone(), Limits::default(), seed, &mut Choices(order));
        for task in &part.tasks {
            prop_assert_eq!(driven.ended(task.id.as_str()), alone.ended(task.id.as_str()));
        }
        prop_assert_eq!(driven.run.projection().state, alone.run.projection().state);
        prop_assert_eq!(driven.replayed(Limits::default()), driven.run);
    }
}
