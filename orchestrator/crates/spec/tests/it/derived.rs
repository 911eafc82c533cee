//! Schemas as task authors get them: derived from Rust types by schemars, with tagged, untagged and flattened parts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::Value;
use updraft_spec::diagnostic::render;
use updraft_spec::{Catalog, ConnNeed, TaskSpec, check};

/// Where a message goes.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "to", rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "only the schema counts")]
enum Channel {
    /// The log.
    Log,
    /// An address that takes a POST.
    Webhook {
        /// The address.
        url: String,
        /// Milliseconds.
        #[schemars(range(min = 1))]
        timeout_ms: Option<u32>,
    },
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the schema counts")]
struct Dataset {
    uri: String,
    rows: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only the schema counts")]
enum Input {
    One(Dataset),
    Many(Vec<Dataset>),
    Named(BTreeMap<String, Dataset>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Severity {
    /// Ends the run.
    Error,
    /// Is shown.
    Warning,
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only the schema counts")]
struct Limits {
    /// Least.
    min: Option<f64>,
    /// Most.
    max: Option<f64>,
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only the schema counts")]
struct Rule {
    /// Its name.
    name: String,
    #[serde(default)]
    severity: Option<Severity>,
    #[serde(flatten)]
    kind: Kind,
    #[serde(default)]
    warn: Option<Limits>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "check", rename_all = "snake_case")]
#[expect(dead_code, reason = "only the schema counts")]
enum Kind {
    NotNull { columns: Vec<String> },
    Between { column: String, min: f64, max: f64 },
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only the schema counts")]
enum Argv {
    Words(Vec<String>),
    Line(String),
}

/// Parameters of everything.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the schema counts")]
struct Params {
    channels: Vec<Channel>,
    input: Option<Input>,
    #[serde(default)]
    rules: Vec<Rule>,
    argv: Option<Argv>,
    severity: Option<Severity>,
    measures: Option<BTreeMap<String, f64>>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only the schema counts")]
struct Output {
    #[serde(flatten)]
    dataset: Dataset,
    regions: BTreeMap<String, Dataset>,
    mean: Option<f64>,
    kind: Severity,
}

fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    Value::from(settings.into_generator().into_root_schema_for::<T>())
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::new();
    catalog.add_task(TaskSpec {
        name: "all".into(),
        summary: "Has everything.".into(),
        params: schema_of::<Params>(),
        output: schema_of::<Output>(),
        conn: ConnNeed::None,
        errors: Vec::new(),
    });
    catalog
}

fn file(with: &str) -> String {
    format!(
        "id: w\ntasks:\n  - {{id: a, type: all, with: {{channels: []}}}}\n  - id: b\n    type: all\n    depends_on: a\n    with:\n{with}"
    )
}

#[test]
fn what_fits_a_derived_schema_is_accepted() {
    for with in [
        "      channels: [{to: log}, {to: webhook, url: x}, {to: webhook, url: \"{{ ds }}\", timeout_ms: \"{{ 5 }}\"}]\n",
        "      channels: \"{{ [] }}\"\n      input: \"{{ tasks.a.output.regions }}\"\n",
        "      channels: []\n      input: [{uri: \"{{ ds }}\", rows: \"{{ tasks.a.output.rows }}\"}]\n",
        "      channels: []\n      input: {europe: {uri: a, rows: 1}}\n",
        "      channels: []\n      rules: [{name: a, check: not_null, columns: [x], warn: {max: \"{{ 0.1 if ds else 0.2 }}\"}}]\n",
        "      channels: []\n      argv: ls\n      severity: \"{{ tasks.a.output.kind }}\"\n",
        "      channels: []\n      argv: [ls, \"{{ tasks.a.output.uri }}\"]\n      measures: {a: 1, b: \"{{ tasks.a.output.mean }}\"}\n",
    ] {
        let checked = check("f.yaml", &file(with), &catalog());
        let text: String = checked.diagnostics.iter().map(|found| render(found, &checked.source, false)).collect();
        assert!(checked.diagnostics.is_empty(), "{with}\n{text}");
    }
}

#[test]
fn what_does_not_fit_a_derived_schema_is_said_plainly() {
    let mut text = String::new();
    for with in [
        "      channels: [{to: lgo}]\n",
        "      channels: [{to: webhook}]\n",
        "      channels: [{to: webhook, uri: x}]\n",
        "      channels: [{to: webhook, url: x, timeout_ms: 0}]\n",
        "      channels: [{url: x}]\n",
        "      channels: [log]\n",
        "      channels: []\n      input: 3\n",
        "      channels: []\n      input: {uri: a, row: 1}\n",
        "      channels: []\n      input: [{uri: a}]\n",
        "      channels: []\n      rules: [{name: a, check: not_nul, columns: [x]}]\n",
        "      channels: []\n      rules: [{name: a, check: between, column: x, min: 1}]\n",
        "      channels: []\n      rules: [{name: a, severity: errror, check: not_null, columns: [x]}]\n",
        "      channels: []\n      argv: 5\n",
        "      channels: []\n      severity: warn\n",
        "      channels: []\n      measures: {a: many}\n",
        "      channels: []\n      input: \"{{ tasks.a.output.mean }}\"\n",
        "      channels: []\n      argv: [\"{{ tasks.a.output.regions.europe.row }}\"]\n",
        "      chanels: []\n",
    ] {
        let checked = check("f.yaml", &file(with), &catalog());
        assert!(!checked.is_ok(), "{with}");
        for found in &checked.diagnostics {
            text.push_str(&render(found, &checked.source, false));
            text.push_str("\n\n");
        }
    }
    insta::assert_snapshot!("derived", text);
}
