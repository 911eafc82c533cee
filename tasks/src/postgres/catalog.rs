//! What the catalog says of a table: columns with their types, the key, how it is partitioned.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::postgres::types::Oid;
use updraft_task::TaskError;

use super::Session;
use super::text::quoted;

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Name.
    pub name: String,
    /// Type as SQL writes it: `character varying(8)`, `double precision[]`.
    pub sql_type: String,
    /// Internal name of the type, of domains the one below: `varchar`, `float8`, `_text` for `text[]`.
    pub base: String,
    /// Internal name of an array's elements; empty for others.
    pub element: String,
    /// One letter of `pg_type.typtype`: `b` base, `e` enum, `d` domain, …
    pub kind: String,
    /// Whether it takes no nulls.
    pub not_null: bool,
    /// Whether it fills itself if nothing is said: default, identity.
    pub has_default: bool,
    /// Whether it takes no value: generated.
    pub generated: bool,
}

impl sqlx::FromRow<'_, PgRow> for Column {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            name: row.try_get("name")?,
            sql_type: row.try_get("sql_type")?,
            base: row.try_get("base")?,
            element: row.try_get("element")?,
            kind: row.try_get("kind")?,
            not_null: row.try_get("not_null")?,
            has_default: row.try_get("has_default")?,
            generated: row.try_get("generated")?,
        })
    }
}

/// How the rows are spread over partitions that the loader can make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partitioning {
    /// The column of the range.
    pub column: String,
    /// A partition is a month instead of a day (UTC).
    pub monthly: bool,
    /// Rows without a partition of their own have one.
    pub has_default: bool,
}

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Its id.
    pub oid: Oid,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// Columns of the primary key, in its order.
    pub key: Vec<String>,
    /// `Some` if it is partitioned by ranges of one column that is a time or a date.
    pub partitioning: Option<Partitioning>,
}

const COLUMNS: &str = "
    select a.attname::text as name, format_type(a.atttypid, a.atttypmod) as sql_type,
        coalesce(b.typname, t.typname)::text as base, coalesce(e.typname, '')::text as element,
        coalesce(b.typtype, t.typtype)::text as kind, a.attnotnull or t.typnotnull as not_null,
        (a.atthasdef and a.attgenerated = '') or a.attidentity <> '' as has_default,
        a.attgenerated <> '' or a.attidentity = 'a' as generated
    from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    left join pg_type b on t.typtype = 'd' and b.oid = t.typbasetype
    left join pg_type e on e.oid = coalesce(b.typelem, t.typelem) and coalesce(b.typcategory, t.typcategory) = 'A'
    where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
    order by a.attnum";

const KEY: &str = "
    select a.attname::text
    from pg_index i
    cross join unnest(i.indkey::int2[]) with ordinality k(attnum, place)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = $1 and i.indisprimary and k.place <= i.indnkeyatts
    order by k.place";

const PARTITIONING: &str = "
    select a.attname::text, coalesce(obj_description(p.partrelid, 'pg_class'), '') ~ '\\[partitions: monthly\\]',
        p.partdefid <> 0
    from pg_partitioned_table p
    join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
    where p.partrelid = $1 and p.partstrat = 'r' and p.partnatts = 1
        and a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)";

impl Table {
    /// Looks a table up along the search path.
    ///
    /// # Errors
    /// `fail` `BadTable`: there is none, it is not a table, or it has no primary key.
    pub(crate) async fn find(session: &mut Session, name: &str) -> Result<Self, TaskError> {
        let Session { connection, stop } = session;
        let found: Option<(Oid, String, String)> = stop
            .during(
                "",
                sqlx::query_as(
                    "select c.oid, n.nspname::text, c.relkind::text from pg_class c join pg_namespace n \
                     on n.oid = c.relnamespace where c.oid = to_regclass($1)",
                )
                .bind(quoted(name))
                .fetch_optional(&mut *connection),
            )
            .await?;
        let bad = |text: String| Err(TaskError::fail("BadTable", text));
        let Some((oid, schema, kind)) = found else {
            return bad(format!(
                "there is no table `{name}` on the search path of PostgreSQL at {}: make it (`postgres.migrate`), or say what \
                 it is called there (`tables` of the connection)",
                stop.server.place()
            ));
        };
        if !matches!(kind.as_str(), "r" | "p") {
            return bad(format!("`{schema}.{name}` is not a table (a view, an index, a foreign table)"));
        }
        let columns = stop.during("", sqlx::query_as(COLUMNS).bind(oid).fetch_all(&mut *connection)).await?;
        let key: Vec<String> = stop.during("", sqlx::query_scalar(KEY).bind(oid).fetch_all(&mut *connection)).await?;
        if key.is_empty() {
            return bad(format!(
                "`{schema}.{name}` has no primary key, so that a row loaded twice would be there twice: add one"
            ));
        }
        let partitioning: Option<(String, bool, bool)> =
            stop.during("", sqlx::query_as(PARTITIONING).bind(oid).fetch_optional(&mut *connection)).await?;
        let partitioning =
            partitioning.map(|(column, monthly, has_default)| Partitioning { column, monthly, has_default });
        Ok(Self { oid, schema, name: name.to_owned(), columns, key, partitioning })
    }

    /// `"schema"."table"`.
    pub(crate) fn in_sql(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    /// A column by name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}
