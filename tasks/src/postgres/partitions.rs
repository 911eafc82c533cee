//! Partitions that a load needs, made before it: days or months (UTC) of one column.
//!
//! They are made in a short transaction of its own, on a connection of its own, and attached: readers and writers of the table
//! go on meanwhile. `create … partition of` would shut them out until the load has ended.

use chrono::{Datelike, Months, NaiveDate};
use updraft_task::{Context, TaskError};

use super::catalog::{Partitioning, Table};
use super::fault::sqlstate;
use super::text::quoted;
use super::{Server, Session};

/// Bytes of a name.
const NAME_BYTES: usize = 63;
/// The range meets another partition's.
const OVERLAPS: &str = "42P17";

/// What there was to make.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// Names of the partitions that the rows go to, made or not: days (`2026-01-31`) or months (`2026-01`).
    pub ranges: Vec<String>,
    /// How many were made.
    pub made: u64,
}

/// Makes what is missing for these days (as `YYYY-MM-DD`, UTC, no day twice).
///
/// # Errors
/// `fail` `Denied`: only the table's owner may; as the server's errors.
pub(crate) async fn make(
    server: &Server,
    ctx: &Context,
    table: &Table,
    partitioning: &Partitioning,
    days: &[NaiveDate],
) -> Result<Made, TaskError> {
    let mut ranges: Vec<Range> = days.iter().filter_map(|day| Range::of(*day, partitioning.monthly)).collect();
    ranges.sort();
    ranges.dedup();
    let mut made = Made { ranges: ranges.iter().map(Range::label).collect(), made: 0 };
    if ranges.is_empty() || partitioning.has_default {
        return Ok(made);
    }
    let mut session = server.connect(ctx).await?;
    let result = attach_missing(&mut session, table, &ranges).await;
    session.close().await;
    made.made = result.map_err(|error| error.context(format!("partitions of {}", table.in_sql())))?;
    Ok(made)
}

async fn attach_missing(session: &mut Session, table: &Table, ranges: &[Range]) -> Result<u64, TaskError> {
    session.execute("begin").await?;
    // One at a time for each table, so that nobody makes what another is making.
    session
        .execute(&format!("select pg_advisory_xact_lock(hashtext('updraft partitions'), {}::int4)", lock_id(table)))
        .await?;
    let names: Vec<String> = ranges.iter().map(|range| range.name(&table.name)).collect();
    let Session { connection, stop } = &mut *session;
    let known: Vec<String> = stop
        .during(
            "",
            sqlx::query_scalar(
                "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid \
                 where i.inhparent = $1 and c.relname = any($2)",
            )
            .bind(table.oid)
            .bind(&names)
            .fetch_all(&mut *connection),
        )
        .await?;
    let mut made = 0;
    for (range, name) in ranges.iter().zip(&names).filter(|(_, name)| !known.contains(name)) {
        if attach(session, table, range, name).await? {
            made += 1;
        }
    }
    session.execute("commit").await?;
    Ok(made)
}

/// `false` if another partition already takes rows of this range: somebody cuts the table otherwise.
async fn attach(session: &mut Session, table: &Table, range: &Range, name: &str) -> Result<bool, TaskError> {
    session.execute("savepoint partition").await?;
    let partition = format!("{}.{}", quoted(&table.schema), quoted(name));
    session
        .execute(&format!(
            "create table {partition} (like {} including defaults including constraints including generated \
             including storage)",
            table.in_sql()
        ))
        .await?;
    let sql = format!(
        "alter table {} attach partition {partition} for values from ('{}') to ('{}')",
        table.in_sql(),
        range.from,
        range.to
    );
    let Session { connection, stop } = &mut *session;
    let attached = stop
        .during("", async {
            match sqlx::query(sqlx::AssertSqlSafe(sql.as_str())).execute(&mut *connection).await {
                Ok(_) => Ok(true),
                Err(error) if sqlstate(&error).as_deref() == Some(OVERLAPS) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await?;
    if !attached {
        session.execute("rollback to savepoint partition").await?;
    }
    session.execute("release savepoint partition").await?;
    Ok(attached)
}

fn lock_id(table: &Table) -> u32 {
    // Half of the numbers, so that it fits `int4`; two tables that share one only wait for each other.
    table.oid.0 & 0x7fff_ffff
}

/// Days from one (included) to another (not).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    from: NaiveDate,
    to: NaiveDate,
    monthly: bool,
}

impl Range {
    /// The range that a day lies in; `None` where PostgreSQL writes years otherwise: no partition is made there.
    fn of(day: NaiveDate, monthly: bool) -> Option<Self> {
        if !(1..9999).contains(&day.year()) {
            return None;
        }
        let from = if monthly { day.with_day(1)? } else { day };
        let to = if monthly { from.checked_add_months(Months::new(1))? } else { day.succ_opt()? };
        Some(Self { from, to, monthly })
    }

    fn label(&self) -> String {
        self.from.format(if self.monthly { "%Y-%m" } else { "%Y-%m-%d" }).to_string()
    }

    /// `flights_p20260131`; of a long table's name its beginning and a sum of the whole.
    fn name(&self, table: &str) -> String {
        let end = self.from.format(if self.monthly { "_p%Y%m" } else { "_p%Y%m%d" }).to_string();
        if table.len() + end.len() <= NAME_BYTES {
            return format!("{table}{end}");
        }
        let sum = updraft_task::lake::sha256_hex(table.as_bytes());
        let kept = NAME_BYTES - end.len() - 9;
        // The task's table names are ASCII.
        format!("{}_{}{end}", table.get(..kept).unwrap_or_default(), sum.get(..8).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_lies_in_its_day_or_its_month() {
        let daily = Range::of(day("2026-12-31"), false).unwrap();
        assert_eq!((daily.to, daily.label().as_str()), (day("2027-01-01"), "2026-12-31"));
        let monthly = Range::of(day("2026-12-31"), true).unwrap();
        assert_eq!(
            (monthly.from, monthly.to, monthly.label().as_str()),
            (day("2026-12-01"), day("2027-01-01"), "2026-12")
        );
        assert_eq!(Range::of(NaiveDate::MAX, false), None);
    }

    #[test]
    fn names_of_partitions_are_short_enough_and_their_own() {
        let range = Range::of(day("2026-01-31"), false).unwrap();
        assert_eq!(range.name("flights"), "flights_p20260131");
        let (one, two) = (range.name(&"a".repeat(60)), range.name(&format!("{}b", "a".repeat(59))));
        assert_eq!((one.len(), two.len()), (63, 63));
        assert_ne!(one, two);
    }
}
