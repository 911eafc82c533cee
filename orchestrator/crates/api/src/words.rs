//! Sentences for people. Pure: what is known goes in, a sentence comes out.

use std::time::Duration;

use updraft_model::state::{Cause, Outcome, RunState, TaskRunState};
use updraft_model::time::Timestamp;

use crate::dto::FailureLine;

/// `0.4 s`, `12 s`, `1 m 10 s`, `2 h 5 m`, `3 d 4 h`.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..10 if span.subsec_millis() >= 50 || seconds == 0 => {
            let tenths = (span.as_millis() + 50) / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        0..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86400 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86400, "d", seconds % 86400 / 3600, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 { format!("{large} {large_unit}") } else { format!("{large} {large_unit} {small} {small_unit}") }
}

/// `1 task`, `3 tasks`.
pub fn count(number: impl Into<u64>, one: &str) -> String {
    let number = number.into();
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// First line of a text, without what terminals would take for commands; cut after `limit` characters.
pub fn first_line(text: &str, limit: usize) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut letters = line.chars().filter(|letter| !letter.is_control());
    let mut cut: String = letters.by_ref().take(limit).collect();
    if letters.next().is_some() {
        cut.push('…');
    }
    cut
}

/// Longest first line in a list.
pub const LINE: usize = 300;

/// What is known of a run.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Where it is.
    pub state: RunState,
    /// Why it ended or is about to.
    pub cause: Option<Cause>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it took its slot.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
    /// Its first failure.
    pub failure: Option<&'a FailureLine>,
    /// Tasks that did not run because an upstream failed.
    pub blocked: u32,
    /// Tasks that are over.
    pub done: u32,
    /// Tasks that it has.
    pub total: u32,
    /// What it usually takes.
    pub usual: Option<Duration>,
}

/// What happened to a run, in one sentence.
pub fn sentence(run: &Told<'_>) -> String {
    let began = run.started_at.unwrap_or(run.created_at);
    let took = span(run.ended_at.unwrap_or(run.now).since(began));
    match run.state {
        RunState::Queued => {
            format!("Waits for a run slot for {}.", span(run.now.since(run.created_at)))
        }
        RunState::Running => {
            let usual = run.usual.map(|usual| format!("; it usually takes {}", span(usual))).unwrap_or_default();
            let so_far = run.failure.map(|failure| format!("; {} failed", place(failure))).unwrap_or_default();
            format!("Running for {took}: {} of {} done{so_far}{usual}.", run.done, count(run.total, "task"))
        }
        RunState::Cancelling => {
            let why = run.cause.map_or("somebody asked it to", Cause::in_words);
            format!("Being stopped, because {why}: {} of {} done.", run.done, count(run.total, "task"))
        }
        RunState::Succeeded => match run.failure {
            Some(failure) => format!("Succeeded after {took}, although {} failed{}.", place(failure), said(failure)),
            None => format!("Succeeded after {took}: {}.", count(run.total, "task")),
        },
        RunState::Failed => {
            let blocked = match run.blocked {
                0 => String::new(),
                blocked => format!("; {} did not run", count(blocked, "task")),
            };
            match (run.failure.filter(|failure| !failure.task.is_empty()), run.cause) {
                (Some(failure), None | Some(Cause::TaskFailed)) => {
                    format!("Failed after {took} at {}{}{blocked}.", place(failure), said(failure))
                }
                (_, Some(cause)) => format!("Failed after {took}, because {}{blocked}.", cause.in_words()),
                (None, None) => format!("Failed after {took}{blocked}."),
            }
        }
        RunState::Cancelled => {
            let why = match run.cause {
                None | Some(Cause::CancelRequested) => String::new(),
                Some(cause) => format!(", because {}", cause.in_words()),
            };
            format!("Cancelled after {took}{why}: {} of {} done.", run.done, count(run.total, "task"))
        }
        RunState::Broken => "Set aside: this build cannot take it further; repair it.".to_owned(),
    }
}

fn place(failure: &FailureLine) -> String {
    let index = failure.map_index.map(|index| format!("[{index}]")).unwrap_or_default();
    let attempt = match (failure.attempt, failure.attempts) {
        (0, _) | (_, 0..=1) => String::new(),
        (attempt, attempts) => format!(" (attempt {attempt} of {attempts})"),
    };
    format!("`{}{index}`{attempt}", failure.task)
}

fn said(failure: &FailureLine) -> String {
    let line = failure.line.trim_end_matches('.');
    if line.is_empty() { String::new() } else { format!(": {line}") }
}

/// What is known of an attempt.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why.
    pub cause: Option<Cause>,
    /// Where it is, while it is live.
    pub state: Option<TaskRunState>,
    /// Class of the error.
    pub class: Option<&'a str>,
    /// What it said.
    pub message: Option<&'a str>,
    /// Its body began.
    pub started: bool,
    /// Who executed it.
    pub worker: Option<&'a str>,
}

/// Why an attempt ended, or what it does; never empty.
pub fn attempt(of: &Tried<'_>) -> String {
    let line = of.message.map(|message| first_line(message, LINE)).filter(|line| !line.is_empty());
    let cause = of.cause.map_or("it ended", Cause::in_words);
    let by = of.worker.map(|worker| format!(" ({worker})")).unwrap_or_default();
    let ended = match of.outcome {
        None => {
            return match of.state {
                Some(TaskRunState::Running) => format!("running{by}"),
                Some(TaskRunState::RetryWait) => "waits for its next try".to_owned(),
                Some(TaskRunState::Deferred) => "waits, as the task asked".to_owned(),
                Some(
                    TaskRunState::Ready
                    | TaskRunState::Waiting
                    | TaskRunState::Succeeded
                    | TaskRunState::Failed
                    | TaskRunState::Skipped
                    | TaskRunState::UpstreamFailed
                    | TaskRunState::Cancelled
                    | TaskRunState::Removed,
                )
                | None => "waits for a worker".to_owned(),
            };
        }
        Some(Outcome::Succeeded) => return "succeeded".to_owned(),
        Some(Outcome::Deferred) => return line.unwrap_or_else(|| "gave its slot back to wait".to_owned()),
        Some(Outcome::Skipped) => return line.map_or_else(|| "skipped".to_owned(), |line| format!("skipped: {line}")),
        Some(Outcome::Lost) => format!("lost: {cause}{by}"),
        Some(Outcome::Cancelled) => format!("stopped: {cause}"),
        Some(Outcome::TimedOut) => line.unwrap_or_else(|| cause.to_owned()),
        Some(Outcome::Failed) => match (of.class, line) {
            (Some(class), Some(line)) => format!("{class}: {line}"),
            (None, Some(line)) => line,
            (Some(class), None) => format!("{class}: {cause}"),
            (None, None) => cause.to_owned(),
        },
    };
    match (of.started, of.outcome) {
        (true, _) => ended,
        // Whether its body had begun died with the process.
        (false, Some(Outcome::Lost)) => format!("lost before it said anything: {cause}{by}"),
        (false, _) => format!("never started: {ended}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> FailureLine {
        FailureLine {
            task: "validate".to_owned(),
            map_index: None,
            attempt: 3,
            attempts: 3,
            class: Some("Quality".to_owned()),
            line: "2 of 9 rules failed.".to_owned(),
        }
    }

    fn told(state: RunState, cause: Option<Cause>) -> Told<'static> {
        Told {
            state,
            cause,
            created_at: Timestamp::from_millis(0),
            started_at: Some(Timestamp::from_millis(5_000)),
            ended_at: state.is_final().then_some(Timestamp::from_millis(75_000)),
            now: Timestamp::from_millis(75_000),
            failure: None,
            blocked: 0,
            done: 3,
            total: 10,
            usual: Some(Duration::from_mins(2)),
        }
    }

    #[test]
    fn spans_have_two_units_at_most() {
        for (millis, expected) in [
            (0, "0.0 s"),
            (420, "0.4 s"),
            (1_000, "1 s"),
            (1_460, "1.5 s"),
            (12_900, "12 s"),
            (60_000, "1 m"),
            (70_000, "1 m 10 s"),
            (7_500_000, "2 h 5 m"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn a_run_is_told_in_one_sentence() {
        let failure = failure();
        let mapped =
            FailureLine { map_index: Some(4), attempts: 1, attempt: 1, line: "no".to_owned(), ..failure.clone() };
        let failed = Told { failure: Some(&failure), blocked: 9, ..told(RunState::Failed, Some(Cause::TaskFailed)) };
        let cases = [
            (failed, "Failed after 1 m 10 s at `validate` (attempt 3 of 3): 2 of 9 rules failed; 9 tasks did not run."),
            (
                Told { failure: Some(&mapped), blocked: 1, ..failed },
                "Failed after 1 m 10 s at `validate[4]`: no; 1 task did not run.",
            ),
            (
                told(RunState::Failed, Some(Cause::RunTimeout)),
                "Failed after 1 m 10 s, because the run passed its time limit.",
            ),
            (told(RunState::Succeeded, Some(Cause::Completed)), "Succeeded after 1 m 10 s: 10 tasks."),
            (
                Told { failure: Some(&mapped), ..told(RunState::Succeeded, Some(Cause::Completed)) },
                "Succeeded after 1 m 10 s, although `validate[4]` failed: no.",
            ),
            (told(RunState::Running, None), "Running for 1 m 10 s: 3 of 10 tasks done; it usually takes 2 m."),
            (Told { started_at: None, ..told(RunState::Queued, None) }, "Waits for a run slot for 1 m 15 s."),
            (
                told(RunState::Cancelling, Some(Cause::RunTimeout)),
                "Being stopped, because the run passed its time limit: 3 of 10 tasks done.",
            ),
            (told(RunState::Cancelled, Some(Cause::CancelRequested)), "Cancelled after 1 m 10 s: 3 of 10 tasks done."),
        ];
        for (told, expected) in cases {
            assert_eq!(sentence(&told), expected);
        }
    }

    #[test]
    fn every_attempt_has_a_cause() {
        let of = Tried {
            outcome: Some(Outcome::Failed),
            cause: Some(Cause::Task),
            state: None,
            class: Some("HttpStatus"),
            message: Some("\n  503 Service Unavailable\nbody"),
            started: true,
            worker: Some("host/7"),
        };
        let lost = Tried { outcome: Some(Outcome::Lost), cause: Some(Cause::WorkerDied), message: None, ..of };
        let live = Tried { outcome: None, cause: None, message: None, state: Some(TaskRunState::Running), ..of };
        for (of, expected) in [
            (of, "HttpStatus: 503 Service Unavailable"),
            (Tried { message: None, class: None, ..of }, "the task said so, without a reason"),
            (lost, "lost: the process that ran it died (host/7)"),
            (Tried { started: false, ..lost }, "lost before it said anything: the process that ran it died (host/7)"),
            (live, "running (host/7)"),
            (Tried { state: Some(TaskRunState::Ready), ..live }, "waits for a worker"),
            (Tried { outcome: Some(Outcome::Skipped), message: Some("no new files"), ..of }, "skipped: no new files"),
        ] {
            assert_eq!(attempt(&of), expected);
        }
    }

    #[test]
    fn a_first_line_is_short_and_harmless() {
        assert_eq!(first_line("\n \u{1b}[31mred\nmore", 300), "[31mred");
        assert_eq!(first_line("abcdef", 3), "abc…");
    }
}
