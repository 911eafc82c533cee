//! A project in a folder of its own, the binary in it, and what it printed in a form that is the same every time.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use insta::Settings;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use updraft_testkit::process::{Finished, PATIENCE, Program, Running, Stream};

/// One task after the other; all succeed.
pub const CHAIN: &str = "\
id: chain
params:
  name: world
tasks:
  - {id: start, type: noop}
  - id: greet
    type: command
    depends_on: start
    with: {argv: [echo, \"hello {{ params.name }}\"]}
  - {id: end, type: noop, depends_on: greet}
";

/// A skip, what is skipped with it, a failure, what fails with it, and an end that looks at both.
pub const MIXED: &str = "\
id: mixed
tasks:
  - id: skips
    type: command
    with: {argv: \"echo nothing to do today; exit 99\", shell: true, skip_on: 99}
  - {id: after_skip, type: noop, depends_on: skips}
  - id: fails
    type: command
    depends_on: after_skip
    trigger_rule: all_done
    with: {argv: \"echo the disk is full >&2; exit 3\", shell: true}
  - {id: after_failure, type: noop, depends_on: fails}
  - {id: at_the_end, type: noop, depends_on: after_failure, trigger_rule: all_done}
";

/// Of two branches a param chooses one, and the last task goes on from either.
pub const BRANCHES: &str = "\
id: branches
params:
  engine: {type: string, enum: [spark, local], default: local}
tasks:
  - {id: spark, type: noop, when: \"{{ params.engine == 'spark' }}\"}
  - id: local
    type: command
    when: \"{{ params.engine == 'local' }}\"
    with: {argv: [echo, local]}
  - {id: after_spark, type: noop, depends_on: spark}
  - {id: join, type: noop, depends_on: [spark, local], trigger_rule: none_failed_min_one_success}
  - id: bad
    type: noop
    depends_on: [spark, join]
    trigger_rule: all_done
    when: \"{{ tasks.join.state == 'failed' or tasks.spark.state != 'skipped' }}\"
";

/// A task that goes on until the file `go` is there, between two that do nothing. With `go` there from the start it ends at once.
pub const WAITS: &str = "\
id: waits
tasks:
  - {id: before, type: noop}
  - id: waiting
    type: command
    depends_on: before
    with: {argv: \"echo here; until [ -e go ]; do sleep 0.05; done; echo went\", shell: true}
  - {id: after, type: noop, depends_on: waiting}
";

/// `updraft dev` in a place, on any port that is free.
pub struct Dev {
    pub running: Running,
    pub url: String,
}

impl Dev {
    pub fn start(place: &Place) -> Self {
        let running = place.start(&["dev", "--json", "--listen", "127.0.0.1:0"]);
        let line = running.wait_for_line(Stream::Out, |line| line.starts_with('{')).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        Self { running, url: said["url"].as_str().unwrap().to_owned() }
    }

    /// Ends it as a person does.
    pub fn stop(self) {
        self.running.signal(Signal::SIGINT).unwrap();
        let finished = self.running.wait(PATIENCE).unwrap();
        assert_eq!(finished.code(), Some(0), "{}", finished.err);
    }
}

/// A folder with workflow files; it is removed with this value.
pub struct Place {
    dir: TempDir,
}

impl Place {
    /// With these files.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("updraft-").tempdir().unwrap();
        let place = Self { dir };
        for (name, text) in files {
            place.write(name, text);
        }
        place
    }

    /// A path in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The binary with these arguments.
    pub fn program(&self, arguments: &[&str]) -> Program {
        let program = Program::of_workspace("updraft").unwrap().args(arguments).folder(self.path(""));
        program.env("USER", "ada").env("NO_COLOR", "1")
    }

    /// Runs it to its end.
    pub fn updraft(&self, arguments: &[&str]) -> Finished {
        self.program(arguments).run().unwrap()
    }

    /// Starts it.
    pub fn start(&self, arguments: &[&str]) -> Running {
        self.program(arguments).start().unwrap()
    }

    /// Runs it and reads the one document on its standard output, whatever the exit code.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let finished = self.updraft(arguments);
        serde_json::from_str(&finished.out)
            .unwrap_or_else(|error| panic!("{arguments:?} prints no JSON: {error}\n{}\n{}", finished.out, finished.err))
    }

    /// Runs it and writes down what a person sees.
    pub fn transcript(&self, arguments: &[&str]) -> String {
        transcript(arguments, &self.updraft(arguments))
    }

    /// Snapshot settings that take out what differs from run to run.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::clone_current();
        settings.add_filter(&regex_of(self.path("").to_string_lossy().trim_end_matches('/')), "[PROJECT]");
        settings.add_filter(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[RUN]");
        settings.add_filter(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?Z", "[INSTANT]");
        settings.add_filter(r"\b[0-9]+ m [0-9]{2} s\b|\b[0-9]+\.[0-9] s\b|\b[0-9]+ ms\b", "[TOOK]");
        settings.add_filter(r#""seconds": [0-9.e-]+"#, r#""seconds": "[SECONDS]""#);
        settings.add_filter(r"process [0-9]+", "process [PID]");
        settings.add_filter(r"(worker |\()[^ ()/]+/[0-9]+", "$1[WORKER]");
        settings
    }

    /// As [`Self::settings`], for tables, whose columns are as wide as their times.
    pub fn tables(&self) -> Settings {
        let mut settings = self.settings();
        settings.add_filter(r"(\S) {2,}", "$1  ");
        settings
    }
}

fn regex_of(text: &str) -> String {
    text.chars().flat_map(|c| (!c.is_ascii_alphanumeric()).then_some('\\').into_iter().chain([c])).collect()
}

/// What a person sees: the command, what it printed where, and its exit code.
pub fn transcript(arguments: &[&str], finished: &Finished) -> String {
    let words: Vec<String> = arguments
        .iter()
        .map(|word| if word.contains([' ', '[', '"']) { format!("'{word}'") } else { (*word).to_owned() })
        .collect();
    let end = finished.code().map_or_else(|| "ended by a signal".to_owned(), |code| format!("exit code {code}"));
    let mut text = format!("$ updraft {}\n", words.join(" "));
    for (name, printed) in [("stdout", &finished.out), ("stderr", &finished.err)] {
        if !printed.is_empty() {
            let _ = write!(text, "── {name}\n{printed}");
        }
    }
    let _ = writeln!(text, "── {end}");
    text
}
