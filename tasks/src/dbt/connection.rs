//! The connection kind `dbt`: a project, a target, and the program that runs it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use updraft_task::{ConnectionKind, Context, Secret, TaskError};

/// A dbt project and the warehouse that it builds in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dbt {
    /// Folder with `dbt_project.yml`, relative to the project.
    pub project: String,
    /// Folder with `profiles.yml`; the dbt project's if left out.
    #[serde(default)]
    pub profiles_dir: Option<String>,
    /// Target of the profile; the profile's own default if left out.
    #[serde(default)]
    pub target: Option<String>,
    /// The dbt program; if left out, the one that `make dbt` installs in the cache folder, else `dbt` on the PATH.
    #[serde(default)]
    pub executable: Option<String>,
    /// File of the DuckDB warehouse, relative to the project; reaches the profile as `UPDRAFT_DUCKDB_PATH`.
    #[serde(default)]
    pub duckdb_path: Option<String>,
    /// Models built at one time, from 1; the profile's `threads` if left out.
    #[serde(default)]
    pub threads: Option<u32>,
    /// Connection of kind `warehouse` that the target builds in. The profile gets its address, user and password as
    /// `UPDRAFT_CLICKHOUSE_…` or `UPDRAFT_POSTGRES_…` and `DBT_ENV_SECRET_PASSWORD`, and a cancelled attempt's queries are ended there.
    #[serde(default)]
    pub warehouse: Option<String>,
    /// Further variables for `env_var(…)` in the project.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Password of the warehouse; reaches the profile as `DBT_ENV_SECRET_PASSWORD`, which dbt masks.
    #[serde(default)]
    pub password: Option<Secret>,
}

impl ConnectionKind for Dbt {
    const KIND: &'static str = "dbt";
    const SUMMARY: &'static str = "a dbt project with its target and program";
}

impl Dbt {
    /// The dbt project's folder.
    ///
    /// # Errors
    /// `fail` `BadConnection`: there is no project.
    pub fn project_dir(&self, ctx: &Context) -> Result<PathBuf, TaskError> {
        let folder = ctx.path(&self.project);
        if folder.join("dbt_project.yml").is_file() {
            return Ok(folder);
        }
        Err(TaskError::fail(
            "BadConnection",
            format!("there is no dbt project (dbt_project.yml) in {}", folder.display()),
        ))
    }

    /// The dbt program.
    ///
    /// # Errors
    /// `fail` `BadConnection`: it is nowhere.
    pub fn program(&self, ctx: &Context) -> Result<PathBuf, TaskError> {
        let missing = |text: String| Err(TaskError::fail("BadConnection", text));
        if let Some(named) = &self.executable {
            // A bare name is looked up on the PATH, anything with a slash is a path of the project.
            if !named.contains('/') {
                return Ok(PathBuf::from(named));
            }
            let path = ctx.path(named);
            return if path.is_file() {
                Ok(path)
            } else {
                missing(format!("there is no dbt program {}", path.display()))
            };
        }
        let environment = &ctx.attempt().env;
        let cached = environment
            .get("XDG_CACHE_HOME")
            .filter(|folder| !folder.is_empty())
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from))
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
            .map(|cache| cache.join("updraft/dbt/bin/dbt"));
        if let Some(path) = cached.filter(|path| path.is_file()) {
            return Ok(path);
        }
        let on_path = std::env::var_os("PATH").and_then(|path| {
            std::env::split_paths(&path).map(|folder| folder.join("dbt")).find(|program| program.is_file())
        });
        on_path.map_or_else(
            || {
                missing(
                    "dbt is neither in the cache folder nor on the PATH: run `make dbt`, or name it by `executable` of the connection"
                        .to_owned(),
                )
            },
            Ok,
        )
    }
}
