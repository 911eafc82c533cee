//! The dependency rule of ARCHITECTURE.md, judged on `cargo metadata`: direct dependencies, `build-features` aside.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

/// What each crate may depend on among ours. Development dependencies may besides use [`DEVELOPMENT`].
const ALLOWED: [(&str, &[&str]); 15] = [
    ("updraft-model", &[]),
    ("updraft-spec", &["updraft-model"]),
    ("updraft-task", &["updraft-model"]),
    ("updraft-store", &["updraft-model"]),
    ("updraft-store-sqlite", &["updraft-store", "updraft-model"]),
    ("updraft-store-postgres", &["updraft-store", "updraft-model"]),
    ("updraft-engine", &["updraft-store", "updraft-task", "updraft-spec", "updraft-model"]),
    ("updraft-tasks", &["updraft-task"]),
    ("updraft-auth", &["updraft-store", "updraft-model"]),
    ("updraft-catalog", &["updraft-store", "updraft-task", "updraft-spec", "updraft-model"]),
    (
        "updraft-api",
        &[
            "updraft-auth",
            "updraft-catalog",
            "updraft-engine",
            "updraft-store",
            "updraft-task",
            "updraft-spec",
            "updraft-model",
        ],
    ),
    ("updraft-testkit", &[]),
    ("updraft-planted", &["updraft-store", "updraft-store-sqlite", "updraft-store-postgres", "updraft-model"]),
    (
        "updraft",
        &[
            "updraft-api",
            "updraft-auth",
            "updraft-catalog",
            "updraft-engine",
            "updraft-store",
            "updraft-store-sqlite",
            "updraft-store-postgres",
            "updraft-tasks",
            "updraft-task",
            "updraft-spec",
            "updraft-model",
        ],
    ),
    ("xtask", &[]),
];

/// What any crate may use in its tests.
const DEVELOPMENT: [&str; 3] = ["updraft-testkit", "updraft-store-sqlite", "updraft-store-postgres"];

/// Crates of others that only some of ours may use directly.
const RESERVED: [(&str, &[&str]); 9] = [
    ("sqlx", &["updraft-store-sqlite", "updraft-store-postgres", "updraft-testkit", "updraft-tasks"]),
    (
        "tokio",
        &[
            "updraft-task",
            "updraft-store",
            "updraft-store-sqlite",
            "updraft-store-postgres",
            "updraft-engine",
            "updraft-auth",
            "updraft-catalog",
            "updraft-api",
            "updraft-tasks",
            "updraft-testkit",
            "updraft-planted",
            "updraft",
        ],
    ),
    ("datafusion", &["updraft-tasks"]),
    ("parquet", &["updraft-tasks"]),
    ("rdkafka", &["updraft-tasks"]),
    ("axum", &["updraft-api", "updraft-testkit"]),
    ("reqwest", &["updraft-tasks", "updraft-testkit", "updraft"]),
    ("object_store", &["updraft-task", "updraft-tasks", "updraft"]),
    ("clap", &["updraft", "updraft-testkit", "updraft-planted", "xtask"]),
];

const BUILD_FEATURES: &str = "updraft-build-features";

/// Fails with every arrow that is not allowed.
pub fn check() -> anyhow::Result<()> {
    let output = Command::new(option_env!("CARGO").unwrap_or("cargo"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .output()
        .context("cargo metadata does not start")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let wrong = violations(packages);
    if wrong.is_empty() {
        return Ok(());
    }
    for line in &wrong {
        say(line);
    }
    bail!("{} dependencies point the wrong way", wrong.len())
}

/// Prints a line to standard error.
pub fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn violations(packages: &[Value]) -> Vec<String> {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ALLOWED.iter().map(|(name, of)| (*name, of.iter().copied().collect())).collect();
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        if name == BUILD_FEATURES {
            continue;
        }
        let Some(may) = allowed.get(name) else {
            wrong.push(format!("{name}: has no row in xtask's layers: say what it may depend on"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = dependency["name"].as_str().unwrap_or_default();
            let development = dependency["kind"].as_str() == Some("dev");
            if ours.contains(on) && on != BUILD_FEATURES {
                let fine = may.contains(on) || (development && (DEVELOPMENT.contains(&on) || on == name));
                if !fine {
                    wrong.push(format!("{name} → {on}: not allowed"));
                }
            }
            if let Some((_, users)) = RESERVED.iter().find(|(reserved, _)| *reserved == on)
                && !development
                && !users.contains(&name)
            {
                wrong.push(format!("{name} → {on}: only {} may use it", users.join(", ")));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let dependencies: Vec<Value> =
            dependencies.iter().map(|(name, kind)| json!({ "name": name, "kind": kind })).collect();
        json!({ "name": name, "dependencies": dependencies })
    }

    #[test]
    fn an_arrow_upwards_is_found() {
        let packages = [
            package("updraft-model", &[("updraft-store", None), ("tokio", None)]),
            package("updraft-store", &[("updraft-model", None), ("updraft-testkit", Some("dev"))]),
            package("updraft-testkit", &[]),
        ];
        let wrong = violations(&packages);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].starts_with("updraft-model → updraft-store"));
        assert!(wrong[1].starts_with("updraft-model → tokio"));
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        assert_eq!(violations(&[package("updraft-new", &[])]).len(), 1);
    }
}
