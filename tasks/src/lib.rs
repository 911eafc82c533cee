//! The tasks that ship with Updraft, and the connection kinds they speak to. Each lives in a file or folder of its own;
//! this file only lists them. Tasks know the SDK (`updraft-task`) and nothing of the engine.
//!
//! Feature `sql` brings what reads and writes Parquet (DataFusion), feature `kafka` what speaks to brokers (librdkafka).
#![warn(missing_docs)]

use updraft_task::Registry;

pub mod batch;
pub mod dbt;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "sql")]
pub mod parquet;
#[cfg(feature = "sql")]
pub mod quality;
#[cfg(feature = "sql")]
mod query;
#[cfg(feature = "sql")]
pub mod sql_transform;
#[cfg(feature = "sql")]
pub mod warehouse_load;

/// Every task type and connection kind of this crate.
pub fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add_connection::<updraft_task::LakeConnection>();
    registry.add_connection::<dbt::Dbt>();
    registry.add::<dbt::DbtRun>().add::<dbt::DbtTest>().add::<dbt::DbtBuild>();
    #[cfg(feature = "sql")]
    {
        registry.add_connection::<warehouse_load::WarehouseConnection>();
        registry.add::<quality::QualityCheck>();
        registry.add::<sql_transform::SqlTransform>();
        registry.add::<warehouse_load::WarehouseLoad>();
    }
    #[cfg(feature = "kafka")]
    {
        registry.add_connection::<kafka::KafkaConnection>();
        registry.add::<kafka::KafkaPublish>();
    }
    registry
}
