//! Questions of every kind, for tests that look at the plans of their statements.

use updraft_model::id::{RunId, TaskKey, VersionId};
use updraft_model::state::{RunState, Trigger};
use updraft_model::time::Timestamp;
use uuid::Uuid;

use super::plan::{self, Found};
use super::question::Question;
use super::{HomeAsk, RunCursor, RunSort, RunsAsk, WindowBy};

/// Lists of runs with every sort, window and filter, as their parts.
fn lists() -> Vec<(RunsAsk, Option<i64>, Option<Found>)> {
    let at = Timestamp::from_millis(1_700_000_000_000);
    let run = RunId(Uuid::from_u128(7));
    let sorts = [
        RunSort::NewestCreated,
        RunSort::OldestCreated,
        RunSort::NewestLogical,
        RunSort::OldestLogical,
        RunSort::NewestEnded,
    ];
    let windows =
        [None, Some(WindowBy::Happened), Some(WindowBy::Created), Some(WindowBy::Ended), Some(WindowBy::Logical)];
    let states: [&[RunState]; 4] = [
        &[],
        &[RunState::Failed],
        &[RunState::Running, RunState::Queued],
        &[RunState::Failed, RunState::Succeeded, RunState::Broken],
    ];
    let mut lists = Vec::new();
    for sort in sorts {
        for by in windows {
            for states in states {
                for workflow in [None, Some(1)] {
                    lists.push((
                        RunsAsk {
                            states: states.to_vec(),
                            triggers: if by.is_some() { vec![Trigger::Backfill] } else { Vec::new() },
                            by: by.unwrap_or_default(),
                            since: by.map(|_| at),
                            until: by.map(|_| at),
                            sort,
                            after: states.is_empty().then_some(RunCursor { at, run }),
                            limit: 50,
                            ..RunsAsk::default()
                        },
                        workflow,
                        None,
                    ));
                }
            }
        }
    }
    let found = Found { workflows: vec![1, 2], ids: Some((run, run)), noted: vec![run] };
    lists.push((RunsAsk { limit: 50, ..RunsAsk::default() }, None, Some(found)));
    let many = Found { workflows: (1..40).collect(), ..Found::default() };
    lists.push((RunsAsk { limit: 50, ..RunsAsk::default() }, None, Some(many)));
    lists
}

/// One question of every kind, and many of the kind that has many forms.
pub fn questions() -> Vec<Question> {
    let at = Timestamp::from_millis(1_700_000_000_000);
    let run = RunId(Uuid::from_u128(7));
    let key = TaskKey::of("a");
    let name = || "etl".to_owned();
    let home = HomeAsk { since: at, until: at, limit: 50 };
    let mut all = vec![
        Question::Workflow(name()),
        Question::NamedLike(name()),
        Question::NotedLike(name()),
        Question::RunLinesOf(vec![run]),
        Question::UsualOf(vec![1, 2]),
        Question::Workflows,
        Question::OneWorkflow(name()),
        Question::Bars(vec![1, 2], 20),
        Question::Created(run),
        Question::Compiled(vec![VersionId(1)]),
        Question::Durations(1, 100),
        Question::Usual(name(), 20),
        Question::Calendar(name(), vec![(at, at, 0)]),
        Question::OverCounts(home),
        Question::OpenCounts(home),
        Question::Incidents(home),
        Question::Lost(home),
        Question::Waiting(50),
        Question::TaskHistory(name(), key.clone(), 20),
        Question::Neighbours(run),
        Question::Versions(name(), 9, 50),
        Question::Version(name(), 0),
        Question::Events(run, 0, 100),
        Question::Attempts(run, None),
        Question::Attempts(run, Some(key.clone())),
        Question::Items(run, key.clone()),
        Question::Metrics(run, name()),
        Question::Output(run, key, 1),
        Question::Queues,
        Question::Size,
        Question::Note(run),
    ];
    for (ask, workflow, found) in lists() {
        let parts = plan::parts(&ask, workflow, found.as_ref());
        if workflow.is_some() && found.is_none() {
            all.push(Question::Grid(parts.clone()));
        }
        all.push(Question::RunLines(parts));
    }
    all
}
