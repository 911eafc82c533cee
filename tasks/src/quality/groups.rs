//! The rows that rules are judged on: those of each dataset under its name, and all of them together.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use updraft_task::{Context, Input, Lake, TaskError};

use super::measure::TABLE;
use crate::batch::batch_id;
use crate::parquet;
use crate::query::Session;

/// Name of the group of all rows.
pub(super) const ALL: &str = "all";

/// Rows under one name.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) batch: String,
    rows: Vec<RecordBatch>,
    /// It was asked for by name.
    requested: bool,
}

impl Group {
    pub(super) fn count(&self) -> usize {
        self.rows.iter().map(RecordBatch::num_rows).sum()
    }

    /// Asked for, but not there.
    pub(super) fn is_missed(&self) -> bool {
        self.requested && self.count() == 0
    }
}

/// All groups, of the same columns.
pub(super) struct Groups {
    schema: SchemaRef,
    groups: BTreeMap<String, Group>,
}

impl Groups {
    /// The groups of `input`, and an empty one for every requested name that it does not have.
    pub(super) async fn read(
        ctx: &Context,
        lake: &Lake,
        input: &Input,
        requested: &[String],
    ) -> Result<Self, TaskError> {
        let mut schema: Option<(SchemaRef, &str)> = None;
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for (index, (name, dataset)) in input.datasets().into_iter().enumerate() {
            let (columns, rows) = parquet::read_batches(lake, dataset).await?;
            if let Some((first, uri)) = &schema
                && first.fields() != columns.fields()
            {
                return Err(TaskError::fail(
                    "BadInput",
                    format!("`{}` has other columns than `{uri}`: judge them by two tasks", dataset.uri),
                ));
            }
            schema.get_or_insert((columns, &dataset.uri));
            let last = dataset.batch_id.as_deref().and_then(|id| id.rsplit('/').next());
            let name = name.or(last).map_or_else(|| index.to_string(), str::to_owned);
            let batch = dataset.batch_id.clone().unwrap_or_else(|| batch_id(ctx.run(), &name));
            let group = Group { name: name.clone(), batch, rows: Vec::new(), requested: false };
            groups.entry(name).or_insert(group).rows.extend(rows);
        }
        let Some((schema, _)) = schema else {
            return Err(TaskError::fail("BadInput", "`input` names no dataset: there is nothing to judge"));
        };
        for name in requested {
            let batch = batch_id(ctx.run(), name);
            let missing = Group { name: name.clone(), batch, rows: Vec::new(), requested: true };
            groups.entry(name.clone()).or_insert(missing).requested = true;
        }
        Ok(Self { schema, groups })
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// All rows together.
    pub(super) fn all(&self, ctx: &Context) -> Group {
        Group {
            name: ALL.to_owned(),
            batch: batch_id(ctx.run(), ALL),
            rows: self.iter().flat_map(|group| group.rows.iter().cloned()).collect(),
            requested: false,
        }
    }

    /// Makes every group a table by its name, for the author's queries.
    pub(super) fn register(&self, session: &Session) -> Result<(), TaskError> {
        self.iter().filter(|group| group.name != TABLE).try_for_each(|group| {
            session.register_rows(&group.name, SchemaRef::clone(&self.schema), group.rows.clone())
        })
    }

    /// Makes a group the table that rules look at.
    pub(super) fn focus(&self, session: &Session, group: &Group) -> Result<(), TaskError> {
        session.deregister(TABLE)?;
        session.register_rows(TABLE, SchemaRef::clone(&self.schema), group.rows.clone())
    }
}
