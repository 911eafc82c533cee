//! The flagship in a project folder of its own, with a stand-in for the API: run, killed, resumed, and looked into.
//! Not here: what any of it should show.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use updraft_testkit::opensky::{Options, Standin};
use updraft_testkit::process::{Finished, Program, Running};

/// The recorded answer whose numbers are known, below the folder of shared data.
pub const EUROPE: &str = "opensky/recorded/states_europe_20251202T093439Z.json";
/// Where states are asked for.
pub const STATES: &str = "/api/states/all";
/// An interval that no other run has.
pub const LOGICAL_DATE: &str = "2026-03-01T12:00:00Z";
/// How long a whole run may take on a busy machine.
pub const RUN: Duration = Duration::from_secs(150);
/// The flagship.
pub const WORKFLOW: &str = "workflows/opensky/data_pipeline.yaml";
/// The marts, whose rows must not depend on how often a run was cut off.
pub const MARTS: [&str; 9] = [
    "dim_countries",
    "dim_airports",
    "dim_regions",
    "fact_flight_activity",
    "agg_flight_statistics",
    "agg_country_hourly",
    "agg_region_traffic_10min",
    "agg_airport_activity_hourly",
    "mart_data_quality_daily",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository").to_owned()
}

/// The demo's recording, which ships with the project.
pub fn demo_recording() -> PathBuf {
    repository().join("workflows/opensky/demo/states_north_america_ny.json")
}

/// A stand-in that plays one file and leaves the aircraft where they are.
pub fn standin(play: PathBuf) -> Standin {
    Standin::start(&Options { play: vec![play], still: true, ..Options::default() }).unwrap()
}

/// The Python of dbt's environment; `None`, after a loud skip, if `make dbt` was not run.
pub fn dbt_python() -> Option<PathBuf> {
    let cache = std::env::var_os("UPDRAFT_CACHE").map(PathBuf::from).or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        Some(cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?.join("updraft"))
    })?;
    let python = cache.join("dbt/bin/python");
    if python.is_file() {
        return Some(python);
    }
    let test = updraft_testkit::skip::current_test();
    updraft_testkit::skip::report(&test, "there is no dbt environment: `make dbt` makes it");
    None
}

/// A project folder with the flagship, its dbt project and an empty `.updraft`.
pub struct Project {
    folder: TempDir,
    environment: BTreeMap<String, String>,
}

impl Project {
    /// A new one, whose API is `standin`. What waits between tries is short.
    pub fn new(standin: &Standin) -> Self {
        let folder = TempDir::with_prefix("updraft-e2e-").unwrap();
        copy_folder(&repository().join("dbt"), &folder.path().join("dbt"));
        fs::create_dir_all(folder.path().join("workflows/opensky")).unwrap();
        for file in ["updraft.yaml", WORKFLOW] {
            fs::copy(repository().join(file), folder.path().join(file)).unwrap();
        }
        let mut project = Self { folder, environment: BTreeMap::new() };
        let api = standin.announcement();
        for (field, value) in [
            ("BASE_URL", &api.url),
            ("TOKEN_URL", &api.token_url),
            ("CLIENT_ID", &api.client_id),
            ("CLIENT_SECRET", &api.client_secret),
        ] {
            project.environment.insert(format!("UPDRAFT_CONN_OPENSKY__{field}"), value.clone());
        }
        if let Some(python) = dbt_python() {
            let dbt = python.with_file_name("dbt").display().to_string();
            project.environment.insert("UPDRAFT_CONN_DBT__EXECUTABLE".to_owned(), dbt);
        }
        project
    }

    /// A new one with another's raw answers in its lake, so that it has the same input to the byte.
    pub fn with_answers_of(other: &Self, standin: &Standin) -> Self {
        let project = Self::new(standin);
        copy_folder(&other.lake().join("raw-data"), &project.lake().join("raw-data"));
        project
    }

    /// The same with one more workflow of the repository and the folders that it reads.
    pub fn with_workflow(self, file: &str, folders: &[&str]) -> Self {
        fs::copy(repository().join(file), self.folder.path().join(file)).unwrap();
        for folder in folders {
            copy_folder(&repository().join(folder), &self.folder.path().join(folder));
        }
        self
    }

    /// The same with another store.
    pub fn on_store(mut self, url: &str) -> Self {
        self.environment.insert("UPDRAFT_STORE".to_owned(), url.to_owned());
        self
    }

    /// Replaces a text, which must be there, in a file of the project.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no `{from}`");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    /// Replaces a text in the workflow.
    pub fn edit_workflow(&self, from: &str, to: &str) {
        self.edit(WORKFLOW, from, to);
    }

    /// The project's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The lake's folder.
    pub fn lake(&self) -> PathBuf {
        self.folder.path().join(".updraft/lake")
    }

    /// The program with these arguments, in the project.
    pub fn program(&self, arguments: &[&str]) -> Program {
        let program = Program::of_workspace("updraft").unwrap().args(arguments).folder(self.folder.path());
        self.environment.iter().fold(program.env("NO_COLOR", "1"), |program, (name, value)| program.env(name, value))
    }

    /// Starts a run of the flagship in the background.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut running = self.program(&["run", WORKFLOW, "--json"]).args(arguments).start().unwrap();
        running.close_input();
        running
    }

    /// Runs the flagship to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self, self.start(arguments).wait(RUN).unwrap())
    }

    /// Goes on with the newest unfinished run.
    pub fn resume(&self) -> Running {
        let mut running = self.program(&["run", "--resume", "--json"]).start().unwrap();
        running.close_input();
        running
    }

    /// Runs another command, which must succeed, and gives its text.
    pub fn said(&self, arguments: &[&str]) -> String {
        let finished = self.program(arguments).run().unwrap();
        assert_eq!(finished.code(), Some(0), "{arguments:?}\n{}\n{}", finished.out, finished.err);
        finished.out
    }

    /// A task run with its output; what a skipped one said stands as an error of the class `skipped`.
    fn task_of(&self, run: &str, task: &Value) -> Value {
        let id = task["task"].as_str().unwrap();
        let output = match task["output_bytes"].as_u64() {
            Some(_) => self.document(&["tasks", run, id, "--json"])["output"].clone(),
            None => Value::Null,
        };
        let error = match (task["state"].as_str(), &task["error"]) {
            (Some("skipped"), Value::Null) => json!({ "class": "skipped", "message": task["cause_words"] }),
            (_, error) => error.clone(),
        };
        json!({
            "id": id, "type": task["type"], "state": task["state"], "cause": task["cause"], "error": error,
            "attempts": task["attempts"].as_array().unwrap().len(), "seconds": task["seconds"], "output": output,
        })
    }

    /// The same as JSON.
    pub fn document(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.said(arguments)).unwrap()
    }

    /// Every file below a folder of the lake, with the sha-256 of its bytes.
    pub fn lake_files(&self, below: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let root = self.lake();
        let mut folders = vec![root.join(below)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let key = path.strip_prefix(&root).unwrap().display().to_string();
                    found.insert(key, updraft_task::lake::sha256_hex(&fs::read(&path).unwrap()));
                }
            }
        }
        found
    }

    /// All of the lake but the files of `quality_results`, whose rows name their run, and half-written files that have no key yet:
    /// `object_store` writes to `KEY#1` and renames, lists no such file, and a `kill -9` between the two leaves it.
    pub fn lake_but_quality(&self) -> BTreeMap<String, String> {
        let mut files = self.lake_files("");
        files.retain(|key, _| !key.starts_with("warehouse/quality_results/") && !key.contains('#'));
        files
    }

    /// Rows of `quality_results` without the run's id, in order.
    pub fn quality_rows(&self, python: &Path) -> Value {
        let files = self.lake().join("warehouse/quality_results/**/*.parquet");
        let query = format!("select * exclude (run_id) from read_parquet('{}') order by all", files.display());
        query_duckdb(python, ":memory:", &[("rows", &query)])["rows"].clone()
    }

    /// Asks the marts. Cells are texts, null or numbers.
    pub fn marts(&self, python: &Path, query: &str) -> Value {
        query_duckdb(python, &self.duckdb(), &[("rows", query)])["rows"].clone()
    }

    /// All rows of all marts, in order.
    pub fn all_marts(&self, python: &Path) -> Value {
        let queries: Vec<(&str, String)> =
            MARTS.iter().map(|mart| (*mart, format!("select * from opensky.{mart} order by all"))).collect();
        let queries: Vec<(&str, &str)> = queries.iter().map(|(name, query)| (*name, query.as_str())).collect();
        query_duckdb(python, &self.duckdb(), &queries)
    }

    fn duckdb(&self) -> String {
        self.folder.path().join(".updraft/warehouse.duckdb").display().to_string()
    }
}

/// Asks a database of DuckDB by name; rows of cells.
pub fn query_duckdb(python: &Path, database: &str, queries: &[(&str, &str)]) -> Value {
    const SCRIPT: &str = "\
import duckdb, json, sys
database, queries = json.loads(sys.argv[1])
connection = duckdb.connect(database, read_only=database != ':memory:')
connection.execute(\"set timezone = 'UTC'\")
print(json.dumps({name: connection.execute(query).fetchall() for name, query in queries}, default=str))
";
    let asked = json!([database, queries]).to_string();
    let output = Command::new(python).args(["-c", SCRIPT, &asked]).output().unwrap();
    assert!(output.status.success(), "{queries:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            // What dbt leaves behind when it is called by hand is no part of the project.
            if !["target", "logs"].iter().any(|name| entry.file_name() == *name) {
                copy_folder(&entry.path(), &target);
            }
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A run that has ended, with all that the command line says of it.
#[derive(Debug)]
pub struct Ran {
    /// Exit code, outputs.
    pub finished: Finished,
    /// `{run, tasks}`: the run, and each task run with its output.
    pub document: Value,
}

impl Ran {
    /// Reads the run that a `run --json` ends with, then its task runs.
    pub fn of(project: &Project, finished: Finished) -> Self {
        let run: Value = serde_json::from_str(&finished.out)
            .unwrap_or_else(|error| panic!("no document: {error}\n{}\n{}", finished.out, finished.err));
        let id = run["id"].as_str().unwrap();
        let page = project.document(&["tasks", id, "--json"]);
        let tasks = page["items"].as_array().unwrap().iter().map(|task| project.task_of(id, task));
        let fields = ["id", "workflow", "state", "cause", "logical_date", "data_interval", "started_at", "ended_at"];
        let of_run: serde_json::Map<String, Value> =
            fields.iter().map(|field| ((*field).to_owned(), run[*field].clone())).collect();
        let document = json!({ "run": of_run, "tasks": tasks.collect::<Vec<_>>() });
        Self { finished, document }
    }

    /// The run's id.
    pub fn id(&self) -> &str {
        self.document["run"]["id"].as_str().unwrap()
    }

    /// A task's part.
    pub fn task(&self, id: &str) -> &Value {
        self.tasks().iter().find(|task| task["id"] == id).unwrap_or_else(|| panic!("no task {id}"))
    }

    /// All tasks.
    pub fn tasks(&self) -> &[Value] {
        self.document["tasks"].as_array().unwrap()
    }

    /// States of the tasks by id.
    pub fn states(&self) -> BTreeMap<&str, &str> {
        self.tasks().iter().map(|task| (task["id"].as_str().unwrap(), task["state"].as_str().unwrap())).collect()
    }

    /// Asserts the exit code, with all that was said in the message.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.finished.code(), Some(code), "{}\n{}", self.finished.err, self.finished.out);
        self
    }
}

/// Waits until something is so.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + RUN;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A line for whoever runs the test with `--nocapture`.
#[expect(clippy::print_stdout, reason = "the harness shows it on demand")]
pub fn tell(line: &str) {
    println!("{line}");
}
