//! Spark's event log, read while the application runs: its id, how far its stages are, what they did. The log is flushed at
//! the end of every stage, so progress comes stage by stage. Pure but for [`Tail`].

use std::collections::BTreeSet;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// What an application has done so far, as its executors counted it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Metrics {
    /// Stages that ended well.
    pub stages: u64,
    /// Stages that ended with a failure; Spark may have tried them again.
    pub stages_failed: u64,
    /// Tasks that ended well.
    pub tasks: u64,
    /// Tasks that failed; Spark tries each four times.
    pub tasks_failed: u64,
    /// Rows read from sources.
    pub rows_read: u64,
    /// Bytes read from sources.
    pub bytes_read: u64,
    /// Rows written to sinks.
    pub rows_written: u64,
    /// Bytes written to sinks.
    pub bytes_written: u64,
    /// Bytes written for exchanges between stages.
    pub shuffle_bytes: u64,
    /// Bytes spilled to disk.
    pub spilled_bytes: u64,
    /// Time that executors spent in tasks, milliseconds, added up.
    pub executor_ms: u64,
    /// Most memory that one task took for sorts, joins and aggregates, bytes.
    pub peak_task_memory_bytes: u64,
}

/// A stage that has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Stage {
    /// Number in the application.
    pub id: u64,
    /// What made it, such as `parquet at NativeMethodAccessorImpl.java:0`.
    pub name: String,
    /// Its tasks.
    pub tasks: u64,
    /// Milliseconds from its submission to its end.
    pub millis: u64,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// What the log has told.
#[derive(Debug, Default)]
pub struct Progress {
    /// Spark's id of the application (`local-…`, `app-…`).
    pub application_id: Option<String>,
    /// Numbers.
    pub metrics: Metrics,
    /// Stages that jobs have announced.
    known: BTreeSet<u64>,
}

impl Progress {
    /// Stages that are known of; some of them may be left out, since their rows are there already.
    pub fn known_stages(&self) -> u64 {
        self.known.len() as u64
    }

    /// Takes a line of the log; the stage that ended with it. Lines of other events say nothing.
    pub fn take(&mut self, line: &str) -> Option<Stage> {
        let event: Value = serde_json::from_str(line).ok()?;
        match event["Event"].as_str()? {
            "SparkListenerApplicationStart" => {
                self.application_id = event["App ID"].as_str().map(str::to_owned);
                None
            }
            "SparkListenerJobStart" => {
                self.known.extend(event["Stage IDs"].as_array().into_iter().flatten().filter_map(Value::as_u64));
                None
            }
            "SparkListenerTaskEnd" => {
                self.task(&event);
                None
            }
            "SparkListenerStageCompleted" => Some(self.stage(&event["Stage Info"])),
            _ => None,
        }
    }

    fn task(&mut self, event: &Value) {
        let found = &event["Task Metrics"];
        let number = |path: &str| found.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        let metrics = &mut self.metrics;
        if event["Task End Reason"]["Reason"] == "Success" {
            metrics.tasks += 1;
        } else {
            metrics.tasks_failed += 1;
        }
        metrics.rows_read += number("/Input Metrics/Records Read");
        metrics.bytes_read += number("/Input Metrics/Bytes Read");
        metrics.rows_written += number("/Output Metrics/Records Written");
        metrics.bytes_written += number("/Output Metrics/Bytes Written");
        metrics.shuffle_bytes += number("/Shuffle Write Metrics/Shuffle Bytes Written");
        metrics.spilled_bytes += number("/Disk Bytes Spilled");
        metrics.executor_ms += number("/Executor Run Time");
        metrics.peak_task_memory_bytes = metrics.peak_task_memory_bytes.max(number("/Peak Execution Memory"));
    }

    fn stage(&mut self, info: &Value) -> Stage {
        let number = |name: &str| info[name].as_u64().unwrap_or(0);
        let failure = info["Failure Reason"].as_str().map(|text| text.lines().next().unwrap_or_default().to_owned());
        self.metrics.stages += u64::from(failure.is_none());
        self.metrics.stages_failed += u64::from(failure.is_some());
        Stage {
            id: number("Stage ID"),
            name: info["Stage Name"].as_str().unwrap_or_default().to_owned(),
            tasks: number("Number of Tasks"),
            millis: number("Completion Time").saturating_sub(number("Submission Time")),
            failure,
        }
    }
}

/// Follows the one log of a folder of its own.
#[derive(Debug)]
pub struct Tail {
    folder: PathBuf,
    read: u64,
    rest: Vec<u8>,
}

impl Tail {
    /// Of a folder in which one application writes its log.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, read: 0, rest: Vec::new() }
    }

    /// Whole lines that have come since. What cannot be read has not come.
    pub fn lines(&mut self) -> Vec<String> {
        // The file loses its ending `.inprogress` when the application ends: it is looked for each time.
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let Some(path) = entries.filter(|path| path.is_file() && !hidden(path)).min() else { return Vec::new() };
        let mut bytes = Vec::new();
        let read = std::fs::File::open(path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_end(&mut bytes)
        });
        let Ok(count) = read else { return Vec::new() };
        self.read += count as u64;
        self.rest.append(&mut bytes);
        let whole = self.rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_becomes_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("local-1.inprogress");
        let mut tail = Tail::new(folder.path().to_owned());
        assert!(tail.lines().is_empty());
        let log = concat!(
            r#"{"Event":"SparkListenerApplicationStart","App Name":"x","App ID":"local-1"}"#,
            "\n",
            r#"{"Event":"SparkListenerJobStart","Job ID":0,"Stage IDs":[0,1]}"#,
            "\n",
            r#"{"Event":"SparkListenerTaskEnd","Stage ID":0,"Task End Reason":{"Reason":"Success"},"Task Metrics":{"Executor Run Time":7,"Peak Execution Memory":9,"Input Metrics":{"Bytes Read":10,"Records Read":3}}}"#,
            "\n",
            r#"{"Event":"SparkListenerTaskEnd","Stage ID":0,"Task End Reason":{"Reason":"ExceptionFailure"}}"#,
            "\n",
            r#"{"Event":"SparkListenerStageCompleted","Stage Info":{"Stage ID":0,"Stage Name":"count","Number of Tasks":1,"Submission Time":5,"Completion Time":9}}"#,
            "\n",
            r#"{"Event":"SparkListenerSta"#,
        );
        std::fs::write(&file, log).unwrap();
        let mut progress = Progress::default();
        let stages: Vec<Stage> = tail.lines().iter().filter_map(|line| progress.take(line)).collect();
        let stage = Stage { id: 0, name: "count".to_owned(), tasks: 1, millis: 4, failure: None };
        assert_eq!(stages, [stage]);
        assert_eq!((progress.application_id.as_deref(), progress.known_stages()), (Some("local-1"), 2));
        let metrics = &progress.metrics;
        assert_eq!((metrics.tasks, metrics.tasks_failed, metrics.rows_read, metrics.executor_ms), (1, 1, 3, 7));
        // The rest of a line comes later, and the file has its final name then.
        std::fs::rename(&file, folder.path().join("local-1")).unwrap();
        std::fs::write(folder.path().join("local-1"), format!("{log}geX\"}}\n")).unwrap();
        assert_eq!(tail.lines(), [r#"{"Event":"SparkListenerStageX"}"#]);
    }
}
