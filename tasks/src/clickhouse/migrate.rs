//! `clickhouse.migrate`: numbered SQL files, statement by statement. ClickHouse has no transactions, so each statement is
//! written down before it is run and after it was: what was broken off goes on where it stood.

use std::collections::BTreeMap;

use serde::Deserialize;
use updraft_task::lake::sha256_hex;
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Task, TaskError, Verdict};

use super::Server;
use super::text::{Statement, literal, quoted, statements};
use crate::database::{BAD_CONNECTION, BAD_STATEMENT, DENIED, ROW_REFUSED, WAREHOUSE};
use crate::migrations::{
    self, Applied, BAD_MIGRATIONS, CHANGED_MIGRATION, MigrateParams, MigrateReport, Migrated, Migration,
};
use crate::text::named_plainly;
use crate::warehouse_load::{Engine, databases_of};

const HALF_APPLIED: &str = "HalfApplied";

/// The task.
#[derive(Debug)]
pub struct ClickhouseMigrate;

impl Task for ClickhouseMigrate {
    const TYPE: &'static str = "clickhouse.migrate";
    const SUMMARY: &'static str = "applies numbered SQL files to ClickHouse, each statement once";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Required(&["warehouse", "group"]);
    const ERRORS: &'static [ErrorClass] = &[
        BAD_CONNECTION,
        WAREHOUSE,
        DENIED,
        BAD_STATEMENT,
        ROW_REFUSED,
        BAD_MIGRATIONS,
        CHANGED_MIGRATION,
        ErrorClass {
            name: HALF_APPLIED,
            retryable: false,
            meaning: "an earlier attempt was broken off in a statement that cannot be repeated: whether it was done must be \
                      seen by hand",
        },
        ErrorClass {
            name: "BadTable",
            retryable: false,
            meaning: "the record's table has other characters in its name than letters, digits and `_`",
        },
    ];
    const EXAMPLE: &'static str = r"
- id: migrate
  type: clickhouse.migrate
  conn: clickhouse
  with:
    folder: workflows/opensky/clickhouse
";

    type Params = MigrateParams;
    type Output = MigrateReport;

    async fn run(params: MigrateParams, ctx: &Context) -> Result<MigrateReport, TaskError> {
        let MigrateParams { folder, plan, table } = params;
        named_plainly(&table)?;
        let files = migrations::read(&ctx.path(folder)).await?;
        for file in &files {
            parts(file)?;
        }
        let mut databases = Vec::new();
        for (name, connection) in databases_of(ctx, Engine::Clickhouse)? {
            let server = Server::of(&name, &connection, ctx)?;
            let record = Record { server: &server, ctx, table: &table };
            let migrated = record.migrate(&files, plan).await;
            databases.push(migrated.map_err(|error| error.context(format!("connection `{name}`")))?);
        }
        Ok(MigrateReport { databases })
    }
}

/// A file's statements: each is a session of its own.
fn parts(file: &Migration) -> Result<Vec<Statement>, TaskError> {
    let found = statements(&file.sql);
    for statement in &found {
        let words = statement.words();
        let first = words.first().map_or("", String::as_str);
        if matches!(first, "set" | "use" | "begin" | "start" | "commit" | "rollback") {
            return Err(TaskError::fail(
                BAD_MIGRATIONS.name,
                format!(
                    "`{}`, line {}: `{first}`: each statement is a session of its own, so that this says nothing to the next \
                     one. Write `SETTINGS …` and the database's name into the statement that needs them",
                    file.file, statement.line
                ),
            ));
        }
    }
    if found.is_empty() {
        return Err(TaskError::fail(BAD_MIGRATIONS.name, format!("`{}` holds no statement", file.file)));
    }
    Ok(found)
}

#[derive(Debug, Deserialize)]
struct Row {
    number: u32,
    name: String,
    sha256: String,
}

/// What is known of a statement.
#[derive(Debug, Deserialize)]
struct Step {
    statement: usize,
    sha256: String,
    done: u8,
    /// Begun, and neither done nor refused.
    open: u8,
}

/// A database's table of what it has had.
struct Record<'a> {
    server: &'a Server,
    ctx: &'a Context,
    table: &'a str,
}

impl Record<'_> {
    async fn migrate(&self, files: &[Migration], plan: bool) -> Result<Migrated, TaskError> {
        self.server.connect().await?;
        let there = self
            .server
            .count(&format!(
                "select count() from system.tables where database = {} and name = {}",
                literal(self.server.database()),
                literal(self.table)
            ))
            .await?;
        let applied = if there > 0 { self.applied().await? } else { Vec::new() };
        let pending = migrations::plan(files, &applied)?;
        let mut done = Migrated {
            database: self.server.shown().to_owned(),
            already: applied.len() as u64,
            applied: Vec::new(),
            pending: Vec::new(),
        };
        if plan {
            pending.iter().for_each(|file| self.ctx.info(format!("would apply {}", file.file)));
            done.pending = pending.iter().map(|file| file.file.clone()).collect();
            return Ok(done);
        }
        if pending.is_empty() {
            self.ctx.info(format!("nothing to apply: {} file(s) were applied before", applied.len()));
            return Ok(done);
        }
        self.make().await?;
        for (index, file) in pending.iter().enumerate() {
            self.apply(file).await?;
            self.ctx.info(format!("applied {}", file.file));
            self.ctx.progress(index as u64 + 1, Some(pending.len() as u64), "files");
            done.applied.push(file.file.clone());
        }
        Ok(done)
    }

    async fn make(&self) -> Result<(), TaskError> {
        self.server
            .execute(&format!(
                "create table if not exists {} (number UInt32, name String, statement UInt32 comment '0: the file', \
                 sha256 String, state Enum8('begun' = 1, 'done' = 2, 'refused' = 3), \
                 at DateTime64(3, 'UTC') default now64(3), run_id Nullable(UUID)) engine = MergeTree order by (number, statement)",
                quoted(self.table)
            ))
            .await
    }

    async fn applied(&self) -> Result<Vec<Applied>, TaskError> {
        let rows: Vec<Row> = self
            .server
            .rows(&format!(
                "select number, any(name) as name, any(sha256) as sha256 from {} where statement = 0 and state = 'done' \
                 group by number order by number",
                quoted(self.table)
            ))
            .await
            .map_err(|error| error.context(format!("the table `{}` is not a record of migrations", self.table)))?;
        let of = |row: Row| Applied { number: row.number, name: row.name, sha256: row.sha256 };
        Ok(rows.into_iter().map(of).collect())
    }

    /// What an attempt that was broken off has left of a file.
    async fn steps(&self, file: &Migration) -> Result<BTreeMap<usize, Step>, TaskError> {
        let steps: Vec<Step> = self
            .server
            .rows(&format!(
                "select statement, argMax(sha256, state = 'done') as sha256, toUInt8(countIf(state = 'done') > 0) as done, \
                 toUInt8(countIf(state = 'begun') > countIf(state in ('done', 'refused'))) as open \
                 from {} where number = {} and statement > 0 group by statement order by statement",
                quoted(self.table),
                file.number
            ))
            .await?;
        Ok(steps.into_iter().map(|step| (step.statement, step)).collect())
    }

    async fn apply(&self, file: &Migration) -> Result<(), TaskError> {
        let parts = parts(file)?;
        let mut steps = self.steps(file).await?;
        let last = steps.values().filter(|step| step.done > 0).map(|step| step.statement).max().unwrap_or(0);
        if last > parts.len() {
            return Err(TaskError::fail(
                CHANGED_MIGRATION.name,
                format!(
                    "`{}` has fewer statements than the {last} that were applied of it: bring them back",
                    file.file
                ),
            ));
        }
        for (number, statement) in (1..).zip(&parts) {
            let sum = sha256_hex(statement.sql.as_bytes());
            let place = || format!("`{}`: statement {number} (line {})", file.file, statement.line);
            match steps.remove(&number) {
                Some(step) if step.done > 0 && step.sha256 == sum => {
                    self.ctx.info(format!("{}: done by an earlier attempt", place()));
                    continue;
                }
                Some(step) if step.done > 0 => {
                    return Err(TaskError::fail(
                        CHANGED_MIGRATION.name,
                        format!(
                            "{} was applied and has changed since: bring it back as it was; what comes after it may change",
                            place()
                        ),
                    ));
                }
                Some(step) if step.open > 0 && !statement.repeatable() => {
                    return Err(self.half_applied(file, number, &sum).context(place()));
                }
                Some(_) | None => {}
            }
            self.step(file, number, &sum, statement).await.map_err(|error| error.context(place()))?;
        }
        self.note(file, 0, &file.sha256, "done").await
    }

    async fn step(&self, file: &Migration, number: usize, sum: &str, statement: &Statement) -> Result<(), TaskError> {
        self.note(file, number, sum, "begun").await?;
        // Of the project's author: this is what the task is for.
        if let Err(error) = self.server.execute(&statement.sql).await {
            // The server has refused it, so that it was not done; otherwise nobody knows.
            if matches!(error.verdict(), Verdict::Fail) {
                self.note(file, number, sum, "refused").await?;
            }
            return Err(error);
        }
        self.note(file, number, sum, "done").await
    }

    async fn note(&self, file: &Migration, statement: usize, sum: &str, state: &str) -> Result<(), TaskError> {
        let run = self.ctx.run().run_id.to_string();
        self.server
            .execute(&self.noting(file, statement, sum, state, &literal(&run)))
            .await
            .map_err(|error| error.context(format!("the record of `{}`", file.file)))
    }

    fn noting(&self, file: &Migration, statement: usize, sum: &str, state: &str, run: &str) -> String {
        format!(
            "insert into {} (number, name, statement, sha256, state, run_id) values ({}, {}, {statement}, {}, {}, {run})",
            quoted(self.table),
            file.number,
            literal(&file.name),
            literal(sum),
            literal(state)
        )
    }

    fn half_applied(&self, file: &Migration, number: usize, sum: &str) -> TaskError {
        TaskError::fail(
            HALF_APPLIED,
            format!(
                "an earlier attempt was broken off while the server ran it, and it has no `IF NOT EXISTS` by which it could \
                 be repeated. Look whether it was done, and say so by `{}`, or with 'refused' for 'done' if it was not",
                self.noting(file, number, sum, "done", "null")
            ),
        )
    }
}

#[cfg(test)]
mod tests;
