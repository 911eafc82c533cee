//! What is submitted: the job's file and arguments, its properties and its environment. Properties are seen by everybody on
//! the driver's host (`ps`), so no secret is ever one; secrets go into the environment.

use std::collections::BTreeMap;
use std::path::Path;

use updraft_task::{ConnectionKind as _, Context, Input, Lake, LakeConnection, TaskError};

use super::connection::Spark;
use super::{Mode, Params};
use crate::batch::slug;
use crate::postgres::Server;
use crate::warehouse_load::WarehouseConnection;

/// The settings that the cluster's own file has, so that a job runs alike wherever it is submitted from.
const SETTINGS: &str = include_str!("../../../deploy/spark/spark.properties");

/// A job, ready to be submitted.
pub struct Job {
    /// The lake that it reads and writes.
    pub lake: Lake,
    /// Its deterministic name, equal for every attempt that may adopt it.
    pub application: String,
    /// Its file, absolute or an address.
    pub file: String,
    /// Further Python files.
    pub py_files: Vec<String>,
    /// Arguments.
    pub args: Vec<String>,
    /// Spark's properties; no secrets.
    pub properties: BTreeMap<String, String>,
    /// Environment of the driver, secrets included.
    pub env: BTreeMap<String, String>,
    /// Folder in the lake that holds its rows and its manifest, if it has an output.
    pub folder: Option<String>,
    /// Batch of its rows, if it has an output.
    pub batch: Option<String>,
}

/// The name of the `number`th submission of a task run: equal for all its attempts, fit for a key and a file name.
pub fn application(ctx: &Context, number: u32) -> String {
    let task = slug(&ctx.attempt().key.to_string()).replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let hash = updraft_task::lake::sha256_hex(ctx.idempotency_key().as_bytes());
    format!("updraft-{task}-{}-{number}", &hash[..16])
}

impl Job {
    /// Puts a job together.
    ///
    /// # Errors
    /// `fail` `BadParameters`: no such file, or a secret among the properties; `BadConnection`; as [`Context::lake`] and
    /// [`Input::resolved`].
    pub async fn new(
        params: &Params,
        connection: &Spark,
        mode: Mode,
        application: String,
        events: Option<&Path>,
        ctx: &Context,
    ) -> Result<Self, TaskError> {
        let mut properties: BTreeMap<String, String> = SETTINGS
            .lines()
            .filter(|line| line.starts_with("spark."))
            .filter_map(|line| line.split_once(' '))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut env = ctx.attempt().env.clone();
        properties.extend(connection.jar_properties()?);
        if let Some(python) = &connection.python {
            properties.insert("spark.pyspark.python".into(), python.clone());
        }
        match events {
            Some(folder) => properties.insert("spark.eventLog.dir".into(), format!("file://{}", folder.display())),
            None => properties.insert("spark.eventLog.enabled".into(), "false".into()),
        };
        if mode == Mode::Local || (mode == Mode::Rest && connection.is_here()) {
            for name in ["spark.driver.host", "spark.driver.bindAddress"] {
                properties.insert(name.into(), "127.0.0.1".into());
            }
        }
        let lake = ctx.lake()?;
        let root = place(lake.root());
        lake_access(&ctx.connection_named(LakeConnection::KIND)?, &mut properties, &mut env);
        env.insert("UPDRAFT_LAKE_URL".into(), root.clone());
        env.insert("UPDRAFT_SPARK_APPLICATION".into(), application.clone());
        if let Some(name) = &params.database {
            let database: WarehouseConnection = ctx.connection_named(name)?;
            let (url, user) = Server::of(name, &database, ctx)?.jdbc()?;
            env.extend([("UPDRAFT_JDBC_URL".to_owned(), url), ("UPDRAFT_JDBC_USER".to_owned(), user)]);
            if let Some(password) = &database.password {
                env.insert("UPDRAFT_JDBC_PASSWORD".into(), password.expose().to_owned());
            }
        }
        let (batch, folder) = params.output.as_ref().map(|output| output.of(ctx.run())).unzip();
        let folder = folder.map(|place| format!("{place}/{application}"));
        if let Some(folder) = &folder {
            env.insert("UPDRAFT_SPARK_OUTPUT".into(), format!("{root}/{folder}"));
            env.insert("UPDRAFT_SPARK_MANIFEST".into(), format!("{root}/{}", super::manifest::key(folder)));
        }
        for (name, value) in &params.conf {
            refuse_secret(name)?;
            properties.insert(name.clone(), value.to_string());
        }
        properties.insert("spark.app.name".into(), application.clone());
        let py_files = params.py_files.iter().map(|file| code(file, ctx)).collect::<Result<_, _>>()?;
        let mut args: Vec<String> = params.args.iter().map(ToString::to_string).collect();
        let input = match &params.input {
            Some(input) => Some(input.resolved(&lake).await?),
            None => None,
        };
        let datasets = input.as_ref().map(Input::datasets).unwrap_or_default();
        args.extend(datasets.iter().map(|(_, dataset)| format!("{root}/{}", dataset.uri)));
        Ok(Self { lake, application, file: code(&params.file, ctx)?, py_files, args, properties, env, folder, batch })
    }
}

/// Properties become arguments of JVMs and stand on Spark's pages.
fn refuse_secret(name: &str) -> Result<(), TaskError> {
    let lower = name.to_lowercase();
    let fail = |text: String| Err(TaskError::fail("BadParameters", text));
    if !name.starts_with("spark.") {
        return fail(format!("`conf.{name}`: Spark reads only properties that begin with `spark.`"));
    }
    if ["secret", "password", "token", "access.key", "accesskey"].iter().any(|word| lower.contains(word)) {
        return fail(format!(
            "`conf.{name}`: properties are seen by everybody on the driver's host; give secrets by `env` of the task"
        ));
    }
    Ok(())
}

/// A file of the project that exists, or an address that Spark fetches.
fn code(file: &str, ctx: &Context) -> Result<String, TaskError> {
    if file.contains("://") {
        return Ok(file.to_owned());
    }
    let path = ctx.path(file);
    if path.is_file() {
        return Ok(path.canonicalize().unwrap_or(path).display().to_string());
    }
    Err(TaskError::fail("BadParameters", format!("there is no file {}, relative to the project", path.display())))
}

/// A place in the lake as Hadoop addresses it.
fn place(root: &str) -> String {
    root.strip_prefix("s3://").map_or_else(|| format!("file://{root}"), |rest| format!("s3a://{rest}"))
}

/// How a job reaches the lake: the address by properties, the keys by the environment, from which Spark's driver takes them
/// into its configuration by itself.
fn lake_access(lake: &LakeConnection, properties: &mut BTreeMap<String, String>, env: &mut BTreeMap<String, String>) {
    if !lake.url.starts_with("s3://") {
        return;
    }
    for (name, value) in [("endpoint", &lake.endpoint), ("endpoint.region", &lake.region)] {
        if let Some(value) = value {
            properties.insert(format!("spark.hadoop.fs.s3a.{name}"), value.clone());
        }
    }
    let plain = lake.endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
    properties.insert("spark.hadoop.fs.s3a.connection.ssl.enabled".into(), (!plain).to_string());
    if let (Some(id), Some(secret)) = (&lake.access_key_id, &lake.secret_access_key) {
        env.insert("AWS_ACCESS_KEY_ID".into(), id.clone());
        env.insert("AWS_SECRET_ACCESS_KEY".into(), secret.expose().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_hold_no_secrets() {
        for name in ["spark.hadoop.fs.s3a.secret.key", "spark.hadoop.fs.s3a.access.key", "spark.my.Password"] {
            let refused = refuse_secret(name).unwrap_err();
            assert!(refused.message().contains("`env` of the task"), "{refused}");
        }
        assert!(refuse_secret("executor.memory").unwrap_err().message().contains("begin with `spark.`"));
        assert!(refuse_secret("spark.executor.memory").is_ok());
    }

    #[test]
    fn the_lake_is_addressed_as_hadoop_does() {
        assert_eq!(place("s3://lake/a"), "s3a://lake/a");
        assert_eq!(place("/data/lake"), "file:///data/lake");
    }
}
