//! A table as the server's catalogue describes it, and the tables behind the views that read it.

use std::collections::BTreeSet;

use serde::Deserialize;
use updraft_task::TaskError;

use super::Server;
use super::text::{Token, Tokens, literal, quoted};

/// Views of views that are followed.
const MOST_VIEWS: usize = 100;

/// A column.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as the server writes it.
    #[serde(rename = "type")]
    pub data_type: String,
    /// `DEFAULT`, `MATERIALIZED`, `ALIAS`, `EPHEMERAL`, or empty.
    pub default_kind: String,
    /// Part of the sorting key.
    pub in_key: u8,
    /// Part of the partition key.
    pub in_partition: u8,
}

impl Column {
    /// Takes values.
    pub(crate) fn insertable(&self) -> bool {
        matches!(self.default_kind.as_str(), "" | "DEFAULT")
    }
}

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Its engine.
    pub engine: String,
    /// Expressions that tell rows apart, as in `ORDER BY`.
    pub key: String,
    /// Expression of the partition; empty if there is none.
    pub partition: String,
    /// All columns, in order.
    pub columns: Vec<Column>,
}

#[derive(Debug, Deserialize)]
struct Found {
    engine: String,
    sorting_key: String,
    partition_key: String,
}

/// What of a table concerns deduplication. Columns that older servers do not have are empty.
#[derive(Debug, Deserialize)]
struct Link {
    engine: String,
    #[serde(default)]
    create_table_query: String,
    #[serde(default)]
    dependencies_database: Vec<String>,
    #[serde(default)]
    dependencies_table: Vec<String>,
    #[serde(default)]
    target_database: String,
    #[serde(default)]
    target_table: String,
}

impl Table {
    /// Looks a table of the connection's database up.
    ///
    /// # Errors
    /// `fail` `BadTable`: it is not there, or has no sorting key; as the server's errors.
    pub(crate) async fn find(server: &Server, name: &str) -> Result<Self, TaskError> {
        let database = server.database().to_owned();
        let of = format!("database = {} and table = {}", literal(&database), literal(name));
        let found: Vec<Found> =
            server.rows(&format!("select engine, sorting_key, partition_key from system.tables where {of}")).await?;
        let Some(found) = found.into_iter().next() else {
            return Err(TaskError::fail(
                "BadTable",
                format!("there is no table `{name}` in {}: make it by clickhouse.migrate", server.shown()),
            ));
        };
        if found.sorting_key.is_empty() {
            return Err(TaskError::fail(
                "BadTable",
                format!(
                    "`{name}` in {} ({}) has no `ORDER BY` that tells its rows apart: a load that is repeated would double \
                     them",
                    server.shown(),
                    found.engine
                ),
            ));
        }
        let columns = server
            .rows(&format!(
                "select name, type, default_kind, is_in_sorting_key as in_key, is_in_partition_key as in_partition \
                 from system.columns where {of} order by position"
            ))
            .await?;
        Ok(Self {
            database,
            name: name.to_owned(),
            engine: found.engine,
            key: found.sorting_key,
            partition: found.partition_key,
            columns,
        })
    }

    /// A column by its name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether a column is, as it is, a part of the sorting key.
    pub(crate) fn orders_by(&self, name: &str) -> bool {
        let mut depth = 0_usize;
        let mut parts = vec![String::new()];
        for token in Tokens(&self.key) {
            let (Token::Code(text) | Token::Quoted(text) | Token::Comment(text)) = token;
            match token {
                Token::Code("(" | "[") => depth += 1,
                Token::Code(")" | "]") => depth = depth.saturating_sub(1),
                Token::Code(",") if depth == 0 => {
                    parts.push(String::new());
                    continue;
                }
                Token::Code(_) | Token::Quoted(_) | Token::Comment(_) => {}
            }
            if let Some(part) = parts.last_mut() {
                part.push_str(text);
            }
        }
        parts.iter().any(|part| part.trim() == name || part.trim() == quoted(name))
    }

    /// Its name in SQL.
    pub(crate) fn in_sql(&self) -> String {
        format!("{}.{}", quoted(&self.database), quoted(&self.name))
    }

    /// Its name in SQL where rows are read: as they will be when all parts are merged.
    pub(crate) fn merged(&self) -> String {
        let merges = ["Replacing", "Collapsing", "Summing", "Aggregating", "Coalescing"];
        let last = if merges.iter().any(|word| self.engine.contains(word)) { " final" } else { "" };
        format!("{}{last}", self.in_sql())
    }
}

/// Inserts that a table remembers, so that one that is repeated is left out.
const WINDOW: u32 = 10_000;

/// Makes a table, and those that its views write to, remember the inserts of late, where they do not.
///
/// # Errors
/// `fail` `Denied`: that needs the right to alter them; as the server's errors.
pub(crate) async fn remember_inserts(server: &Server, table: &Table) -> Result<Vec<String>, TaskError> {
    let mut seen = BTreeSet::new();
    let mut open = vec![(table.database.clone(), table.name.clone())];
    let mut switched = Vec::new();
    while let Some((database, name)) = open.pop() {
        if seen.len() >= MOST_VIEWS || !seen.insert((database.clone(), name.clone())) {
            continue;
        }
        let links: Vec<Link> = server
            .rows(&format!(
                "select COLUMNS('^(engine|create_table_query|dependencies_database|dependencies_table|target_database|\
                 target_table)$') from system.tables where database = {} and table = {}",
                literal(&database),
                literal(&name)
            ))
            .await?;
        let Some(link) = links.into_iter().next() else { continue };
        if link.engine == "MaterializedView" {
            if !link.target_table.is_empty() {
                open.push((link.target_database, link.target_table));
            }
            continue;
        }
        // Tables with copies remember by themselves.
        let alone = !["Replicated", "Shared"].iter().any(|word| link.engine.starts_with(word));
        if link.engine.ends_with("MergeTree") && alone && window(&link) == 0 {
            server
                .execute(&format!(
                    "alter table {}.{} modify setting non_replicated_deduplication_window = {WINDOW}",
                    quoted(&database),
                    quoted(&name)
                ))
                .await
                .map_err(|error| {
                    error.context(format!(
                        "`{database}.{name}` forgets its inserts (`non_replicated_deduplication_window` is 0), so that a \
                         load broken off could double its rows"
                    ))
                })?;
            switched.push(format!("{database}.{name}"));
        }
        open.extend(link.dependencies_database.into_iter().zip(link.dependencies_table));
    }
    Ok(switched)
}

/// The window that a table's own settings name; 0 if they name none.
fn window(link: &Link) -> u64 {
    let Some((_, settings)) = link.create_table_query.rsplit_once("SETTINGS") else { return 0 };
    let Some((_, value)) = settings.split_once("non_replicated_deduplication_window = ") else { return 0 };
    value.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_within_an_expression_is_no_part_of_the_key() {
        let table = Table {
            database: "d".to_owned(),
            name: "t".to_owned(),
            engine: "ReplacingMergeTree".to_owned(),
            key: "k, toDate(at, 'UTC'), `a b`, cityHash64(x, y)".to_owned(),
            partition: String::new(),
            columns: Vec::new(),
        };
        for (name, expected) in [("k", true), ("a b", true), ("at", false), ("x", false), ("y", false), ("", false)] {
            assert_eq!(table.orders_by(name), expected, "{name}");
        }
    }

    #[test]
    fn a_window_is_read_from_the_tables_own_settings() {
        let link = |query: &str| Link {
            engine: "MergeTree".to_owned(),
            create_table_query: query.to_owned(),
            dependencies_database: Vec::new(),
            dependencies_table: Vec::new(),
            target_database: String::new(),
            target_table: String::new(),
        };
        for (query, expected) in [
            ("CREATE TABLE d.t (x Int8) ENGINE = MergeTree ORDER BY x SETTINGS index_granularity = 8192", 0),
            ("… SETTINGS index_granularity = 8192, non_replicated_deduplication_window = 100 COMMENT 'x'", 100),
            ("… SETTINGS non_replicated_deduplication_window = 0", 0),
            ("CREATE TABLE d.t", 0),
        ] {
            assert_eq!(window(&link(query)), expected, "{query}");
        }
    }
}
