//! Tables in ClickHouse.

use updraft_task::TaskError;

use super::{Load, TargetReport, WarehouseConnection};

/// Loads into ClickHouse.
#[expect(clippy::unused_async, reason = "the shape of every engine's load")]
pub(super) async fn load(_connection: &WarehouseConnection, _load: &Load<'_>) -> Result<TargetReport, TaskError> {
    Err(TaskError::fail("BadConnection", "`warehouse.load` does not load ClickHouse in this version"))
}
