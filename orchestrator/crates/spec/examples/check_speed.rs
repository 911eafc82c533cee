//! Time to parse and check a typical file of twenty tasks: `cargo run --release -p updraft-spec --example check_speed`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

use serde_json::json;
use updraft_spec::{Catalog, ConnNeed, TaskSpec, check};

fn catalog() -> Catalog {
    let mut catalog = Catalog::new();
    catalog.add_connection("kafka", "kafka");
    let dataset = json!({ "type": "object", "required": ["uri"], "properties": { "uri": { "type": "string" } } });
    catalog.add_task(TaskSpec {
        name: "collect".into(),
        summary: "Collects.".into(),
        params: json!({ "type": "object", "properties": { "regions": { "type": "array" } }, "additionalProperties": false }),
        output: json!({ "type": "object", "properties": { "dataset": dataset } }),
        conn: ConnNeed::None,
        errors: Vec::new(),
    });
    catalog.add_task(TaskSpec {
        name: "publish".into(),
        summary: "Publishes.".into(),
        params: json!({
            "type": "object", "required": ["dataset", "topic"], "additionalProperties": false,
            "properties": {
                "dataset": dataset, "topic": { "type": "string", "pattern": "^[a-z]+$" },
                "linger_ms": { "type": "integer", "minimum": 0 },
                "headers": { "type": "object", "additionalProperties": { "type": "string" } },
            },
        }),
        output: json!({ "type": "object", "properties": { "sent": { "type": "integer" } } }),
        conn: ConnNeed::Required(vec!["kafka".into()]),
        errors: Vec::new(),
    });
    catalog
}

fn file(number: usize) -> String {
    let mut text = format!(
        "id: w{number}\nschedule: \"*/10 * * * *\"\nstart_date: 2026-01-01\nparams:\n  regions: {{type: array, items: {{type: \
         string}}, default: [europe]}}\n  dry_run: {{type: boolean, default: false}}\nvars: {{topic: states}}\ndefaults: \
         {{retries: 3, timeout: 5m}}\ntasks:\n  - {{id: t0, type: collect}}\n"
    );
    for at in 1..20 {
        let _ = write!(
            text,
            "  - id: t{at}\n    type: publish\n    conn: kafka\n    depends_on: [t{}]\n    with:\n      dataset: \"{{{{ \
             tasks.t0.output.dataset }}}}\"\n      topic: \"{{{{ vars.topic }}}}\"\n      linger_ms: 50\n      headers: {{day: \
             \"{{{{ ds }}}}\"}}\n",
            at - 1
        );
    }
    text
}

fn main() -> std::io::Result<()> {
    const FILES: usize = 2_000;
    let catalog = catalog();
    let files: Vec<String> = (0..FILES).map(file).collect();
    assert!(check("warm", &files[0], &catalog).diagnostics.is_empty(), "the file is good");
    let started = Instant::now();
    let good = files.iter().filter(|text| check("f", text, &catalog).is_ok()).count();
    let spent = started.elapsed();
    let each_us = spent.as_micros() / FILES as u128;
    writeln!(std::io::stdout(), "{good} files of {} bytes: {each_us} µs each", files[0].len())
}
