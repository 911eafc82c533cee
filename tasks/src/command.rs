//! `command`: a child process, by its arguments; through a shell only where that is said.

use std::collections::{BTreeMap, VecDeque};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use updraft_task::{ChildExit, ChildSpec, Context, Effects, ErrorClass, Level, Output as Stream, Task, TaskError};

use crate::text::Text;

/// The task type.
pub struct Command;

/// Longest kept tail of standard output, in bytes.
const TAIL_BYTES: usize = 4 * 1024;
/// Longest line that `parse_json` reads, in bytes: it has to fit into the output.
const JSON_BYTES: usize = 32 * 1024;

/// What to run: a list, or one line for a shell.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Argv {
    /// Program and arguments.
    List(Vec<Text>),
    /// One line; needs `shell: true`.
    Line(String),
}

/// Parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Program and arguments as a list; with `shell: true` one line for `/bin/sh -c`. Secrets do not belong here: use `env` of the task.
    pub argv: Argv,
    /// Runs `argv` (one line) through `/bin/sh -c`.
    #[serde(default)]
    pub shell: bool,
    /// Working folder, relative to the project.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Variables of the child, over those of the task.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Text for its standard input.
    #[serde(default)]
    pub stdin: Option<String>,
    /// Exit code that ends the task run as skipped.
    #[serde(default)]
    pub skip_on: Option<u8>,
    /// Exit codes that are never retried.
    #[serde(default)]
    pub fail_on: Vec<u8>,
    /// Reads the last non-empty line of standard output (at most 32 KiB) as JSON into `output.json`.
    #[serde(default)]
    pub parse_json: bool,
}

/// Output.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// Exit code: 0.
    pub exit_code: i32,
    /// Lines on standard output.
    pub stdout_lines: u64,
    /// The last 4 KiB of standard output.
    pub stdout_tail: String,
    /// The last line as JSON, with `parse_json`.
    pub json: Option<Value>,
}

impl Task for Command {
    const TYPE: &'static str = "command";
    const SUMMARY: &'static str = "runs a program in a child process";
    const EFFECTS: Effects = Effects::AtLeastOnce;
    // A list may name a shell as well as a line may.
    const RUNS_COMMANDS: bool = true;
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass { name: "ExitCode", retryable: true, meaning: "the program ended with another code than 0" },
        ErrorClass { name: "Signal", retryable: true, meaning: "the program was ended by a signal" },
        ErrorClass { name: "Spawn", retryable: false, meaning: "the program cannot be started" },
        ErrorClass { name: "BadOutput", retryable: false, meaning: "`parse_json` and the last line is not JSON" },
        ErrorClass {
            name: "BadParameters",
            retryable: false,
            meaning: "`argv` is empty, or a line without `shell: true`",
        },
    ];
    const EXAMPLE: &'static str = "- id: count_files\n  type: command\n  with:\n    argv: \"ls | wc -l\"\n    shell: true\n    parse_json: true\n";
    type Params = Params;
    type Output = Output;

    async fn run(params: Params, ctx: &Context) -> Result<Output, TaskError> {
        let mut spec = ChildSpec::new(argv(&params)?);
        spec.env = params.env.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        spec.cwd = params.cwd.as_ref().map(|folder| ctx.path(folder));
        spec.stdin = params.stdin.clone().map(String::into_bytes);
        let mut tail = Tail::default();
        let mut complaint: Option<String> = None;
        let log = ctx.clone();
        let exit = ctx
            .run_child(spec, &mut |stream, line| match stream {
                Stream::Stdout => {
                    log.log_child(stream, Level::Info, line);
                    tail.push(line);
                }
                Stream::Stderr => {
                    log.log_child(stream, Level::Warn, line);
                    if !line.trim().is_empty() {
                        complaint = Some(line.chars().take(500).collect());
                    }
                }
            })
            .await?;
        let code = match exit {
            ChildExit::Code(code) => code,
            ChildExit::Signal(signal) => {
                return Err(TaskError::retry("Signal", format!("the program was ended by signal {signal}")));
            }
        };
        if code != 0 {
            return Err(ended(code, &params, complaint.as_deref().or(tail.last())));
        }
        let json = if params.parse_json { Some(tail.json()?) } else { None };
        Ok(Output { exit_code: code, stdout_lines: tail.count, stdout_tail: tail.text(), json })
    }
}

fn argv(params: &Params) -> Result<Vec<String>, TaskError> {
    let bad = |text: &str| Err(TaskError::fail("BadParameters", text));
    match (&params.argv, params.shell) {
        (Argv::List(list), _) if list.is_empty() => bad("`argv` is empty: name a program"),
        (Argv::List(list), false) => Ok(list.iter().map(ToString::to_string).collect()),
        (Argv::Line(line), true) => Ok(vec!["/bin/sh".into(), "-c".into(), line.clone()]),
        (Argv::List(_), true) => bad("with `shell: true`, `argv` is one line of text, not a list"),
        (Argv::Line(_), false) => bad("`argv` is one line: write it as a list, or say `shell: true`"),
    }
}

fn ended(code: i32, params: &Params, last: Option<&str>) -> TaskError {
    let is = |wanted: u8| code == i32::from(wanted);
    if params.skip_on.is_some_and(is) {
        return TaskError::skip(format!("the program ended with code {code}, which means skip"));
    }
    let last = last.map(|line| format!("; its last line: {line}")).unwrap_or_default();
    let message = format!("the program ended with code {code}{last}");
    if params.fail_on.iter().any(|wanted| is(*wanted)) {
        TaskError::fail("ExitCode", message)
    } else {
        TaskError::retry("ExitCode", message)
    }
}

/// The end of standard output.
#[derive(Default)]
struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    count: u64,
    /// The last line that is not blank, one byte longer than `parse_json` reads at most.
    last: Option<String>,
}

/// The end of a text, at most so many bytes.
fn end_of(text: &str, bytes: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(bytes))..]
}

impl Tail {
    fn push(&mut self, line: &str) {
        if !line.trim().is_empty() {
            self.last = Some(end_of(line, JSON_BYTES + 1).to_owned());
        }
        let line = end_of(line, TAIL_BYTES);
        self.count += 1;
        self.bytes += line.len() + 1;
        self.lines.push_back(line.to_owned());
        while self.bytes > TAIL_BYTES && self.lines.len() > 1 {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len() + 1);
        }
    }

    fn last(&self) -> Option<&str> {
        self.last.as_deref().map(|line| end_of(line, TAIL_BYTES))
    }

    fn text(&self) -> String {
        self.lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    fn json(&self) -> Result<Value, TaskError> {
        let bad = |text: String| TaskError::fail("BadOutput", text);
        let last = self.last.as_deref().ok_or_else(|| bad("`parse_json`, but the program wrote nothing".to_owned()))?;
        if last.len() > JSON_BYTES {
            return Err(bad(format!("the last line has more than {JSON_BYTES} bytes; write large results to a file")));
        }
        serde_json::from_str(last).map_err(|error| {
            bad(format!("the last line is not JSON ({error}): {}", last.chars().take(200).collect::<String>()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use updraft_task::testing::TestRun;

    async fn run(params: Value) -> Result<Output, TaskError> {
        let dir = tempfile::tempdir().unwrap();
        let run = TestRun::new(dir.path());
        Command::run(serde_json::from_value(params).unwrap(), &run.context("t", 1, None)).await
    }

    #[tokio::test]
    async fn a_list_runs_without_a_shell() {
        let output = run(json!({ "argv": ["echo", "$HOME"] })).await.unwrap();
        assert_eq!((output.stdout_tail.as_str(), output.stdout_lines), ("$HOME", 1));
    }

    #[tokio::test]
    async fn lines_keep_the_output_that_they_came_on() {
        let dir = tempfile::tempdir().unwrap();
        let run = TestRun::new(dir.path());
        let params = serde_json::from_value(json!({ "argv": "echo out; echo err >&2", "shell": true })).unwrap();
        Command::run(params, &run.context("t", 1, None)).await.unwrap();
        let mut lines = run.child_lines();
        lines.sort_by_key(|(_, line)| line.clone());
        assert_eq!(lines, [(Stream::Stderr, "err".to_owned()), (Stream::Stdout, "out".to_owned())]);
        assert!(run.lines().contains(&(Level::Warn, "err".to_owned())));
    }

    #[tokio::test]
    async fn numbers_are_words_as_they_are_written() {
        let output = run(json!({ "argv": ["echo", 2, 1.5, true], "env": { "PORT": 8080 } })).await.unwrap();
        assert_eq!(output.stdout_tail, "2 1.5 true");
    }

    #[tokio::test]
    async fn a_line_needs_the_shell_to_be_named() {
        let output = run(json!({ "argv": "echo '{\"rows\": 3}'", "shell": true, "parse_json": true })).await.unwrap();
        assert_eq!(output.json, Some(json!({ "rows": 3 })));
        let error = run(json!({ "argv": "echo x" })).await.unwrap_err();
        assert_eq!(error.class(), "BadParameters");
        assert!(error.message().contains("shell: true"));
    }

    #[tokio::test]
    async fn exit_codes_decide() {
        use updraft_task::Verdict;
        let shell = |line: &str, extra: Value| {
            let mut params = json!({ "argv": line, "shell": true });
            params.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            run(params)
        };
        let error = shell("echo why; exit 3", json!({})).await.unwrap_err();
        assert_eq!(error.verdict(), &Verdict::Retry { after: None });
        assert!(error.message().contains("code 3") && error.message().contains("why"));
        let error = shell("echo out; echo complaint >&2; exit 1", json!({})).await.unwrap_err();
        assert!(error.message().ends_with("its last line: complaint"), "{error}");
        assert_eq!(shell("exit 99", json!({ "skip_on": 99 })).await.unwrap_err().verdict(), &Verdict::Skip);
        assert_eq!(shell("exit 4", json!({ "fail_on": [4] })).await.unwrap_err().verdict(), &Verdict::Fail);
        assert_eq!(shell("kill -9 $$", json!({})).await.unwrap_err().class(), "Signal");
        assert_eq!(run(json!({ "argv": ["/no/such/program"] })).await.unwrap_err().class(), "Spawn");
    }

    #[test]
    fn only_the_tail_is_kept() {
        let mut tail = Tail::default();
        for number in 0..10_000 {
            tail.push(&format!("line {number}"));
        }
        assert_eq!(tail.count, 10_000);
        assert!(tail.text().len() <= TAIL_BYTES && tail.text().ends_with("line 9999"));
        tail.push(&"ü".repeat(10_000));
        assert!(tail.text().len() <= TAIL_BYTES);
    }

    #[test]
    fn a_long_last_line_is_read_as_json_up_to_its_limit() {
        let mut tail = Tail::default();
        tail.push(&format!("\"{}\"", "x".repeat(JSON_BYTES - 2)));
        tail.push("  ");
        assert_eq!(tail.json().unwrap().as_str().map(str::len), Some(JSON_BYTES - 2));
        tail.push(&format!("\"{}\"", "x".repeat(JSON_BYTES)));
        assert!(tail.json().unwrap_err().message().contains("more than 32768 bytes"));
    }
}
