//! `updraft logs`: what attempts said, also while they run.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;
use updraft_engine::logs::LogReader;
use updraft_model::id::{RunId, TaskKey};
use updraft_model::time::Timestamp;
use updraft_store::Reader;
use updraft_store::logs::{self, LogAt, LogKey, LogLevel, LogLine as Stored, Logs as Kept};
use updraft_store::read::RunDetail;
use updraft_task::Level;

use super::{Session, afar, output, select, summary};
use crate::compose;
use crate::exit_code::{ExitCode, Failure};

/// How often a followed log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// Arguments of `updraft logs`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// A run's id, its first digits, or `latest`
    run: String,
    /// One task [default: all, one after the other]
    task: Option<String>,
    /// Which attempt, from 1 [default: the last]
    #[arg(short, long, requires = "task")]
    attempt: Option<u32>,
    /// Goes on until the attempt is over
    #[arg(short, long, requires = "task")]
    follow: bool,
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    if session.server.is_some() {
        return afar::logs(session, &args.run, args.task.as_deref(), args.attempt).await;
    }
    let reader = compose::reader(session).await?;
    let run = select::run(&*reader, &args.run).await?;
    let kept = compose::logs(session).await?;
    let folder = session.project.data_dir().join("logs");
    let logs = Logs { session, reader: &*reader, kept: &*kept, run, folder };
    match &args.task {
        Some(task) if args.follow => logs.follow(task, args.attempt).await,
        Some(task) => logs.one(task, args.attempt).await,
        None => logs.all().await,
    }
}

struct Logs<'a> {
    session: &'a Session,
    reader: &'a dyn Reader,
    /// The truth, once a log has been shipped; before that it lies in `folder`, if its worker runs here.
    kept: &'a dyn Kept,
    run: RunId,
    folder: PathBuf,
}

/// One line, wherever it was read.
struct Line {
    at: Option<Timestamp>,
    level: Level,
    text: String,
}

impl From<updraft_engine::logs::LogLine> for Line {
    fn from(line: updraft_engine::logs::LogLine) -> Self {
        Self { at: line.at, level: line.level, text: line.text }
    }
}

impl From<Stored> for Line {
    fn from(line: Stored) -> Self {
        let level = match line.level {
            LogLevel::Debug => Level::Debug,
            LogLevel::Info => Level::Info,
            LogLevel::Warn => Level::Warn,
            LogLevel::Error => Level::Error,
        };
        Self { at: line.at, level, text: line.text }
    }
}

/// A log that is read from its beginning: from its files while it has some, then from the store.
struct Source<'a> {
    kept: &'a dyn Kept,
    log: LogKey,
    files: LogReader,
    at: u64,
}

impl Source<'_> {
    /// What came since the last call.
    async fn more(&mut self) -> Result<Vec<Line>, Failure> {
        if self.files.exists() && self.files.position() >= self.at {
            let lines = self.files.more().map_err(|error| unreadable(&self.log.key, &error))?;
            self.at = self.files.position();
            return Ok(lines.into_iter().map(Line::from).collect());
        }
        let mut lines = Vec::new();
        loop {
            let page = logs::lines_from(self.kept, &self.log, LogAt::Offset(self.at), 10_000, 4 << 20).await?;
            self.at = page.next;
            if page.lines.is_empty() {
                return Ok(lines);
            }
            lines.extend(page.lines.into_iter().map(Line::from));
        }
    }

    /// A last line without its end, in the files.
    fn rest(&mut self) -> Option<Line> {
        self.files.rest().map(Line::from)
    }
}

impl Logs<'_> {
    async fn detail(&self) -> Result<RunDetail, Failure> {
        let detail = self.reader.detail(self.run).await?;
        detail.ok_or_else(|| Failure::input(format!("there is no run {} in this store", self.run)))
    }

    async fn all(&self) -> Result<ExitCode, Failure> {
        let loaded = summary::load(self.reader, self.run).await?;
        let mut logs = Vec::new();
        for task in &loaded.workflow.tasks {
            let key = TaskKey::of(task.id.clone());
            let Some(&last) = attempts(&loaded.detail, &key).last() else { continue };
            let lines = self.read(&key, last).await?;
            if self.session.json {
                logs.push(json!({ "task": key.to_string(), "attempt": last, "lines": lines.iter().map(document).collect::<Vec<_>>() }));
            } else {
                output::line(&output::dim(&format!("── {key} · attempt {last}")));
                lines.iter().for_each(print);
            }
        }
        if self.session.json {
            output::json(&json!({ "run": self.run, "logs": logs }))?;
        }
        Ok(ExitCode::Success)
    }

    async fn one(&self, task: &str, attempt: Option<u32>) -> Result<ExitCode, Failure> {
        let key = self.key(task).await?;
        let known = attempts(&self.detail().await?, &key);
        let attempt = choose(&key, &known, attempt)?;
        let lines = self.read(&key, attempt).await?;
        if self.session.json {
            let lines: Vec<_> = lines.iter().map(document).collect();
            output::json(&json!({ "run": self.run, "task": key.to_string(), "attempt": attempt, "lines": lines }))?;
        } else if lines.is_empty() {
            output::note(&format!("attempt {attempt} of {key} said nothing (or its worker has not shipped it yet)"));
        } else {
            lines.iter().for_each(print);
        }
        Ok(ExitCode::Success)
    }

    /// Follows the attempt that is asked for, or each attempt in turn until the task run is over.
    async fn follow(&self, task: &str, attempt: Option<u32>) -> Result<ExitCode, Failure> {
        let key = self.key(task).await?;
        let mut shown = 0;
        loop {
            let detail = self.detail().await?;
            let known = attempts(&detail, &key);
            let next = match attempt {
                Some(wanted) => known.iter().copied().find(|no| *no == wanted && *no > shown),
                None if shown == 0 => known.last().copied(),
                None => known.iter().copied().find(|no| *no > shown),
            };
            if let Some(no) = next {
                self.tail(&key, no).await?;
                shown = no;
                if attempt.is_some() {
                    return Ok(ExitCode::Success);
                }
            } else if over(&detail, &key) {
                return Ok(ExitCode::Success);
            } else {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    async fn tail(&self, key: &TaskKey, no: u32) -> Result<(), Failure> {
        let mut log = self.source(key, no);
        loop {
            // Asked before reading: what was written until the attempt ended is then read in the same round.
            let ended = self.detail().await?.attempts.iter().any(|one| one.key == *key && one.dispatch_no == no);
            log.more().await?.iter().for_each(print);
            if ended {
                // Between the end of its files and its last piece in the store.
                log.more().await?.iter().for_each(print);
                log.rest().iter().for_each(print);
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn source(&self, key: &TaskKey, no: u32) -> Source<'_> {
        let log = LogKey { run_id: self.run, key: key.clone(), dispatch_no: no };
        let files = LogReader::new(&self.folder, self.run, key, no);
        Source { kept: self.kept, log, files, at: 0 }
    }

    async fn read(&self, key: &TaskKey, no: u32) -> Result<Vec<Line>, Failure> {
        let mut log = self.source(key, no);
        let mut lines = log.more().await?;
        lines.extend(log.rest());
        Ok(lines)
    }

    async fn key(&self, task: &str) -> Result<TaskKey, Failure> {
        let loaded = summary::load(self.reader, self.run).await?;
        if loaded.workflow.task(task).is_some() {
            return Ok(TaskKey::of(task));
        }
        let known: Vec<&str> = loaded.workflow.tasks.iter().map(|task| task.id.as_str()).collect();
        Err(Failure::input(format!("`{}` has no task `{task}`", loaded.workflow.id))
            .hint(format!("its tasks: {}", known.join(", "))))
    }
}

fn unreadable(key: &TaskKey, error: &std::io::Error) -> Failure {
    Failure::unreachable(format!("the log of {key} cannot be read: {error}"))
}

/// Fences of the attempts of a task run, first to last, one under way included.
fn attempts(detail: &RunDetail, key: &TaskKey) -> Vec<u32> {
    let mut known: Vec<u32> =
        detail.attempts.iter().filter(|attempt| attempt.key == *key).map(|attempt| attempt.dispatch_no).collect();
    let live = detail.work.iter().find(|row| row.dispatch.key == *key && row.attempt_id.is_some());
    known.extend(live.map(|row| row.dispatch.dispatch_no));
    known.sort_unstable();
    known.dedup();
    known
}

fn over(detail: &RunDetail, key: &TaskKey) -> bool {
    detail.task_runs.iter().any(|row| row.key == *key)
        || detail.run.row.projection.state.is_final()
        || detail.run.only.as_ref().is_some_and(|only| !only.contains(&key.task))
}

fn choose(key: &TaskKey, known: &[u32], wanted: Option<u32>) -> Result<u32, Failure> {
    match (known.last(), wanted) {
        (None, _) => Err(Failure::input(format!("{key} has no attempt: it has not started"))),
        (Some(last), None) => Ok(*last),
        (Some(_), Some(no)) if known.contains(&no) => Ok(no),
        (Some(_), Some(no)) => {
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            Err(Failure::input(format!("{key} has no attempt {no}; it has {}", known.join(", "))))
        }
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    }
}

fn document(line: &Line) -> serde_json::Value {
    json!({ "at": line.at.map(|at| at.to_string()), "level": level(line.level).to_lowercase(), "text": line.text })
}

fn print(line: &Line) {
    let at = line.at.map(|at| at.to_string()).unwrap_or_default();
    output::line(&format!("{} {} {}", output::dim(&at), output::level(line.level, level(line.level)), line.text));
}
