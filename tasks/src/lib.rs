//! The tasks that ship with Updraft, and the connection kinds they speak to. Each lives in a file or folder of its own;
//! this file only lists them. Tasks know the SDK (`updraft-task`) and nothing of the engine.
//!
//! Feature `sql` brings what reads and writes Parquet (DataFusion), feature `kafka` what speaks to brokers (librdkafka),
//! feature `parquet` previews of Parquet alone.
#![warn(missing_docs)]

pub mod archive;
pub mod command;
pub mod diagnose;
#[cfg(test)]
mod fake;
mod http;
pub mod http_request;
pub mod lake_clean;
pub mod metrics_record;
pub mod noop;
pub mod notify;
pub mod opensky;
#[cfg(test)]
mod s3_lake;
mod text;

use updraft_task::Registry;

pub mod batch;
#[cfg(feature = "sql")]
pub mod clickhouse;
#[cfg(feature = "sql")]
mod database;
pub mod dbt;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "sql")]
mod migrations;
#[cfg(test)]
#[cfg(feature = "sql")]
mod million;
#[cfg(feature = "sql")]
pub mod parquet;
#[cfg(feature = "sql")]
pub mod postgres;
pub mod preview;
#[cfg(feature = "sql")]
pub mod quality;
#[cfg(feature = "sql")]
mod query;
#[cfg(feature = "sql")]
pub mod reference_load;
#[cfg(feature = "sql")]
pub mod spark;
#[cfg(feature = "sql")]
pub mod sql_check;
#[cfg(feature = "sql")]
mod sql_lake;
#[cfg(feature = "sql")]
pub mod sql_run;
#[cfg(feature = "sql")]
pub mod sql_transform;
#[cfg(feature = "sql")]
pub mod warehouse_clean;
#[cfg(feature = "sql")]
pub mod warehouse_load;

/// Every task type and connection kind of this crate.
pub fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add_connection::<updraft_task::LakeConnection>();
    registry.add_connection::<dbt::Dbt>();
    registry.add::<dbt::DbtRun>().add::<dbt::DbtTest>().add::<dbt::DbtBuild>();
    registry.add::<dbt::DbtSeed>().add::<dbt::DbtSnapshot>();
    registry.add::<dbt::DbtSourceFreshness>().add::<dbt::DbtDocs>();
    #[cfg(feature = "sql")]
    {
        registry.add_connection::<warehouse_load::WarehouseConnection>();
        registry.add_connection::<warehouse_load::Group>();
        registry.add::<clickhouse::migrate::ClickhouseMigrate>();
        registry.add::<postgres::migrate::PostgresMigrate>();
        registry.add::<quality::QualityCheck>();
        registry.add_connection::<spark::Spark>();
        registry.add::<spark::SparkSubmit>();
        registry.add::<reference_load::ReferenceLoad>();
        registry.add::<sql_check::SqlCheck>();
        registry.add::<sql_run::SqlRun>();
        registry.add::<sql_transform::SqlTransform>();
        registry.add::<warehouse_clean::WarehouseClean>();
        registry.add::<warehouse_load::WarehouseLoad>();
    }
    #[cfg(feature = "kafka")]
    {
        registry.add_connection::<kafka::KafkaConnection>();
        registry
            .add::<kafka::KafkaPublish>()
            .add::<kafka::KafkaConsume>()
            .add::<kafka::KafkaCommit>()
            .add::<kafka::KafkaTopics>();
    }
    registry.add_connection::<http_request::Http>();
    registry.add_connection::<notify::Slack>();
    registry.add_connection::<notify::Smtp>();
    registry.add_connection::<notify::Webhook>();
    registry.add_connection::<opensky::OpenSky>();
    registry.add::<archive::Archive>().add::<archive::ArchiveRead>();
    registry.add::<command::Command>();
    registry.add::<http_request::HttpRequest>();
    registry.add::<lake_clean::LakeClean>();
    registry.add::<metrics_record::MetricsRecord>();
    registry.add::<noop::Noop>();
    registry.add::<notify::Notify>();
    registry.add::<opensky::Collect>();
    registry.add::<opensky::Plan>();
    #[cfg(feature = "sql")]
    registry.add::<opensky::Validate>();
    registry
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, Value};

    /// What of `with:` holds no template anywhere inside.
    fn literal(value: &Value) -> bool {
        match value {
            Value::String(text) => !text.contains("{{"),
            Value::Array(items) => items.iter().all(literal),
            Value::Object(fields) => fields.values().all(literal),
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
        }
    }

    #[test]
    fn every_example_is_an_entry_of_a_workflow_file() {
        for task in registry().tasks() {
            let entries: Vec<Map<String, Value>> = serde_yaml::from_str(task.example)
                .unwrap_or_else(|error| panic!("the example of {} is no list of entries: {error}", task.name));
            let [entry] = entries.as_slice() else { panic!("the example of {} is not one entry", task.name) };
            assert!(entry.get("id").is_some_and(Value::is_string), "the example of {} has no id", task.name);
            assert_eq!(entry.get("type").and_then(Value::as_str), Some(task.name));
            let with = entry.get("with").cloned().unwrap_or_else(|| Value::Object(Map::new()));
            let mut schema = task.params.clone();
            // What is a template has any type, so only its name can be checked.
            for (name, _) in with.as_object().into_iter().flatten().filter(|(_, value)| !literal(value)) {
                let known = schema.pointer_mut(&format!("/properties/{name}"));
                *known.unwrap_or_else(|| panic!("{}: the example sets `{name}`, which is unknown", task.name)) =
                    Value::Bool(true);
            }
            if let Err(error) = jsonschema::validate(&schema, &with) {
                panic!("the example of {} does not fit its parameters: {}: {error}", task.name, error.instance_path());
            }
        }
    }

    #[test]
    fn every_type_says_what_it_is_and_every_error_class_what_it_means() {
        let registry = registry();
        for task in registry.tasks() {
            assert!(!task.summary.is_empty() && !task.summary.ends_with('.'), "{}", task.name);
            let mut names: Vec<&str> = task.errors.iter().map(|class| class.name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{} names an error class twice", task.name);
            assert!(task.errors.iter().all(|class| !class.meaning.is_empty()), "{}", task.name);
            for (part, schema) in [("with", &task.params), ("output", &task.output)] {
                for (field, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                    assert!(schema.get("description").is_some(), "{}: {part}.{field} is not documented", task.name);
                }
            }
        }
        for kind in registry.connections() {
            for (field, schema) in kind.schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                assert!(schema.get("description").is_some(), "connection {}: {field} is not documented", kind.name);
            }
        }
    }
}
