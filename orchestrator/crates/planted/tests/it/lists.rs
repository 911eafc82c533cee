//! Lists, page by page.

use updraft_model::event::Event;
use updraft_model::id::RunId;
use updraft_model::state::{RunState, Trigger};
use updraft_model::time::Timestamp;
use updraft_planted::story::{DAY, HOUR};
use updraft_store::history::{
    Attention, Note, RunLine, RunSort, RunsAsk, WindowBy, WorkflowSort, WorkflowState, WorkflowsAsk,
};

use crate::world::{NOW, Seen, World, median};

fn ago(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() - millis)
}

fn value(seen: &Seen, sort: RunSort) -> Timestamp {
    let row = seen.row();
    match sort {
        RunSort::NewestCreated | RunSort::OldestCreated => row.facts.created_at,
        RunSort::NewestLogical | RunSort::OldestLogical => row.facts.logical_at,
        RunSort::NewestEnded => row.projection.ended_at.unwrap(),
    }
}

fn fits(seen: &Seen, ask: &RunsAsk) -> bool {
    let row = seen.row();
    let ended = row.projection.ended_at;
    let at = match ask.by {
        WindowBy::Happened => Some(ended.unwrap_or(row.facts.created_at)),
        WindowBy::Created => Some(row.facts.created_at),
        WindowBy::Ended => ended,
        WindowBy::Logical => Some(row.facts.logical_at),
    };
    let windowed = ask.since.is_some() || ask.until.is_some();
    let inside =
        at.is_some_and(|at| ask.since.is_none_or(|since| at >= since) && ask.until.is_none_or(|until| at < until));
    ask.workflow.as_ref().is_none_or(|name| *name == seen.detail.run.workflow)
        && (ask.states.is_empty() || ask.states.contains(&row.projection.state))
        && (ask.triggers.is_empty() || ask.triggers.contains(&row.facts.trigger))
        && (!windowed || inside)
        && (ask.sort != RunSort::NewestEnded || ended.is_some())
}

fn expected(world: &World, ask: &RunsAsk) -> Vec<RunId> {
    let mut runs: Vec<&Seen> = world.runs.iter().filter(|seen| fits(seen, ask)).collect();
    runs.sort_by_key(|seen| (value(seen, ask.sort), seen.id()));
    if !matches!(ask.sort, RunSort::OldestCreated | RunSort::OldestLogical) {
        runs.reverse();
    }
    runs.iter().map(|seen| seen.id()).collect()
}

async fn all_pages(world: &World, ask: &RunsAsk) -> Vec<RunLine> {
    let mut ask = ask.clone();
    let mut all = Vec::new();
    loop {
        let page = world.history.run_lines(&ask).await.unwrap();
        assert!(page.items.len() <= ask.limit as usize);
        all.extend(page.items);
        let Some(next) = page.next else { return all };
        ask.after = Some(next);
        assert!(all.len() < 10_000, "pages without end");
    }
}

pub(crate) async fn runs(world: &World) {
    let sorts = [
        RunSort::NewestCreated,
        RunSort::OldestCreated,
        RunSort::NewestLogical,
        RunSort::OldestLogical,
        RunSort::NewestEnded,
    ];
    let states: [&[RunState]; 4] =
        [&[], &[RunState::Failed], &[RunState::Running], &[RunState::Failed, RunState::Running, RunState::Cancelled]];
    let windows = [
        None,
        Some((WindowBy::Happened, Some(ago(DAY)), None)),
        Some((WindowBy::Created, Some(ago(3 * DAY)), Some(ago(HOUR)))),
        Some((WindowBy::Ended, Some(ago(2 * DAY)), Some(ago(DAY)))),
        Some((WindowBy::Logical, Some(ago(50 * DAY)), Some(ago(36 * DAY)))),
    ];
    for sort in sorts {
        for states in states {
            for window in windows {
                for workflow in [None, Some("flights_etl"), Some("adsb_compaction")] {
                    let (by, since, until) = window.unwrap_or((WindowBy::Happened, None, None));
                    let ask = RunsAsk {
                        workflow: workflow.map(str::to_owned),
                        states: states.to_vec(),
                        by,
                        since,
                        until,
                        sort,
                        limit: 90,
                        ..RunsAsk::default()
                    };
                    let found: Vec<RunId> = all_pages(world, &ask).await.iter().map(|line| line.run_id).collect();
                    assert_eq!(found, expected(world, &ask), "{ask:?}");
                }
            }
        }
    }
    let backfills = RunsAsk { triggers: vec![Trigger::Backfill], limit: 2, ..RunsAsk::default() };
    let found: Vec<RunId> = all_pages(world, &backfills).await.iter().map(|line| line.run_id).collect();
    assert_eq!((found.len(), &found), (3, &expected(world, &backfills)));
    let unknown = RunsAsk { workflow: Some("nobody".to_owned()), limit: 5, ..RunsAsk::default() };
    assert!(all_pages(world, &unknown).await.is_empty());
    for line in all_pages(world, &RunsAsk { limit: 500, ..RunsAsk::default() }).await {
        same_line(world, &line);
    }
}

fn same_line(world: &World, line: &RunLine) {
    let seen = world.run(line.run_id);
    let row = seen.row();
    let compiled = world.compiled(seen);
    assert_eq!(line.workflow, seen.detail.run.workflow);
    assert_eq!((line.state, line.cause), (row.projection.state, row.projection.cause));
    assert_eq!((line.started_at, line.ended_at), (row.projection.started_at, row.projection.ended_at));
    assert_eq!(
        (line.logical_at, line.interval, line.created_at),
        (row.facts.logical_at, row.facts.interval, row.facts.created_at)
    );
    assert_eq!((line.trigger, line.version, line.priority), (row.facts.trigger, row.version, row.facts.priority));
    let Some(Event::RunCreated { by, .. }) = seen.log[0].events.first() else { panic!("no first event") };
    assert_eq!(&line.by, by);
    assert_eq!(line.tasks_total as usize, compiled.graph.len());
    let whole = |row: &&updraft_model::record::TaskRunRow| row.key.map_index == updraft_model::id::MapIndex::NONE;
    assert_eq!(line.tasks_done as usize, seen.detail.task_runs.iter().filter(whole).count());
    assert_eq!(line.attempts_extra, seen.extra());
    let failed = seen.failed();
    let tasks: std::collections::BTreeSet<_> = failed.iter().map(|row| &row.key.task).collect();
    assert_eq!(line.failed_tasks as usize, tasks.len());
    assert_eq!(line.failure.as_ref().map(|failure| &failure.key), failed.first().map(|row| &row.key));
    if let Some(failure) = &line.failure {
        assert!(failure.line.is_some(), "no failed row without text");
        let attempts = seen.detail.attempts.iter().filter(|attempt| attempt.key == failure.key).count();
        assert_eq!(failure.attempts as usize, attempts);
    }
    let mut same: Vec<&Seen> =
        world.of_workflow(&line.workflow).filter(|seen| seen.row().projection.state == RunState::Succeeded).collect();
    same.truncate(20);
    assert_eq!(line.usual_ms, median(same.iter().filter_map(|seen| seen.took_ms()).collect()));
}

pub(crate) async fn searches(world: &World) {
    let search = |text: &str| RunsAsk { search: Some(text.to_owned()), limit: 40, ..RunsAsk::default() };
    let found: Vec<RunId> = all_pages(world, &search("LIGHTS")).await.iter().map(|line| line.run_id).collect();
    let named: Vec<RunId> = world.of_workflow("flights_etl").map(Seen::id).collect();
    assert_eq!(found, named);
    let one = world.runs[10].id();
    let prefix = one.to_string()[..18].to_owned();
    let found: Vec<RunId> = all_pages(world, &search(&prefix)).await.iter().map(|line| line.run_id).collect();
    assert!(found.contains(&one) && found.iter().all(|run| run.to_string().starts_with(&prefix)));
    let note = Note { text: "the feed of 50% was_cut".to_owned(), by: "marta".to_owned(), at: NOW };
    assert!(world.history.set_note(one, &note).await.unwrap());
    for text in ["50% WAS_", "feed of"] {
        let found: Vec<RunId> = all_pages(world, &search(text)).await.iter().map(|line| line.run_id).collect();
        assert_eq!(found, [one], "{text}");
    }
    assert!(all_pages(world, &search("50_ was")).await.is_empty(), "a search text is no pattern");
    // `team` names more workflows than are read one by one.
    let found = all_pages(world, &search("team")).await.len();
    assert_eq!(found, world.runs.iter().filter(|seen| seen.detail.run.workflow.starts_with("team")).count());
    assert!(world.history.set_note(one, &Note { text: String::new(), ..note }).await.unwrap());
    assert_eq!(world.history.note(one).await.unwrap(), None);
}

pub(crate) async fn workflows(world: &World) {
    let ask = WorkflowsAsk { limit: 500, now: NOW, ..WorkflowsAsk::default() };
    let page = world.history.workflow_lines(&ask).await.unwrap();
    assert!(page.next.is_none());
    for line in &page.items {
        let runs: Vec<&Seen> = world.of_workflow(&line.name).collect();
        let mut newest: Vec<RunId> = runs.iter().take(20).map(|seen| seen.id()).collect();
        newest.reverse();
        assert_eq!(line.bars.iter().map(|bar| bar.run_id).collect::<Vec<_>>(), newest, "{}", line.name);
        for bar in &line.bars {
            let seen = world.run(bar.run_id);
            assert_eq!(bar.attempts_extra, seen.extra());
            let masked = seen.row().projection.state == RunState::Succeeded && !seen.failed().is_empty();
            assert_eq!(bar.masked, masked);
            assert_eq!(bar.ended_at, seen.row().projection.ended_at);
        }
        let last = runs.iter().filter(|seen| seen.row().projection.ended_at.is_some());
        let last = last.max_by_key(|seen| seen.row().projection.ended_at);
        let failing = last.is_some_and(|seen| seen.row().projection.state == RunState::Failed);
        assert_eq!(line.attention == Attention::Failing, failing, "{}", line.name);
        let open = runs.iter().filter(|seen| !seen.row().projection.state.is_final()).count();
        assert_eq!(line.open_runs as usize, open);
        let took = runs.iter().take(20).filter(|seen| seen.row().projection.state == RunState::Succeeded);
        assert_eq!(line.usual.map(|usual| usual.median), median(took.filter_map(|seen| seen.took_ms()).collect()));
    }
    assert!(page.items.is_sorted_by_key(|line| (line.attention, line.name.clone())));
    assert_eq!(page.items[0].name, "flights_etl");
    let mut paged = Vec::new();
    let mut ask = WorkflowsAsk { limit: 5, sort: WorkflowSort::Name, ..ask };
    loop {
        let page = world.history.workflow_lines(&ask).await.unwrap();
        paged.extend(page.items.into_iter().map(|line| line.name));
        let Some(next) = page.next else { break };
        ask.after = Some(next);
    }
    assert!(paged.is_sorted() && paged.len() == page.items.len());
    let only = |ask: WorkflowsAsk| async move {
        let page = world.history.workflow_lines(&WorkflowsAsk { limit: 100, now: NOW, ..ask }).await.unwrap();
        page.items.into_iter().map(|line| line.name).collect::<Vec<_>>()
    };
    let running =
        WorkflowsAsk { state: Some(WorkflowState::Running), sort: WorkflowSort::Name, ..WorkflowsAsk::default() };
    assert_eq!(only(running).await, ["adsb_compaction", "clickhouse_rebuild"]);
    let tagged = WorkflowsAsk { tag: Some("report".to_owned()), ..WorkflowsAsk::default() };
    assert_eq!(only(tagged).await, ["airport_report"]);
    let owned = WorkflowsAsk {
        owner: Some("data-science".to_owned()),
        search: Some("delay".to_owned()),
        ..WorkflowsAsk::default()
    };
    assert_eq!(only(owned).await, ["delay_features"]);
    assert!(page.tags.contains(&"flights".to_owned()) && page.tags.is_sorted());
    let one = world.history.workflow_line("flights_etl", NOW).await.unwrap().unwrap();
    assert_eq!((one.version_no, one.versions, one.tasks), (2, 2, 13));
    assert!(world.history.workflow_line("nobody", NOW).await.unwrap().is_none());
}
