//! `updraft logs`: what attempts said, also while they run.

use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::{Map, Value, json};
use updraft_api::dto::{LogLevel, LogLine, TaskPage, TaskRun, TaskState};

use super::{Session, find, output, summary};
use crate::exit_code::{ExitCode, Failure};
use crate::remote::{self, Api};

/// Between two looks for the next attempt.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// A stream that is silent for so long is looked at from outside: an attempt whose process died never ends its log.
const SILENT: Duration = Duration::from_secs(2);

/// Arguments of `updraft logs`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// A run's id, its first digits, or `latest`
    run: String,
    /// One task, or `TASK[INDEX]` [default: all, one after the other]
    task: Option<String>,
    /// Which attempt, from 1 [default: the last]
    #[arg(short, long, requires = "task", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Goes on until the task is over, or the attempt that was named
    #[arg(short, long, requires = "task", conflicts_with_all = ["tail", "level", "search"])]
    follow: bool,
    /// The last so many lines of each
    #[arg(short = 'n', long, value_name = "LINES", conflicts_with_all = ["level", "search"],
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tail: Option<u32>,
    /// Only lines of this weight or more
    #[arg(long, value_parser = ["debug", "info", "warn", "error"])]
    level: Option<String>,
    /// Only lines that contain this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    if args.follow {
        let mut following = Following::new(session, &args);
        return remote::until(session, LOOK_EVERY, async |api| following.step(api).await).await;
    }
    remote::with(session, async |api| {
        let run = find::run(api, &args.run).await?;
        match &args.task {
            Some(task) => one(session, api, &run, task, &args).await,
            None => all(session, api, &run, &args).await,
        }
    })
    .await
}

fn attempt_path(run: &str, task: &str, n: u32) -> String {
    format!("{}/attempts/{n}/log", summary::path(run, task))
}

/// Why a task run has no log.
fn no_attempt(task: &TaskRun) -> Failure {
    let name = find::shown(&task.task, task.map_index);
    let why = task.reason.as_ref().map(|reason| reason.text.clone()).or_else(|| task.cause_words.clone());
    let why = why.map_or_else(|| "it has not started".to_owned(), |why| format!("it is {}: {why}", task.state.name()));
    Failure::input(format!("{name} has no attempt: {why}"))
}

fn choose(task: &TaskRun, wanted: Option<u32>) -> Result<u32, Failure> {
    let last = task.attempts.last().ok_or_else(|| no_attempt(task))?;
    match wanted {
        None => Ok(last.n),
        Some(n) if task.attempts.iter().any(|attempt| attempt.n == n) => Ok(n),
        Some(n) => {
            let known: Vec<String> = task.attempts.iter().map(|attempt| attempt.n.to_string()).collect();
            let name = find::shown(&task.task, task.map_index);
            Err(Failure::input(format!("{name} has no attempt {n}; it has {}", known.join(", "))))
        }
    }
}

async fn one(session: &Session, api: &Api, run: &str, name: &str, args: &Args) -> Result<ExitCode, Failure> {
    let mut found = find::tasks(api, run, name).await?;
    if let [task] = found.as_slice() {
        let n = choose(task, args.attempt)?;
        if !read(api, run, task, n, args, |text| lines(session, text)).await? && !session.json {
            let what = if args.level.is_some() || args.search.is_some() { "no such line" } else { "nothing" };
            output::note(&format!("attempt {n} of {name} said {what} (or its worker has not shipped it yet)"));
        }
        return Ok(ExitCode::Success);
    }
    found.retain(|task| !task.attempts.is_empty());
    if let (true, Some(n)) = (found.is_empty(), args.attempt) {
        return Err(Failure::input(format!("no instance of {name} has an attempt {n}")));
    }
    several(session, api, run, &found, args).await
}

async fn all(session: &Session, api: &Api, run: &str, args: &Args) -> Result<ExitCode, Failure> {
    let page: TaskPage = api.get(&format!("/runs/{run}/tasks"), &[]).await?;
    several(session, api, run, &page.items, args).await
}

/// One after the other. Lines in JSON then say whose they are.
async fn several(session: &Session, api: &Api, run: &str, tasks: &[TaskRun], args: &Args) -> Result<ExitCode, Failure> {
    for task in tasks {
        let Some(last) = task.attempts.last() else { continue };
        let n = args.attempt.unwrap_or(last.n);
        if task.attempts.iter().all(|attempt| attempt.n != n) {
            continue;
        }
        if !session.json {
            let name = find::shown(&task.task, task.map_index);
            output::line(&output::dim(&format!("── {name} · attempt {n}")));
        }
        let show = |text: &str| if session.json { owned_lines(task, n, text) } else { lines(session, text) };
        read(api, run, task, n, args, show).await?;
    }
    Ok(ExitCode::Success)
}

/// Reads a log to its end, part by part; says whether there were lines.
async fn read(
    api: &Api,
    run: &str,
    task: &TaskRun,
    n: u32,
    args: &Args,
    mut show: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let path = attempt_path(run, &task.task, n);
    let given = [
        ("tail", args.tail.map(|tail| tail.to_string())),
        ("level", args.level.clone()),
        ("search", args.search.clone()),
    ];
    let mut query = summary::instance(task.map_index);
    query.extend(given.into_iter().filter_map(|(key, value)| Some((key, value?))));
    let (mut offset, mut any) = (0, false);
    loop {
        let mut asked = query.clone();
        if offset > 0 {
            asked.push(("offset", offset.to_string()));
        }
        let part = api.log(&path, &asked).await?;
        any |= !part.lines.is_empty();
        show(&part.lines)?;
        if part.last || args.tail.is_some() || part.next <= offset {
            return Ok(any);
        }
        offset = part.next;
    }
}

/// Prints lines: as they came, or for people.
fn lines(session: &Session, text: &str) -> Result<(), Failure> {
    if session.json {
        output::text(text);
        return Ok(());
    }
    text.lines().try_for_each(|line| {
        print(&super::typed(&object(line)?)?);
        Ok(())
    })
}

/// Lines of one of several logs, as JSON.
fn owned_lines(task: &TaskRun, n: u32, text: &str) -> Result<(), Failure> {
    text.lines().try_for_each(|line| {
        let mut owned = Map::new();
        owned.insert("task".to_owned(), json!(task.task));
        owned.insert("map_index".to_owned(), json!(task.map_index));
        owned.insert("attempt".to_owned(), json!(n));
        owned.extend(object(line)?.as_object().cloned().unwrap_or_default());
        output::json_line(&Value::Object(owned))
    })
}

fn object(line: &str) -> Result<Value, Failure> {
    serde_json::from_str(line).map_err(|error| {
        Failure::unreachable(format!("the server answers in a way that this version does not know: {error}"))
    })
}

fn print(line: &LogLine) {
    let (level, name) = match line.level {
        LogLevel::Debug => (updraft_task::Level::Debug, "DEBUG"),
        LogLevel::Info => (updraft_task::Level::Info, "INFO"),
        LogLevel::Warn => (updraft_task::Level::Warn, "WARN"),
        LogLevel::Error => (updraft_task::Level::Error, "ERROR"),
    };
    let at = line.at.map(|at| at.to_string()).unwrap_or_default();
    output::line(&format!("{} {} {}", output::dim(&at), output::level(level, name), line.text));
}

/// Follows the attempt that is asked for, or each attempt in turn until the task run is over.
struct Following<'a> {
    session: &'a Session,
    args: &'a Args,
    run: Option<String>,
    /// The attempt that is shown, and the byte to go on at; it stays when the connection is lost.
    now: Option<(u32, u64)>,
    /// The last one that was shown to its end.
    shown: u32,
    told: bool,
}

impl<'a> Following<'a> {
    fn new(session: &'a Session, args: &'a Args) -> Self {
        Self { session, args, run: None, now: None, shown: 0, told: false }
    }

    async fn step(&mut self, api: &Api) -> Result<Option<ExitCode>, Failure> {
        let name = self.args.task.as_deref().unwrap_or_default();
        let run = match &self.run {
            Some(run) => run.clone(),
            None => self.run.insert(find::run(api, &self.args.run).await?).clone(),
        };
        let found = find::tasks(api, &run, name).await?;
        let [task] = found.as_slice() else {
            return Err(Failure::input(format!("{name} is mapped: one instance can be followed"))
                .hint(format!("write {name}[0], … {name}[{}]", found.len().saturating_sub(2))));
        };
        let over = is_over(task.state);
        let (n, from) = match self.now {
            Some(now) => now,
            None => match self.next(task) {
                Some(n) => (n, 0),
                None if over && self.shown == 0 => return Err(no_attempt(task)),
                None if over => return Ok(Some(ExitCode::Success)),
                None => {
                    self.tell(api, task);
                    return Ok(None);
                }
            },
        };
        self.now = Some((n, from));
        if !self.show(api, &run, task, n, from).await? {
            self.tell(api, task);
            return Ok(None);
        }
        (self.now, self.shown) = (None, n);
        Ok(self.args.attempt.is_some().then_some(ExitCode::Success))
    }

    /// The attempt that comes next.
    fn next(&self, task: &TaskRun) -> Option<u32> {
        let mut known = task.attempts.iter().map(|attempt| attempt.n);
        match self.args.attempt {
            Some(wanted) => known.find(|n| *n == wanted && *n > self.shown),
            None if self.shown == 0 => known.next_back(),
            None => known.find(|n| *n > self.shown),
        }
    }

    /// Nothing will come as long as nobody carries the run out.
    fn tell(&mut self, api: &Api, task: &TaskRun) {
        if api.is_momentary() && !self.told {
            let name = find::shown(&task.task, task.map_index);
            output::note(&format!(
                "{name} is {}, and no process carries it out now: waiting (Ctrl-C ends this)",
                task.state.name()
            ));
            self.told = true;
        }
    }

    /// Shows what there is and what comes; says whether that was all.
    async fn show(&mut self, api: &Api, run: &str, task: &TaskRun, n: u32, from: u64) -> Result<bool, Failure> {
        let path = attempt_path(run, &task.task, n);
        let mut query = summary::instance(task.map_index);
        query.push(("offset", from.to_string()));
        if api.is_momentary() {
            let mut at = from;
            loop {
                query.pop();
                query.push(("offset", at.to_string()));
                let part = api.log(&path, &query).await?;
                lines(self.session, &part.lines)?;
                at = part.next;
                self.now = Some((n, at));
                if part.last {
                    return Ok(part.complete || ended(task, n));
                }
            }
        }
        let mut events = api.events(&path, &query).await?;
        let mut silent = false;
        loop {
            let Ok(event) = tokio::time::timeout(SILENT, events.next()).await else {
                // Two looks in a row: between the end of an attempt and its last lines lies the shipping of its log.
                if std::mem::replace(&mut silent, self.has_ended(api, run, task, n).await?) && silent {
                    return Ok(true);
                }
                continue;
            };
            let Some(event) = event? else { return Ok(false) };
            if let Ok(at) = event.id.parse() {
                self.now = Some((n, at));
            }
            match event.kind.as_str() {
                "end" => return Ok(true),
                "line" => {
                    silent = false;
                    lines(self.session, &format!("{}\n", event.data))?;
                }
                // What a later version may send besides.
                _ => {}
            }
        }
    }

    async fn has_ended(&self, api: &Api, run: &str, task: &TaskRun, n: u32) -> Result<bool, Failure> {
        let page: TaskPage = api.get(&format!("/runs/{run}/tasks"), &[]).await?;
        let same = |one: &&TaskRun| one.task == task.task && one.map_index == task.map_index;
        Ok(page.items.iter().find(same).is_some_and(|one| ended(one, n)))
    }
}

fn is_over(state: TaskState) -> bool {
    match state {
        TaskState::Waiting | TaskState::Ready | TaskState::Running | TaskState::RetryWait | TaskState::Deferred => {
            false
        }
        TaskState::Succeeded
        | TaskState::Failed
        | TaskState::Skipped
        | TaskState::UpstreamFailed
        | TaskState::Cancelled
        | TaskState::Removed => true,
    }
}

fn ended(task: &TaskRun, n: u32) -> bool {
    task.attempts.iter().any(|attempt| attempt.n == n && attempt.outcome.is_some())
}
