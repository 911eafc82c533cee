//! A build without warehouses: dbt knows its server by itself.

use std::collections::BTreeMap;
use std::future::Future;

use updraft_task::{Context, TaskError};

use super::connection::Dbt;

/// No variables.
///
/// # Errors
/// `fail` `BadConnection`: the connection names a warehouse.
pub fn environment(connection: &Dbt, _: &Context) -> Result<BTreeMap<String, String>, TaskError> {
    match &connection.warehouse {
        None => Ok(BTreeMap::new()),
        Some(name) => Err(TaskError::fail(
            "BadConnection",
            format!("`warehouse: {name}`: this program was built without warehouses"),
        )),
    }
}

/// The child, as it is.
///
/// # Errors
/// The child's.
pub async fn stopping<T>(
    _: &Dbt,
    _: &Context,
    child: impl Future<Output = Result<T, TaskError>>,
) -> Result<T, TaskError> {
    child.await
}
