//! Answers to the questions of history, in one snapshot, over the readers' connections.

#[cfg(test)]
mod plans;
mod sql;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, Column, Row, TypeInfo, ValueRef};
use updraft_model::id::RunId;
use updraft_model::time::Timestamp;
use updraft_store::history::Note;
use updraft_store::history::facts::FactsCache;
use updraft_store::history::question::{Answers, Question};
use updraft_store::history::tuple::{Datum, Tuple};
use updraft_store::{Purpose, StoreError};
use uuid::Uuid;

use crate::line::{Lost, guarded};
use crate::{PgStore, error};

use sql::{Bound, Sql};

/// The statement of a question; `None`: its answer is empty.
pub(crate) fn statement(question: &Question) -> Option<(String, Vec<Bound>)> {
    use Bound::{At, Id, Int, Ints};
    let text = |text: &str| Bound::Text(text.to_owned());
    let Sql { text, values } = match question {
        Question::Workflow(name) => Sql::new(sql::WORKFLOW, [text(name.as_str())]),
        Question::NamedLike(pattern) => Sql::new(sql::NAMED_LIKE, [text(pattern.as_str())]),
        Question::NotedLike(pattern) => Sql::new(sql::NOTED_LIKE, [text(pattern.as_str())]),
        Question::RunLines(parts) => sql::run_lines(parts)?,
        Question::RunLinesOf(runs) => {
            Sql::new(sql::run_lines_of(), [Bound::Ids(runs.iter().map(|run| run.0).collect())])
        }
        Question::UsualOf(workflows) => Sql::new(sql::USUAL_OF, [Ints(workflows.clone())]),
        Question::Workflows => Sql::new(sql::workflow_rows(""), []),
        Question::OneWorkflow(name) => Sql::new(sql::workflow_rows("WHERE w.name = $1"), [text(name.as_str())]),
        Question::Bars(workflows, bars) => Sql::new(sql::bars(), [Ints(workflows.clone()), Int(i64::from(*bars))]),
        Question::Created(run) => Sql::new(sql::CREATED, [Id(run.0)]),
        Question::Compiled(versions) => {
            Sql::new(sql::COMPILED, [Ints(versions.iter().map(|version| version.0).collect())])
        }
        Question::Grid(parts) => sql::grid(parts)?,
        Question::Durations(workflow, runs) => Sql::new(sql::durations(), [Int(*workflow), Int(i64::from(*runs))]),
        Question::Usual(workflow, runs) => Sql::new(sql::usual(), [text(workflow.as_str()), Int(i64::from(*runs))]),
        Question::Calendar(workflow, spans) => {
            let values = [
                text(workflow.as_str()),
                Bound::Ats(spans.iter().map(|(from, _, _)| *from).collect()),
                Bound::Ats(spans.iter().map(|(_, until, _)| *until).collect()),
                Ints(spans.iter().map(|(_, _, offset)| *offset).collect()),
            ];
            Sql::new(sql::CALENDAR, values)
        }
        Question::OverCounts(ask) => Sql::new(sql::OVER_COUNTS, [At(ask.since), At(ask.until)]),
        Question::OpenCounts(ask) => Sql::new(sql::open_counts(), [At(ask.since), At(ask.until)]),
        Question::Incidents(ask) => {
            Sql::new(sql::incidents(), [At(ask.since), At(ask.until), Int(i64::from(ask.limit))])
        }
        Question::Lost(ask) => Sql::new(sql::LOST, [At(ask.since), At(ask.until), Int(i64::from(ask.limit))]),
        Question::Waiting(limit) => Sql::new(sql::waiting(), [Int(i64::from(*limit))]),
        Question::TaskHistory(workflow, key, limit) => Sql::new(
            sql::task_history(),
            [text(workflow.as_str()), text(key.task.as_str()), Int(i64::from(key.map_index.0)), Int(i64::from(*limit))],
        ),
        Question::Neighbours(run) => Sql::new(sql::NEIGHBOURS, [Id(run.0)]),
        Question::Versions(workflow, before, limit) => {
            Sql::new(sql::versions(), [text(workflow.as_str()), Int(i64::from(*before)), Int(i64::from(*limit))])
        }
        Question::Version(workflow, number) => {
            Sql::new(sql::version(), [text(workflow.as_str()), Int(i64::from(*number))])
        }
        Question::Events(run, after, limit) => {
            let after = i64::try_from(*after).unwrap_or(i64::MAX);
            Sql::new(sql::EVENTS, [Id(run.0), Int(after), Int(i64::from(*limit))])
        }
        Question::Attempts(run, key) => {
            let mut values = vec![Id(run.0)];
            if let Some(key) = key {
                values.extend([text(key.task.as_str()), Int(i64::from(key.map_index.0))]);
            }
            Sql::new(sql::attempts(key.is_some()), values)
        }
        Question::Items(run, key) => {
            Sql::new(sql::ITEMS, [Id(run.0), text(key.task.as_str()), Int(i64::from(key.map_index.0))])
        }
        Question::Metrics(run, task) => Sql::new(sql::METRICS, [Id(run.0), text(task.as_str())]),
        Question::Output(run, key, dispatch_no) => Sql::new(
            sql::OUTPUT,
            [Id(run.0), text(key.task.as_str()), Int(i64::from(key.map_index.0)), Int(i64::from(*dispatch_no))],
        ),
        Question::Queues => Sql::new(sql::QUEUES, []),
        Question::Size => Sql::new(sql::SIZE, []),
        Question::Note(run) => Sql::new(sql::NOTE, [Id(run.0)]),
    };
    Some((text, values))
}

fn bound(values: Vec<Bound>) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    for value in values {
        let added = match value {
            Bound::Int(value) => arguments.add(value),
            Bound::Text(value) => arguments.add(value),
            Bound::At(value) => arguments.add(value.to_datetime()),
            Bound::Id(value) => arguments.add(value),
            Bound::Ints(values) => arguments.add(values),
            Bound::Ids(values) => arguments.add(values),
            Bound::Ats(values) => arguments.add(values.into_iter().map(Timestamp::to_datetime).collect::<Vec<_>>()),
        };
        added.map_err(|error| StoreError::Other(format!("arguments could not be encoded: {error}")))?;
    }
    Ok(arguments)
}

fn tuple(row: &PgRow) -> Result<Tuple, StoreError> {
    let mut data = Vec::with_capacity(row.len());
    for column in row.columns() {
        data.push(datum(row, column.ordinal()).map_err(|error| error::plain(&error))?);
    }
    Ok(Tuple(data))
}

fn datum(row: &PgRow, column: usize) -> Result<Datum, sqlx::Error> {
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(Datum::Null);
    }
    Ok(match value.type_info().name() {
        "INT8" => Datum::Int(row.try_get(column)?),
        "INT4" => Datum::Int(row.try_get::<i32, _>(column)?.into()),
        "BOOL" => Datum::Int(row.try_get::<bool, _>(column)?.into()),
        "FLOAT8" => Datum::Real(row.try_get(column)?),
        "UUID" => Datum::Id(row.try_get::<Uuid, _>(column)?),
        "TIMESTAMPTZ" => Datum::Int(Timestamp::from_datetime(row.try_get::<DateTime<Utc>, _>(column)?).as_millis()),
        _ => Datum::Text(row.try_get(column)?),
    })
}

#[async_trait]
impl Answers for PgStore {
    async fn answers(&self, questions: Vec<Question>) -> Result<Vec<Vec<Tuple>>, StoreError> {
        let inner = Arc::clone(&self.inner);
        guarded(Lost::Nothing, async move {
            let mut lease = inner.readers.lease().await?;
            let several = questions.len() > 1;
            let control = async |lease: &mut crate::line::Lease, statement: &'static str| {
                inner.counters.round_trip(Purpose::Read);
                let done = sqlx::raw_sql(statement).execute(&mut lease.connection).await;
                done.map(|_| ()).map_err(|error| error::plain(&error))
            };
            if several {
                control(&mut lease, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            }
            let mut answers = Vec::with_capacity(questions.len());
            for question in &questions {
                let Some((text, values)) = statement(question) else {
                    answers.push(Vec::new());
                    continue;
                };
                inner.counters.round_trip(Purpose::Read);
                let query = sqlx::query_with(sqlx::AssertSqlSafe(text), bound(values)?);
                let rows = query.fetch_all(&mut lease.connection).await.map_err(|error| error::plain(&error))?;
                answers.push(rows.iter().map(tuple).collect::<Result<_, _>>()?);
            }
            if several {
                control(&mut lease, "COMMIT").await?;
            }
            lease.give_back();
            Ok(answers)
        })
        .await
    }

    fn facts(&self) -> &FactsCache {
        &self.inner.facts
    }

    async fn write_note(&self, run: RunId, note: &Note) -> Result<bool, StoreError> {
        let known = !self.answers(vec![Question::Created(run)]).await?.concat().is_empty();
        let (statement, values) = if note.text.is_empty() {
            (sql::REMOVE_NOTE, vec![Bound::Id(run.0)])
        } else {
            let text = |text: &str| Bound::Text(text.to_owned());
            (sql::SET_NOTE, vec![Bound::Id(run.0), text(&note.text), text(&note.by), Bound::At(note.at)])
        };
        let arguments = bound(values)?;
        let inner = Arc::clone(&self.inner);
        guarded(Lost::Commit, async move {
            let mut lease = inner.readers.lease().await?;
            inner.counters.round_trip(Purpose::Admin);
            let answer = sqlx::query_with(statement, arguments).fetch_all(&mut lease.connection).await;
            let written = lease.settle(answer).map_err(|error| error::of_commit(&error))?;
            if !written.is_empty() {
                inner.counters.committed(Purpose::Admin);
            }
            Ok(known)
        })
        .await
    }
}
