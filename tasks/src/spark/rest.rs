//! The master's REST submission, and the page that lists its drivers. What the answers mean for a job is `driver.rs`'s matter.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use updraft_task::TaskError;

use super::job::Job;
use crate::http::{USER_AGENT, body, chain};

/// The version that the protocol is spoken in.
const CLIENT: &str = "4.2.0";
/// `spark-submit` refuses Python in cluster mode; the REST server takes it with this as the main class. With `SparkSubmit` the
/// job would run in `local[*]`, whatever the master is.
const MAIN_CLASS: &str = "org.apache.spark.deploy.PythonRunner";
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Largest answer that is read, in bytes.
const ANSWER: usize = 4 << 20;

/// What the master says of a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It waits, runs, or is started again.
    Alive,
    /// It ended with code 0.
    Finished,
    /// Its job failed.
    Failed(String),
    /// Somebody killed it.
    Killed,
    /// The master could not start it, or gave it up: after a restart of the master also for a driver that ran well.
    GivenUp(String),
    /// The master does not know it: never did, or has forgotten it. No answer at all is the same.
    Unknown(String),
}

/// A client of one master.
#[derive(Debug)]
pub struct Rest {
    client: reqwest::Client,
    rest_url: String,
    ui_url: Option<String>,
}

impl Rest {
    /// For a master at these addresses.
    ///
    /// # Errors
    /// `fail` `BadConnection`: no client can be made.
    pub fn new(rest_url: &str, ui_url: Option<&str>) -> Result<Self, TaskError> {
        let client = reqwest::Client::builder().user_agent(USER_AGENT).timeout(PATIENCE).build();
        let client = client.map_err(|error| TaskError::fail("BadConnection", chain(&error)))?;
        let ui_url = ui_url.map(|url| url.trim_end_matches('/').to_owned());
        Ok(Self { client, rest_url: rest_url.to_owned(), ui_url })
    }

    /// # Errors
    /// `retry` `MasterAway`: it was surely not asked; `retry` `Unknown`: it was asked, and what it answers is not known.
    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Value, TaskError> {
        let lost = |text: String| TaskError::retry("Unknown", format!("the master's answer is lost: {text}"));
        let response = request.send().await.map_err(|error| {
            if error.is_connect() {
                TaskError::retry("MasterAway", format!("the master cannot be reached: {}", chain(&error)))
            } else {
                lost(chain(&error))
            }
        })?;
        let bytes = body(response, ANSWER, "the answer").await.map_err(|error| lost(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| lost(error.to_string()))
    }

    /// Submits a job; the driver's id.
    ///
    /// # Errors
    /// `fail` `Refused` or `retry` `MasterAway`: it was not taken; `retry` `Unknown`: it may have been.
    pub async fn create(&self, job: &Job) -> Result<String, TaskError> {
        let request = self.client.post(format!("{}/v1/submissions/create", self.rest_url)).json(&submission(job));
        let answer = self.ask(request).await?;
        let id = answer["submissionId"].as_str().filter(|_| answer["success"] == true);
        id.map(str::to_owned)
            .ok_or_else(|| TaskError::fail("Refused", format!("the master refuses the job: {}", message(&answer))))
    }

    /// How a driver is. A master that does not answer knows nothing of it.
    pub async fn state(&self, id: &str) -> State {
        let request = self.client.get(format!("{}/v1/submissions/status/{id}", self.rest_url));
        match self.ask(request).await {
            Ok(answer) => state(&answer),
            Err(error) => State::Unknown(error.message().to_owned()),
        }
    }

    /// Kills a driver; one that has ended is fine.
    ///
    /// # Errors
    /// `retry` `MasterAway` or `Unknown`.
    pub async fn kill(&self, id: &str) -> Result<(), TaskError> {
        let request = self.client.post(format!("{}/v1/submissions/kill/{id}", self.rest_url)).json(&json!({}));
        self.ask(request).await.map(drop)
    }

    /// Ids of all drivers that the master lists, and the names of all applications; `None` if its pages have no address.
    ///
    /// # Errors
    /// `retry` `MasterAway` or `Unknown`.
    pub async fn listed(&self) -> Result<Option<(BTreeSet<String>, BTreeSet<String>)>, TaskError> {
        let Some(url) = &self.ui_url else { return Ok(None) };
        let page = self.ask(self.client.get(format!("{url}/json/"))).await?;
        let all = |lists: [&str; 2], field: &str| -> BTreeSet<String> {
            let entries = lists.iter().filter_map(|list| page[*list].as_array()).flatten();
            entries.filter_map(|entry| entry[field].as_str()).map(str::to_owned).collect()
        };
        let drivers = all(["activedrivers", "completeddrivers"], "id");
        Ok(Some((drivers, all(["activeapps", "completedapps"], "name"))))
    }
}

fn message(answer: &Value) -> String {
    answer["message"].as_str().map_or_else(|| answer.to_string(), str::to_owned).chars().take(500).collect()
}

fn submission(job: &Job) -> Value {
    // First the file, then files for the interpreter, then what the job sees.
    let mut arguments = vec![job.file.clone(), job.py_files.join(",")];
    arguments.extend(job.args.iter().cloned());
    let resource = if job.file.contains("://") { job.file.clone() } else { format!("file:{}", job.file) };
    json!({
        "action": "CreateSubmissionRequest",
        "clientSparkVersion": CLIENT,
        "appResource": resource,
        "mainClass": MAIN_CLASS,
        "appArgs": arguments,
        "environmentVariables": job.env,
        "sparkProperties": job.properties,
    })
}

fn state(answer: &Value) -> State {
    let message = || answer["message"].as_str().unwrap_or("without a reason").to_owned();
    match answer["driverState"].as_str() {
        Some("SUBMITTED" | "RUNNING" | "RELAUNCHING") => State::Alive,
        Some("FINISHED") => State::Finished,
        Some("FAILED") => State::Failed(message()),
        Some("KILLED") => State::Killed,
        Some("ERROR") => State::GivenUp(message()),
        // `UNKNOWN` is the master's word while it recovers; a word of a later Spark is not understood.
        Some(other) => State::Unknown(format!("the master says {other}")),
        None => State::Unknown("the master does not know the driver".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_the_master_is_read_as_failed_but_failed() {
        let of = |word: Value| state(&json!({ "driverState": word, "message": "m" }));
        for word in ["SUBMITTED", "RUNNING", "RELAUNCHING"] {
            assert_eq!(of(json!(word)), State::Alive);
        }
        assert_eq!(of(json!("FINISHED")), State::Finished);
        assert_eq!(of(json!("FAILED")), State::Failed("m".to_owned()));
        assert_eq!(of(json!("KILLED")), State::Killed);
        assert_eq!(of(json!("ERROR")), State::GivenUp("m".to_owned()));
        for word in [json!("UNKNOWN"), json!("NEW_IN_SPARK_5"), Value::Null] {
            assert!(matches!(of(word), State::Unknown(_)));
        }
        assert!(matches!(state(&json!({ "success": false })), State::Unknown(_)));
    }
}
