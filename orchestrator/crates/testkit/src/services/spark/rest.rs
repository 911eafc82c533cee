//! REST submission: a handle on a job that outlives its submitter, the worker and the master.
//!
//! `spark-submit --deploy-mode cluster` refuses Python; the REST server takes it with `PythonRunner` as the main class. With
//! `SparkSubmit` the job would run in `local[*]`, whatever the master is.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::{Address, VERSION};
use crate::services::http;

/// What the master says of a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The master does not know it: it never did, or it has forgotten a finished one. Never to be read as "failed".
    Unknown,
    /// Its own word: `SUBMITTED`, `RUNNING`, `FINISHED`, `FAILED`, `KILLED`, `ERROR`, `RELAUNCHING`, `UNKNOWN`.
    Known(String),
}

impl Address {
    fn submissions(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let url = format!("{}/v1/submissions/{path}", self.rest_url());
        http::send(method, &url, &[("content-type", "application/json;charset=UTF-8")], body)?.json()
    }

    /// Submits a Python file, which the worker must be able to read, as a job; its id.
    ///
    /// All properties become arguments of the driver's JVM, which everybody sees: secrets go into `environment`, and the job
    /// puts them into its session's configuration, from where executors get them.
    ///
    /// # Errors
    /// The master refuses.
    pub fn submit(
        &self,
        name: &str,
        file: &str,
        arguments: &[&str],
        properties: &[(String, String)],
        environment: &[(&str, &str)],
    ) -> Result<String> {
        let environment: Map<String, Value> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        let mut all: Map<String, Value> =
            properties.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        let own = [
            ("spark.app.name", name.to_owned()),
            ("spark.master", self.master_url()),
            ("spark.driver.cores", "1".to_owned()),
            ("spark.cores.max", "1".to_owned()),
            ("spark.driver.supervise", "false".to_owned()),
        ];
        all.extend(own.map(|(name, value)| (name.to_owned(), Value::from(value))));
        // First the file, then files for the interpreter (none), then what the job sees.
        let arguments: Vec<&str> = [file, ""].iter().chain(arguments).copied().collect();
        let answer = self.submissions(
            "POST",
            "create",
            Some(json!({
                "action": "CreateSubmissionRequest",
                "clientSparkVersion": VERSION,
                "appResource": format!("file:{file}"),
                "mainClass": "org.apache.spark.deploy.PythonRunner",
                "appArgs": arguments,
                "environmentVariables": environment,
                "sparkProperties": all,
            })),
        )?;
        let id = answer["submissionId"].as_str().filter(|_| answer["success"] == true);
        Ok(id.with_context(|| format!("the master refuses the job: {answer}"))?.to_owned())
    }

    /// How a job is.
    ///
    /// # Errors
    /// The master does not answer: also then nothing is known of the job.
    pub fn state(&self, id: &str) -> Result<State> {
        let answer = self.submissions("GET", &format!("status/{id}"), None)?;
        Ok(answer["driverState"].as_str().map_or(State::Unknown, |state| State::Known(state.to_owned())))
    }

    /// Kills a job; false if it had ended already or is not known.
    ///
    /// # Errors
    /// The master does not answer.
    pub fn kill(&self, id: &str) -> Result<bool> {
        Ok(self.submissions("POST", &format!("kill/{id}"), Some(json!({})))?["success"] == true)
    }
}
