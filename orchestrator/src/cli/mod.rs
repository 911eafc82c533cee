//! The command line: one file a command, the only crate part that talks to people.

mod audit;
mod bench;
mod cancel;
mod change;
mod check;
mod completions;
mod connections;
mod daemon;
mod doctor;
mod files;
mod find;
mod fmt;
mod logs;
mod migrate;
mod output;
mod plan;
mod progress;
mod run;
mod runs;
mod schema;
mod show;
mod status;
mod summary;
mod tasks;
mod tokens;
mod trigger;
mod users;
mod wait;
mod workflows;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use updraft_auth::{ConnectionView, Snapshot};
use updraft_task::Registry;

pub use cancel::who;
pub use files::spec_of;
pub use summary::now;

use crate::compose::StoreUrl;
use crate::daemon::kinds;
use crate::exit_code::{ExitCode, Failure};
use crate::project::Project;

/// The hidden command that the engine starts child processes through; never shown, never parsed by clap.
const CHILD: &str = "__child";

const AFTER_HELP: &str = "\
Examples:
  updraft check workflows/                      every mistake in every file, at once
  updraft run workflows/examples/hello.yaml     one run in the foreground
  updraft run FILE -p 'regions=[\"europe\"]' --logical-date 2026-01-31T09:30:00Z
  updraft dev                                   the daemon on SQLite, with its pages: prints where
  updraft trigger hello -p name=you --wait      a run of a published workflow, carried out by the daemon
  updraft runs show latest                      what happened
  updraft logs latest collect_flight_data -f    an attempt's log, as it is written

Exit codes: 0 done · 1 the run failed · 2 bad input · 3 a store or service cannot be reached ·
4 cancelled by `updraft cancel` · 130 stopped by a signal (the run stays open for --resume)";

/// Workflows in YAML, tasks in Rust, runs in a database.
#[derive(Debug, Parser)]
#[command(name = "updraft", version, about, after_help = AFTER_HELP, max_term_width = 110)]
struct Cli {
    /// Where runs are kept: `sqlite:PATH` or `postgres://USER@HOST/DATABASE` [default: .updraft/updraft.db in the project]
    #[arg(long, global = true, env = "UPDRAFT_STORE", value_name = "URL", hide_env_values = true)]
    store: Option<String>,
    /// Asks this server instead of the store of this project: `http://HOST:PORT`
    #[arg(long, global = true, env = "UPDRAFT_SERVER", value_name = "URL")]
    server: Option<String>,
    /// Token for `--server`; better in the environment, where other users do not see it
    #[arg(long, global = true, env = "UPDRAFT_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Starts in this folder instead of the current one
    #[arg(short = 'C', long, global = true, value_name = "FOLDER")]
    project: Option<PathBuf>,
    /// Prints one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything in one process on SQLite: schedules, tasks, the API and the pages
    Dev(daemon::Dev),
    /// Runs the daemon: schedules, tasks, the API and the pages, in one process or several
    Serve(daemon::Serve),
    /// Runs a workflow once, in the foreground
    Run(run::Args),
    /// Checks workflow files: every mistake, with place, reason and remedy
    Check(check::Args),
    /// Rewrites workflow files in the one form; comments stay
    Fmt(fmt::Args),
    /// Prints the JSON Schema of workflow files, for editors
    Schema,
    /// Draws a workflow's graph
    Show(show::Args),
    /// Lists published workflows
    Workflows(workflows::Args),
    /// Says when schedules fire
    Schedules(workflows::Schedules),
    /// Makes a run of a published workflow
    Trigger(trigger::Args),
    /// Runs failed, chosen or all tasks of a run again
    Retry(change::Retry),
    /// Sets task runs to succeeded or failed by hand
    Mark(change::Mark),
    /// Makes no new runs by a workflow's schedule
    Pause(change::Pause),
    /// Makes runs by a workflow's schedule again
    Unpause(change::Pause),
    /// Lists and changes who may log in
    Users(users::Args),
    /// Makes, lists and revokes tokens for programs
    Tokens(tokens::Args),
    /// Says who did what, when, from where and why
    Audit(audit::Args),
    /// Lists, changes and tests connections
    Connections(connections::Args),
    /// Says how the installation is: workers, queues, store, workflow files
    Status,
    /// Lists runs, or shows one
    Runs(Box<runs::Args>),
    /// Lists the task runs of a run, or the task types of this binary
    Tasks(tasks::Args),
    /// Prints logs of attempts
    Logs(logs::Args),
    /// Cancels a run
    Cancel(cancel::Args),
    /// Looks whether everything that is needed is there
    Doctor(doctor::Args),
    /// Brings the store's tables to this version
    Migrate(migrate::Args),
    /// Measures this machine and store
    Bench(bench::Args),
    /// Prints a completion script for a shell
    Completions(completions::Args),
    /// Writes the generated reference pages into a folder
    #[command(name = "__reference", hide = true)]
    Reference { folder: PathBuf },
}

/// What every command gets.
pub struct Session {
    /// Task types and connection kinds.
    pub registry: Arc<Registry>,
    /// The project.
    pub project: Project,
    /// Where runs are kept.
    pub store: StoreUrl,
    /// Whether that was said, by flag or environment.
    pub store_given: bool,
    /// Another server that is asked instead, with a token for it.
    pub server: Option<(String, Option<SecretString>)>,
    /// One JSON document instead of text.
    pub json: bool,
    /// The command may write secrets.
    pub seals: bool,
    /// The process's environment, read once.
    pub environment: BTreeMap<String, String>,
    /// The folder that the person is in.
    pub cwd: PathBuf,
}

impl Session {
    /// The connections of a profile where there is no store to look into.
    ///
    /// # Errors
    /// An unknown profile, and as [`Session::judge`].
    pub fn connections(&self, profile: Option<&str>) -> Result<Snapshot, Failure> {
        let sources = self.project.sources(profile, &self.environment)?;
        let found = Snapshot::of_files(kinds(&self.registry), &sources);
        self.judge(&found)?;
        Ok(found)
    }

    /// Refuses `--server` for what is done to the store itself.
    ///
    /// # Errors
    /// Another server is named.
    pub fn needs_store(&self, command: &str) -> Result<(), Failure> {
        match &self.server {
            None => Ok(()),
            Some((url, _)) => {
                Err(Failure::input(format!("`updraft {command}` works on the store itself, not over {url}"))
                    .hint("leave out --server (and UPDRAFT_SERVER), and run it where the store is"))
            }
        }
    }

    /// Warns of what is not used.
    ///
    /// # Errors
    /// What was written wrongly, all of it.
    pub fn judge(&self, found: &Snapshot) -> Result<(), Failure> {
        found.warnings().iter().for_each(|warning| output::warning(warning));
        // Not fatal: a build without some tasks still runs what needs none of them. A task that names it is refused.
        let unknown = |view: &&ConnectionView| !view.kind.is_empty() && self.registry.connection(&view.kind).is_none();
        for view in found.views().filter(|view| self.project.has_file && unknown(view)) {
            output::warning(&format!("connection `{}`: {}", view.name, view.error.as_deref().unwrap_or_default()));
        }
        if found.refused().is_empty() {
            return Ok(());
        }
        Err(Failure::input(found.refused().join("\n       ")))
    }
}

/// An answer of the API in its own type.
///
/// # Errors
/// The server is of another version.
fn typed<T: DeserializeOwned>(answer: &Value) -> Result<T, Failure> {
    T::deserialize(answer).map_err(|error| {
        Failure::unreachable(format!("the server answers in a way that this version does not know: {error}"))
    })
}

/// A name as one segment of an address.
fn segment(name: &str) -> String {
    use std::fmt::Write as _;
    name.bytes().fold(String::with_capacity(name.len()), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

/// Runs the command line.
pub fn main(registry: Registry) -> std::process::ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|word| word == CHILD) {
        let code = updraft_engine::child::child_main(arguments.into_iter().skip(2));
        return std::process::ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX));
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::BadInput } else { ExitCode::Success };
            return match error.print() {
                Ok(()) => code.into(),
                Err(_) => ExitCode::BadInput.into(),
            };
        }
    };
    match dispatch(cli, registry) {
        Ok(code) => code.into(),
        Err(failure) => {
            output::failure(&failure);
            failure.code.into()
        }
    }
}

fn dispatch(cli: Cli, registry: Registry) -> Result<ExitCode, Failure> {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    crate::telemetry::start(environment.get("UPDRAFT_LOG").map(String::as_str)).map_err(Failure::input)?;
    let cwd = std::env::current_dir()
        .map_err(|error| Failure::input(format!("the current folder cannot be read: {error}")))?;
    let cwd = match cli.project {
        None => cwd,
        Some(folder) => {
            let folder = cwd.join(folder);
            folder.canonicalize().map_err(|error| Failure::input(format!("--project {}: {error}", folder.display())))?
        }
    };
    let project = Project::find(&cwd)?;
    let store = StoreUrl::choose(cli.store.as_deref(), &project, &cwd)?;
    let store_given = cli.store.is_some();
    let token = cli.token.map(SecretString::from);
    let session = Session {
        store_given,
        server: cli.server.map(|url| (url, token)),
        registry: Arc::new(registry),
        project,
        store,
        json: cli.json,
        seals: matches!(cli.command, Command::Connections(_)),
        environment,
        cwd,
    };
    // One provider of TLS for every client of the process; a second call would be a bug in this function.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| Failure::input("TLS was set up twice: this is a bug of Updraft"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unreachable(format!("the runtime does not start: {error}")))?;
    runtime.block_on(async {
        match cli.command {
            Command::Dev(args) => daemon::dev(&session, args).await,
            Command::Serve(args) => daemon::serve(&session, args).await,
            Command::Run(args) => run::run(&session, args).await,
            Command::Check(args) => check::run(&session, &args),
            Command::Fmt(args) => fmt::run(&session, &args),
            Command::Schema => schema::run(&session),
            Command::Show(args) => show::run(&session, &args),
            Command::Workflows(args) => workflows::run(&session, args).await,
            Command::Schedules(args) => workflows::schedules(&session, args).await,
            Command::Trigger(args) => trigger::run(&session, args).await,
            Command::Retry(args) => change::retry(&session, args).await,
            Command::Mark(args) => change::mark(&session, args).await,
            Command::Pause(args) => change::pause(&session, args, true).await,
            Command::Unpause(args) => change::pause(&session, args, false).await,
            Command::Status => status::run(&session).await,
            Command::Users(args) => users::run(&session, args).await,
            Command::Tokens(args) => tokens::run(&session, args).await,
            Command::Audit(args) => audit::run(&session, args).await,
            Command::Connections(args) => connections::run(&session, args).await,
            Command::Runs(args) => runs::run(&session, *args).await,
            Command::Tasks(args) => tasks::run(&session, args).await,
            Command::Logs(args) => logs::run(&session, args).await,
            Command::Cancel(args) => cancel::run(&session, args).await,
            Command::Doctor(args) => doctor::run(&session, &args).await,
            Command::Migrate(args) => migrate::run(&session, &args).await,
            Command::Bench(args) => bench::run(&session, args).await,
            Command::Completions(args) => completions::run(&args),
            Command::Reference { folder } => write_reference(&session, &folder),
        }
    })
}

fn write_reference(session: &Session, folder: &std::path::Path) -> Result<ExitCode, Failure> {
    let mut pages = crate::reference::pages(&session.registry);
    pages.push(("cli.md".to_owned(), reference()));
    pages.push(("errors.md".to_owned(), updraft_spec::errors_index()));
    for (name, text) in pages {
        let path = folder.join(name);
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        written.map_err(|error| Failure::input(format!("cannot write {}: {error}", path.display())))?;
    }
    Ok(ExitCode::Success)
}

/// The whole command line as Markdown.
fn reference() -> String {
    let mut text = String::from(
        "# The command line\n\nGenerated from the program by `cargo xtask gen`. Exit codes: 0 done · 1 the run failed (or is \
         broken) · 2 bad input · 3 a store or service cannot be reached · 4 cancelled by `updraft cancel` · 130 stopped by a \
         signal; the run stays open for `--resume`.\n",
    );
    let mut command = Cli::command().term_width(100);
    command.build();
    describe(&mut command, &mut text);
    text
}

fn describe(command: &mut clap::Command, text: &mut String) {
    use std::fmt::Write as _;
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let _ = write!(text, "\n## `{name}`\n\n```text\n{}\n```\n", command.render_long_help().to_string().trim_end());
    for sub in command.get_subcommands_mut() {
        if !sub.is_hide_set() && sub.get_name() != "help" {
            describe(sub, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
