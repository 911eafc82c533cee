//! Cases of the readers: lists, pages, prefixes, details.

use updraft_model::id::{RunId, TaskKey};
use updraft_model::record::RunProjection;
use updraft_model::state::{Cause, RunState};
use uuid::Uuid;

use super::world::{World, running, version_of};
use crate::read::RunFilter;
use crate::{Expected, RunCommit};

/// Makes `n` runs, oldest first.
async fn make(world: &World, n: usize) -> Vec<RunId> {
    let mut made = Vec::new();
    for _ in 0..n {
        made.push(world.start(|_| vec![]).await.run);
    }
    made
}

async fn ids(world: &World, filter: &RunFilter) -> Vec<RunId> {
    let runs = world.reader.runs(filter).await.expect("runs");
    runs.iter().map(|run| run.row.facts.run_id).collect()
}

/// Page by page, each run once.
pub async fn runs_come_newest_first_page_by_page(world: &World) {
    let mut made = make(world, 7).await;
    made.reverse();
    let mut filter = RunFilter { limit: 3, ..RunFilter::default() };
    let mut pages = Vec::new();
    loop {
        let page = ids(world, &filter).await;
        let Some(last) = page.last() else { break };
        filter.before = Some(*last);
        pages.push(page);
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
    assert_eq!(pages.concat(), made);
    let view = world.reader.run(made[0]).await.expect("run").expect("there");
    assert_eq!((view.workflow.as_str(), view.row.facts.run_id), ("etl", made[0]));
    assert_eq!(view.row, world.full(made[0]).await.row);
    assert_eq!(world.reader.run(RunId(Uuid::now_v7())).await.expect("run"), None);
}

/// Workflow, states, both, and a workflow that is not there.
pub async fn runs_are_filtered_by_workflow_and_state(world: &World) {
    let other = world.store.publish(&version_of("other", 'a'), world.now()).await.expect("publish");
    let states = [
        RunProjection { state: RunState::Queued, started_at: None, ..running(world.now()) },
        running(world.now()),
        ended(world, RunState::Failed, Cause::TaskFailed),
        ended(world, RunState::Succeeded, Cause::Completed),
    ];
    let mut made = Vec::new();
    for published in [world.published, other] {
        for projection in &states {
            let mut commit = world.new_run(|_| vec![]);
            commit.run = projection.clone();
            if let Expected::New(facts) = &mut commit.expected {
                (facts.workflow_id, facts.version_id) = (published.workflow_id, published.version_id);
            }
            made.push(commit.run_id);
            world.apply(&world.batch(vec![commit])).await;
        }
    }
    let cases: [(Option<&str>, &[RunState], &[usize]); 7] = [
        (None, &[], &[7, 6, 5, 4, 3, 2, 1, 0]),
        (Some("etl"), &[], &[3, 2, 1, 0]),
        (Some("other"), &[RunState::Failed], &[6]),
        (None, &[RunState::Running, RunState::Queued], &[5, 4, 1, 0]),
        (Some("etl"), &[RunState::Queued, RunState::Running, RunState::Cancelling, RunState::Broken], &[1, 0]),
        (None, &[RunState::Succeeded, RunState::Running], &[7, 5, 3, 1]),
        (Some("nothing of the kind"), &[], &[]),
    ];
    for (workflow, states, expected) in cases {
        let filter =
            RunFilter { workflow: workflow.map(str::to_owned), states: states.to_vec(), before: None, limit: 50 };
        let expected: Vec<RunId> = expected.iter().map(|n| made[*n]).collect();
        assert_eq!(ids(world, &filter).await, expected, "{workflow:?} {states:?}");
    }
}

fn ended(world: &World, state: RunState, cause: Cause) -> RunProjection {
    let at = world.now();
    RunProjection { state, cause: Some(cause), ended_at: Some(at), ..running(at) }
}

/// With hyphens or without, in any case; never by fewer than four digits.
pub async fn runs_are_found_by_the_beginning_of_their_id(world: &World) {
    let id = |text: &str| RunId(Uuid::parse_str(text).expect("a UUID"));
    let (first, second) = (id("01890000-0000-7000-8000-0000000000aa"), id("01890000-00ff-7000-8000-0000000000bb"));
    for run in [first, second] {
        let commit = world.new_run(|_| vec![]);
        world.apply(&world.batch(vec![with_id(commit, run)])).await;
    }
    for n in 0..12 {
        let commit = world.new_run(|_| vec![]);
        let run = id(&format!("abcd0000-0000-7000-8000-{n:012}"));
        world.apply(&world.batch(vec![with_id(commit, run)])).await;
    }
    let cases: [(&str, &[RunId]); 9] = [
        ("0189", &[second, first]),
        ("01890000-00", &[second, first]),
        ("0189000000", &[second, first]),
        ("01890000-00FF", &[second]),
        ("01890000-0000-7000-8000-0000000000aa", &[first]),
        ("0189ffff", &[]),
        ("018", &[]),
        ("", &[]),
        ("0189%", &[]),
    ];
    for (prefix, expected) in cases {
        assert_eq!(world.reader.runs_by_prefix(prefix).await.expect("prefix"), expected, "{prefix}");
    }
    assert_eq!(world.reader.runs_by_prefix("abcd").await.expect("prefix").len(), 10);
}

fn with_id(mut commit: RunCommit, run: RunId) -> RunCommit {
    commit.run_id = run;
    if let Expected::New(facts) = &mut commit.expected {
        facts.run_id = run;
        facts.run_key = run.to_string();
    }
    commit
}

/// Nothing of the kind: `None`, and no history.
pub async fn a_run_that_is_not_there_has_no_detail(world: &World) {
    let nobody = RunId(Uuid::now_v7());
    assert_eq!(world.reader.detail(nobody).await.expect("detail"), None);
    assert_eq!(world.reader.history(nobody, 0).await.expect("history"), []);
    assert_eq!(world.reader.outputs(nobody, &[(TaskKey::of("a"), 1)]).await.expect("outputs"), []);
}

/// In the order of the question; attempts without output and wrong numbers are left out.
pub async fn outputs_are_read_by_key_and_number(world: &World) {
    let (known, a) = world.start_executing().await;
    let (mut hop, b) = world.hop(known, &a, "b");
    hop.ended[0].output = Some("[1]".to_owned());
    world.apply(&world.batch(vec![hop.clone()])).await;
    let (mut hop, c) = world.hop(super::world::after(&hop), &b, "c");
    hop.ended[0].output = None;
    world.apply(&world.batch(vec![hop.clone()])).await;
    let (mut hop, _) = world.hop(super::world::after(&hop), &c, "d");
    hop.ended[0].output = Some("{\"z\":1,\"a\":2}".to_owned());
    world.apply(&world.batch(vec![hop])).await;
    let of = ["c", "b", "a", "d"].map(|task| (TaskKey::of(task), 1));
    let outputs = world.reader.outputs(known.run, &of).await.expect("outputs");
    let expected = [("c", "{\"z\":1,\"a\":2}"), ("a", "[1]")].map(|(task, text)| (TaskKey::of(task), text.to_owned()));
    assert_eq!(outputs, expected);
    assert_eq!(world.reader.outputs(known.run, &[(TaskKey::of("a"), 2)]).await.expect("outputs"), []);
    assert_eq!(world.reader.outputs(known.run, &[]).await.expect("outputs"), []);
}

/// From a version on, oldest first.
pub async fn history_is_read_from_a_version_on(world: &World) {
    let (mut known, mut row) = world.start_executing().await;
    for n in 0..4 {
        let (hop, next) = world.hop(known, &row, &format!("t{n}"));
        world.apply(&world.batch(vec![hop.clone()])).await;
        (known, row) = (super::world::after(&hop), next);
    }
    let versions = |history: Vec<crate::read::HistoryEntry>| history.iter().map(|e| e.version).collect::<Vec<_>>();
    assert_eq!(versions(world.reader.history(known.run, 0).await.expect("history")), [1, 2, 3, 4, 5]);
    assert_eq!(versions(world.reader.history(known.run, 4).await.expect("history")), [4, 5]);
    assert_eq!(versions(world.reader.history(known.run, 6).await.expect("history")), [0; 0]);
}
