//! Generated files: reference pages, the index of diagnostics and the JSON Schema of workflow files, written by the program itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// The folder of generated pages.
const PAGES: &str = "docs/reference";
/// Index of the diagnostics' pages; the program writes it beside the others.
const ERRORS: (&str, &str) = ("errors.md", "docs/errors/README.md");
/// The schema that editors load.
const SCHEMA: &str = "workflows/workflow.schema.json";

/// Makes or checks every generated file.
pub fn run(root: &Path, check: bool) -> anyhow::Result<()> {
    build(root)?;
    let scratch = root.join(PAGES).with_extension("new");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    fs::create_dir_all(&scratch)?;
    let made = make(root, &scratch);
    fs::remove_dir_all(&scratch)?;
    let made = made?;
    let known = existing(root)?;
    let mut stale: Vec<String> = Vec::new();
    for (path, text) in &made {
        if known.get(path) != Some(text) {
            stale.push(path.display().to_string());
            if !check {
                let target = root.join(path);
                fs::create_dir_all(target.parent().context("a generated file has no folder")?)?;
                fs::write(target, text)?;
            }
        }
    }
    for path in known.keys().filter(|path| !made.contains_key(*path)) {
        stale.push(path.display().to_string());
        if !check {
            fs::remove_file(root.join(path))?;
        }
    }
    if check && !stale.is_empty() {
        bail!("generated files are not current, run `make gen`: {}", stale.join(", "));
    }
    Ok(())
}

fn make(root: &Path, scratch: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let mut made = BTreeMap::new();
    updraft(root, &["__reference", &scratch.to_string_lossy()])?;
    for path in files(scratch)? {
        let own = path.strip_prefix(scratch)?;
        let target = if own == Path::new(ERRORS.0) { PathBuf::from(ERRORS.1) } else { Path::new(PAGES).join(own) };
        made.insert(target, fs::read_to_string(&path)?);
    }
    made.insert(PathBuf::from(SCHEMA), updraft(root, &["schema"])?);
    Ok(made)
}

/// Runs the program as the workspace's build makes it, so that no dependency is compiled a second way.
fn updraft(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(target_folder(root).join("debug/updraft"))
        .args(arguments)
        .current_dir(root)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("updraft does not start")?;
    if !output.status.success() {
        bail!("`updraft {}` failed", arguments.join(" "));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn build(root: &Path) -> anyhow::Result<()> {
    let status = Command::new(option_env!("CARGO").unwrap_or("cargo"))
        .args(["build", "--quiet", "--workspace", "--all-targets"])
        .current_dir(root)
        .status()
        .context("cargo build does not start")?;
    if status.success() { Ok(()) } else { bail!("cargo build failed") }
}

fn target_folder(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

fn existing(root: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let mut known = BTreeMap::new();
    let pages = root.join(PAGES);
    if pages.is_dir() {
        for path in files(&pages)? {
            known.insert(path.strip_prefix(root)?.to_path_buf(), fs::read_to_string(&path)?);
        }
    }
    for file in [SCHEMA, ERRORS.1] {
        let path = root.join(file);
        if path.is_file() {
            known.insert(PathBuf::from(file), fs::read_to_string(path)?);
        }
    }
    Ok(known)
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
