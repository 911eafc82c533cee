//! Whole partitions at once: the rows are put into a table like the table, whose partitions then take the place of the old.

use updraft_task::TaskError;

use super::{TargetReport, WarehouseConnection, Work, list, literal, one_of_each, quoted};

impl Work<'_> {
    /// Replaces each partition that the rows lie in by exactly these rows.
    pub(super) async fn replace_partitions(&self, connection: &WarehouseConnection) -> Result<TargetReport, TaskError> {
        self.replaceable().await?;
        let mut report = self.load.report(connection.engine, self.location());
        let staged = self.stage().await?;
        let (table, picked) = (self.table.in_sql(), quoted(&self.names.picked));
        self.server.execute(&format!("create table {picked} as {table}")).await?;
        let names = list(staged.plan.names());
        self.server.execute(&format!("insert into {picked} ({names}) {}", one_of_each(self, &staged.plan, ""))).await?;
        let partitions = self.server.texts(&format!("select distinct _partition_id from {picked} order by 1")).await?;
        let merged = self.table.merged();
        let rows_of =
            |partition: &str| format!("select count() from {merged} where _partition_id = {}", literal(partition));
        for (index, partition) in partitions.iter().enumerate() {
            report.replaced += self.server.count(&rows_of(partition)).await?;
            // At once, and the same when it is repeated.
            self.server
                .execute(&format!("alter table {table} replace partition id {} from {picked}", literal(partition)))
                .await?;
            self.load.ctx.progress(index as u64 + 1, Some(partitions.len() as u64), "partitions");
        }
        report.sent = staged.sent;
        report.ignored = staged.sent.saturating_sub(staged.distinct);
        report.inserted = staged.distinct;
        report.rows_found = self.found().await?;
        report.partitions = staged.partitions;
        self.all_there(staged.distinct, report.rows_found)?;
        self.load.ctx.info(format!(
            "{}: {} rows sent, {} inserted in {} partition(s) in place of {}, {} doubles left out",
            report.location,
            report.sent,
            report.inserted,
            partitions.len(),
            report.replaced,
            report.ignored
        ));
        Ok(report)
    }

    async fn replaceable(&self) -> Result<(), TaskError> {
        let bad = |text: String| Err(TaskError::fail("BadPartition", text));
        if self.table.partition.is_empty() {
            return bad(format!(
                "`{}` has no partitions (`PARTITION BY`) that could be replaced: use `mode: replace_batch`",
                self.table.name
            ));
        }
        let views = self
            .server
            .texts(&format!(
                "select arrayJoin(dependencies_table) from system.tables where database = {} and name = {}",
                literal(&self.table.database),
                literal(&self.table.name)
            ))
            .await?;
        if !views.is_empty() {
            return bad(format!(
                "{} read(s) what is inserted into `{}`, and would not see a partition that is replaced: use \
                 `mode: replace_batch`",
                views.join(", "),
                self.table.name
            ));
        }
        Ok(())
    }
}
