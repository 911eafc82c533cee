//! `postgres.migrate`: numbered SQL files, each in one transaction with its record.

use sqlx::AssertSqlSafe;
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Task, TaskError};

use super::text::{quoted, transaction_control};
use super::{Server, Session};
use crate::database::{BAD_CONNECTION, BAD_STATEMENT, DENIED, ROW_REFUSED, WAREHOUSE};
use crate::migrations::{
    self, Applied, BAD_MIGRATIONS, CHANGED_MIGRATION, MigrateParams, MigrateReport, Migrated, Migration,
};
use crate::text::named_plainly;
use crate::warehouse_load::{Engine, databases_of};

/// The task.
#[derive(Debug)]
pub struct PostgresMigrate;

impl Task for PostgresMigrate {
    const TYPE: &'static str = "postgres.migrate";
    const SUMMARY: &'static str = "applies numbered SQL files to PostgreSQL, each once";
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
            name: "BadTable",
            retryable: false,
            meaning: "the record's table has other characters in its name than letters, digits and `_`",
        },
    ];
    const EXAMPLE: &'static str = r"
- id: migrate
  type: postgres.migrate
  conn: postgres
  with:
    folder: workflows/opensky/postgres
";

    type Params = MigrateParams;
    type Output = MigrateReport;

    async fn run(params: MigrateParams, ctx: &Context) -> Result<MigrateReport, TaskError> {
        let MigrateParams { folder, plan, table } = params;
        named_plainly(&table)?;
        let files = migrations::read(&ctx.path(folder)).await?;
        for file in &files {
            whole(file)?;
        }
        let mut databases = Vec::new();
        for (name, connection) in databases_of(ctx, Engine::Postgres)? {
            let server = Server::of(&name, &connection, ctx)?;
            let migrated = migrate(&server, ctx, &table, &files, plan).await;
            databases.push(migrated.map_err(|error| error.context(format!("connection `{name}`")))?);
        }
        Ok(MigrateReport { databases })
    }
}

async fn migrate(
    server: &Server,
    ctx: &Context,
    table: &str,
    files: &[Migration],
    plan: bool,
) -> Result<Migrated, TaskError> {
    let mut session = server.connect(ctx).await?;
    let mut done =
        Migrated { database: server.place().to_owned(), already: 0, applied: Vec::new(), pending: Vec::new() };
    if plan {
        let records = records(&mut session, table).await?;
        let pending = migrations::plan(files, &records)?;
        pending.iter().for_each(|file| ctx.info(format!("would apply {}", file.file)));
        done.already = records.len() as u64;
        done.pending = pending.iter().map(|file| file.file.clone()).collect();
    } else {
        apply(&mut session, ctx, table, files, &mut done).await?;
    }
    session.close().await;
    Ok(done)
}

/// A file is one transaction: it may not end it.
fn whole(file: &Migration) -> Result<(), TaskError> {
    let Some((words, line)) = transaction_control(&file.sql) else { return Ok(()) };
    Err(TaskError::fail(
        BAD_MIGRATIONS.name,
        format!(
            "`{}`, line {line}: `{words}`: each file is one transaction already, together with its record. Remove it; what \
             must stand alone belongs into a file of its own",
            file.file
        ),
    ))
}

async fn apply(
    session: &mut Session,
    ctx: &Context,
    table: &str,
    files: &[Migration],
    report: &mut Migrated,
) -> Result<(), TaskError> {
    // Of two at once the second waits, and finds the work done. The lock goes with the session.
    {
        let Session { connection, stop } = &mut *session;
        let lock = sqlx::query("select pg_advisory_lock(hashtextextended('updraft.migrate ' || $1, 0))").bind(table);
        stop.during("", lock.execute(&mut *connection)).await?;
    }
    let records = records(session, table).await?;
    let pending = migrations::plan(files, &records)?;
    report.already = records.len() as u64;
    if pending.is_empty() {
        ctx.info(format!("nothing to apply: {} file(s) were applied before", records.len()));
        return Ok(());
    }
    session
        .execute(&format!(
            "create table if not exists {} (number integer primary key, name text not null, sha256 text not null, \
             applied_at timestamptz not null default now(), run_id uuid)",
            quoted(table)
        ))
        .await?;
    // With its schema: a file may set the search path.
    let schema = {
        let Session { connection, stop } = &mut *session;
        let sql = "select relnamespace::regnamespace::text from pg_class where oid = to_regclass($1)";
        stop.during("", sqlx::query_scalar::<_, String>(sql).bind(quoted(table)).fetch_one(&mut *connection)).await?
    };
    let record = format!("{schema}.{}", quoted(table));
    for (index, file) in pending.iter().enumerate() {
        apply_one(session, ctx, &record, file).await?;
        ctx.info(format!("applied {}", file.file));
        ctx.progress(index as u64 + 1, Some(pending.len() as u64), "files");
        report.applied.push(file.file.clone());
    }
    Ok(())
}

async fn apply_one(session: &mut Session, ctx: &Context, record: &str, file: &Migration) -> Result<(), TaskError> {
    session.execute("begin").await?;
    {
        let Session { connection, stop } = &mut *session;
        // Of the project's author: this is what the task is for.
        let statements = sqlx::raw_sql(AssertSqlSafe(file.sql.as_str())).execute(&mut *connection);
        stop.during(&file.sql, statements).await.map_err(|error| error.context(format!("`{}`", file.file)))?;
        let record = format!("insert into {record} (number, name, sha256, run_id) values ($1, $2, $3, $4)");
        let number = i32::try_from(file.number)
            .map_err(|_| TaskError::fail(BAD_MIGRATIONS.name, format!("`{}`: the number is too large", file.file)))?;
        stop.during(
            "",
            sqlx::query(AssertSqlSafe(record))
                .bind(number)
                .bind(&file.name)
                .bind(&file.sha256)
                .bind(ctx.run().run_id.0)
                .execute(&mut *connection),
        )
        .await
        .map_err(|error| error.context(format!("the record of `{}`", file.file)))?;
    }
    session.execute("commit").await?;
    // What a file sets is for this file alone.
    session.execute("reset all").await?;
    Ok(())
}

/// What the database has had.
async fn records(session: &mut Session, table: &str) -> Result<Vec<Applied>, TaskError> {
    let Session { connection, stop } = session;
    let there: bool = stop
        .during(
            "",
            sqlx::query_scalar("select to_regclass($1) is not null").bind(quoted(table)).fetch_one(&mut *connection),
        )
        .await?;
    if !there {
        return Ok(Vec::new());
    }
    let sql = format!("select number, name, sha256 from {} order by number", quoted(table));
    let rows: Vec<(i32, String, String)> = stop
        .during("", sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut *connection))
        .await
        .map_err(|error| error.context(format!("the table `{table}` is not a record of migrations")))?;
    let record = |(number, name, sha256): (i32, String, String)| Applied {
        number: u32::try_from(number).unwrap_or(0),
        name,
        sha256,
    };
    Ok(rows.into_iter().map(record).collect())
}

#[cfg(test)]
mod tests;
