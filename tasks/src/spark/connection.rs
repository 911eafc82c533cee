//! The connection kind `spark`: a cluster, and the programs that submit to it.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use updraft_task::{ConnectionKind, Context, TaskError};

/// Where Spark is, and with which programs it is reached.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spark {
    /// Master of a standalone cluster, `spark://host:port`; only `mode: local` works without one.
    #[serde(default)]
    pub master: Option<String>,
    /// REST submission of the master, `http://host:6066`. It has no authentication: whoever reaches it runs code.
    #[serde(default)]
    pub rest_url: Option<String>,
    /// The master's pages, `http://host:8080`: a submission whose answer was lost is looked up there.
    #[serde(default)]
    pub ui_url: Option<String>,
    /// Spark's home (`bin/spark-submit` is in it); `SPARK_HOME` if left out. Not needed for `mode: rest`.
    #[serde(default)]
    pub home: Option<String>,
    /// Python interpreter of the jobs, on the hosts where they run; Spark's own choice if left out.
    #[serde(default)]
    pub python: Option<String>,
    /// Folder of the jars that jobs need besides Spark's own (S3A, JDBC, Kafka), on the hosts where they run.
    #[serde(default)]
    pub jars: Option<String>,
}

impl ConnectionKind for Spark {
    const KIND: &'static str = "spark";
    const SUMMARY: &'static str = "a Spark cluster, or Spark's programs on this host";
}

impl Spark {
    /// Spark's home on this host.
    ///
    /// # Errors
    /// `fail` `BadConnection`: there is no `bin/spark-submit` where it is said to be.
    pub fn home(&self, ctx: &Context) -> Result<PathBuf, TaskError> {
        let named = self.home.as_ref().map(|home| ctx.path(home));
        let home = named.or_else(|| std::env::var_os("SPARK_HOME").map(PathBuf::from)).ok_or_else(|| {
            TaskError::fail(
                "BadConnection",
                "the connection says no `home` and SPARK_HOME is not set: name the folder that holds bin/spark-submit",
            )
        })?;
        if home.join("bin/spark-submit").is_file() {
            return Ok(home);
        }
        Err(TaskError::fail("BadConnection", format!("there is no bin/spark-submit in `home`, {}", home.display())))
    }

    /// The master of the cluster.
    ///
    /// # Errors
    /// `fail` `BadConnection`: none is named.
    pub fn master(&self) -> Result<&str, TaskError> {
        self.master.as_deref().ok_or_else(|| missing("master", "spark://host:7077"))
    }

    /// REST submission, without a slash at its end.
    ///
    /// # Errors
    /// `fail` `BadConnection`: none is named.
    pub fn rest(&self) -> Result<&str, TaskError> {
        let url = self.rest_url.as_deref().ok_or_else(|| missing("rest_url", "http://host:6066"))?;
        Ok(url.trim_end_matches('/'))
    }

    /// Whether the cluster runs on this host, so that its drivers see our files.
    pub fn is_here(&self) -> bool {
        let host = self.rest_url.as_deref().and_then(|url| reqwest::Url::parse(url).ok());
        host.is_some_and(|url| matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")))
    }

    /// The properties by which jobs find the jars.
    ///
    /// # Errors
    /// `fail` `BadConnection`: the folder is on this host and cannot be listed.
    pub fn jar_properties(&self) -> Result<Vec<(String, String)>, TaskError> {
        let Some(folder) = &self.jars else { return Ok(Vec::new()) };
        if !Path::new(folder).is_dir() {
            // A folder of the cluster's hosts: the JVM itself looks into it.
            let all = format!("{}/*", folder.trim_end_matches('/'));
            return Ok(["driver", "executor"].map(|who| (format!("spark.{who}.extraClassPath"), all.clone())).into());
        }
        let entries = std::fs::read_dir(folder).map_err(|error| {
            TaskError::fail("BadConnection", format!("the folder `jars`, {folder}, cannot be listed: {error}"))
        })?;
        let paths = entries.flatten().map(|entry| entry.path());
        let mut jars: Vec<String> = paths
            .filter(|path| path.extension().is_some_and(|end| end == "jar"))
            .map(|path| path.display().to_string())
            .collect();
        jars.sort();
        Ok(if jars.is_empty() { Vec::new() } else { vec![("spark.jars".to_owned(), jars.join(","))] })
    }
}

fn missing(field: &str, example: &str) -> TaskError {
    TaskError::fail("BadConnection", format!("the connection has no `{field}`: add it, such as `{example}`"))
}
