//! `spark-submit` as a child process: modes `local` and `client`. The host of the task gives it a session of its own and ends
//! it as a tree: of the JVM alone the job's Python would live on.

use std::fmt::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use updraft_task::{ChildExit, ChildSpec, Context, Level, Output as Stream, TaskError};

use super::connection::Spark;
use super::job::{Job, application};
use super::{Mode, Output, Params, Watch, published};

/// How often the event log is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Last lines that are kept for the message.
const KEPT: usize = 15;
/// Longest line in a message, in characters.
const LINE: usize = 400;

/// Runs the job to its end.
///
/// # Errors
/// By exit code, see [`ended`]; as [`published`].
pub async fn run(params: &Params, connection: &Spark, ctx: &Context) -> Result<Output, TaskError> {
    let home = connection.home(ctx)?;
    let scratch = ctx.scratch_dir()?.to_owned();
    let events = scratch.join("events");
    let mut watch = Watch::of(Some(events.clone()))?;
    // Such a job dies with its attempt, so that each attempt has one of its own.
    let name = application(ctx, ctx.attempt().dispatch_no);
    let mut job = Job::new(params, connection, params.mode, name, Some(&events), ctx).await?;
    let master = match params.mode {
        Mode::Local => format!("local[{}]", params.cores.max(1)),
        Mode::Client | Mode::Rest => {
            job.properties.insert("spark.cores.max".into(), params.cores.max(1).to_string());
            connection.master()?.to_owned()
        }
    };
    let spec = child(&job, &home, &master, connection, &scratch)?;
    ctx.info(format!("spark-submit {} as {} on {master}", job.file, job.application));
    let mut said = Said::default();
    let log = ctx.clone();
    let exit = {
        let mut lines = |stream: Stream, line: &str| {
            // Python's standard error comes with the JVM's standard output; log4j writes to standard error.
            log.log_child(stream, level(line), line);
            said.hear(line);
        };
        let child = ctx.run_child(spec, &mut lines);
        tokio::pin!(child);
        loop {
            tokio::select! {
                exit = &mut child => break exit?,
                () = tokio::time::sleep(LOOK) => watch.look(ctx),
            }
        }
    };
    watch.look(ctx);
    ended(exit, &said)?;
    published(&job, watch, None, false, ctx).await
}

fn level(line: &str) -> Level {
    let mut words = line.split_whitespace().skip(2);
    match words.next() {
        Some("WARN") => Level::Warn,
        Some("ERROR") => Level::Error,
        Some(_) | None => Level::Info,
    }
}

fn child(job: &Job, home: &Path, master: &str, connection: &Spark, scratch: &Path) -> Result<ChildSpec, TaskError> {
    let properties = scratch.join("spark.properties");
    write_properties(&properties, job)
        .map_err(|error| TaskError::retry("Scratch", format!("cannot write {}: {error}", properties.display())))?;
    let text = |path: &Path| path.display().to_string();
    let mut argv = vec![text(&home.join("bin/spark-submit")), "--master".into(), master.into()];
    argv.extend(["--name".into(), job.application.clone(), "--properties-file".into(), text(&properties)]);
    if !job.py_files.is_empty() {
        argv.extend(["--py-files".into(), job.py_files.join(",")]);
    }
    argv.push(job.file.clone());
    argv.extend(job.args.iter().cloned());
    let mut spec = ChildSpec::new(argv);
    spec.env = job.env.clone();
    spec.env.insert("SPARK_HOME".into(), text(home));
    spec.env.insert("PYTHONUNBUFFERED".into(), "1".into());
    if let Some(python) = &connection.python {
        spec.env.insert("PYSPARK_PYTHON".into(), python.clone());
    }
    if master.starts_with("local") || master.starts_with("spark://127.0.0.1:") {
        spec.env.insert("SPARK_LOCAL_IP".into(), "127.0.0.1".into());
    }
    Ok(spec)
}

/// For this user's eyes only: a file of an attempt may name what others need not know.
fn write_properties(file: &Path, job: &Job) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut text = String::new();
    for (name, value) in &job.properties {
        // Java's form of properties: a backslash begins an escape, a line ends a value.
        let value = value.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(text, "{name} {value}");
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(file)?.write_all(text.as_bytes())
}

/// The last that a job said.
#[derive(Debug, Default)]
struct Said {
    lines: std::collections::VecDeque<String>,
    masters_away: bool,
    bad_option: bool,
}

impl Said {
    fn hear(&mut self, line: &str) {
        self.masters_away |= line.contains("All masters are unresponsive");
        self.bad_option |= line.contains("Unrecognized option") || line.starts_with("Error: ");
        // Places in the JVM say nothing to the author of a Python job.
        if line.trim().is_empty() || line.trim_start().starts_with("at ") {
            return;
        }
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line.chars().take(LINE).collect());
    }

    fn text(&self) -> String {
        self.lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// What an end of `spark-submit` means.
fn ended(exit: ChildExit, said: &Said) -> Result<(), TaskError> {
    let text = |what: &str| format!("{what}; the last it said:\n{}", said.text());
    let code = match exit {
        ChildExit::Code(code) => code,
        ChildExit::Signal(signal) => {
            return Err(TaskError::retry("Killed", text(&format!("the job was ended by signal {signal}"))));
        }
    };
    Err(match code {
        0 => return Ok(()),
        1 if said.masters_away => TaskError::retry("MasterAway", text("the cluster's master does not answer")),
        1 if said.bad_option => TaskError::fail("BadUsage", text("spark-submit does not take its options")),
        1 => TaskError::retry("JobFailed", text("the job failed (code 1)")),
        // Spark for a file that is missing; Python's argparse for arguments that do not fit.
        2 => TaskError::fail("BadUsage", text("the job's file or arguments are wrong (code 2)")),
        101 => TaskError::fail("BadUsage", text("the job's main class is missing (code 101)")),
        // 128 and the number of a signal that ended the job's Python.
        129..=159 => TaskError::retry("Killed", text(&format!("the job was ended by signal {}", code - 128))),
        _ => TaskError::retry("ExitCode", text(&format!("the job ended with code {code}"))),
    })
}

#[cfg(test)]
mod tests {
    use updraft_task::Verdict;

    use super::*;

    #[test]
    fn exit_codes_become_classes_with_the_right_retry() {
        let class = |exit: ChildExit, line: &str| {
            let mut said = Said::default();
            said.hear(line);
            ended(exit, &said).err().map(|error| (error.class(), *error.verdict() == Verdict::Fail))
        };
        use ChildExit::{Code, Signal};
        assert_eq!(class(Code(0), ""), None);
        assert_eq!(class(Code(1), "ValueError: boom"), Some(("JobFailed", false)));
        assert_eq!(class(Code(1), "… All masters are unresponsive! Giving up."), Some(("MasterAway", false)));
        assert_eq!(class(Code(1), "Error: Unrecognized option '--x'"), Some(("BadUsage", true)));
        assert_eq!(class(Code(2), ""), Some(("BadUsage", true)));
        assert_eq!(class(Code(101), ""), Some(("BadUsage", true)));
        assert_eq!(class(Code(7), ""), Some(("ExitCode", false)));
        assert_eq!(class(Code(143), ""), Some(("Killed", false)));
        assert_eq!(class(Code(137), ""), Some(("Killed", false)));
        assert_eq!(class(Signal(9), ""), Some(("Killed", false)));
    }

    #[test]
    fn the_message_keeps_the_end_of_what_was_said() {
        let mut said = Said::default();
        (0..100).for_each(|line| said.hear(&format!("line {line}")));
        said.hear("\tat org.apache.spark.Nowhere(Nowhere.scala:1)");
        assert!(said.text().starts_with("line 85\n") && said.text().ends_with("line 99"), "{}", said.text());
    }
}
