//! Programs on this host: dbt, Java, Spark; and Spark's master.

use std::path::{Path, PathBuf};

#[cfg(feature = "sql")]
use serde_json::Value;

use super::{Gravity, Problem};
#[cfg(feature = "sql")]
use super::{chain, client};
use crate::dbt::Dbt;
#[cfg(feature = "sql")]
use crate::spark::Spark;

pub(super) fn dbt(connection: &Dbt, project: &Path) -> Vec<Problem> {
    let mut found = Vec::new();
    let folder = project.join(&connection.project);
    if !folder.join("dbt_project.yml").is_file() {
        found.push(Problem::new(
            "dbt_project_missing",
            Gravity::Error,
            format!("there is no dbt project (dbt_project.yml) in {}", folder.display()),
            "name the folder in `project` of the connection",
        ));
    }
    if !has_dbt(connection, project) {
        let named = connection.executable.as_deref().map_or_else(
            || "dbt is neither in the cache folder nor on the PATH".to_owned(),
            |named| format!("the dbt program {named} is not there"),
        );
        found.push(Problem::new(
            "dbt_missing",
            Gravity::Error,
            named,
            "run `make dbt`, or name the program by `executable` of the connection",
        ));
    }
    found
}

/// As [`Dbt::program`] looks for it in a run.
fn has_dbt(connection: &Dbt, project: &Path) -> bool {
    if let Some(named) = &connection.executable {
        return if named.contains('/') { project.join(named).is_file() } else { on_path(named) };
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    cache.is_some_and(|cache| cache.join("updraft/dbt/bin/dbt").is_file()) || on_path("dbt")
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

#[cfg(feature = "sql")]
pub(super) async fn spark(connection: &Spark, project: &Path) -> Vec<Problem> {
    let mut found = Vec::new();
    let home = connection
        .home
        .as_ref()
        .map(|home| project.join(home))
        .or_else(|| std::env::var_os("SPARK_HOME").map(PathBuf::from));
    // Without a home only `mode: rest` is meant, whose Java is on the cluster's hosts.
    if let Some(home) = home {
        if !home.join("bin/spark-submit").is_file() {
            found.push(Problem::new(
                "spark_missing",
                Gravity::Error,
                format!("there is no bin/spark-submit in {}", home.display()),
                "name Spark's folder by `home` of the connection or by SPARK_HOME",
            ));
        }
        let java_home = std::env::var_os("JAVA_HOME").map(PathBuf::from);
        if !java_home.is_some_and(|java| java.join("bin/java").is_file()) && !on_path("java") {
            found.push(Problem::new(
                "java_missing",
                Gravity::Error,
                "Spark needs Java on this host, and there is none: neither JAVA_HOME nor the PATH has it",
                "install Java 17 (Debian: apt-get install openjdk-17-jre-headless)",
            ));
        }
    } else if connection.rest_url.is_none() {
        found.push(Problem::new(
            "spark_missing",
            Gravity::Warning,
            "the connection says no `home`, SPARK_HOME is not set, and there is no `rest_url`: nothing can be submitted",
            "name Spark's folder by `home` or SPARK_HOME, or a master's `rest_url`; `engine: datafusion` does without Spark",
        ));
    }
    if let Some(ui) = &connection.ui_url {
        found.extend(master(ui).await);
    }
    found
}

#[cfg(feature = "sql")]
async fn master(ui: &str) -> Option<Problem> {
    let address = format!("{}/json/", ui.trim_end_matches('/'));
    let silent = |reason: String| {
        Problem::new(
            "spark_unreachable",
            Gravity::Unreachable,
            format!("Spark's master at {ui} does not answer: {reason}"),
            "start it (make up PROFILE=spark, or cargo xtask services up spark) and look into its log (make logs SERVICE=spark-master)",
        )
    };
    let state: Value = match client().get(address).send().await {
        Ok(answer) => match answer.json().await {
            Ok(state) => state,
            Err(error) => return Some(silent(chain(error))),
        },
        Err(error) => return Some(silent(chain(error))),
    };
    let alive =
        state["workers"].as_array().is_some_and(|workers| workers.iter().any(|worker| worker["state"] == "ALIVE"));
    (!alive).then(|| {
        Problem::new(
            "spark_no_worker",
            Gravity::Error,
            format!("Spark's master at {ui} has no worker: jobs would wait for ever"),
            "start a worker (make up PROFILE=spark) and look into its log (make logs SERVICE=spark-worker)",
        )
    })
}
