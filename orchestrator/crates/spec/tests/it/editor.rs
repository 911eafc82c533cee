//! The JSON Schema for editors accepts what `check` accepts and flags what people get wrong while typing.

use std::fs;

use serde_json::Value;
use updraft_spec::{check_bytes, schema};

use crate::support::{catalog, files, shown};

/// A workflow file as an editor sees it: plain data.
fn data(path: &std::path::Path) -> Value {
    let text = fs::read_to_string(path).expect("readable");
    let value: serde_yaml::Value = serde_yaml::from_str(text.trim_start_matches('\u{feff}')).expect("YAML");
    let mut value = value;
    value.apply_merge().expect("merges");
    serde_json::to_value(value).expect("JSON")
}

#[test]
fn good_files_are_good_in_an_editor() {
    let schema = schema(&catalog());
    jsonschema::meta::validate(&schema).expect("a valid schema");
    let validator = jsonschema::validator_for(&schema).expect("compiles");
    for path in files("good", "yaml") {
        let data = data(&path);
        let errors: Vec<String> =
            validator.iter_errors(&data).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", shown(&path));
    }
}

#[test]
fn slips_are_flagged_in_an_editor() {
    let validator = jsonschema::validator_for(&schema(&catalog())).expect("compiles");
    for name in [
        "structure/unknown_keys",
        "structure/missing_ids",
        "structure/empty_tasks",
        "structure/keys_of_a_later_version",
        "field_values/unknown_parameter",
        "field_values/unknown_task_type",
        "field_values/bad_enum",
        "field_values/bad_trigger_rule",
        "field_values/text_for_list",
        "field_values/connection_not_used",
        "field_values/retry_fields",
        "cron_and_time/catchup_word",
        "yaml_typing/yes_for_true",
    ] {
        let path = crate::support::testdata(&format!("bad/{name}.yaml"));
        assert!(!validator.is_valid(&data(&path)), "{name}");
        assert!(!check_bytes(name, &fs::read(&path).expect("readable"), &catalog()).is_ok(), "{name}");
    }
}

#[test]
fn the_schema_is_pinned() {
    insta::assert_json_snapshot!("editor_schema", schema(&catalog()));
}
