//! Answers to the questions of history, in one snapshot, over the readers' connections.

mod sql;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, Decode, Executor, Row, Sqlite, TypeInfo, ValueRef};
use updraft_model::id::RunId;
use updraft_store::history::Note;
use updraft_store::history::facts::FactsCache;
use updraft_store::history::question::{Answers, Question};
use updraft_store::history::tuple::{Datum, Tuple};
use updraft_store::{Purpose, StoreError};

use crate::error;
use crate::load::{self, arguments};
use crate::reader::SqliteReader;
use crate::store::SqliteStore;
use crate::writer::Write;

use sql::{Bound, Sql};

/// The statement of a question; `None`: its answer is empty.
pub(crate) fn statement(question: &Question) -> Option<(String, Vec<Bound>)> {
    fn numbers(of: impl Iterator<Item = i64>) -> Bound {
        let of: Vec<String> = of.map(|number| number.to_string()).collect();
        format!("[{}]", of.join(",")).into()
    }
    let Sql { text, values } = match question {
        Question::Workflow(name) => Sql::new(sql::WORKFLOW, [name.as_str().into()]),
        Question::NamedLike(pattern) => Sql::new(sql::NAMED_LIKE, [pattern.as_str().into()]),
        Question::NotedLike(pattern) => Sql::new(sql::NOTED_LIKE, [pattern.as_str().into()]),
        Question::RunLines(parts) => sql::run_lines(parts)?,
        Question::RunLinesOf(runs) => {
            let runs: Vec<String> = runs.iter().map(|run| format!("\"{run}\"")).collect();
            Sql::new(sql::run_lines_of(), [format!("[{}]", runs.join(",")).into()])
        }
        Question::UsualOf(workflows) => Sql::new(sql::USUAL_OF, [numbers(workflows.iter().copied())]),
        Question::Workflows => Sql::new(sql::workflow_rows(""), []),
        Question::OneWorkflow(name) => Sql::new(sql::workflow_rows("WHERE w.name = $1"), [name.as_str().into()]),
        Question::Bars(workflows, bars) => {
            Sql::new(sql::bars(), [numbers(workflows.iter().copied()), i64::from(*bars).into()])
        }
        Question::Created(run) => Sql::new(sql::CREATED, [run.to_string().into()]),
        Question::Compiled(versions) => Sql::new(sql::COMPILED, [numbers(versions.iter().map(|version| version.0))]),
        Question::Grid(parts) => sql::grid(parts)?,
        Question::Durations(workflow, runs) => {
            Sql::new(sql::durations(), [(*workflow).into(), i64::from(*runs).into()])
        }
        Question::Usual(workflow, runs) => Sql::new(sql::usual(), [workflow.as_str().into(), i64::from(*runs).into()]),
        Question::Calendar(workflow, spans) => {
            let spans: Vec<String> = spans
                .iter()
                .map(|(from, until, offset)| format!("[{},{},{offset}]", from.as_millis(), until.as_millis()))
                .collect();
            Sql::new(sql::CALENDAR, [workflow.as_str().into(), format!("[{}]", spans.join(",")).into()])
        }
        Question::OverCounts(ask) => {
            Sql::new(sql::OVER_COUNTS, [ask.since.as_millis().into(), ask.until.as_millis().into()])
        }
        Question::OpenCounts(ask) => {
            Sql::new(sql::open_counts(), [ask.since.as_millis().into(), ask.until.as_millis().into()])
        }
        Question::Incidents(ask) => {
            let values = [ask.since.as_millis(), ask.until.as_millis(), i64::from(ask.limit)];
            Sql::new(sql::incidents(), values.map(Bound::from))
        }
        Question::Lost(ask) => {
            let values = [ask.since.as_millis(), ask.until.as_millis(), i64::from(ask.limit)];
            Sql::new(sql::LOST, values.map(Bound::from))
        }
        Question::Waiting(limit) => Sql::new(sql::waiting(), [i64::from(*limit).into()]),
        Question::TaskHistory(workflow, key, limit) => Sql::new(
            sql::task_history(),
            [
                workflow.as_str().into(),
                key.task.as_str().into(),
                i64::from(key.map_index.0).into(),
                i64::from(*limit).into(),
            ],
        ),
        Question::Neighbours(run) => Sql::new(sql::NEIGHBOURS, [run.to_string().into()]),
        Question::Versions(workflow, before, limit) => {
            Sql::new(sql::versions(), [workflow.as_str().into(), i64::from(*before).into(), i64::from(*limit).into()])
        }
        Question::Version(workflow, number) => {
            Sql::new(sql::version(), [workflow.as_str().into(), i64::from(*number).into()])
        }
        Question::Events(run, after, limit) => {
            let after = i64::try_from(*after).unwrap_or(i64::MAX);
            Sql::new(sql::EVENTS, [run.to_string().into(), after.into(), i64::from(*limit).into()])
        }
        Question::Attempts(run, key) => {
            let mut values: Vec<Bound> = vec![run.to_string().into()];
            if let Some(key) = key {
                values.extend([key.task.as_str().into(), i64::from(key.map_index.0).into()]);
            }
            Sql::new(sql::attempts(key.is_some()), values)
        }
        Question::Items(run, key) => {
            Sql::new(sql::ITEMS, [run.to_string().into(), key.task.as_str().into(), i64::from(key.map_index.0).into()])
        }
        Question::Metrics(run, task) => Sql::new(sql::METRICS, [run.to_string().into(), task.as_str().into()]),
        Question::Output(run, key, dispatch_no) => Sql::new(
            sql::OUTPUT,
            [
                run.to_string().into(),
                key.task.as_str().into(),
                i64::from(key.map_index.0).into(),
                i64::from(*dispatch_no).into(),
            ],
        ),
        Question::Queues => Sql::new(sql::QUEUES, []),
        Question::Size => Sql::new(sql::SIZE, []),
        Question::Note(run) => Sql::new(sql::NOTE, [run.to_string().into()]),
    };
    Some((text, values))
}

fn bound(values: Vec<Bound>) -> Result<SqliteArguments, StoreError> {
    arguments(|a| {
        for value in values {
            match value {
                Bound::Int(value) => a.add(value)?,
                Bound::Text(value) => a.add(value)?,
            }
        }
        Ok(())
    })
}

fn tuple(row: &SqliteRow) -> Result<Tuple, StoreError> {
    let mut data = Vec::with_capacity(row.len());
    for column in 0..row.len() {
        data.push(datum(row, column).map_err(|error| error::plain(&error))?);
    }
    Ok(Tuple(data))
}

fn datum(row: &SqliteRow, column: usize) -> Result<Datum, sqlx::Error> {
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(Datum::Null);
    }
    let kind = value.type_info().name().to_owned();
    let decoded = match kind.as_str() {
        "TEXT" => <String as Decode<'_, Sqlite>>::decode(value).map(Datum::Text),
        "REAL" => <f64 as Decode<'_, Sqlite>>::decode(value).map(Datum::Real),
        _ => <i64 as Decode<'_, Sqlite>>::decode(value).map(Datum::Int),
    };
    decoded.map_err(|source| sqlx::Error::ColumnDecode { index: column.to_string(), source })
}

async fn answer(connection: &mut SqliteConnection, question: &Question) -> Result<Vec<Tuple>, StoreError> {
    let Some((text, values)) = statement(question) else { return Ok(Vec::new()) };
    let query = sqlx::query_with(sqlx::AssertSqlSafe(text), bound(values)?);
    let found = connection.fetch_all(query).await.map_err(|error| error::plain(&error))?;
    found.iter().map(tuple).collect()
}

#[async_trait]
impl Answers for SqliteReader {
    async fn answers(&self, questions: Vec<Question>) -> Result<Vec<Vec<Tuple>>, StoreError> {
        self.counters().round_trip(Purpose::Read);
        self.pool()
            .read(move |connection| {
                Box::pin(async move {
                    let several = questions.len() > 1;
                    if several {
                        load::begin(connection).await?;
                    }
                    let mut answers = Vec::with_capacity(questions.len());
                    for question in &questions {
                        answers.push(answer(connection, question).await?);
                    }
                    if several {
                        load::end(connection).await?;
                    }
                    Ok(answers)
                })
            })
            .await
    }

    fn facts(&self) -> &FactsCache {
        self.facts_cache()
    }

    async fn write_note(&self, run: RunId, note: &Note) -> Result<bool, StoreError> {
        let Some(writer) = self.writer() else {
            return Err(StoreError::ReadOnly(
                "it was opened for reading; the process that owns the file writes".to_owned(),
            ));
        };
        let known = !self.answers(vec![Question::Created(run)]).await?.concat().is_empty();
        let (sql, arguments) = if note.text.is_empty() {
            (sql::REMOVE_NOTE, arguments(|a| a.add(run.to_string()))?)
        } else {
            let arguments = arguments(|a| {
                a.add(run.to_string())?;
                a.add(note.text.as_str())?;
                a.add(note.by.as_str())?;
                a.add(note.at.as_millis())
            })?;
            (sql::SET_NOTE, arguments)
        };
        let write = Write { sql, arguments, purpose: Purpose::Admin, single: true, wrote: |rows| !rows.is_empty() };
        writer.write(write).await?;
        Ok(known)
    }
}

#[async_trait]
impl Answers for SqliteStore {
    async fn answers(&self, questions: Vec<Question>) -> Result<Vec<Vec<Tuple>>, StoreError> {
        self.reader().answers(questions).await
    }

    fn facts(&self) -> &FactsCache {
        self.facts_cache()
    }

    async fn write_note(&self, run: RunId, note: &Note) -> Result<bool, StoreError> {
        self.reader().write_note(run, note).await
    }
}

#[cfg(test)]
mod plans;
