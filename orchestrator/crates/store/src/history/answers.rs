//! [`History`] over any database that answers [`Question`]s.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use updraft_model::event::Event;
use updraft_model::id::{RunId, TaskKey, VersionId};
use updraft_model::record::{RunMetric, TaskItem};
use updraft_model::state::RunState;
use updraft_model::time::Timestamp;

use super::ask::{GridAsk, Page, RunCursor, RunSort, RunsAsk, Shift, WorkflowsAsk};
use super::facts::{FactsOf, VersionFacts};
use super::home::{Home, HomeAsk, HomeCounts};
use super::line::{BARS, RunLine, WorkflowLine, WorkflowsPage};
use super::plan::{self, Found};
use super::question::{Answers, Question};
use super::shape;
use super::tuple::Tuple;
use super::{
    AttemptLine, Day, Durations, Grid, History, NOTE_BYTES, Neighbours, Note, QueueDepth, StoreStats, TaskHistory,
    USUAL_RUNS, Usual, VersionLine, VersionSource,
};
use crate::read::HistoryEntry;
use crate::{StoreError, check};

/// Largest page.
const MOST: u32 = 500;
/// Most columns of a grid.
const MOST_RUNS: u32 = 1_000;

async fn one<A: Answers + ?Sized>(of: &A, question: Question) -> Result<Vec<Tuple>, StoreError> {
    Ok(of.answers(vec![question]).await?.pop().unwrap_or_default())
}

/// A workflow's number and newest version.
async fn workflow<A: Answers + ?Sized>(of: &A, name: &str) -> Result<Option<(i64, VersionId)>, StoreError> {
    let rows = one(of, Question::Workflow(name.to_owned())).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let version = VersionId(row.opt_int(1, "current_version_id")?.unwrap_or(0));
    Ok(Some((row.int(0, "workflow_id")?, version)))
}

/// Facts of versions, read once.
async fn facts<A: Answers + ?Sized>(of: &A, mut versions: Vec<VersionId>) -> Result<FactsOf, StoreError> {
    versions.sort_unstable();
    versions.dedup();
    let mut known = of.facts().known(&versions);
    versions.retain(|version| !known.contains_key(version));
    if !versions.is_empty() {
        for row in one(of, Question::Compiled(versions)).await? {
            let version = VersionId(row.int(0, "version_id")?);
            let facts = Arc::new(VersionFacts::parse(version, row.text(1, "compiled")?)?);
            of.facts().keep(version, Arc::clone(&facts));
            known.insert(version, facts);
        }
    }
    Ok(known)
}

/// What a search text means.
async fn found<A: Answers + ?Sized>(of: &A, search: &str) -> Result<Found, StoreError> {
    let pattern = plan::like(search);
    let mut answers = of.answers(vec![Question::NamedLike(pattern.clone()), Question::NotedLike(pattern)]).await?;
    let (noted, named) = (answers.pop().unwrap_or_default(), answers.pop().unwrap_or_default());
    Ok(Found {
        workflows: named.iter().map(|row| row.int(0, "workflow_id")).collect::<Result<_, _>>()?,
        ids: plan::id_range(search),
        noted: noted.iter().map(|row| row.run(0, "run_id")).collect::<Result<_, _>>()?,
    })
}

/// Says what the workflows of these runs usually take.
async fn with_usual<A: Answers + ?Sized>(of: &A, lines: &mut [RunLine]) -> Result<(), StoreError> {
    let workflows: BTreeSet<i64> = lines.iter().map(|line| line.workflow_id.0).collect();
    if workflows.is_empty() {
        return Ok(());
    }
    let usual = shape::usual_of(&one(of, Question::UsualOf(workflows.into_iter().collect())).await?)?;
    for line in lines {
        line.usual_ms = usual.get(&line.workflow_id.0).copied();
    }
    Ok(())
}

/// Gives these workflows their bars and what follows from them.
async fn with_bars<A: Answers + ?Sized>(of: &A, lines: &mut [WorkflowLine]) -> Result<(), StoreError> {
    let ids: Vec<i64> = lines.iter().map(|line| line.workflow_id.0).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let mut bars: HashMap<i64, _> = shape::bars(&one(of, Question::Bars(ids, BARS)).await?)?.into_iter().collect();
    for line in lines {
        line.bars = bars.remove(&line.workflow_id.0).unwrap_or_default();
        line.last_run = line.bars.last().cloned();
        let took = line.bars.iter().filter(|bar| bar.state == RunState::Succeeded);
        line.usual = shape::spread(
            took.filter_map(|bar| Some(bar.ended_at?.as_millis() - bar.started_at?.as_millis())).collect(),
        );
    }
    Ok(())
}

#[async_trait]
impl<A: Answers> History for A {
    async fn run_lines(&self, ask: &RunsAsk) -> Result<Page<RunLine, RunCursor>, StoreError> {
        let ask = RunsAsk { limit: ask.limit.clamp(1, MOST), ..ask.clone() };
        let own = match &ask.workflow {
            None => None,
            Some(name) => match workflow(self, name).await? {
                Some((workflow, _)) => Some(workflow),
                None => return Ok(Page { items: Vec::new(), next: None }),
            },
        };
        let found = match ask.search.as_deref().map(str::trim).filter(|search| !search.is_empty()) {
            None => None,
            Some(search) => Some(found(self, search).await?),
        };
        let parts = plan::parts(&ask, own, found.as_ref());
        if parts.is_empty() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let mut page = shape::page_of_runs(&ask, shape::run_lines(&one(self, Question::RunLines(parts)).await?)?);
        with_usual(self, &mut page.items).await?;
        Ok(page)
    }

    async fn run_lines_of(&self, runs: &[RunId]) -> Result<Vec<RunLine>, StoreError> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let mut lines = shape::run_lines(&one(self, Question::RunLinesOf(runs.to_vec())).await?)?;
        with_usual(self, &mut lines).await?;
        Ok(lines)
    }

    async fn run_line(&self, run: RunId) -> Result<Option<RunLine>, StoreError> {
        let mut lines = shape::run_lines(&one(self, Question::RunLinesOf(vec![run])).await?)?;
        with_usual(self, &mut lines).await?;
        Ok(lines.pop())
    }

    async fn workflow_lines(&self, ask: &WorkflowsAsk) -> Result<WorkflowsPage, StoreError> {
        let ask = WorkflowsAsk { limit: ask.limit.clamp(1, MOST.max(1_000)), ..ask.clone() };
        let rows = shape::workflow_rows(&one(self, Question::Workflows).await?, ask.now)?;
        let mut page = shape::workflow_page(&ask, rows);
        with_bars(self, &mut page.items).await?;
        Ok(page)
    }

    async fn workflow_line(&self, name: &str, now: Timestamp) -> Result<Option<WorkflowLine>, StoreError> {
        let rows = shape::workflow_rows(&one(self, Question::OneWorkflow(name.to_owned())).await?, now)?;
        let mut lines: Vec<WorkflowLine> = rows.into_iter().map(|(line, _)| line).collect();
        with_bars(self, &mut lines).await?;
        Ok(lines.pop())
    }

    async fn grid(&self, name: &str, ask: &GridAsk) -> Result<Option<Grid>, StoreError> {
        let Some((workflow, newest)) = workflow(self, name).await? else { return Ok(None) };
        let limit = ask.runs.clamp(1, MOST_RUNS);
        let after = match ask.before {
            None => None,
            Some(run) => match one(self, Question::Created(run)).await?.first() {
                Some(row) => Some(RunCursor { at: row.at(0, "created_at")?, run }),
                None => return Err(StoreError::NoRun(run)),
            },
        };
        let runs = RunsAsk {
            states: ask.states.clone(),
            triggers: ask.triggers.clone(),
            sort: RunSort::NewestCreated,
            after,
            limit,
            ..RunsAsk::default()
        };
        let parts = plan::parts(&runs, Some(workflow), None);
        let rows = if parts.is_empty() { Vec::new() } else { one(self, Question::Grid(parts)).await? };
        let mut versions = shape::facts_needed(&rows)?;
        versions.push(newest);
        let facts = facts(self, versions).await?;
        shape::grid(&rows, limit, newest, &facts).map(Some)
    }

    async fn durations(&self, name: &str, runs: u32) -> Result<Option<Durations>, StoreError> {
        let Some((workflow, newest)) = workflow(self, name).await? else { return Ok(None) };
        let rows = one(self, Question::Durations(workflow, runs.clamp(1, MOST_RUNS))).await?;
        let facts = facts(self, vec![newest]).await?;
        let none = Arc::new(VersionFacts::default());
        shape::durations(&rows, facts.get(&newest).unwrap_or(&none)).map(Some)
    }

    async fn calendar(
        &self,
        name: &str,
        from: Timestamp,
        until: Timestamp,
        shifts: &[Shift],
    ) -> Result<Vec<Day>, StoreError> {
        let spans = shape::spans(from, until, shifts);
        if spans.is_empty() {
            return Ok(Vec::new());
        }
        shape::days(&one(self, Question::Calendar(name.to_owned(), spans)).await?)
    }

    async fn home(&self, ask: &HomeAsk) -> Result<Home, StoreError> {
        let questions = vec![
            Question::OverCounts(*ask),
            Question::OpenCounts(*ask),
            Question::Incidents(*ask),
            Question::Lost(*ask),
            Question::Waiting(ask.limit),
        ];
        let answers = self.answers(questions).await?;
        let [over, open, wrong, lost, waiting] = answers.as_slice() else {
            return Err(StoreError::Other("a database left questions without an answer".to_owned()));
        };
        let mut counts = HomeCounts::default();
        shape::over_counts(over, &mut counts)?;
        shape::open_counts(open, &mut counts)?;
        let mut incidents = shape::incidents(wrong)?;
        incidents.extend(shape::lost(lost)?);
        let running =
            RunsAsk { states: vec![RunState::Running, RunState::Cancelling], limit: ask.limit, ..RunsAsk::default() };
        Ok(Home {
            counts,
            incidents: shape::incident_order(incidents, ask.limit),
            running: self.run_lines(&running).await?.items,
            waiting: shape::waiting(waiting, ask.limit)?,
        })
    }

    async fn usual(&self, workflow: &str) -> Result<Usual, StoreError> {
        shape::usual(&one(self, Question::Usual(workflow.to_owned(), USUAL_RUNS)).await?)
    }

    async fn task_history(&self, workflow: &str, key: &TaskKey, limit: u32) -> Result<Vec<TaskHistory>, StoreError> {
        let question = Question::TaskHistory(workflow.to_owned(), key.clone(), limit.clamp(1, MOST));
        shape::task_history(&one(self, question).await?)
    }

    async fn neighbours(&self, run: RunId) -> Result<Neighbours, StoreError> {
        let mut neighbours = Neighbours::default();
        for row in one(self, Question::Neighbours(run)).await? {
            let found = Some(row.run(0, "run_id")?);
            if row.flag(1, "after")? {
                neighbours.next = found;
            } else {
                neighbours.previous = found;
            }
        }
        Ok(neighbours)
    }

    async fn versions(
        &self,
        workflow: &str,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Page<VersionLine, u32>, StoreError> {
        let limit = limit.clamp(1, MOST);
        let before = before.unwrap_or(u32::MAX >> 1);
        let question = Question::Versions(workflow.to_owned(), before, limit + 1);
        shape::version_lines(&one(self, question).await?, limit)
    }

    async fn version_source(&self, workflow: &str, number: Option<u32>) -> Result<Option<VersionSource>, StoreError> {
        if number == Some(0) {
            return Ok(None);
        }
        let question = Question::Version(workflow.to_owned(), number.unwrap_or(0));
        shape::version_source(&one(self, question).await?)
    }

    async fn events(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<HistoryEntry>, StoreError> {
        let rows = one(self, Question::Events(run, after, limit.max(1))).await?;
        rows.iter()
            .map(|row| {
                Ok(HistoryEntry {
                    version: u64::try_from(row.int(0, "version")?).unwrap_or(0),
                    at: row.at(1, "at")?,
                    actor: row.text(2, "actor")?.to_owned(),
                    events: row.opt_json::<Vec<Event>>(3, "body")?.unwrap_or_default(),
                })
            })
            .collect()
    }

    async fn attempts(&self, run: RunId, of: Option<&TaskKey>) -> Result<Vec<AttemptLine>, StoreError> {
        shape::attempts(&one(self, Question::Attempts(run, of.cloned())).await?)
    }

    async fn items(&self, run: RunId, key: &TaskKey) -> Result<Vec<(u32, TaskItem)>, StoreError> {
        shape::items(&one(self, Question::Items(run, key.clone())).await?)
    }

    async fn metrics(&self, run: RunId, task: &str) -> Result<Vec<RunMetric>, StoreError> {
        shape::metrics(&one(self, Question::Metrics(run, task.to_owned())).await?)
    }

    async fn output(&self, run: RunId, key: &TaskKey, dispatch_no: u32) -> Result<Option<String>, StoreError> {
        let rows = one(self, Question::Output(run, key.clone(), dispatch_no)).await?;
        rows.first().map_or(Ok(None), |row| row.opt_string(0, "output"))
    }

    async fn queues(&self) -> Result<Vec<QueueDepth>, StoreError> {
        let rows = one(self, Question::Queues).await?;
        rows.iter()
            .map(|row| {
                Ok(QueueDepth {
                    queue: row.text(0, "queue")?.to_owned(),
                    ready: row.count(1, "ready")?,
                    executing: row.count(2, "executing")?,
                    oldest: row.opt_at(3, "oldest")?,
                })
            })
            .collect()
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let begun = Instant::now();
        one(self, Question::Workflow(String::new())).await?;
        let latency_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let rows = one(self, Question::Size).await?;
        let bytes = rows.first().map_or(Ok(0), |row| row.int(0, "bytes"))?;
        Ok(StoreStats { bytes: u64::try_from(bytes).unwrap_or(0), latency_us })
    }

    async fn note(&self, run: RunId) -> Result<Option<Note>, StoreError> {
        shape::note(&one(self, Question::Note(run)).await?)
    }

    async fn set_note(&self, run: RunId, note: &Note) -> Result<bool, StoreError> {
        check::text("note", &note.text, NOTE_BYTES)?;
        check::text("by", &note.by, NOTE_BYTES)?;
        self.write_note(run, note).await
    }
}
