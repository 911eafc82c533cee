//! Child processes: each in a session of its own, started by one permanent thread, killed as a tree, dead with the
//! worker.
//!
//! ```text
//! engine ─spawner thread─▶ LAUNCHER __child --parent PID -- ARGV   setsid · parent-death signal · exec ARGV
//! stop:  signal to the group ─grace─▶ KILL to everything of the session and to whatever carries the attempt's token
//! ```
//! The parent-death signal follows the *thread* that started a child (engine.md F36): hence the permanent thread.

mod launcher;
mod lines;
mod spawner;
mod tree;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use updraft_model::id::AttemptId;
use updraft_task::{ChildExit, ChildSpec, Lines, Output, StopSignal, TaskError};

pub use launcher::{CANNOT_START, child_main};
pub(crate) use spawner::Spawner;
pub(crate) use tree::sweep;

/// Name of the variable that marks everything an attempt has started.
const TOKEN_NAME: &str = "UPDRAFT_ATTEMPT";

/// Variables of the worker that no child gets: they may hold secrets.
const WITHHELD: [&str; 4] = ["UPDRAFT_CONN_", "UPDRAFT_MASTER_KEY", "UPDRAFT_TOKEN", "UPDRAFT_STORE"];

/// How long output is waited for after a child and its tree are gone.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// The mark in the environment of everything that an attempt starts.
pub(crate) fn token_of(attempt: AttemptId) -> String {
    format!("{TOKEN_NAME}={attempt}")
}

/// A child with everything around it.
pub(crate) struct ChildRun<'a> {
    pub spawner: &'a Spawner,
    pub launcher: &'a Path,
    pub launcher_arguments: &'a [String],
    pub project_dir: &'a Path,
    pub env: Option<&'a BTreeMap<String, String>>,
    pub token: String,
    pub cancelled: &'a CancellationToken,
}

/// Kills the tree if the one who waits for it is dropped.
struct TreeGuard<'a> {
    spawner: &'a Spawner,
    session: u32,
    token: &'a str,
    armed: bool,
}

impl Drop for TreeGuard<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.spawner.kill_tree(self.session, self.token.to_owned(), None);
        }
    }
}

impl ChildRun<'_> {
    fn command(&self, spec: &ChildSpec) -> Command {
        let mut command = Command::new(self.launcher);
        command.args(self.launcher_arguments).arg("--parent").arg(std::process::id().to_string()).arg("--");
        command.args(&spec.argv);
        for (name, _) in std::env::vars_os() {
            if WITHHELD.iter().any(|withheld| name.to_string_lossy().starts_with(withheld)) {
                command.env_remove(name);
            }
        }
        if let Some(env) = self.env {
            command.envs(env);
        }
        command.envs(&spec.env);
        if let Some((name, value)) = self.token.split_once('=') {
            command.env(name, value);
        }
        command.current_dir(
            spec.cwd.as_deref().map_or_else(|| self.project_dir.to_owned(), |cwd| self.project_dir.join(cwd)),
        );
        command.stdin(if spec.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run_to_end(self, mut spec: ChildSpec, lines: &mut Lines<'_>) -> Result<ChildExit, TaskError> {
        let Some(program) = spec.argv.first().map(|program| program.to_string_lossy().into_owned()) else {
            return Err(TaskError::fail("Spawn", "a child without a program: `argv` is empty"));
        };
        let cannot = |reason: String| TaskError::fail("Spawn", format!("cannot run `{program}`: {reason}"));
        let mut child = self.spawner.spawn(self.command(&spec)).await.map_err(|error| cannot(error.to_string()))?;
        let Some(session) = child.id() else {
            return Err(cannot("it ended before it began".to_owned()));
        };
        let mut guard = TreeGuard { spawner: self.spawner, session, token: &self.token, armed: true };
        let (sender, receiver) = mpsc::channel(256);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(lines::read(Output::Stdout, stdout, sender.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(lines::read(Output::Stderr, stderr, sender));
        }
        if let (Some(mut stdin), Some(bytes)) = (child.stdin.take(), spec.stdin.take()) {
            // A child that does not read its input to the end is no error.
            tokio::spawn(async move { stdin.write_all(&bytes).await });
        }
        let mut refusal = None;
        let mut filtered = |output: Output, line: &str| match line.strip_prefix(CANNOT_START) {
            Some(reason) if output == Output::Stderr => refusal = Some(reason.to_owned()),
            Some(_) | None => lines(output, line),
        };
        let exit = self.wait(&mut child, session, &spec, receiver, &mut filtered).await;
        let exit = exit.map_err(|error| cannot(error.to_string()))?;
        guard.armed = false;
        if let Some(reason) = refusal {
            return Err(TaskError::fail("Spawn", format!("cannot run `{program}`: {reason}")));
        }
        if self.cancelled.is_cancelled() {
            return Err(TaskError::cancelled());
        }
        Ok(exit)
    }

    async fn wait(
        &self,
        child: &mut Child,
        session: u32,
        spec: &ChildSpec,
        mut receiver: mpsc::Receiver<(Output, String)>,
        lines: &mut Lines<'_>,
    ) -> std::io::Result<ChildExit> {
        let kill_at = tokio::time::sleep(Duration::MAX);
        tokio::pin!(kill_at);
        let mut asked = false;
        let mut open = true;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                line = receiver.recv(), if open => match line {
                    Some((output, line)) => lines(output, &line),
                    None => open = false,
                },
                () = self.cancelled.cancelled(), if !asked => {
                    asked = true;
                    tree::signal_group(session, match spec.stop {
                        StopSignal::Term => Signal::SIGTERM,
                        StopSignal::Int => Signal::SIGINT,
                    });
                    kill_at.as_mut().reset(tokio::time::Instant::now() + spec.grace);
                }
                () = &mut kill_at, if asked => {
                    self.spawner.tree_killed(session, self.token.clone()).await;
                    break child.wait().await?;
                }
            }
        };
        // Whatever it left behind ends with it; only then are its pipes sure to close.
        self.spawner.tree_killed(session, self.token.clone()).await;
        let deadline = tokio::time::Instant::now() + LAST_OUTPUT;
        while let Ok(Some((output, line))) = tokio::time::timeout_at(deadline, receiver.recv()).await {
            lines(output, &line);
        }
        Ok(status.code().map_or_else(|| ChildExit::Signal(status.signal().unwrap_or_default()), ChildExit::Code))
    }
}
