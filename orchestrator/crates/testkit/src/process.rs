//! A program of this workspace as a child process: found, started in a clean environment, watched, killed.

use std::{
    collections::HashMap,
    env,
    ffi::{OsStr, OsString},
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

/// How long anything may take that should happen at once, on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(5);
/// What a child sees of the caller's environment: where programs, temporary files and loaded coverage data lie.
const INHERITED: [&str; 4] = ["PATH", "TMPDIR", "LLVM_PROFILE_FILE", "LD_LIBRARY_PATH"];
/// What a server sees of it. Variables of Java, Python and the services' own tools would change what it does.
const INHERITED_BY_SERVERS: [&str; 5] = ["PATH", "HOME", "TMPDIR", "JAVA_HOME", "LD_LIBRARY_PATH"];

/// The built binary `name` of this workspace.
///
/// Cargo names a package's own binaries to its integration tests; others lie beside the running test.
///
/// # Errors
/// It is not built.
pub fn workspace_binary(name: &str) -> Result<PathBuf> {
    if let Some(path) = env::var_os(format!("CARGO_BIN_EXE_{name}")) {
        return Ok(PathBuf::from(path));
    }
    let test = env::current_exe().context("cannot find the running test's file")?;
    let folder = test.ancestors().skip(1).find(|folder| !folder.ends_with("deps") && !folder.ends_with("examples"));
    let path = folder.unwrap_or(Path::new(".")).join(name);
    if !path.is_file() {
        bail!("{} is not built: run `cargo build --bin {name}` first", path.display());
    }
    Ok(path)
}

/// A program to be started, with nothing in its environment that was not put there.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    folder: Option<PathBuf>,
    environment: HashMap<OsString, OsString>,
}

impl Program {
    /// The program at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::inheriting(path, &INHERITED)
    }

    /// A server's program at `path`, or found on the `PATH`, or one that comes with it.
    pub fn of_server(path: impl Into<PathBuf>) -> Self {
        Self::inheriting(path, &INHERITED_BY_SERVERS)
    }

    fn inheriting(path: impl Into<PathBuf>, names: &[&str]) -> Self {
        let mut environment: HashMap<OsString, OsString> =
            names.iter().filter_map(|name| Some((name.into(), env::var_os(name)?))).collect();
        environment.insert("LANG".into(), "C.UTF-8".into());
        Self { path: path.into(), arguments: Vec::new(), folder: None, environment }
    }

    /// The built binary `name` of this workspace.
    ///
    /// # Errors
    /// It is not built.
    pub fn of_workspace(name: &str) -> Result<Self> {
        Ok(Self::new(workspace_binary(name)?))
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// A variable of its environment: where secrets go, since arguments are seen by everybody.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// The folder it runs in.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// It as a command, for whoever starts it another way.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env_clear().envs(&self.environment);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// `command` with the program and its arguments appended, and its environment.
    pub(crate) fn append_to(&self, command: &mut Command) {
        command.env_clear().envs(&self.environment).arg(&self.path).args(&self.arguments);
    }

    /// Starts it.
    ///
    /// # Errors
    /// There is no such program, or the system refuses.
    pub fn start(&self) -> Result<Running> {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.path.display()))?;
        let captured = Arc::new(Captured::default());
        let readers =
            vec![captured.read(Stream::Out, child.stdout.take()), captured.read(Stream::Err, child.stderr.take())];
        Ok(Running { name: self.path.display().to_string(), child, captured, readers })
    }

    /// Starts it, closes its input and waits for its end.
    ///
    /// # Errors
    /// It does not start, or not end in time.
    pub fn run(&self) -> Result<Finished> {
        let mut running = self.start()?;
        running.close_input();
        running.wait(PATIENCE)
    }
}

/// Which output of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// What has been written so far, and a bell for more.
#[derive(Debug, Default)]
struct Captured {
    texts: Mutex<Texts>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Texts {
    out: Vec<u8>,
    err: Vec<u8>,
    closed: usize,
}

impl Texts {
    fn of(&self, stream: Stream) -> &[u8] {
        match stream {
            Stream::Out => &self.out,
            Stream::Err => &self.err,
        }
    }
}

impl Captured {
    fn texts(&self) -> MutexGuard<'_, Texts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(self: &Arc<Self>, stream: Stream, source: Option<impl Read + Send + 'static>) -> JoinHandle<()> {
        let captured = Arc::clone(self);
        thread::spawn(move || {
            let mut source = BufReader::new(source.expect("the streams were asked to be pipes"));
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let mut texts = captured.texts();
                match stream {
                    Stream::Out => texts.out.append(&mut line),
                    Stream::Err => texts.err.append(&mut line),
                }
                captured.more.notify_all();
            }
            captured.texts().closed += 1;
            captured.more.notify_all();
        })
    }
}

/// A running program. It is killed with this value.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    captured: Arc<Captured>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn text(&self, stream: Stream) -> String {
        String::from_utf8_lossy(self.captured.texts().of(stream)).into_owned()
    }

    /// Waits for the first whole line that `wanted` accepts, those already written included, and returns it.
    ///
    /// # Errors
    /// It closes its outputs, or the time is over; the error holds what it wrote.
    pub fn wait_for_line(&self, stream: Stream, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        let mut texts = self.captured.texts();
        loop {
            let text = texts.of(stream);
            while let Some(length) = text[seen..].iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&text[seen..seen + length]).into_owned();
                seen += length + 1;
                if wanted(&line) {
                    return Ok(line);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if texts.closed == 2 || left.is_zero() {
                let why = if texts.closed == 2 { "ended" } else { "ran out of time" };
                let (out, err) = (String::from_utf8_lossy(&texts.out), String::from_utf8_lossy(&texts.err));
                bail!("{} {why} before the line came\nstdout: {out}\nstderr: {err}", self.name);
            }
            texts = self.captured.more.wait_timeout(texts, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes to its input.
    ///
    /// # Errors
    /// It has closed it, or it was closed here.
    pub fn write(&mut self, text: &str) -> Result<()> {
        let input: &mut ChildStdin = self.child.stdin.as_mut().context("the input is closed")?;
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).context("cannot write to its input")
    }

    /// Closes its input.
    pub fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Sends a signal to the process alone.
    ///
    /// # Errors
    /// It has ended and was waited for.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).context("not a process id")?;
        signal::kill(Pid::from_raw(pid), signal)
            .with_context(|| format!("cannot send {signal} to {} ({pid})", self.name))
    }

    /// `kill -9`, and waits for the end.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(mut self) -> Result<Finished> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.wait(PATIENCE)
    }

    /// Waits for its end. What its own children write afterwards to the same outputs is captured too, for as long as
    /// they hold them and the time is not over.
    ///
    /// # Errors
    /// It does not end in time: then it is killed, and the error holds what it wrote.
    pub fn wait(mut self, patience: Duration) -> Result<Finished> {
        let deadline = Instant::now() + patience;
        let status = loop {
            if let Some(status) = self.child.try_wait().with_context(|| format!("cannot wait for {}", self.name))? {
                break status;
            }
            if Instant::now() > deadline {
                bail!(
                    "{} does not end in {patience:?}\nstdout: {}\nstderr: {}",
                    self.name,
                    self.text(Stream::Out),
                    self.text(Stream::Err)
                );
            }
            thread::sleep(PAUSE);
        };
        while self.readers.iter().any(|reader| !reader.is_finished()) && Instant::now() < deadline {
            thread::sleep(PAUSE);
        }
        Ok(Finished { status, out: self.text(Stream::Out), err: self.text(Stream::Err) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Finished {
    /// Its exit code; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<Signal> {
        self.status.signal().and_then(|number| Signal::try_from(number).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Program {
        Program::new("/bin/sh").args(["-c", script])
    }

    #[test]
    fn outputs_and_exit_code_are_captured() {
        let finished = sh("echo out; echo err >&2; printf 'no newline'; exit 3").run().unwrap();
        assert_eq!(finished.code(), Some(3));
        assert_eq!((finished.out.as_str(), finished.err.as_str()), ("out\nno newline", "err\n"));
        assert_eq!(finished.signal(), None);
    }

    #[test]
    fn the_environment_holds_what_was_put_there() {
        let finished = sh("env").env("UPDRAFT_STORE", "sqlite:x").run().unwrap();
        let names: Vec<_> =
            finished.out.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        assert!(names.contains(&"UPDRAFT_STORE") && names.contains(&"PATH"), "{names:?}");
        assert!(!names.iter().any(|name| name.starts_with("CARGO") || *name == "HOME"), "{names:?}");
    }

    #[test]
    fn a_line_is_waited_for_and_input_is_given() {
        let mut running = sh("echo ready; while read -r line; do echo \"got $line\"; done; echo end").start().unwrap();
        assert_eq!(running.wait_for_line(Stream::Out, |line| line == "ready").unwrap(), "ready");
        running.write("a\nb\n").unwrap();
        assert_eq!(running.wait_for_line(Stream::Out, |line| line.ends_with('b')).unwrap(), "got b");
        running.close_input();
        let error = running.wait_for_line(Stream::Out, |line| line == "never").unwrap_err().to_string();
        assert!(error.contains("ended before the line came") && error.contains("got a"), "{error}");
        assert_eq!(running.wait(PATIENCE).unwrap().out, "ready\ngot a\ngot b\nend\n");
    }

    #[test]
    fn it_can_be_signalled_and_killed() {
        let running = sh("trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.05; done").start().unwrap();
        running.wait_for_line(Stream::Out, |line| line == "ready").unwrap();
        running.signal(Signal::SIGTERM).unwrap();
        let finished = running.wait(PATIENCE).unwrap();
        assert_eq!((finished.code(), finished.out.as_str()), (Some(7), "ready\ncaught\n"));

        let finished = sh("exec sleep 600").start().unwrap().kill().unwrap();
        assert_eq!((finished.code(), finished.signal()), (None, Some(Signal::SIGKILL)));
    }

    #[test]
    fn it_does_not_outlive_its_value() {
        let running = sh("exec sleep 600").start().unwrap();
        let process = PathBuf::from(format!("/proc/{}", running.pid()));
        assert!(process.exists());
        drop(running);
        assert!(!process.exists());
    }

    #[test]
    fn one_that_does_not_end_is_an_error_with_its_output() {
        let running = sh("echo here; exec sleep 600").start().unwrap();
        running.wait_for_line(Stream::Out, |line| line == "here").unwrap();
        let error = running.wait(Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("does not end") && error.contains("here"), "{error}");
    }

    #[test]
    fn a_binary_that_is_not_built_is_named_with_the_remedy() {
        let error = workspace_binary("no-such-binary").unwrap_err().to_string();
        assert!(error.contains("cargo build --bin no-such-binary"), "{error}");
    }
}
