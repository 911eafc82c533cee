//! One call of the dbt program: its arguments, its child process, and what its exit code means.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use updraft_task::{ChildExit, ChildSpec, Context, StopSignal, TaskError};

use super::connection::Dbt;
use super::live::Live;
use super::server;

/// Makes "nothing selected" an error: by itself dbt ends with code 0 then.
const NOTHING_IS_AN_ERROR: &str = r#"{"error": ["NoNodesForSelectionCriteria"]}"#;
/// How long dbt may take to stop. The engine gives the attempt ten seconds, and the server's queries are to be ended after dbt.
const GRACE: std::time::Duration = std::time::Duration::from_secs(5);

/// What to call.
pub struct Call<'a> {
    /// Subcommand, in words.
    pub command: &'static [&'static str],
    /// Its own arguments.
    pub arguments: Vec<String>,
    /// `--vars`.
    pub vars: &'a Map<String, Value>,
    /// `--threads`, over the connection's.
    pub threads: Option<u32>,
    /// The file in the target folder that tells what it did.
    pub artefact: &'static str,
}

/// A call that dbt has gone through to its end.
pub struct Ended {
    /// Whether dbt says that something failed (exit code 1); what did, its artefact tells.
    pub failed: bool,
    /// The artefact.
    pub artefact: Vec<u8>,
    /// The target folder, with all that dbt wrote.
    pub target: PathBuf,
    /// What was seen of its nodes while it ran.
    pub live: Live,
}

/// Calls dbt and reads its artefact.
///
/// # Errors
/// By exit code: `Warehouse` (retry): the warehouse cannot be reached or is locked; `DbtUsage`, `NoNodes`, `BadArtefact` (fail);
/// `Killed` (retry). Nodes that were seen until then are recorded.
pub async fn call(connection: &Dbt, call: &Call<'_>, ctx: &Context) -> Result<Ended, TaskError> {
    let program = connection.program(ctx)?;
    let project = connection.project_dir(ctx)?;
    let target = ctx.scratch_dir()?.join("target");
    let artefact = target.join(call.artefact);
    let cache = ParseCache::new(connection, ctx);
    prepare(&target, &artefact, &cache)?;
    let spec = child(connection, call, &program, &project, &target, ctx)?;
    ctx.info(format!("dbt {} {}", call.command.join(" "), call.arguments.join(" ")));
    let mut live = Live::default();
    let mut lines = |stream, line: &str| live.heard(ctx, stream, line);
    let exit = server::stopping(connection, ctx, ctx.run_child(spec, &mut lines)).await;
    let said = live.errors();
    let failed = match exit {
        Ok(ChildExit::Code(code @ (0 | 1))) => Ok(code == 1),
        Ok(ChildExit::Code(2)) => Err(usage(&said)),
        Ok(ChildExit::Code(code)) => Err(TaskError::fail("DbtUsage", format!("dbt ended with code {code}\n{said}"))),
        Ok(ChildExit::Signal(signal)) => {
            Err(TaskError::retry("Killed", format!("dbt was ended by signal {signal}\n{said}")))
        }
        Err(error) => Err(error),
    };
    let read = failed.and_then(|failed| {
        let text = std::fs::read(&artefact).map_err(|error| {
            TaskError::fail("BadArtefact", format!("dbt left no {}: {error}\n{said}", artefact.display()))
        })?;
        Ok((failed, text))
    });
    match read {
        Ok((failed, artefact)) => {
            cache.keep(&target, ctx);
            Ok(Ended { failed, artefact, target, live })
        }
        Err(error) => {
            live.record(ctx);
            Err(error)
        }
    }
}

fn prepare(target: &Path, artefact: &Path, cache: &ParseCache) -> Result<(), TaskError> {
    let io = |error: std::io::Error| TaskError::retry("Scratch", format!("the folder {}: {error}", target.display()));
    std::fs::create_dir_all(target).map_err(io)?;
    // A stale artefact would be read as this call's.
    match std::fs::remove_file(artefact) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        Ok(()) | Err(_) => {}
    }
    cache.lay(target);
    Ok(())
}

fn child(
    connection: &Dbt,
    call: &Call<'_>,
    program: &Path,
    project: &Path,
    target: &Path,
    ctx: &Context,
) -> Result<ChildSpec, TaskError> {
    let text = |path: &Path| path.display().to_string();
    let profiles = connection.profiles_dir.as_ref().map_or_else(|| project.to_owned(), |folder| ctx.path(folder));
    let mut argv = vec![text(program), "--log-format".into(), "json".into(), "--no-use-colors".into()];
    argv.extend(["--warn-error-options".into(), NOTHING_IS_AN_ERROR.into()]);
    argv.extend(call.command.iter().map(|&word| word.to_owned()));
    argv.extend(["--project-dir".into(), text(project), "--profiles-dir".into(), text(&profiles)]);
    argv.extend(["--target-path".into(), text(target), "--log-path".into(), text(ctx.scratch_dir()?)]);
    if let Some(name) = &connection.target {
        argv.extend(["--target".into(), name.clone()]);
    }
    if let Some(threads) = call.threads.or(connection.threads) {
        argv.extend(["--threads".into(), threads.to_string()]);
    }
    if !call.vars.is_empty() {
        argv.extend(["--vars".into(), Value::Object(call.vars.clone()).to_string()]);
    }
    argv.extend(call.arguments.iter().cloned());
    let mut spec = ChildSpec::new(argv);
    // dbt cancels its queries on SIGINT; on SIGTERM they go on in the warehouse.
    spec.stop = StopSignal::Int;
    spec.grace = GRACE;
    spec.cwd = Some(project.to_owned());
    spec.env.extend(server::environment(connection, ctx)?);
    spec.env.extend(connection.env.clone());
    for (name, value) in [
        ("DBT_SEND_ANONYMOUS_USAGE_STATS", "false"),
        ("DBT_VERSION_CHECK", "false"),
        ("DO_NOT_TRACK", "1"),
        ("PYTHONUNBUFFERED", "1"),
    ] {
        spec.env.insert(name.to_owned(), value.to_owned());
    }
    // By this the server's log and process list say which attempt a query belongs to.
    spec.env.insert("UPDRAFT_ATTEMPT_ID".to_owned(), ctx.attempt().attempt_id.to_string());
    spec.env.insert("UPDRAFT_LAKE_URL".to_owned(), ctx.lake()?.root().to_owned());
    if let Some(path) = &connection.duckdb_path {
        let path = ctx.path(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| {
                TaskError::fail("BadConnection", format!("the folder of `duckdb_path`, {}: {error}", folder.display()))
            })?;
        }
        spec.env.insert("UPDRAFT_DUCKDB_PATH".to_owned(), text(&path));
    }
    if let Some(password) = &connection.password {
        spec.env.insert("DBT_ENV_SECRET_PASSWORD".to_owned(), password.expose().to_owned());
    }
    Ok(spec)
}

/// Exit code 2: usage, parse and compile errors, or a warehouse that cannot be reached.
fn usage(said: &str) -> TaskError {
    let lower = said.to_lowercase();
    if lower.contains("does not match any enabled nodes")
        || lower.contains("nonodesforselectioncriteria")
        || lower.contains("nothing to do")
    {
        return TaskError::fail("NoNodes", format!("nothing in the project matches the selection\n{said}"));
    }
    let unreachable =
        ["connection refused", "could not connect", "timed out", "timeout expired", "could not translate host"];
    if unreachable.iter().any(|words| lower.contains(words)) || super::results::is_lock(&lower) {
        return TaskError::retry("Warehouse", format!("the warehouse cannot be used just now\n{said}"));
    }
    TaskError::fail("DbtUsage", format!("dbt ended with code 2: bad usage, target, profile or project\n{said}"))
}

/// dbt's partial parse, kept between runs: it saves a second or two, and losing it costs nothing.
struct ParseCache {
    file: PathBuf,
}

const PARTIAL_PARSE: &str = "partial_parse.msgpack";

impl ParseCache {
    fn new(connection: &Dbt, ctx: &Context) -> Self {
        let target = connection.target.as_deref().unwrap_or("default").replace('/', "_");
        let folder = ctx.run().data_dir.join("dbt").join(&ctx.run().workflow).join(ctx.attempt().key.task.as_str());
        Self { file: folder.join(format!("{target}-{PARTIAL_PARSE}")) }
    }

    fn lay(&self, target: &Path) {
        // Missing or unreadable: dbt parses afresh.
        let _ = std::fs::copy(&self.file, target.join(PARTIAL_PARSE));
    }

    fn keep(&self, target: &Path, ctx: &Context) {
        let made = target.join(PARTIAL_PARSE);
        let part = self.file.with_extension(format!("{}.part", ctx.attempt().attempt_id));
        let kept = self
            .file
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::copy(&made, &part))
            .and_then(|_| std::fs::rename(&part, &self.file));
        if let Err(error) = kept {
            ctx.debug(format!("the partial parse is not kept: {error}"));
        }
    }
}
