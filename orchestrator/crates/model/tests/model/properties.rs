//! Random graphs, random results, random orders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use updraft_model::effects::Effects;
use updraft_model::event::Event;
use updraft_model::graph::Compiled;
use updraft_model::id::{MapIndex, TaskId, TaskKey, VersionId};
use updraft_model::input::{AttemptResult, Halted, Input, Mark, Reject, Retry, RetryWhat, Retryable, Standing, Target};
use updraft_model::preview::preview;
use updraft_model::record::{ClearedRow, Dispatch, RunRow, TaskRunRow};
use updraft_model::retry::RetryPolicy;
use updraft_model::run::{Limits, Run, Snapshot, Versions};
use updraft_model::state::{Cause, DispatchWhy, FinalState, Place, RunState};
use updraft_model::trigger_rule::TriggerRule;
use updraft_model::workflow::Workflow;

use super::oracle::{self, Answer};
use super::support::{Driven, compiled, create, expand, facts, key, mark, retry, standing, task, workflow};

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
        4 if hash.as_bytes()[1].is_multiple_of(2) => AttemptResult::Unwanted { reason: message },
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
    cleared: BTreeMap<TaskKey, ClearedRow>,
    work: BTreeMap<TaskKey, Dispatch>,
}

impl Rows {
    fn write(&mut self, effects: &Effects, events: &[Event]) {
        let set: BTreeSet<TaskKey> = events
            .iter()
            .filter_map(|event| match event {
                Event::TaskSet { subject, .. } => Some(subject.key()),
                Event::TaskFinished { subject, state: FinalState::Removed, .. } => Some(subject.key()),
                _ => None,
            })
            .collect();
        for key in &effects.removed {
            self.work.remove(key);
        }
        for row in &effects.cleared {
            let generation = self.task_runs.remove(&row.key).map(|before| before.generation);
            let before = self.cleared.insert(row.key.clone(), row.clone()).map(|before| before.generation);
            let known = generation.or(before);
            // A mapped task has its row from its expansion on, in the generation that it is in.
            let expanded = row.expanded_n.is_some() && row.generation == known.unwrap_or_default();
            let anew = row.generation == known.unwrap_or_default() + 1;
            assert!(anew || expanded, "{} begins anew", row.key);
        }
        for row in &effects.task_runs {
            self.cleared.remove(&row.key);
            let before = self.task_runs.insert(row.key.clone(), row.clone());
            let anew = before.is_none_or(|before| before.generation < row.generation);
            assert!(anew || set.contains(&row.key), "{} ends once a generation", row.key);
        }
        for row in &effects.dispatched {
            self.work.insert(row.dispatch.key.clone(), row.dispatch.clone());
        }
    }

    fn load(&self, run: &Run, limits: Limits) -> Run {
        let snapshot = Snapshot {
            row: RunRow {
                facts: run.facts().clone(),
                projection: run.projection().clone(),
                version: run.version(),
                stamp: run.stamp(),
            },
            only: run.only().map(<[TaskId]>::to_vec),
            events: run.events(),
            task_runs: self.task_runs.values().cloned().collect(),
            cleared: self.cleared.values().cloned().collect(),
            dispatched: self.work.values().cloned().collect(),
        };
        Run::load(Arc::clone(run.compiled()), snapshot, limits).expect("rows that fit")
    }
}

/// Everything that must hold after a commit.
fn check(driven: &Driven, rows: &mut Rows, events: &[Event], limits: Limits) {
    let run = &driven.run;
    let effects = Effects::of(run, events);
    rows.write(&effects, events);
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
fn check_history(versions: &Versions, log: &[(updraft_model::time::Timestamp, Vec<Event>)]) {
    let mut compiled = versions.values().next().expect("a version");
    let mut states: BTreeMap<TaskId, FinalState> = BTreeMap::new();
    let mut started = BTreeSet::new();
    let mut mapped: BTreeSet<TaskId> = BTreeSet::new();
    let mut stopping = false;
    let answer = |compiled: &Compiled, task: &TaskId, states: &BTreeMap<TaskId, FinalState>| {
        let task = compiled.workflow.task(task.as_str()).unwrap();
        let upstreams: Vec<_> = task.depends_on.iter().map(|id| states.get(id).copied()).collect();
        oracle::judge(task.trigger_rule, &upstreams)
    };
    for event in log.iter().flat_map(|(_, events)| events) {
        // Instances start with their task's rule, and their ends are gathered by their task.
        if event.subject().is_some_and(|subject| subject.map_index != MapIndex::NONE) {
            if let Event::TaskDispatched { subject, why: DispatchWhy::First, .. } = event {
                assert!(!stopping, "nothing starts once the run is being stopped");
                assert_eq!(answer(compiled, &subject.task, &states), Answer::Start, "{} starts", subject.task);
            }
            continue;
        }
        match event {
            Event::TaskExpanded { task, .. } => {
                mapped.insert(task.clone());
            }
            Event::TaskDispatched { subject, why, .. } => {
                assert!(!stopping, "nothing starts once the run is being stopped");
                let first = match why {
                    DispatchWhy::First => true,
                    DispatchWhy::Manual => !started.contains(&subject.task),
                    DispatchWhy::Retry | DispatchWhy::Lost | DispatchWhy::Resume => false,
                };
                if first {
                    assert!(started.insert(subject.task.clone()), "{} starts once", subject.task);
                    assert_eq!(answer(compiled, &subject.task, &states), Answer::Start, "{} starts", subject.task);
                }
            }
            Event::TaskFinished { subject, state: FinalState::Removed, .. } => {
                // Its version does not have it, or has it but not upstream of what was chosen.
                states.remove(&subject.task);
                started.remove(&subject.task);
            }
            Event::TaskFinished { subject, state, .. } => {
                if !started.contains(&subject.task) && !mapped.contains(&subject.task) {
                    let answer = if stopping {
                        Answer::End(FinalState::Cancelled)
                    } else {
                        answer(compiled, &subject.task, &states)
                    };
                    assert_eq!(answer, Answer::End(*state), "{} ends without a start", subject.task);
                }
                assert_eq!(states.insert(subject.task.clone(), *state), None, "{} ends once", subject.task);
            }
            Event::TaskCleared { subject, .. } => {
                states.remove(&subject.task);
                started.remove(&subject.task);
            }
            Event::TaskSet { subject, state, .. } => {
                states.insert(subject.task.clone(), *state);
            }
            Event::RunReopened { version_id, tasks, .. } => {
                compiled = &versions[version_id];
                stopping = false;
                for one in tasks {
                    states.remove(&one.task);
                    started.remove(&one.task);
                }
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
        let ended = driven.ended(task.as_str()).map(|(state, _)| state);
        matches!(ended, Some(FinalState::Failed | FinalState::Cancelled | FinalState::UpstreamFailed))
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
        let because_excused = !because.is_empty() && because.iter().all(|up| excused.contains(up));
        if task.allow_failure || (never_started && because_excused) {
            excused.insert(&task.id);
        } else {
            failed = true;
        }
    }
    if failed { RunState::Failed } else { RunState::Succeeded }
}

fn finish(run: &Run, task: &str, seed: u64) -> Input {
    let key = key(task);
    let Some(updraft_model::run::Slot::Dispatched(numbers)) = run.slot_of(&key) else { panic!("not dispatched") };
    let result = result_of(seed, task, numbers.dispatch_no);
    Input::Finish { key, dispatch_no: numbers.dispatch_no, result, started_at: None, worker: None }
}

/// What a person might ask of the run, sensible or not.
fn operation(driven: &mut Driven, others: &Versions, choices: &mut Choices) -> Input {
    let run = &driven.run;
    let places = [Place::Executing, Place::Executing, Place::Ready, Place::Timer];
    let work: Vec<Standing> =
        driven.dispatched().iter().map(|task| standing(task, places[choices.below(places.len())])).collect();
    let mut names: Vec<String> = run.compiled().workflow.tasks.iter().map(|task| task.id.to_string()).collect();
    let expandable: Vec<String> = names.clone();
    names.extend((0..names.len()).map(|n| format!("t{n}[{}]", n % 3)));
    let mut named: Vec<&str> = names.iter().map(String::as_str).collect();
    named.retain(|_| choices.below(4) == 0);
    if choices.below(12) == 0 {
        return expand(&expandable[choices.below(expandable.len())], u32::try_from(choices.below(4)).unwrap());
    }
    match choices.below(8) {
        0..=3 => {
            let what = [RetryWhat::Failed, RetryWhat::Tasks, RetryWhat::All][choices.below(3)];
            let named = if what == RetryWhat::Tasks { named } else { Vec::new() };
            let version = (choices.below(3) == 0).then(|| {
                let (version_id, compiled) = others.iter().nth(choices.below(others.len())).unwrap();
                Target { version_id: *version_id, compiled: Arc::clone(compiled) }
            });
            if let Some(target) = &version {
                driven.versions.insert(target.version_id, Arc::clone(&target.compiled));
            }
            let queue = (choices.below(2) == 0).then(|| "default".to_owned());
            let downstream = choices.below(2) == 0;
            let waits = choices.below(3) == 0;
            Input::Retry(Box::new(Retry { downstream, version, queue, waits, work, ..retry(what, &named) }))
        }
        4..=6 => {
            let state = [FinalState::Succeeded, FinalState::Failed][choices.below(2)];
            let named = (choices.below(4) > 0).then_some(named);
            Input::Mark(Box::new(Mark { work, ..mark(state, named.as_deref()) }))
        }
        _ => {
            let (executing, removed): (Vec<_>, Vec<_>) =
                work.into_iter().partition(|standing| standing.place == Place::Executing);
            let keys = |all: Vec<Standing>| all.into_iter().map(|standing| standing.key).collect();
            let halted = Halted { removed: keys(removed), executing: keys(executing) };
            Input::Cancel { by: "me".into(), reason: "enough".into(), halted }
        }
    }
}

/// Maps tasks of a run that has not begun, the same of the same seed.
fn expand_some(driven: &mut Driven, seed: u64, mut then: impl FnMut(&Driven, &[Event])) {
    let names: Vec<String> = driven.run.compiled().workflow.tasks.iter().map(|task| task.id.to_string()).collect();
    for name in names {
        let hash = blake3::hash(format!("{seed}/{name}/mapped").as_bytes());
        let n = u32::from(hash.as_bytes()[0] % 12);
        if n < 4 {
            match driven.try_give(expand(&name, n)) {
                Ok(events) => then(driven, &events),
                Err(reject) => assert!(matches!(reject, Reject::NotChosen(_)), "{reject}"),
            }
        }
    }
}

/// Runs to the end in an order that `choices` picks.
fn drive(workflow: Workflow, limits: Limits, seed: u64, choices: &mut Choices) -> Driven {
    let compiled = compiled(workflow);
    let (mut driven, mut rows) = (Driven::new(&compiled, limits), Rows::default());
    let events = driven.give(create(None));
    check(&driven, &mut rows, &events, limits);
    expand_some(&mut driven, seed, |driven, events| check(driven, &mut rows, events, limits));
    let events = driven.give(Input::Start);
    check(&driven, &mut rows, &events, limits);
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
    check_history(&driven.versions, &driven.log);
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
        check_history(&driven.versions, &driven.log);
    }

    #[test]
    fn a_stop_lets_nothing_start_and_ends_the_run(
        plans in plans(), width in proptest::option::of(1..4_u32), seed: u64, order: u64, steps in 0..8_usize, limit: bool,
    ) {
        let (limits, mut choices) = (Limits::default(), Choices(order));
        let (mut driven, mut rows) = (Driven::new(&compiled(built(&plans, width)), limits), Rows::default());
        let events = driven.give(create(None));
        check(&driven, &mut rows, &events, limits);
        expand_some(&mut driven, seed, |driven, events| check(driven, &mut rows, events, limits));
        let events = driven.give(Input::Start);
        check(&driven, &mut rows, &events, limits);
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
            driven.dispatched().iter().map(|task| key(task)).partition(|_| choices.below(2) == 0);
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
        check_history(&driven.versions, &driven.log);
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
        expand_some(&mut driven, seed, |_, _| ());
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

    #[test]
    fn what_people_do_keeps_rows_events_and_rules_true(
        graphs in proptest::collection::vec(plans(), 1..4), width in proptest::option::of(1..4_u32), seed: u64, order: u64,
    ) {
        let (limits, mut choices, mut rows) = (Limits::default(), Choices(order), Rows::default());
        let versions: Versions =
            (2..).map(VersionId).zip(graphs.iter().map(|plans| compiled(built(plans, width)))).collect();
        let mut driven = Driven::new(&versions[&facts().version_id], limits);
        let only = format!("t{}", choices.below(graphs[0].len()));
        let chosen = [only.as_str()];
        let only = (choices.below(4) == 0).then_some(chosen.as_slice());
        let events = driven.give(create(only));
        check(&driven, &mut rows, &events, limits);
        if choices.below(2) == 0 {
            expand_some(&mut driven, seed, |driven, events| check(driven, &mut rows, events, limits));
        }
        let events = driven.give(Input::Start);
        check(&driven, &mut rows, &events, limits);
        let mut operations = 12;
        for _ in 0..2_000 {
            let dispatched = driven.dispatched();
            let queued = driven.run.projection().state == RunState::Queued;
            let input = if operations > 0 && (dispatched.is_empty() || choices.below(3) == 0) && !(queued && choices.below(2) == 0) {
                operations -= 1;
                operation(&mut driven, &versions, &mut choices)
            } else if queued {
                Input::Start
            } else if dispatched.is_empty() {
                break;
            } else {
                finish(&driven.run, &dispatched[choices.below(dispatched.len())], seed)
            };
            let before = driven.run.clone();
            let seen = preview(&driven.run, &input, driven.now());
            match driven.try_give(input) {
                Ok(events) => {
                    check(&driven, &mut rows, &events, limits);
                    prop_assert_eq!(seen.unwrap().state, driven.run.projection().state);
                }
                Err(reject) => {
                    prop_assert_eq!(seen.unwrap_err(), reject);
                    prop_assert_eq!(&driven.run, &before, "a refused input changes nothing");
                }
            }
        }
        check_history(&driven.versions, &driven.log);
        let ended = driven.run.projection();
        prop_assert!(ended.state.is_final());
        if ended.cause != Some(Cause::CancelRequested) {
            prop_assert_eq!(ended.state, expected_outcome(&driven));
        }
    }
}
