//! The catalog that the test files are checked against, and where files lie.

use std::path::{Path, PathBuf};

use serde_json::Value;
use updraft_spec::{Catalog, ConnNeed, TaskSpec};

/// A file or folder of `testdata/`.
pub fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|item| Some(item.as_str()?.to_owned())).collect()
}

/// `testdata/catalog.json`.
pub fn catalog() -> Catalog {
    let text = std::fs::read_to_string(testdata("catalog.json")).expect("readable");
    let data: Value = serde_json::from_str(&text).expect("JSON");
    let mut catalog = Catalog::new();
    for (name, kind) in data["connections"].as_object().expect("a map") {
        catalog.add_connection(name, kind.as_str().expect("a text"));
    }
    for task in data["tasks"].as_array().expect("a list") {
        let kinds = strings(&task["kinds"]);
        catalog.add_task(TaskSpec {
            name: task["name"].as_str().expect("a text").to_owned(),
            summary: task["summary"].as_str().expect("a text").to_owned(),
            params: task["params"].clone(),
            output: task["output"].clone(),
            conn: match task["conn"].as_str() {
                Some("required") => ConnNeed::Required(kinds),
                Some("optional") => ConnNeed::Optional(kinds),
                _ => ConnNeed::None,
            },
            errors: strings(&task["errors"]),
        });
    }
    catalog
}

/// All files under a folder of `testdata/` with one of these endings, in order.
pub fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![testdata(folder)];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A path as shown: below `testdata/`, with `/`.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(testdata("")).expect("below testdata").to_string_lossy().replace('\\', "/")
}
